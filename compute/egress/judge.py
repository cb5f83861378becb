"""Judging what was collected by the rules of each source. Blocking: reads files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compute.egress.rules import EgressRules, Hold
from compute.egress.verdict import Finding, Outcome, Verdict
from compute.models import ResultFile


class Source(NamedTuple):
    """Whose rules: ``environment`` or a dataset's DID."""

    name: str
    rules: EgressRules


def judge(sources: Sequence[Source], files: Sequence[ResultFile], folder: Path) -> Verdict:
    """The verdict on ``files``, which lie in ``folder`` by their indexes."""
    findings = tuple(_finding(source, files) for source in sources)
    held = [
        source.rules.holdFor
        for source, finding in zip(sources, findings, strict=True)
        if finding.outcome is Outcome.HOLD
    ]
    return Verdict(findings, hold_s=min(held, default=0))


def _finding(source: Source, files: Sequence[ResultFile]) -> Finding:
    fired = tuple(_fired(source.rules, files))
    hold = source.rules.hold
    if hold is Hold.ALWAYS or (fired and hold is Hold.FIRED):
        return Finding(source.name, Outcome.HOLD, fired, source.rules.reviewers)
    return Finding(source.name, Outcome.REFUSE if fired else Outcome.PASS, fired)


def _fired(rules: EgressRules, files: Sequence[ResultFile]) -> list[str]:
    outputs = [file for file in files if file.type == "output"]
    fired = []
    if rules.maxBytes is not None and sum(file.filesize for file in outputs) > rules.maxBytes:
        fired.append(f"maxBytes: at most {rules.maxBytes} bytes")
    if rules.maxFiles is not None and len(outputs) > rules.maxFiles:
        fired.append(f"maxFiles: at most {rules.maxFiles} files")
    return fired

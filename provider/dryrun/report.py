"""What came of a dry run, for programs and for people. Pure but for the job object's text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from compute.egress.verdict import Outcome, Verdict
from compute.environments import Environment
from compute.models import Job, ResultFile
from compute.status import Phase
from provider.chain.fees import due
from provider.dialects.ocean import responses
from provider.dryrun.inputs import is_local
from provider.dryrun.offered import Price
from provider.dryrun.watching import Measured

_EXACT = 18
"""Digits after the point in which prices are told: no token has more."""

_ADDRESSES = ("algorithmLogUrl", "resultsUrls")
"""What a job object has that a dry run has not."""


@dataclass(frozen=True, slots=True)
class Report:
    """How it went. ``results`` are the files with where they were copied, None where they were
    not. ``told`` says where the environment is from, ``notes`` what differs from it here.
    ``unknown`` are datasets whose rules of what may leave are not known."""

    job: Job
    environment: Environment
    measured: Measured | None
    results: Sequence[tuple[ResultFile, Path | None]] = ()
    prices: Sequence[Price] = ()
    told: str = ""
    notes: Sequence[str] = ()
    unknown: Sequence[str] = ()
    statement: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def passes(self) -> bool:
        """Whether a provider would end it as completed and hand the results out."""
        return self.job.phase is Phase.COMPLETED

    @property
    def seconds(self) -> float:
        """How long the algorithm ran."""
        spans = [
            run.ended_at - run.started_at
            for run in self.job.runs
            if run.ended_at is not None and run.started_at is not None
        ]
        return max(0.0, sum(spans))


def costs(price: Price, seconds: float) -> Decimal:
    """What so much time costs, in whole units of the price's token, rounded up."""
    units = due(math.ceil(seconds), price.per_minute, _EXACT)
    return Decimal(units).scaleb(-_EXACT).normalize()


def verdict_words(verdict: Verdict | None, unknown: Sequence[str] = ()) -> list[str]:
    """What the rules of what may leave said, a line each; then whose are not known."""
    lines = []
    if verdict is None:
        lines.append("no rules that are known here" if unknown else "no rules")
    for finding in verdict.findings if verdict else ():
        fired = "; ".join(finding.fired)
        who = "the environment" if finding.source == "environment" else finding.source
        if finding.outcome is Outcome.PASS:
            lines.append(f"passes the rules of {who}")
        elif finding.outcome is Outcome.HOLD:
            lines.append(f"would be held for review by {who}" + (f": {fired}" if fired else ""))
        else:
            lines.append(f"would be refused by {who}: {fired}")
    return lines + [f"not known: the rules of {_dataset(did)}" for did in unknown]


def _dataset(did: str) -> str:
    return "data that was given without a DID" if is_local(did) else did


def document(report: Report) -> dict[str, Any]:
    """All of it as JSON values."""
    job, measured = report.job, report.measured
    shown = responses.job(job, "")
    return {
        "dryRun": True,
        "passes": report.passes,
        "job": {name: value for name, value in shown.items() if name not in _ADDRESSES},
        "environment": report.environment.id,
        "environmentTold": report.told,
        "notes": list(report.notes),
        "usage": {
            "seconds": round(report.seconds, 3),
            "cpuSeconds": round(measured.cpu_s, 3) if measured else None,
            "peakMemoryBytes": _peak(report),
            "peakMemoryIsSampled": bool(measured and not measured.by_engine),
            "memoryLimitBytes": report.environment.memory_bytes,
        },
        "egress": {
            "outcome": job.verdict.outcome.value if job.verdict else Outcome.PASS.value,
            "findings": [
                {"source": each.source, "outcome": each.outcome.value, "fired": list(each.fired)}
                for each in (job.verdict.findings if job.verdict else ())
            ],
            "notKnown": list(report.unknown),
        },
        "results": [
            {
                "index": file.index,
                "filename": file.filename,
                "filesize": file.filesize,
                "type": file.type,
                "sha256": file.sha256,
                "path": str(path) if path else None,
            }
            for file, path in report.results
        ],
        "price": [
            {
                "chainId": price.chain_id,
                "token": price.token,
                "perMinute": plain_number(price.per_minute),
                "forTheTimeItRan": plain_number(costs(price, report.seconds)),
                "atMost": plain_number(costs(price, report.environment.maxJobDuration)),
            }
            for price in report.prices
        ],
        "statement": report.statement,
    }


def _peak(report: Report) -> int | None:
    """What was killed for its memory had all that it might have."""
    end = report.job.termination
    if end is not None and end.oom_killed:
        return report.environment.memory_bytes
    return report.measured.memory_bytes if report.measured else None


def words(report: Report) -> list[tuple[str, str]]:
    """The same for people: a heading and what stands beside it, a line each."""
    job, end = report.job, report.job.termination
    lines = [("status", f"{job.phase.number} {job.phase.text}")]
    if end is not None and end.exit_code is not None:
        lines.append(("exit code", str(end.exit_code)))
    longest = report.environment.maxJobDuration
    lines.append(("ran", f"{report.seconds:.1f} s of at most {longest} s"))
    lines.append(("memory", _memory(report)))
    measured = report.measured
    lines.append(("processor", f"{measured.cpu_s:.2f} s" if measured else _unseen(report)))
    lines += [("leaves", line) for line in verdict_words(job.verdict, report.unknown)]
    lines += [("price", line) for line in _prices(report)]
    return lines


def _unseen(report: Report) -> str:
    how = "it ran too briefly to be looked at" if report.job.runs else "it did not run"
    return f"not measured: {how}"


def _memory(report: Report) -> str:
    peak, limit = _peak(report), report.environment.memory_bytes
    if peak is None:
        return _unseen(report)
    text = f"{mebibytes(peak)} of {mebibytes(limit)} at most"
    if report.job.termination is not None and report.job.termination.oom_killed:
        return f"{text}: it wanted more than there was"
    if report.measured is not None and not report.measured.by_engine:
        return f"{text} (the most of {report.measured.samples} looks; between them it may be more)"
    return f"{text} (cached files included)"


def _prices(report: Report) -> list[str]:
    if all(price.per_minute == 0 for price in report.prices):
        return ["free"]
    lines = []
    for price in report.prices:
        used = plain_number(costs(price, report.seconds))
        most = plain_number(costs(price, report.environment.maxJobDuration))
        lines.append(
            f"{used} for the {math.ceil(report.seconds)} s that it ran; {most} for the"
            f" {report.environment.maxJobDuration} s that it might; of token {price.token} on"
            f" chain {price.chain_id}"
        )
    return lines


def mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def plain_number(value: Decimal) -> str:
    """Digits without an exponent and without zeros that say nothing."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text

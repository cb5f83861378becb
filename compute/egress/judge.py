"""Judging what was collected by the rules of each source. Blocking: reads files.

Each file is looked into once for all sources. A rule fires on what is true of any file, or
where that cannot be found out within the bounds; what fired tells its limit and nothing of
what it met.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compute.egress import contents, names
from compute.egress.bounds import Budget, Doubt
from compute.egress.inspection import Part, Wants, parts_of
from compute.egress.rules import EgressRules, Hold
from compute.egress.sources import Source
from compute.egress.verdict import Finding, Outcome, Verdict
from compute.models import ResultFile
from compute.results import path_of

_MOST_LISTED = 256
NO_COPIES = "noInputCopies: no output or log equals an input"
NOT_KNOWN = f"{NO_COPIES}, and an input was changed while it was used"


@dataclass(frozen=True, slots=True)
class Left:
    """What a job left behind: ``files``, which lie in ``folder`` by their indexes. ``captured``
    are the indexes of logs that the engine kept; all other files the algorithm wrote itself.
    ``inputs`` are the SHA-256 of what it read, None where that is not known."""

    files: Sequence[ResultFile]
    folder: Path
    captured: Collection[int] = ()
    inputs: Collection[str] | None = ()

    @property
    def written(self) -> list[ResultFile]:
        return [file for file in self.files if file.index not in self.captured]


@dataclass(slots=True)
class _Seen:
    """What looking into the files has shown. ``uncounted`` when something may be a table and
    has no rows to be counted; ``closed`` when something could not be looked into."""

    words: set[str] = field(default_factory=set)
    rows: int = 0
    uncounted: bool = False
    digests: set[str] = field(default_factory=set)
    closed: bool = False
    closed_log: bool = False


def judge(
    sources: Sequence[Source],
    left: Left,
    *,
    most_inflated: int,
    may_go_on: Callable[[], None] = lambda: None,
) -> Verdict:
    """The verdict. ``most_inflated`` bounds the bytes that archives hold, all together;
    ``may_go_on`` is called before each piece, and raises where the judging is to end. Raises
    PublishingFailed for a fault of the disk."""
    budget = Budget(most_inflated, may_go_on=may_go_on)
    seen = _look([source.rules for source in sources], left, budget)
    findings = tuple(_finding(source, left, seen) for source in sources)
    held = [
        source.rules.holdFor
        for source, finding in zip(sources, findings, strict=True)
        if finding.outcome is Outcome.HOLD
    ]
    return Verdict(findings, hold_s=min(held, default=0))


def _look(rules: Sequence[EgressRules], left: Left, budget: Budget) -> _Seen:
    seen = _Seen()
    wants = Wants(
        types=any(each.types for each in rules),
        rows=any(each.maxRows is not None for each in rules),
        digests=any(each.noInputCopies for each in rules),
    )
    if wants.digests:
        seen.digests |= {file.sha256 for file in left.files if file.filesize}
    for file in left.files:
        budget.may_go_on()
        captured = file.index in left.captured
        wanted = Wants(digests=wants.digests) if captured else wants
        if file.filesize and wanted.anything and not seen.closed:
            sound = _look_at(path_of(left.folder, file), wanted, budget, left.inputs or (), seen)
            seen.closed |= not sound and not captured
            seen.closed_log |= not sound
    return seen


def _look_at(
    path: Path, wants: Wants, budget: Budget, inputs: Collection[str], seen: _Seen
) -> bool:
    try:
        for part in parts_of(path, wants, budget):
            _note(part, wants, inputs, seen)
    except Doubt:
        return False
    return True


def _note(part: Part, wants: Wants, inputs: Collection[str], seen: _Seen) -> None:
    if wants.types and part.word != contents.EMPTY:
        seen.words.add(part.word)
    if part.rows is None:
        seen.uncounted = True
    else:
        seen.rows = max(seen.rows, part.rows)
    if part.sha256 in inputs and part.size:
        seen.digests.add(part.sha256)


def _finding(source: Source, left: Left, seen: _Seen) -> Finding:
    fired = tuple(_fired(source.rules, left, seen))
    hold = source.rules.hold
    if hold is Hold.ALWAYS or (fired and hold is Hold.FIRED):
        return Finding(source.name, Outcome.HOLD, fired, source.rules.reviewers)
    return Finding(source.name, Outcome.REFUSE if fired else Outcome.PASS, fired)


def _fired(rules: EgressRules, left: Left, seen: _Seen) -> list[str]:
    written, fired = left.written, []
    if rules.maxBytes is not None and sum(file.filesize for file in written) > rules.maxBytes:
        fired.append(f"maxBytes: at most {rules.maxBytes} bytes")
    if rules.maxFiles is not None and len(written) > rules.maxFiles:
        fired.append(f"maxFiles: at most {rules.maxFiles} files")
    if rules.names and not all(names.matches_any(file.filename, rules.names) for file in written):
        fired.append(f"names: only {_listed(rules.names)}")
    if rules.types and (seen.closed or not _of_types(rules, seen)):
        fired.append(f"types: only {_listed(rules.types)}")
    if rules.maxRows is not None and (seen.closed or seen.uncounted or seen.rows > rules.maxRows):
        fired.append(f"maxRows: at most {rules.maxRows} rows in a table")
    if rules.noInputCopies:
        fired += _copies(left, seen)
    return fired


def _copies(left: Left, seen: _Seen) -> list[str]:
    if left.inputs is None:
        return [NOT_KNOWN] if any(file.filesize for file in left.files) else []
    copied = not seen.digests.isdisjoint(left.inputs)
    return [NO_COPIES] if seen.closed or seen.closed_log or copied else []


def _of_types(rules: EgressRules, seen: _Seen) -> bool:
    return all(names.is_allowed(word, rules.types) for word in seen.words)


def _listed(patterns: Sequence[str]) -> str:
    """The patterns, the first of many: this stands in every answer about the job."""
    shown = ", ".join(patterns)
    return shown if len(shown) <= _MOST_LISTED else f"{shown[:_MOST_LISTED]}…"

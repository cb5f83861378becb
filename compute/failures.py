"""Why a job failed, whose it is, and whether a retry can help. Pure.

A job that ends otherwise than by itself or by its owner's wish has a *card* for the phase it
ends in and the reason word of its end (:mod:`compute.cards`). The table is total over what this
package can end a job with; what an earlier version wrote down, or a later one, has the general
card of its phase.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from compute.cards import TABLE
from compute.models import Job, Termination
from compute.reasons import Card, Reason, Retry, Who
from compute.status import TERMINAL, Phase

__all__ = ["CARDS", "Card", "Failure", "Reason", "Retry", "Who", "explained", "failure"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one job failed. ``evidence`` is one line that holds no secret; ``tries`` is how
    often the provider had tried before it gave up."""

    reason: str
    card: Card
    evidence: str
    tries: int


_NO_FAILURES = frozenset(
    {
        (Phase.COMPLETED, Reason.COMPLETED),
        (Phase.STOPPED, Reason.STOPPED),
    }
)


def _pairs() -> Iterator[tuple[tuple[Phase, str], Card]]:
    for entry in TABLE:
        for phase in entry.phases:
            yield (phase, entry.reason), entry.card


CARDS: Mapping[tuple[Phase, str], Card] = MappingProxyType(dict(_pairs()))


def is_known(phase: Phase, reason: str) -> bool:
    """True for an end that has a card, or that is no failure."""
    return (phase, reason) in CARDS or (phase, reason) in _NO_FAILURES


def general_card(phase: Phase) -> Card:
    """What can be said when only the phase of an end is known."""
    return Card(
        f"The job ended as: {phase.text}.",
        (Who.OPERATOR,),
        Retry.HELPS_LATER,
        "Ask the operator, who finds more in the service's log under the job's id.",
    )


def failure(job: Job) -> Failure | None:
    """Why a job failed; None for one that did not, is not over, or was stopped by its owner."""
    if not job.phase.terminal:
        return None
    if job.termination is not None:
        return explained(job.termination)
    if job.phase in {Phase.COMPLETED, Phase.STOPPED, Phase.DELETED}:
        return None
    return Failure("unknown", general_card(job.phase), job.phase.text, 1)


def explained(end: Termination) -> Failure | None:
    """Why a job failed that ended so; None for an end that is no failure."""
    if end.phase is Phase.COMPLETED or (end.phase, end.reason) in _NO_FAILURES:
        return None
    if end.phase not in TERMINAL:
        return None
    card = CARDS.get((end.phase, end.reason)) or general_card(end.phase)
    return Failure(str(end.reason), card, _evidence(end), end.tries)


def _evidence(end: Termination) -> str:
    told = end.detail or end.reason
    if end.exit_code and "exit code" not in told:
        return f"{told} (exit code {end.exit_code})"
    return told

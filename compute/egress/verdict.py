"""What the rules said of a job's outputs, and what its reviewers did. Pure.

Each source of rules is judged by itself; the strictest outcome is the job's. Nothing in here
was chosen by an algorithm: a rule's name and limit are told, never what it met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

ENVIRONMENT = "environment"
"""The source that is the environment; the others are named by their DIDs."""


class Outcome(StrEnum):
    PASS = "pass"  # noqa: S105 (no password)
    HOLD = "hold"
    REFUSE = "refuse"

    @property
    def rank(self) -> int:
        return list(Outcome).index(self)


class Decision(StrEnum):
    """What a reviewer decided; NONE until somebody did."""

    NONE = ""
    RELEASED = "released"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one source says. ``fired`` are its rules that did, as words with their limits;
    ``reviewers`` are wallets in lower case. ``by`` decided ``at`` (seconds since the epoch)."""

    source: str
    outcome: Outcome
    fired: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    decision: Decision = Decision.NONE
    by: str = ""
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings of a job. ``hold_s`` is how long reviewers have, 0 where none is asked;
    ``held_until`` is set once the job is held."""

    findings: tuple[Finding, ...] = ()
    hold_s: int = 0
    held_until: float | None = None

    @property
    def outcome(self) -> Outcome:
        """The strictest one."""
        outcomes = (finding.outcome for finding in self.findings)
        return max(outcomes, key=lambda outcome: outcome.rank, default=Outcome.PASS)

    @property
    def fired(self) -> tuple[str, ...]:
        """All rules that fired, each once, in the order of the sources."""
        rules = (rule for finding in self.findings for rule in finding.fired)
        return tuple(dict.fromkeys(rules))

    @property
    def reviewers(self) -> tuple[str, ...]:
        """The wallets that are asked."""
        wallets = (wallet for finding in self.held for wallet in finding.reviewers)
        return tuple(dict.fromkeys(wallets))

    @property
    def refused(self) -> bool:
        """True when a reviewer has refused."""
        return any(finding.decision is Decision.REFUSED for finding in self.held)

    @property
    def released(self) -> bool:
        """True when every source that holds has been released."""
        return all(finding.decision is Decision.RELEASED for finding in self.held)

    @property
    def held(self) -> list[Finding]:
        """Those of the sources that hold."""
        return [finding for finding in self.findings if finding.outcome is Outcome.HOLD]

    @property
    def held_at(self) -> float | None:
        """Since when reviewers have had time."""
        return None if self.held_until is None else self.held_until - self.hold_s

    def waits_for(self, wallet: str) -> bool:
        """True while a source that asks the wallet (in lower case) is undecided."""
        return any(
            finding.decision is Decision.NONE and wallet in finding.reviewers
            for finding in self.held
        )

    def decided(self, wallet: str, decision: Decision, at: float) -> Verdict:
        """With what the wallet (in lower case) decides for all sources that ask it and wait."""
        findings = (
            replace(finding, decision=decision, by=wallet, at=at)
            if finding.outcome is Outcome.HOLD
            and finding.decision is Decision.NONE
            and wallet in finding.reviewers
            else finding
            for finding in self.findings
        )
        return replace(self, findings=tuple(findings))

    def stored(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """What :meth:`stored` made."""
        findings = (
            Finding(
                **{
                    **each,
                    "outcome": Outcome(each["outcome"]),
                    "decision": Decision(each["decision"]),
                    "fired": tuple(each["fired"]),
                    "reviewers": tuple(each["reviewers"]),
                }
            )
            for each in stored["findings"]
        )
        return cls(**{**stored, "findings": tuple(findings)})

"""The use cases of those who decide what leaves: see what is held, look at it, decide.

The checks come in the order of :mod:`provider.jobs`: shape was the dialect's, then signature
and nonce (read), then whether the wallet is asked about this very job; at last the nonce is
consumed in one transaction with what it allows. For everybody else there is no such job.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from compute.egress.verdict import Decision
from compute.errors import ReviewOver, UnknownJob, UnknownResult
from compute.models import Job, ResultFile
from compute.operator import Operator
from compute.status import Phase
from provider.auditing.asking import asking
from provider.auth.caller import Callers, Claim
from provider.errors import NoSuchJob, NoSuchResult, ReviewEnded

log = logging.getLogger(__name__)

DECISIONS: Final[Mapping[str, Decision]] = MappingProxyType(
    {"release": Decision.RELEASED, "refuse": Decision.REFUSED}
)
"""By the words that are signed."""


@dataclass(frozen=True, slots=True)
class HeldQuery:
    """Which held jobs of the wallet: all where ``job_id`` is empty."""

    claim: Claim
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class LookCall:
    claim: Claim
    job_id: str
    index: int


@dataclass(frozen=True, slots=True)
class DecideCall:
    claim: Claim
    job_id: str
    decision: Decision


class Reviewing:
    """What reviewers can do."""

    def __init__(self, operator: Operator, callers: Callers) -> None:
        self._operator = operator
        self._callers = callers

    async def held(self, query: HeldQuery) -> Sequence[Job]:
        """The held jobs that the wallet is asked about, newest first, a bounded number; or the
        one that is named. Nothing changes, so the nonce is checked but not consumed."""
        await self._callers.recognise(query.claim)
        wallet = query.claim.address.lower()
        if query.job_id:
            return [await self._asked(wallet, query.job_id)]
        return await self._operator.held(wallet)

    async def look(self, call: LookCall, *, look_only: bool) -> tuple[ResultFile, Path]:
        """A held file and where it lies. The nonce is used up before the first byte, but for a
        question about headers."""
        caller = await self._callers.identify(call.claim)
        job = await self._asked(caller.address, call.job_id)
        try:
            file, path = self._operator.held_file(job, call.index)
        except UnknownResult as error:
            await self._callers.bind(caller)
            raise NoSuchResult(error.public, field="index") from None
        asking().about("held_result", job.id, index=call.index, sha256=file.sha256)
        if look_only:
            await self._callers.bind(caller)
        else:
            await self._callers.spend(caller)
            log.info("held_result_served job=%s index=%s", job.id, call.index)
        return file, path

    async def decide(self, call: DecideCall) -> Job:
        """Release or refuse for all sources that ask this wallet. Raises ReviewEnded when
        there is nothing left to decide."""
        caller = await self._callers.identify(call.claim)
        asking().about("review", call.job_id, choice=call.decision.value)
        consume = self._callers.consume(caller)
        try:
            return await self._operator.decide(
                call.job_id, caller.address, call.decision, also=consume
            )
        except UnknownJob:
            raise _unknown() from None
        except ReviewOver as over:
            raise ReviewEnded(over.public) from None

    async def _asked(self, wallet: str, job_id: str) -> Job:
        """The held job, if the wallet is asked about it."""
        try:
            job = await self._operator.job(job_id)
        except UnknownJob:
            raise _unknown() from None
        asked = job.verdict is not None and wallet in job.verdict.reviewers
        if job.phase is not Phase.HELD or not asked:
            raise _unknown()
        return job


def _unknown() -> NoSuchJob:
    return NoSuchJob("No such job belongs to this address.", field="jobId")

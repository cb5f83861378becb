"""The use cases: start, quote, status, stop, delete, result. The narrow waist.

Dialects above translate their wire into these calls; below is the one door to compute.
Each method reads as the order of its checks: shape was the dialect's, then environment,
signature, nonce (read), assets; at last the nonce is consumed in one transaction with what
it allows. Who owns a job is decided in one place, :meth:`Jobs._own`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compute.environments import Environment
from compute.errors import UnknownJob, UnknownResult
from compute.models import Job, Outline, ResultFile
from compute.operator import Operator
from compute.status import Phase
from provider.admission import Admission, AlgorithmChoice, DatasetChoice
from provider.auth.caller import Caller, Callers, Claim
from provider.auth.messages import stop_text
from provider.errors import NoSuchJob, NoSuchResult, NotAllowed, SignatureMissing
from provider.payments import ItemQuote, Payments

log = logging.getLogger(__name__)

_NO_SUCH_JOB = "No such job belongs to this address."


@dataclass(frozen=True, slots=True)
class StartCall:
    claim: Claim
    environment: str
    datasets: tuple[DatasetChoice, ...]
    algorithm: AlgorithmChoice


@dataclass(frozen=True, slots=True)
class QuoteCall:
    """What a job would need. ``consumer`` is who will order, which may be the
    environment's own address: old clients order on its behalf. ``valid_until`` is the end of
    the time asked for, in seconds since the epoch."""

    consumer: str
    environment: str
    valid_until: int
    datasets: tuple[DatasetChoice, ...]
    algorithm: AlgorithmChoice


@dataclass(frozen=True, slots=True)
class Quote:
    """What has to be ordered for a job, item by item; ``algorithm`` is None for a raw one."""

    datasets: tuple[ItemQuote, ...]
    algorithm: ItemQuote | None


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs. Empty texts do not restrict; ``consumer`` or ``job_id`` is given."""

    consumer: str = ""
    job_id: str = ""
    did: str = ""
    agreement_id: str = ""

    def admits(self, job: Job) -> bool:
        return (
            (not self.consumer or job.owner.lower() == self.consumer.lower())
            and (not self.job_id or job.id == self.job_id)
            and (not self.agreement_id or job.spec.agreement_id == self.agreement_id)
            and (not self.did or self.did in _dids(job))
        )


@dataclass(frozen=True, slots=True)
class Found:
    """Whole jobs where the asker may see all of them, else only how they are."""

    jobs: Sequence[Job] = ()
    outlines: Sequence[Outline] = ()
    in_full: bool = True


class Jobs:
    """What consumers can do. ``provider_address`` stands in for environments without an
    address of their own."""

    def __init__(
        self,
        *,
        operator: Operator,
        callers: Callers,
        admission: Admission,
        payments: Payments,
        provider_address: str,
        require_signed_status: bool,
    ) -> None:
        self._operator = operator
        self._callers = callers
        self._admission = admission
        self._payments = payments
        self._provider_address = provider_address
        self._require_signed_status = require_signed_status

    async def start(self, call: StartCall) -> Job:
        """Queue a job. Raises ProviderError, UnknownEnvironment, QueueFull, HoldTaken."""
        owner = call.claim.address
        environment = self._environment(call.environment, owner)
        caller = await self._callers.identify(call.claim)
        admitted = await self._admission.admit(owner, environment, call.datasets, call.algorithm)
        payment = await self._payments.check_job(admitted.assets, environment, owner)
        paid = {"agreement_id": payment.agreement_id or admitted.spec.agreement_id}
        spec = admitted.spec.model_copy(
            update=paid | {"holds": payment.orders, "ends_by": payment.ends_by}
        )
        consume = self._callers.consume(caller)
        return await self._operator.start(
            owner=owner, environment=environment.id, spec=spec, also=consume
        )

    async def quote(self, call: QuoteCall) -> Quote:
        """Check all that a start checks, except who is asking and what was paid already;
        tell what has to be ordered. Keeps nothing."""
        environment = self._operator.environments[call.environment]
        consumer: str | None = call.consumer
        if call.consumer.lower() == self.consumer_address(environment).lower():
            consumer = None
        else:
            environment = self._environment(call.environment, call.consumer)
        admitted = await self._admission.admit(consumer, environment, call.datasets, call.algorithm)
        quotes = await self._payments.quote_job(
            admitted.assets,
            environment,
            consumer_address=self.consumer_address(environment),
            consumer=call.consumer,
            valid_until=call.valid_until,
        )
        datasets = tuple(quotes[: len(admitted.datasets)])
        return Quote(datasets, quotes[-1] if admitted.algorithm else None)

    async def status(self, query: JobQuery, claim: Claim | None) -> Found:
        """The jobs asked for; none where the owner does not fit.

        Whoever names a job by its unguessable id sees all of it, and so does a signer of
        his own jobs. A list by owner, which anyone can ask for, shows only how they are.
        Nothing changes, so the nonce of a signed question is checked but not consumed.
        """
        if claim is not None:
            await self._callers.recognise(claim)
        elif self._require_signed_status:
            raise SignatureMissing("Invalid signature provided. Status needs one here.")
        if query.job_id:
            job = await self._look_up(query.job_id)
            return Found([job] if job and query.admits(job) else [])
        if claim is None:
            return Found(outlines=await self._outlines(query), in_full=False)
        jobs = await self._operator.jobs(owner=query.consumer, did=query.did or None)
        return Found([job for job in jobs if query.admits(job)])

    async def stop(self, claim: Claim, query: JobQuery) -> Sequence[Job]:
        """Stop one job, or all unfinished ones of the owner (of a DID, if given).

        ocean.js from 3.3.3 signs a stop as address and jobId, without the nonce it sends. That
        is good enough when the id names a job of this wallet: a stop is final, so repeating
        it changes nothing. The unsigned nonce is not consumed, or anyone could spend it.
        """
        if query.job_id and await self._belongs(query):
            bare = stop_text(claim.address, claim.job_id, "", "")
            claim = replace(claim, nonceless_text=bare)
        caller = await self._callers.identify(claim)
        jobs = await self._own(caller, query)
        unfinished = [job.id for job in jobs if not job.phase.terminal]
        if not unfinished:
            await self._callers.spend(caller)
            return jobs if query.job_id else []
        return await self._operator.stop(unfinished, also=self._callers.consume(caller))

    async def delete(self, claim: Claim, query: JobQuery) -> Sequence[Job]:
        """Delete one job, or all of the owner's on a DID, with everything they have."""
        caller = await self._callers.identify(claim)
        jobs = await self._own(caller, query)
        existing = [job.id for job in jobs if job.phase is not Phase.DELETED]
        if not existing:
            await self._callers.spend(caller)
            return jobs
        return await self._operator.delete(existing, also=self._callers.consume(caller))

    async def result(
        self, claim: Claim, job_id: str, index: int, *, look_only: bool
    ) -> tuple[ResultFile, Path]:
        """A published file of one's own job and where it lies. The nonce is used up before
        the first byte. A question about its headers, or too early, leaves the nonce for
        another try; but index and nonce must not be read as the nonce of a delete then."""
        caller = await self._callers.identify(claim)
        [job] = await self._own(caller, JobQuery(job_id=job_id))
        try:
            file = self._published(job, index)
        except NoSuchResult:
            await self._callers.bind(caller)
            raise
        if look_only:
            await self._callers.bind(caller)
        else:
            await self._callers.spend(caller)
            log.info("result_served job=%s index=%s owner=%s", job.id, index, caller.address)
        return file

    def _published(self, job: Job, index: int) -> tuple[ResultFile, Path]:
        if not job.results:
            raise NoSuchResult(f"No results for job {job.id}")
        try:
            return self._operator.result(job, index)
        except UnknownResult as error:
            raise NoSuchResult(error.public, field="index") from None

    def consumer_address(self, environment: Environment) -> str:
        """The address on whose behalf old clients order for this environment."""
        return environment.consumerAddress or self._provider_address

    async def _outlines(self, query: JobQuery) -> list[Outline]:
        return await self._operator.outlines(
            owner=query.consumer,
            did=query.did or None,
            agreement_id=query.agreement_id or None,
        )

    async def _own(self, caller: Caller, query: JobQuery) -> list[Job]:
        """The caller's jobs that are meant. A job of somebody else is no job at all."""
        query = replace(query, consumer=caller.address)
        if not query.job_id:
            jobs = await self._operator.jobs(owner=caller.address, did=query.did or None)
            return [job for job in jobs if query.admits(job)]
        job = await self._look_up(query.job_id)
        if job is None or not query.admits(job):
            raise NoSuchJob(_NO_SUCH_JOB, field="jobId")
        return [job]

    async def _belongs(self, query: JobQuery) -> bool:
        job = await self._look_up(query.job_id)
        return job is not None and query.admits(job)

    async def _look_up(self, job_id: str) -> Job | None:
        job = self._operator.recall(job_id)
        if job is not None:
            return job
        try:
            return await self._operator.job(job_id)
        except UnknownJob:
            return None

    def _environment(self, environment_id: str, consumer: str) -> Environment:
        environment = self._operator.environments[environment_id]
        if not environment.consumers.allows(consumer):
            raise NotAllowed("This address may not use the compute environment.")
        return environment


def _dids(job: Job) -> Sequence[str]:
    return [*(item.did for item in job.spec.datasets), job.spec.algorithm.did]

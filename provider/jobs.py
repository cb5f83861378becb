"""The use cases: start, quote, status, stop, delete, result. The narrow waist.

Dialects above translate their wire into these calls; below is the one door to compute.
Each method reads as the order of its checks: shape was the dialect's, then environment,
signature, nonce (read), assets; at last the nonce is consumed in one transaction with what
it allows. Who owns a job is decided in one place, :meth:`Jobs._own`.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from compute.environments import Environment
from compute.errors import (
    ComputeError,
    LogCut,
    LogHeld,
    LogSealed,
    LogTooShort,
    NameTaken,
    UnknownJob,
    UnknownResult,
)
from compute.fairness import Waiting
from compute.models import Image, Job, Load, LogPart, Move, Outline, ResultFile
from compute.operator import WAIT_S, Operator
from compute.status import Phase
from compute.store.base import Work, nothing
from provider.admission import Admission, AlgorithmChoice, DatasetChoice
from provider.auditing import facts, records
from provider.auditing.asking import asking
from provider.auditing.trail import Trail
from provider.auth.caller import Caller, Callers, Claim
from provider.auth.messages import stop_text
from provider.errors import (
    LogOutgrown,
    LogsEncrypted,
    NoSuchJob,
    NoSuchResult,
    NotAllowed,
    OffsetBeyond,
    ProviderError,
    SignatureMissing,
    TaskExists,
)
from provider.followers import Followers, Place
from provider.payments import ItemQuote, Payments
from provider.task_specs import Readiness, Seal, TaskCall, task_spec

log = logging.getLogger(__name__)

MOST_LOG_BYTES = 1 << 20
MOST_OUTPUT_BYTES = 1 << 20

_LOG_REFUSALS: Mapping[type[ComputeError], type[ProviderError]] = {
    UnknownResult: NoSuchResult,
    LogCut: LogOutgrown,
    LogHeld: NoSuchResult,
    LogSealed: LogsEncrypted,
    LogTooShort: OffsetBeyond,
}

_NO_SUCH_JOB = "No such job belongs to this address."


@dataclass(frozen=True, slots=True)
class StartCall:
    """``encrypt_to`` is the public key that results and logs are sealed to, empty for none."""

    claim: Claim
    environment: str
    datasets: tuple[DatasetChoice, ...]
    algorithm: AlgorithmChoice
    encrypt_to: str = ""


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
    """Whole jobs where the asker may see all of them, else only how they are. ``waiting``
    tells by id what queued ones of the whole jobs wait for."""

    jobs: Sequence[Job] = ()
    outlines: Sequence[Outline] = ()
    in_full: bool = True
    waiting: Mapping[str, Waiting] = field(default_factory=lambda: MappingProxyType({}))


class Jobs:
    """What consumers can do. ``provider_address`` stands in for environments without an
    address of their own; ``seal`` closes a secret to the provider's own key.
    ``require_open`` raises Stopping when nothing new is to be taken on."""

    def __init__(
        self,
        *,
        operator: Operator,
        callers: Callers,
        admission: Admission,
        payments: Payments,
        seal: Seal,
        provider_address: str,
        require_signed_status: bool,
        trail: Trail | None = None,
        require_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._trail = trail
        self._require_open = require_open
        self._operator = operator
        self._callers = callers
        self._admission = admission
        self._payments = payments
        self._seal = seal
        self._provider_address = provider_address
        self._require_signed_status = require_signed_status
        self._followers = Followers()

    async def start(self, call: StartCall) -> Job:
        """Queue a job. Raises ProviderError, UnknownEnvironment, QueueFull, HoldTaken."""
        owner, asked = call.claim.address, asking()
        wanted = records.dids([dataset.did for dataset in call.datasets])
        asked.about("start", environment=records.name(call.environment), dids=wanted)
        self._require_open()
        environment = self._environment(call.environment, owner)
        caller = await self._callers.identify(call.claim)
        admitted = await self._admission.admit(owner, environment, call.datasets, call.algorithm)
        payment = await self._payments.check_job(admitted.assets, environment, owner)
        paid = {"agreement_id": payment.agreement_id or admitted.spec.agreement_id}
        paid["encrypt_to"] = call.encrypt_to
        spec = admitted.spec.model_copy(
            update=paid | {"holds": payment.orders, "ends_by": payment.ends_by}
        )
        job_id = self.new_id()
        asked.about("start", job_id, **facts.started(spec))
        consume = self._callers.consume(caller)
        return await self._operator.start(
            owner=owner, environment=environment.id, spec=spec, job_id=job_id, also=consume
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
            return await self._found([job] if job and query.admits(job) else [])
        if claim is None:
            return Found(outlines=await self._outlines(query), in_full=False)
        jobs = await self._operator.jobs(owner=query.consumer, did=query.did or None)
        return await self._found([job for job in jobs if query.admits(job)])

    async def _found(self, jobs: Sequence[Job]) -> Found:
        queued = [job for job in jobs if job.phase is Phase.QUEUED]
        if not queued:
            return Found(jobs)
        return Found(jobs, waiting=await self._operator.waits_for(queued))

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
        asking().about("stop", *unfinished, jobs=len(unfinished))
        if not unfinished:
            await self._callers.spend(caller, idly=True)
            return jobs if query.job_id else []
        return await self._operator.stop(unfinished, also=self._callers.consume(caller))

    async def delete(self, claim: Claim, query: JobQuery) -> Sequence[Job]:
        """Delete one job, or all of the owner's on a DID, with everything they have."""
        caller = await self._callers.identify(claim)
        jobs = await self._own(caller, query)
        existing = [job.id for job in jobs if job.phase is not Phase.DELETED]
        asking().about("delete", *existing, jobs=len(existing))
        if not existing:
            await self._callers.spend(caller, idly=True)
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
        asking().about("result", job.id, index=index, sha256=file[0].sha256)
        if look_only:
            await self._callers.bind(caller)
        else:
            await self._callers.spend(caller)
            log.info("result_served job=%s index=%s owner=%s", job.id, index, caller.address)
        return file

    def log_followers(self) -> int:
        """How many clients are reading logs at the moment."""
        return self._followers.inside()

    @asynccontextmanager
    async def log_stream(
        self, claim: Claim, job_id: str, stage: str, *, offset: int, follow: bool
    ) -> AsyncIterator[tuple[AsyncIterator[bytes], Place]]:
        """What one's own job has printed and prints, from byte ``offset`` on, while one is
        inside; see :meth:`compute.logstreams.LogStreams.open`. End it when its place is lost.
        The nonce is used up before the first byte. Raises NoSuchResult for a stage that the
        job has not or a log that is held for review, LogOutgrown, LogsEncrypted, OffsetBeyond,
        TooManyFollowers, EngineUnavailable."""
        caller = await self._callers.identify(claim)
        [job] = await self._own(caller, JobQuery(job_id=job_id))
        with self._followers.enter(caller.address, asking().address) as place:
            try:
                stream = await self._operator.log_stream(job, stage, offset=offset, follow=follow)
            except tuple(_LOG_REFUSALS) as error:
                await self._callers.bind(caller)
                raise _LOG_REFUSALS[type(error)](error.public) from None
            async with aclosing(stream):
                await self._callers.spend(caller)
                log.info(
                    "log_served job=%s offset=%s follow=%s owner=%s",
                    job.id,
                    offset,
                    follow,
                    caller.address,
                )
                yield stream, place

    # tasks: jobs of callers without a wallet, whom a dialect has let in

    async def start_task(
        self, call: TaskCall, *, job_id: str = "", also: Work[object] = nothing
    ) -> Job:
        """Queue a task. ``job_id`` (32 hexadecimal digits, see :meth:`new_id`) names it where
        ``also``, which commits with it or not at all, has to know.

        Raises UnknownEnvironment, KeyedRefusal for an image that the environment does not
        allow, QueueFull, TaskExists when the name is taken.
        """
        job_id, asked = job_id or self.new_id(), asking()
        asked.about("start", job_id, environment=call.environment)
        self._require_open()
        environment = self._operator.environments[call.environment]
        spec = task_spec(call, environment, self._seal)
        asked.about("start", **facts.started(spec))
        try:
            return await self._operator.start(
                owner=call.owner,
                environment=environment.id,
                spec=spec,
                namespace=call.namespace,
                name=call.name,
                job_id=job_id,
                files=call.files,
                delay_s=call.delay_s,
                also=self._recording(also),
            )
        except NameTaken as taken:
            raise TaskExists(call.name) from taken

    def new_id(self) -> str:
        """An id for a job to come."""
        return uuid.uuid4().hex

    async def task(self, namespace: str, name: str) -> Job:
        """The task of this name that is not deleted. Raises NoSuchJob."""
        try:
            return await self._operator.named(namespace, name)
        except UnknownJob:
            raise NoSuchJob("There is no such task.") from None

    async def tasks(self, namespace: str, *, limit: int = 1000) -> list[Job]:
        """The tasks of a namespace that are not deleted, newest first."""
        return await self._operator.in_namespace(namespace, limit=limit)

    async def task_namespaces(self, prefix: str) -> list[str]:
        """Namespaces with tasks that are not deleted and that begin so, sorted."""
        return await self._operator.namespaces(prefix)

    async def stop_task(self, job: Job, *, wait_s: float = WAIT_S) -> Job:
        """Have a task stop, wait for it a little, tell how it is. One that is over stays."""
        asking().about("stop", job.id)
        if job.phase.terminal:
            return job
        return (await self._operator.stop([job.id], also=self._recording(), wait_s=wait_s))[0]

    async def delete_task(self, job: Job, *, wait_s: float = WAIT_S) -> Job:
        """Stop a task if need be, and remove all that it has; its name is free again."""
        asking().about("delete", job.id)
        return (await self._operator.delete([job.id], also=self._recording(), wait_s=wait_s))[0]

    async def task_shown(self, kind: str, *jobs: Job) -> None:
        """For the audit log: whoever asks is about to be shown what these tasks have made
        (``result``, ``log``, ``output``). Durable on return. Raises StoreUnavailable."""
        if self._trail is not None:
            await self._trail.shown(kind, jobs)

    def task_result(self, job: Job, index: int) -> tuple[ResultFile, Path]:
        """A published file and where it lies. Raises NoSuchResult."""
        return self._published(job, index)

    async def task_log(
        self, job: Job, stage: str = "", *, offset: int = 0, limit: int = MOST_LOG_BYTES
    ) -> LogPart:
        """What a stage has printed from byte ``offset`` on, at most ``limit`` bytes; of the
        present one where none is named. Raises NoSuchResult for a stage that the job has not,
        EngineUnavailable. Nothing yet for a stage that has not begun, and
        nothing before the end where the environment has a filter."""
        try:
            return await self._operator.log(job, stage, offset=offset, limit=limit)
        except UnknownResult as error:
            raise NoSuchResult(error.public) from None

    async def task_output(
        self, job: Job, name: str, *, limit: int = MOST_OUTPUT_BYTES
    ) -> bytes | None:
        """The first ``limit`` bytes of a file that the present stage has written to its
        outputs, or of that result once there are results; None where there is none.
        Nothing before the end where the environment has a filter."""
        return await self._operator.output(job, name, limit=limit)

    async def task_history(self, job: Job) -> list[Move]:
        """All moves of a task, oldest first."""
        return await self._operator.history(job.id)

    def on_task_end(self, listener: Callable[[Job], None]) -> None:
        """Have ``listener`` called on the event loop with each job, of any dialect, that has
        come to its end. Not called for ends before this start: look for these."""
        self._operator.on_end(listener)

    async def is_over(self, job_id: str) -> bool:
        """Whether the job has come to its end, in whichever process, or is not there."""
        try:
            return (await self._operator.job(job_id)).phase.terminal
        except UnknownJob:
            return True

    async def readiness(self, environment_id: str) -> Readiness:
        """Whether the environment would take one more job. Raises UnknownEnvironment."""
        environment = self._operator.environments[environment_id]
        if not await self._operator.engine_answers():
            return Readiness.DOWN
        load = (await self._operator.loads()).get(environment.id, Load())
        free = max(0, environment.maxJobs - load.active)
        full = load.queued >= environment.maxQueue + free
        return Readiness.FULL if full else Readiness.AVAILABLE

    async def build_image(self, environment_id: str, name: str, context: Path) -> Image:
        """Build the Dockerfile in the folder ``context``, where the environment allows it.
        ``name`` is one of a kind. Raises UnknownEnvironment, BuildRefused, EngineUnavailable."""
        return await self._operator.build_image(environment_id, name, context)

    async def keep_images(self, names: Collection[str]) -> None:
        """Remove all images that were built here but those of these names. Raises
        EngineUnavailable."""
        await self._operator.keep_images(names)

    # what all of these share

    def _recording(self, also: Work[object] = nothing) -> Work[object]:
        return also if self._trail is None else self._trail.recording(also)

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

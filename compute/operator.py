"""The only door to the ground floor: start, stop, delete, status, results.

Calls write a wish into the store and wake the loop; they never touch a container. What a
caller wants written with it (a consumed nonce) comes in as ``also`` and commits with the
wish or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import shutil
import time
import uuid
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from pathlib import Path
from types import MappingProxyType
from typing import Any

from compute import layout
from compute.builds import Builder
from compute.cache import InputCache
from compute.engines.base import Engine
from compute.environments import Environment, Environments
from compute.errors import EngineUnavailable, QueueFull, UnknownResult
from compute.fairness import Waiting
from compute.lease import Terms
from compute.looking import Looks
from compute.metrics import NOBODY, Recorder
from compute.models import Image, Job, JobSpec, Load, LogPart, Move, Outline, ResultFile
from compute.queues import Queues
from compute.reconciler import Limits
from compute.results import path_of
from compute.space import Space
from compute.staging import keep_given
from compute.status import Goal, Phase
from compute.store.base import Work, nothing
from compute.store.jobs import JobStore
from compute.store.room import Room
from compute.supply import InputSupplier
from compute.vault import Vault
from compute.waiting import Waiting as Ends
from compute.working import working

log = logging.getLogger(__name__)

LEAST_FREE_BYTES = 64 << 20
"""With less of the disk free no job is taken."""

_FILES_TAKEN_AT_ONCE = 2
"""A file may be large: copies for jobs that find no place must not fill the disk together."""

_NO_FILES: Mapping[str, Path] = MappingProxyType({})

WAIT_S = 8.0
"""How long a stop or delete waits for its effect before it answers with what is."""


class Operator:
    """Takes wishes, tells what is. Made by :func:`operating`."""

    def __init__(
        self,
        *,
        environments: Environments,
        engine: Engine,
        store: JobStore,
        waiting: Ends,
        looks: Looks,
        queues: Queues,
        builder: Builder,
        data_dir: Path,
        clock: Callable[[], float],
    ) -> None:
        self._looks = looks
        self._queues = queues
        self._builder = builder
        self.environments = environments
        self._engine = engine
        self._store = store
        self._waiting = waiting
        self._data_dir = data_dir
        self._clock = clock
        self._taking_files = asyncio.Semaphore(_FILES_TAKEN_AT_ONCE)

    async def start(
        self,
        *,
        owner: str,
        environment: str,
        spec: JobSpec,
        namespace: str = "",
        name: str = "",
        job_id: str = "",
        files: Mapping[str, Path] = _NO_FILES,
        delay_s: float = 0.0,
        also: Work[object] = nothing,
    ) -> Job:
        """Queue a job. Durable when this returns.

        ``files`` (by their names below ``/data/inputs``) are taken into the job's folder.
        ``job_id`` is 32 hexadecimal digits of the caller's making, else one is made here.
        The job waits at least ``delay_s``.

        Raises UnknownEnvironment, QueueFull, HoldTaken when an unfinished job has one of the
        ``spec.holds``, NameTaken when a job of the ``namespace`` has the ``name``, and whatever
        ``also`` raises; nothing is kept then.
        """
        configured = self.environments[environment]
        if shutil.disk_usage(self._data_dir).free < LEAST_FREE_BYTES:
            raise QueueFull("The provider has no disk space for further jobs")
        now = self._clock()
        job = Job(
            id=job_id or uuid.uuid4().hex,
            owner=owner,
            environment=environment,
            spec=spec,
            created_at=now,
            namespace=namespace,
            name=name,
            retry_at=now + delay_s if delay_s > 0 else 0.0,
        )
        insert = functools.partial(
            self._store.insert, job, **_room(configured)._asdict(), also=also
        )
        stored = await self._with_files(job, files, insert)
        log.info(
            "job_queued job=%s environment=%s owner=%s datasets=%s algorithm=%s images=%s",
            stored.id,
            environment,
            owner,
            ",".join(item.did for item in spec.datasets),
            spec.algorithm.did or "raw",
            ",".join(stage.algorithm.image.reference for stage in spec.stages),
        )
        return stored

    async def _with_files(
        self, job: Job, files: Mapping[str, Path], insert: Callable[[], Awaitable[Job]]
    ) -> Job:
        """Take the files first: a crash leaves a folder without a job, which is swept. So
        does a caller who goes away, whose job may have been queued all the same."""
        folders = layout.JobFolders(self._data_dir, job.id)
        try:
            if not files:
                return await insert()
            async with self._taking_files:
                await self._store.require_room(job, _room(self.environments[job.environment]))
                await asyncio.to_thread(keep_given, folders, files)
                return await insert()
        except OSError as error:
            await asyncio.to_thread(shutil.rmtree, folders.root, ignore_errors=True)
            log.warning("files_not_kept job=%s cause=%s", job.id, error.strerror)
            raise QueueFull("The provider could not store the files of the job") from error
        except Exception:
            if files:
                await asyncio.to_thread(shutil.rmtree, folders.root, ignore_errors=True)
            raise

    async def named(self, namespace: str, name: str) -> Job:
        """The job of this name that is not deleted. Raises UnknownJob."""
        return await self._store.named(namespace, name)

    async def namespaces(self, prefix: str) -> list[str]:
        """Namespaces that begin so and have jobs that are not deleted, sorted."""
        return await self._store.namespaces(prefix)

    async def in_namespace(self, namespace: str, *, limit: int = 1000) -> list[Job]:
        """The jobs of a namespace that are not deleted, newest first."""
        return await self._store.in_namespace(namespace, limit=limit)

    def on_end(self, listener: Callable[[Job], None]) -> None:
        """Call ``listener``, which must not raise, with each job that ends from now on."""
        self._waiting.on_end(listener)

    async def job(self, job_id: str) -> Job:
        """One job. Raises UnknownJob."""
        return await self._store.get(job_id)

    def recall(self, job_id: str) -> Job | None:
        """One job if it is in memory; None says nothing."""
        return self._store.recall(job_id)

    async def jobs(
        self, *, owner: str | None = None, did: str | None = None, limit: int = 1000
    ) -> list[Job]:
        """Jobs that are not deleted, newest first."""
        phases = frozenset(Phase) - {Phase.DELETED}
        return await self._store.find(owner=owner, did=did, phases=phases, limit=limit)

    async def outlines(
        self,
        *,
        owner: str,
        did: str | None = None,
        agreement_id: str | None = None,
        limit: int = 1000,
    ) -> list[Outline]:
        """How an owner's jobs are that are not deleted, newest first; without what they are
        about, which may be large."""
        return await self._store.outlines(
            owner=owner, did=did, agreement_id=agreement_id, limit=limit
        )

    async def stop(
        self, job_ids: Sequence[str], *, also: Work[object] = nothing, wait_s: float = WAIT_S
    ) -> list[Job]:
        """Wish the jobs stopped, wait for it a little, and tell how they are."""
        return await self._wish(job_ids, Goal.STOP, also, wait_s)

    async def delete(
        self, job_ids: Sequence[str], *, also: Work[object] = nothing, wait_s: float = WAIT_S
    ) -> list[Job]:
        """Wish the jobs deleted with all they have, wait for it a little, tell how they are."""
        return await self._wish(job_ids, Goal.DELETE, also, wait_s)

    async def _wish(
        self, job_ids: Sequence[str], goal: Goal, also: Work[object], wait_s: float
    ) -> list[Job]:
        now = self._clock()
        jobs = await self._store.wish_all(job_ids, goal, now=now, also=also)
        for job in jobs:
            log.info("job_wish job=%s goal=%s phase=%s", job.id, goal, job.phase)
        return list(await asyncio.gather(*(self._waiting.settled(job.id, wait_s) for job in jobs)))

    async def history(self, job_id: str) -> list[Move]:
        """All moves of a job, oldest first."""
        return await self._store.history(job_id)

    async def account(self, job_id: str) -> dict[str, Any] | None:
        """What is told of a job's run for good (see :mod:`compute.account`), None for one that
        has not ended yet, or ended before there were accounts."""
        return await self._store.account(job_id)

    def result(self, job: Job, index: int) -> tuple[ResultFile, Path]:
        """A published file and where it lies. Raises UnknownResult."""
        if not 0 <= index < len(job.results):
            raise UnknownResult(f"No such index {index} in this compute job")
        folders = layout.JobFolders(self._data_dir, job.id)
        return job.results[index], path_of(folders.results, job.results[index])

    async def log(self, job: Job, stage: str = "", *, offset: int = 0, limit: int) -> LogPart:
        """What a stage has printed; see :class:`compute.looking.Looks`. Raises
        UnknownResult, EngineUnavailable."""
        return await self._looks.log(job, stage, offset=offset, limit=limit)

    async def log_stream(
        self, job: Job, stage: str = "", *, offset: int = 0, follow: bool
    ) -> AsyncGenerator[bytes, None]:
        """What a stage, or all one after the other, has printed and prints; see
        :meth:`compute.logstreams.LogStreams.open`. Raises UnknownResult, LogCut,
        LogTooShort, EngineUnavailable."""
        return await self._looks.stream(job, stage, offset=offset, follow=follow)

    async def output(self, job: Job, name: str, *, limit: int) -> bytes | None:
        """The beginning of an output of the present stage, or of that result."""
        return await self._looks.output(job, name, limit=limit)

    async def build_image(self, environment_id: str, name: str, context: Path) -> Image:
        """Build the folder ``context`` where the environment allows it; see
        :class:`compute.builds.Builder`. Raises UnknownEnvironment, BuildRefused,
        EngineUnavailable."""
        return await self._builder.build(environment_id, name, context)

    async def keep_images(self, names: Collection[str]) -> None:
        """Remove all images that were built here but those of these names. Raises
        EngineUnavailable."""
        await self._builder.keep(names)

    async def loads(self) -> dict[str, Load]:
        """Queued and active jobs of each environment."""
        return await self._store.loads()

    async def waits_for(self, jobs: Iterable[Job]) -> dict[str, Waiting]:
        """By id what the queued ones of ``jobs`` wait for; see :class:`compute.queues.Queues`."""
        return await self._queues.waiting(jobs)

    async def engine_answers(self) -> bool:
        """True when the engine can be reached."""
        try:
            await self._engine.ping()
        except EngineUnavailable:
            return False
        return True


def _room(environment: Environment) -> Room:
    return Room(environment.maxQueue, environment.maxQueuePerConsumer, environment.maxJobs)


@contextlib.asynccontextmanager
async def operating(
    *,
    environments: Environments,
    engine: Engine,
    store: JobStore,
    supplier: InputSupplier,
    space: Space,
    data_dir: Path,
    secrets_dir: Path | None = None,
    cache_bytes: int = 100 << 30,
    clock: Callable[[], float] = time.time,
    limits: Limits | None = None,
    recorder: Recorder = NOBODY,
    terms: Terms | None = None,
    at_work: bool = True,
) -> AsyncIterator[Operator]:
    """An operator: resumes what an earlier process left, ends its loop on exit.

    Containers run on after that and are adopted by the next process. ``secrets_dir`` is a
    folder in memory; without it no job can have secrets. Not ``at_work`` it only takes wishes
    and tells what is, for other processes that share the database to carry out.
    """
    for name in ("jobs", "results"):
        (data_dir / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    looks = Looks(engine=engine, store=store, environments=environments, data_dir=data_dir)
    waiting = Ends(store)
    operator = Operator(
        environments=environments,
        engine=engine,
        store=store,
        waiting=waiting,
        looks=looks,
        queues=Queues(environments=environments, store=store, clock=clock),
        builder=Builder(engine=engine, environments=environments),
        data_dir=data_dir,
        clock=clock,
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.close)
        stack.push_async_callback(waiting.close)
        await engine.connect()
        if at_work:
            await stack.enter_async_context(
                working(
                    environments=environments,
                    engine=engine,
                    store=store,
                    supplier=supplier,
                    space=space,
                    data_dir=data_dir,
                    vault=Vault(secrets_dir or data_dir / "secrets"),
                    cache=InputCache(data_dir / "cache", cache_bytes, clock, recorder),
                    clock=clock,
                    limits=limits or Limits(),
                    terms=terms,
                    recorder=recorder,
                )
            )
        yield operator

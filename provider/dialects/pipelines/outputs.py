"""Outputs: from the results of a job that is over to the content of the item it was to make.

The item is there before the run. Its content comes when the job ends, or at the next start for
jobs that ended while nobody looked: as long as it has not come, the registry says that the task is
not settled. One task is settled once at a time; twice in a row changes nothing. All processes hear
of an end, and one after the other looks whether there is anything left to do.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from compute.errors import ComputeError
from compute.models import Job, ResultFile
from compute.status import Phase
from provider.dialects.pipelines import states
from provider.dialects.pipelines.model import NAMESPACES, namespace, task_uid
from provider.errors import NoSuchJob, NoSuchResult
from provider.jobs import Jobs
from provider.registry import archives
from provider.registry.models import Item
from provider.registry.registry import Registry
from provider.sharing.leases import Leases

log = logging.getLogger(__name__)

WAIT_S = 5.0
"""How long an answer waits for an output that is on its way."""

_PREFIX = "output-"
_ZIP = "zip"


class NoContentError(Exception):
    """A job's results are not the content of an item; the text says why."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What becomes the content: one file as it is, or several in an archive."""

    files: tuple[ResultFile, ...]
    packed: bool


def choose(results: Sequence[ResultFile], extension: str) -> Chosen:
    """The one file with the extension; else, where it is that of an archive, all files. Pure.
    Raises NoContentError."""
    outputs = tuple(file for file in results if file.type == "output")
    if not outputs:
        raise NoContentError("the last stage wrote nothing to /data/outputs")
    ending = f".{extension.lower()}"
    matching = tuple(file for file in outputs if file.filename.lower().endswith(ending))
    if len(matching) == 1:
        return Chosen(matching, packed=False)
    if extension == _ZIP:
        return Chosen(outputs, packed=True)
    raise NoContentError(
        f"the last stage wrote {len(matching)} files whose names end with {ending}, and has to"
        " write exactly one"
    )


class Outputs:
    """Of all spaces. ``folder`` is for archives that are being made."""

    def __init__(self, jobs: Jobs, registry: Registry, folder: Path, leases: Leases) -> None:
        self._jobs = jobs
        self._registry = registry
        self._folder = folder
        self._leases = leases
        self._end_hearing: Callable[[], None] | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._open = True

    async def __aenter__(self) -> Self:
        """Settles what ended before this start, and from now on what ends."""
        for left in await asyncio.to_thread(lambda: list(self._folder.glob(f"{_PREFIX}*"))):
            left.unlink(missing_ok=True)
        self._jobs.on_task_end(self._ended)
        self._end_hearing = self._registry.on_missed(self._missed)
        await self._resume_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        if self._end_hearing is not None:
            self._end_hearing()
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def settle(self, job: Job, wait_s: float = WAIT_S) -> None:
        """Wait a little until the output of a job that is over is in its place, or known never
        to be."""
        uid = task_uid(job.id)
        if await self._registry.unsettled_output(uid) is not None:
            task = self._begin(uid, partial(self._settle, job))
            await asyncio.wait({task}, timeout=wait_s)

    def _ended(self, job: Job) -> None:
        if self._open and job.namespace.startswith(NAMESPACES):
            self._begin(task_uid(job.id), partial(self._settle, job))

    def _missed(self) -> None:
        """Ends may have gone unheard: look at all that is not settled."""
        if self._open:
            self._begin("", self._resume_all)

    async def _resume_all(self) -> None:
        for space, uid in await self._registry.unsettled_tasks():
            self._begin(uid, partial(self._resume, space, uid))

    def _begin(self, uid: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """The work on this task, be it one that has begun before."""
        task = self._running.get(uid)
        if task is None:
            task = asyncio.create_task(_told(uid, work), name=f"output of {uid}")
            task.add_done_callback(lambda _: self._running.pop(uid, None))
            self._running[uid] = task
        return task

    async def _resume(self, space: str, uid: str) -> None:
        try:
            job = await self._jobs.task(namespace(space), uid)
        except NoSuchJob:
            await self._give_up(uid, f"task {uid} was deleted with its results")
            return
        if job.phase.terminal:
            await self._settle(job)

    async def _settle(self, job: Job) -> None:
        uid = task_uid(job.id)
        if await self._registry.unsettled_output(uid) is None:
            return
        async with self._leases.hold(f"output:{uid}"):
            await self._settle_alone(uid, job)

    async def _settle_alone(self, uid: str, job: Job) -> None:
        if job.phase is not Phase.COMPLETED:
            why = states.failure(job) or "it was deleted before its end"
            await self._give_up(uid, f"task {uid} made nothing: {why}")
            return
        output = await self._registry.unsettled_output(uid)
        if output is None:
            return
        try:
            await self._fulfil(output, job, choose(job.results, output.extension))
        except NoContentError as error:
            await self._registry.give_up(output, f"task {uid}: {error}")
        except (NoSuchResult, FileNotFoundError):
            await self._registry.give_up(output, f"task {uid} was deleted with its results")

    async def _give_up(self, uid: str, reason: str) -> None:
        output = await self._registry.unsettled_output(uid)
        if output is not None:
            await self._registry.give_up(output, reason)

    async def _fulfil(self, output: Item, job: Job, chosen: Chosen) -> None:
        files = [self._jobs.task_result(job, file.index) for file in chosen.files]
        if not chosen.packed:
            await self._registry.fulfil(output, files[0][1])
            return
        packed = [archives.Packed(file.filename, path, file.filesize) for file, path in files]
        archive = self._folder / f"{_PREFIX}{uuid.uuid4().hex}"
        try:
            await asyncio.to_thread(archives.pack, packed, archive)
            await self._registry.fulfil(output, archive)
        finally:
            archive.unlink(missing_ok=True)


async def _told(uid: str, work: Callable[[], Awaitable[None]]) -> None:
    """What fails is tried again when somebody asks, and at the next start."""
    try:
        await work()
    except ComputeError as error:
        log.warning("output_not_settled task=%s cause=%s", uid, error.public)
    except OSError as error:
        log.warning("output_not_settled task=%s cause=%r", uid, error.strerror)

"""Looking at what a job has printed and written, also while it runs.

An algorithm is hostile at any time: its files are opened without following a link, only if
they are regular ones, and read up to a bound. What has to be judged
or filtered first is not shown before the end, and of a log that is bounded its beginning
alone. The engine cannot give a part of a running container's log, so each look reads all of
it and keeps what was asked for; looks are bounded in number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path

from compute import layout
from compute.egress.sources import hides_logs, hides_outputs, most_log_bytes
from compute.engines.base import Engine
from compute.environments import Environment
from compute.errors import LogSealed, UnknownResult
from compute.logmarks import LogMarks
from compute.logstreams import LogStreams
from compute.models import Job, LogPart
from compute.results import path_of
from compute.status import Phase
from compute.store.jobs import JobStore

_LOOKS_AT_ONCE = 4
_OVER = frozenset({Phase.FILTERING, Phase.PUBLISHING})
_NOT_SHOWN = frozenset({Phase.QUEUED, Phase.HELD})

SEALED = (
    "The results and logs of this job are encrypted (encryptTo) and cannot be read here. When the"
    " job has ended, download them and open them with the private key."
)
_BESIDE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Looks:
    """The operator's eyes. Raises EngineUnavailable where only the engine can tell."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: JobStore,
        environments: Mapping[str, Environment],
        data_dir: Path,
    ) -> None:
        self._engine = engine
        self._store = store
        self._environments = environments
        self._data_dir = data_dir
        self._turns = asyncio.Semaphore(_LOOKS_AT_ONCE)
        self._streams = LogStreams(engine=engine, store=store, marks=LogMarks(data_dir), logs=self)

    async def stream(
        self, job: Job, stage: str, *, offset: int, follow: bool
    ) -> AsyncGenerator[bytes, None]:
        """The log of one stage, or of all where none is named; see
        :meth:`compute.logstreams.LogStreams.open`. Raises UnknownResult, LogSealed, too."""
        if job.spec.encrypt_to:
            raise LogSealed(SEALED)
        numbers = [number_of(job, stage)] if stage else range(len(job.spec.stages))
        return await self._streams.open(job, numbers, offset=offset, follow=follow)

    def withheld(self, job: Job) -> bool:
        """Whether what the job prints is to be judged or filtered first, or for one key alone."""
        if job.spec.encrypt_to:
            return True
        environment = self._environments[job.environment] if self._knows(job) else None
        return environment is None or hides_logs(job, environment)

    def most(self, job: Job) -> int | None:
        """How many bytes of each of its logs may be shown, None for all."""
        if not self._knows(job):
            return None
        return most_log_bytes(job, self._environments[job.environment])

    def kept_log(self, job: Job, number: int) -> Path | None:
        """Where the log of a stage lies that is over, None for one that has not been kept
        yet or will not be."""
        name, folders = layout.log_name(job.spec, number), self._folders(job)
        for file in job.results:
            if (file.type, file.filename) == ("algorithmLog", name):
                return path_of(folders.results, file)
        over = number < job.stage or (number == job.stage and job.phase in _OVER)
        waits = job.phase is Phase.HELD
        if job.phase.terminal or waits or not over or self.withheld(job):
            return None
        return folders.log / name

    async def log(self, job: Job, stage: str, *, offset: int, limit: int) -> LogPart:
        """What ``stage`` has printed, of the present one where it is empty. Raises
        UnknownResult when the job has no such stage."""
        while True:
            job = await self._store.get(job.id)
            number = number_of(job, stage)
            if job.phase is not Phase.RUNNING or number != job.stage:
                return await self._settled_log(job, number, offset, limit)
            if self.withheld(job):
                return LogPart(b"", offset, 0, ended=False)
            part = await self._growing_log(job, number, offset, limit)
            # The container may have been removed, and its log with it, while we looked.
            now = await self._store.get(job.id)
            if (now.phase, now.stage) == (job.phase, job.stage):
                return part

    async def output(self, job: Job, name: str, *, limit: int) -> bytes | None:
        """The beginning of an output of the present stage, or of that result."""
        job = await self._store.get(job.id)
        published = [file for file in job.results if (file.type, file.filename) == ("output", name)]
        folders = self._folders(job)
        if published:
            path = path_of(folders.results, published[0])
            return await asyncio.to_thread(_beginning, path.parent, path.name, limit)
        if job.phase.terminal or job.phase in _NOT_SHOWN or not self._knows(job):
            return None
        if job.spec.encrypt_to or hides_outputs(job, self._environments[job.environment]):
            return None
        return await asyncio.to_thread(_beginning, folders.outputs, name, limit)

    def _knows(self, job: Job) -> bool:
        return job.environment in self._environments

    def _folders(self, job: Job) -> layout.JobFolders:
        return layout.JobFolders(self._data_dir, job.id, job.stage)

    async def _settled_log(self, job: Job, number: int, offset: int, limit: int) -> LogPart:
        path = self.kept_log(job, number)
        if path is None:
            return LogPart(b"", offset, 0, ended=job.phase.terminal)
        return await asyncio.to_thread(_part, path, offset, limit)

    async def _growing_log(self, job: Job, number: int, offset: int, limit: int) -> LogPart:
        name = layout.container_name(job.id, number)
        start, size, kept, most = max(0, offset), 0, bytearray(), self.most(job)
        async with self._turns, aclosing(self._engine.stream_log(name, follow=False)) as pieces:
            async for piece in pieces:
                if most is not None and not await self._streams.began_so(job, number, piece):
                    break
                data = piece.data if most is None else piece.data[: most - size]
                begin = max(0, start - size)
                kept += data[begin : begin + limit - len(kept)]
                size += len(data)
        return LogPart(bytes(kept), min(start, size), size, ended=False)


def number_of(job: Job, stage: str) -> int:
    """The number of a stage by its name, of the present one where it is empty. Raises
    UnknownResult."""
    if not stage:
        return job.stage
    names = [each.name for each in job.spec.stages]
    if stage not in names:
        raise UnknownResult("The job has no such stage")
    return names.index(stage)


def _part(path: Path, offset: int, limit: int) -> LogPart:
    """A piece of a log of ours; one that is not there is empty."""
    try:
        with path.open("rb") as log:
            size = os.fstat(log.fileno()).st_size
            log.seek(min(max(0, offset), size))
            return LogPart(log.read(limit), offset, size, ended=True)
    except FileNotFoundError:
        return LogPart(b"", offset, 0, ended=True)


def _beginning(folder: Path, name: str, limit: int) -> bytes | None:
    """The first bytes of a regular file below a folder that hostile code may change at any
    moment; None for anything else."""
    parts = name.split("/")
    if not all(part not in {"", ".", ".."} and "\0" not in part for part in parts):
        return None
    with contextlib.ExitStack() as opened, contextlib.suppress(OSError):
        here = os.open(folder, _BESIDE | os.O_DIRECTORY)
        opened.callback(os.close, here)
        for part in parts[:-1]:
            here = os.open(part, _BESIDE | os.O_DIRECTORY, dir_fd=here)
            opened.callback(os.close, here)
        file = os.open(parts[-1], _BESIDE | os.O_NONBLOCK, dir_fd=here)
        opened.callback(os.close, file)
        if stat.S_ISREG(os.fstat(file).st_mode):
            return _read(file, limit)
    return None


def _read(file: int, limit: int) -> bytes:
    pieces: list[bytes] = []
    while limit > 0 and (piece := os.read(file, min(limit, 1 << 20))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)

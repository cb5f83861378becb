"""Looking at what a job has printed and written, also while it runs.

An algorithm is hostile at any time: its files are opened without following a link, only if
they are regular ones, and read up to a bound. What an environment's filter has to see first
is not shown before the end. A running container's log is copied for each look, since the
engine cannot give a part of it; looks are bounded in number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path

from compute import layout
from compute.engines.base import Engine
from compute.environments import Environment
from compute.errors import UnknownResult
from compute.models import Job, LogPart
from compute.results import path_of
from compute.status import Phase
from compute.store.jobs import JobStore

_LOOKS_AT_ONCE = 4
_OVER = frozenset({Phase.FILTERING, Phase.PUBLISHING})
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
        self._copies = data_dir / "looks"
        self._turns = asyncio.Semaphore(_LOOKS_AT_ONCE)

    def open(self) -> None:
        """Remove the copies that a crash left."""
        shutil.rmtree(self._copies, ignore_errors=True)
        self._copies.mkdir(mode=0o700, parents=True)

    async def log(self, job: Job, stage: str, *, offset: int, limit: int) -> LogPart:
        """What ``stage`` has printed, of the present one where it is empty. Raises
        UnknownResult when the job has no such stage."""
        while True:
            job = await self._store.get(job.id)
            number = _number(job, stage)
            if job.phase is not Phase.RUNNING or number != job.stage:
                return await self._settled_log(job, number, offset, limit)
            if self._withheld(job):
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
        if job.phase.terminal or job.phase is Phase.QUEUED or self._withheld(job):
            return None
        return await asyncio.to_thread(_beginning, folders.outputs, name, limit)

    def _withheld(self, job: Job) -> bool:
        environment = self._environments[job.environment] if self._knows(job) else None
        return environment is None or bool(environment.filterImage)

    def _knows(self, job: Job) -> bool:
        return job.environment in self._environments

    def _folders(self, job: Job) -> layout.JobFolders:
        return layout.JobFolders(self._data_dir, job.id, job.stage)

    async def _settled_log(self, job: Job, number: int, offset: int, limit: int) -> LogPart:
        name, folders = layout.log_name(job.spec, number), self._folders(job)
        for file in job.results:
            if (file.type, file.filename) == ("algorithmLog", name):
                place = path_of(folders.results, file)
                return await asyncio.to_thread(_part, place, offset, limit, ended=True)
        if job.phase.terminal:
            return LogPart(b"", offset, 0, ended=True)
        over = number < job.stage or (number == job.stage and job.phase in _OVER)
        if not over or self._withheld(job):
            return LogPart(b"", offset, 0, ended=False)
        return await asyncio.to_thread(_part, folders.log / name, offset, limit, ended=True)

    async def _growing_log(self, job: Job, number: int, offset: int, limit: int) -> LogPart:
        copy = self._copies / uuid.uuid4().hex
        most = self._environments[job.environment].maxLogMB << 20
        name = layout.container_name(job.id, number)
        async with self._turns:
            try:
                await self._engine.save_log(name, copy, most)
                return await asyncio.to_thread(_part, copy, offset, limit, ended=False)
            finally:
                copy.unlink(missing_ok=True)


def _number(job: Job, stage: str) -> int:
    if not stage:
        return job.stage
    names = [each.name for each in job.spec.stages]
    if stage not in names:
        raise UnknownResult("The job has no such stage")
    return names.index(stage)


def _part(path: Path, offset: int, limit: int, *, ended: bool) -> LogPart:
    """A piece of a log of ours; one that is not there is empty."""
    try:
        with path.open("rb") as log:
            size = os.fstat(log.fileno()).st_size
            log.seek(min(max(0, offset), size))
            return LogPart(log.read(limit), offset, size, ended)
    except FileNotFoundError:
        return LogPart(b"", offset, 0, ended)


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

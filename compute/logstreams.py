"""Logs as streams: from any byte on, and while they grow.

A running stage is read from the engine, one that is over from the log that was kept. A
follower is led from the one to the other and on to the next stage; all in all he gets exactly
the bytes of the logs that are kept, one after the other.

Offsets count from the first byte that a stage printed. The engine drops the oldest part of a
log that outgrows its bound (``maxLogMB``). From then on no offset into it is served any more
(LogCut), since nobody knows how much is gone; from its beginning what is left can still be
had. Who is following meanwhile goes on as long as nothing is dropped before he has it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from compute import layout
from compute.engines.base import Engine, LogPiece
from compute.errors import EngineUnavailable, LogCut, LogTooShort, UnknownJob
from compute.logmarks import LogMarks
from compute.models import Job
from compute.status import Phase
from compute.store.jobs import JobStore

log = logging.getLogger(__name__)

BLOCK = 64 << 10
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
HARVEST_S = 5.0
"""How long the log of a container that has ended may take to be kept, before one looks at the
container again."""

CUT = (
    "The log has outgrown its bound, and its oldest part is gone: bytes can no longer be"
    " counted from its beginning. Ask from offset 0 for what is left."
)


class KeptLogs(Protocol):
    """Where logs lie and who may see them; see :class:`compute.looking.Looks`."""

    def kept_log(self, job: Job, number: int) -> Path | None: ...

    def withheld(self, job: Job) -> bool: ...

    def most(self, job: Job) -> int | None: ...


class LogStreams:
    """Makes streams of logs."""

    def __init__(self, *, engine: Engine, store: JobStore, marks: LogMarks, logs: KeptLogs) -> None:
        self._engine = engine
        self._store = store
        self._marks = marks
        self._logs = logs

    async def open(
        self, job: Job, numbers: Sequence[int], *, offset: int, follow: bool
    ) -> AsyncGenerator[bytes, None]:
        """The logs of these stages as one text, from byte ``offset`` of it on.

        With ``follow`` the stream waits for stages that have not begun and ends when the last
        one is over; else it ends with what there is now. What an environment's filter has to
        see comes after that. The stream holds a thread while it reads from the engine; close it.

        Raises LogCut, LogTooShort, UnknownJob, EngineUnavailable. The stream itself may raise
        LogCut, or UnknownJob when the job is deleted, and without ``follow``
        EngineUnavailable: with it, one waits for the engine to come back.
        """
        await self._refuse(await self._present(job.id), numbers, offset)
        return self._all(job.id, numbers, offset, follow=follow)

    async def _refuse(self, job: Job, numbers: Sequence[int], offset: int) -> None:
        """Say no before the first byte, as far as that can be known by now."""
        for number in numbers:
            path = self._logs.kept_log(job, number)
            if path is not None or job.phase.terminal:
                if offset and await asyncio.to_thread(self._marks.is_cut, job.id, number):
                    raise LogCut(CUT)
                size = await asyncio.to_thread(_size, path)
                if offset <= size:
                    return
                offset -= size
            elif offset and _grows(job, number) and not self._logs.withheld(job):
                name = layout.container_name(job.id, number)
                await self._compare(job.id, number, await self._engine.log_beginning(name))
                return
            else:
                return
        raise LogTooShort(f"The log ends {offset} bytes before this offset.")

    async def _all(
        self, job_id: str, numbers: Sequence[int], offset: int, *, follow: bool
    ) -> AsyncGenerator[bytes, None]:
        for number in numbers:
            stage = _Stage(self, job_id, number, offset, follow=follow)
            async with aclosing(stage.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
            if not stage.over:
                return
            offset = stage.left_over

    async def began_so(self, job: Job, number: int, piece: LogPiece) -> bool:
        """Whether the log began so when it was first shown: where only its first bytes may be,
        those of what is left of it later are others."""
        return await asyncio.to_thread(self._marks.holds, job.id, number, piece.beginning)

    async def _present(self, job_id: str) -> Job:
        """The job as it is now. Raises UnknownJob for one that is deleted."""
        job = await self._store.get(job_id)
        if job.phase is Phase.DELETED:
            raise UnknownJob("The job is deleted")
        return job

    async def _compare(self, job_id: str, number: int, beginning: str) -> None:
        """Raises LogCut when the log began otherwise when it was first shown."""
        if beginning and not await asyncio.to_thread(self._marks.holds, job_id, number, beginning):
            raise LogCut(CUT)


class _Stage:
    """One stage's part of a stream. ``over`` once all of it was given, ``left_over`` then says
    how many bytes of the offset were not used up."""

    def __init__(
        self, streams: LogStreams, job_id: str, number: int, offset: int, *, follow: bool
    ) -> None:
        self.over = False
        self.left_over = 0
        self._streams = streams
        self._job_id = job_id
        self._number = number
        self._position = offset
        self._given = False
        self._follow = follow
        self._whole = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        pauses = _pauses()
        while not self.over:
            job = await self._streams._present(self._job_id)
            path = self._streams._logs.kept_log(job, self._number)
            if path is not None or job.phase.terminal:
                part = self._kept(job, path)
            elif self._may_grow(job):
                part = self._growing(job)
            elif not self._follow:
                return
            else:
                await asyncio.sleep(next(pauses))
                continue
            async with aclosing(part):
                async for piece in part:
                    pauses, self._given = _pauses(), True
                    yield piece
            if self.over:
                return
            now = await self._streams._present(self._job_id)
            if not self._follow and (now.phase, now.stage) == (job.phase, job.stage):
                return
            await asyncio.sleep(next(pauses))

    async def _kept(self, job: Job, path: Path | None) -> AsyncGenerator[bytes, None]:
        """What has not been given yet of the log that was kept."""
        marks = self._streams._marks
        if self._position and await asyncio.to_thread(marks.is_cut, job.id, self._number):
            if not self._whole and self._streams._logs.most(job) is None:
                raise LogCut(CUT)
            self.over = True
            return
        try:
            file = await asyncio.to_thread(path.open, "rb") if path is not None else None
        except FileNotFoundError:
            # It becomes a result at this very moment.
            self.over = job.phase.terminal
            return
        size = 0
        if file is not None:
            with file:
                size = await asyncio.to_thread(file.seek, 0, os.SEEK_END)
                async with aclosing(self._rest(file, size)) as rest:
                    async for piece in rest:
                        yield piece
        self.left_over = 0 if self._given else max(0, self._position - size)
        self.over = True

    async def _rest(self, file: BufferedReader, size: int) -> AsyncGenerator[bytes, None]:
        await asyncio.to_thread(file.seek, min(self._position, size))
        while piece := await asyncio.to_thread(file.read, BLOCK):
            self._position += len(piece)
            yield piece

    async def _growing(self, job: Job) -> AsyncGenerator[bytes, None]:
        """What the engine has of it beyond what was given, as much as may be shown."""
        name = layout.container_name(self._job_id, self._number)
        reading = self._streams._engine.stream_log(name, follow=self._follow, skip=self._position)
        compared = False
        try:
            async with aclosing(reading) as pieces:
                async for piece in pieces:
                    if not compared and not await self._begins(job, piece):
                        return
                    compared = True
                    data = piece.data[: self._room(job)]
                    self._whole = piece.ended
                    self._position += len(data)
                    if data:
                        yield data
                    if self._is_full(job):
                        return
        except EngineUnavailable:
            if not self._follow:
                raise
            return
        except LogCut as cut:
            if cut.public == CUT:
                raise
            log.info("log_overtaken job=%s stage=%s", self._job_id, self._number)
            return
        if self._whole:
            await self._harvested()

    def _may_grow(self, job: Job) -> bool:
        """True while there is more to come from the engine that may be shown."""
        withheld = self._streams._logs.withheld(job)
        return _grows(job, self._number) and not withheld and not self._is_full(job)

    def _room(self, job: Job) -> int | None:
        """How much more may be shown, None for all."""
        most = self._streams._logs.most(job)
        return None if most is None else most - self._position

    def _is_full(self, job: Job) -> bool:
        room = self._room(job)
        return room is not None and room <= 0

    async def _begins(self, job: Job, piece: LogPiece) -> bool:
        """Who reads from the beginning gets what there is, whatever others were shown, unless
        only so many bytes may leave: then nothing of another beginning. Raises LogCut."""
        if self._position:
            await self._streams._compare(self._job_id, self._number, piece.beginning)
            return True
        same = await self._streams.began_so(job, self._number, piece)
        return same or self._room(job) is None

    async def _harvested(self) -> None:
        """Wait until the log of the container that has ended is kept, but not for ever."""
        pauses, until = _pauses(), asyncio.get_running_loop().time() + HARVEST_S
        while asyncio.get_running_loop().time() < until:
            job = await self._streams._present(self._job_id)
            if not _grows(job, self._number):
                return
            await asyncio.sleep(next(pauses))


def _grows(job: Job, number: int) -> bool:
    return job.phase is Phase.RUNNING and job.stage == number


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path is not None else 0
    except FileNotFoundError:
        return 0


def _pauses() -> Iterator[float]:
    """Seconds to wait between looks at the store, more and more."""
    pause = SHORTEST_PAUSE_S
    while True:
        yield pause
        pause = min(LONGEST_PAUSE_S, pause * 1.5)

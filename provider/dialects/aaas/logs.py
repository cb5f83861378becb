"""A task's log as a stream of lines, which a client asks for again and again.

A call waits for the task's start, shows the lines that are asked for and, if it follows, those
that come, until it has enough of them, its time is over, the task has ended, or the client has
gone. Offsets are those of bytes, so whoever counts what came knows where to go on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from aiohttp import web

from compute.errors import EngineUnavailable
from compute.models import Job, LogPart
from provider import errors
from provider.addresses import client_address
from provider.dialects.aaas import states
from provider.dialects.aaas.errors import NoTask, TooManyFollowers
from provider.dialects.aaas.requests import LogQuestion
from provider.dialects.aaas.tasks import Tasks
from provider.followers import Followers, Place
from provider.hangups import left
from provider.jobs import Jobs
from provider.turns import Gone

NOT_READY, TASK_END, TAIL_OFFSET = "AAAS-NOT-READY", "AAAS-TASK-END", "AAAS-TAIL-N-OFFSET"

LOOK_S = 0.5
BLOCK = 1 << 20
PIECE_BYTES = 64 << 10
STALL_S = 60.0
"""How long a client may take for a piece."""
LONGEST_LINE = 64 << 10
"""What grows beyond it without an end is shown as it is."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """The first lines, and where the next ones begin."""

    lines: Sequence[bytes]
    offset: int
    begins: int


class Ends:
    """Wakes those who wait for a task's end."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def ended(self, job: Job) -> None:
        for event in self._waiting.get(job.id, ()):
            event.set()

    @contextlib.contextmanager
    def of(self, job: Job) -> Iterator[asyncio.Event]:
        """Set when the task ends while one is inside."""
        event = asyncio.Event()
        self._waiting[job.id].add(event)
        try:
            yield event
        finally:
            self._waiting[job.id].discard(event)
            if not self._waiting[job.id]:
                del self._waiting[job.id]


class Logs:
    """Serves logs to at most so many clients at a time, and lets none of the keys have all."""

    def __init__(self, jobs: Jobs, tasks: Tasks, followers: int) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._followers = Followers(followers, followers)
        self.ends = Ends()

    async def serve(
        self, request: web.Request, key: str, question: LogQuestion
    ) -> web.StreamResponse:
        """Raises NoTask, TooManyFollowers, EngineUnavailable, all before the first byte."""
        try:
            with self._followers.enter(key, client_address(request)) as place:
                job = await self._tasks.find(key, question.task)
                if job is None:
                    raise NoTask
                with self.ends.of(job) as ended:
                    gone = _gone(request, place)
                    look = _Look(self._jobs, self._tasks, key, question, gone, ended, job.id)
                    return await look.answer(request)
        except errors.TooManyFollowers:
            raise TooManyFollowers from None


def _gone(request: web.Request, place: Place) -> Gone:
    """True once nobody waits any more, or somebody else has the place."""
    has_left = left(request)
    return lambda: place.lost or has_left()


class _Look:
    """One call."""

    def __init__(
        self,
        jobs: Jobs,
        tasks: Tasks,
        key: str,
        question: LogQuestion,
        gone: Gone,
        ended: asyncio.Event,
        job_id: str,
    ) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._key = key
        self._question = question
        self._gone = gone
        self._ended = ended
        self._job_id = job_id
        self._until = asyncio.get_running_loop().time() + question.interval_s

    async def answer(self, request: web.Request) -> web.StreamResponse:
        job = await self._begun()
        if not (states.has_begun(job) or job.phase.terminal):
            return web.Response(headers={NOT_READY: "1"}, content_type="text/plain")
        await self._jobs.task_shown("log", job)
        opened = await self._open(job)
        response = web.StreamResponse(headers=_headers(job, self._question, opened))
        response.content_type = "text/plain"
        # Whoever goes away in the middle is told nothing any more.
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            async for lines in self._all(job, opened):
                await _send(request, response, b"".join(lines))
            await response.write_eof()
        return response

    async def _all(self, job: Job, opened: _Opened) -> AsyncIterator[Sequence[bytes]]:
        if opened.lines:
            yield opened.lines
        if not self._question.follow or self._question.lines < 0 or job.phase.terminal:
            return
        async for lines in self._followed(opened):
            yield lines

    async def _begun(self) -> Job:
        """The task once it has started or ended, or as it is when the time is over."""
        while True:
            job = await self._task()
            if states.has_begun(job) or job.phase.terminal or not await self._pause():
                return job

    async def _task(self) -> Job:
        """The task that the call was about, not one that has got its name since."""
        job = await self._tasks.find(self._key, self._question.task)
        if job is None or job.id != self._job_id:
            raise NoTask
        return job

    async def _pause(self) -> bool:
        """Wait a little, less if the task ends; False when there is no time left."""
        rest = self._until - asyncio.get_running_loop().time()
        if rest <= 0 or self._gone():
            return False
        if self._ended.is_set():
            # The end is known already, so the next look is the last one.
            await asyncio.sleep(0)
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(rest, LOOK_S)):
                await self._ended.wait()
        return True

    async def _open(self, job: Job) -> _Opened:
        question = self._question
        if question.tail:
            return await self._tail(job)
        if question.lines < 0:
            return await self._backwards(job)
        part = await self._jobs.task_log(job, offset=question.offset, limit=BLOCK)
        lines = whole_lines(part.data, question.lines, last=_is_last(part))
        return _Opened(lines, question.offset + _length(lines), question.offset)

    async def _backwards(self, job: Job) -> _Opened:
        offset = self._question.offset
        start = max(0, offset - BLOCK)
        part = await self._jobs.task_log(job, offset=start, limit=offset - start)
        lines = whole_lines(part.data, None, last=True)[self._question.lines :]
        return _Opened(lines[::-1], offset, offset - _length(lines))

    async def _tail(self, job: Job) -> _Opened:
        size = (await self._jobs.task_log(job, limit=0)).size
        start = max(0, size - BLOCK)
        part = await self._jobs.task_log(job, offset=start, limit=BLOCK)
        lines = whole_lines(part.data, None, last=_is_last(part))
        end = start + _length(lines)
        wanted = self._question.tail_lines
        shown = lines[-wanted:] if wanted else []
        return _Opened(shown, end, end - _length(shown))

    async def _followed(self, opened: _Opened) -> AsyncIterator[Sequence[bytes]]:
        offset, left_over = opened.offset, self._question.lines - len(opened.lines)
        while left_over > 0 and not self._gone():
            try:
                over = (await self._task()).phase.terminal
                lines = await self._more(offset, left_over)
            except NoTask:
                return
            if lines:
                offset, left_over = offset + _length(lines), left_over - len(lines)
                yield lines
            elif over or not await self._pause():
                return

    async def _more(self, offset: int, most: int) -> Sequence[bytes]:
        try:
            part = await self._jobs.task_log(await self._task(), offset=offset, limit=BLOCK)
        except EngineUnavailable:
            return []
        return whole_lines(part.data, most, last=_is_last(part))


def whole_lines(data: bytes, most: int | None, *, last: bool) -> list[bytes]:
    """The first lines of a piece of a log, with their ends. One that has no end yet is left
    for later, unless nothing comes after it (``last``) or it is very long already. Pure."""
    # Not splitlines, which for bytes also splits at a carriage return: progress bars use it.
    *ended, rest = data.split(b"\n")
    lines = [line + b"\n" for line in ended]
    if rest and (last or len(rest) >= LONGEST_LINE):
        lines.append(rest)
    return lines if most is None else lines[:most]


def _is_last(part: LogPart) -> bool:
    return part.ended and part.offset + len(part.data) >= part.size


def _length(lines: Sequence[bytes]) -> int:
    return sum(map(len, lines))


async def _send(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Raises ConnectionError also for a client who takes nothing: he holds a place."""
    for start in range(0, len(data), PIECE_BYTES):
        try:
            async with asyncio.timeout(STALL_S):
                await response.write(data[start : start + PIECE_BYTES])
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionAbortedError from None


def _headers(job: Job, question: LogQuestion, opened: _Opened) -> dict[str, str]:
    # What a task has printed is no page, whatever a browser may think of it.
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    if job.phase.terminal:
        headers[TASK_END] = "1"
    if question.tail:
        headers[TAIL_OFFSET] = str(opened.begins)
    return headers

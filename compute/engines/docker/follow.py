"""Reading a container's log as it grows, from a thread into the event loop.

The engine keeps a log in two files and drops the older one when both are full; who reads more
slowly than the container prints may find a file gone that he never came to, and the engine
does not tell. So the reader asks now and then for the oldest entry that is left. If that one
is not younger than where he was the time before, then all that lies between was there for him
to be read, for entries are dropped oldest first. Else he gives up (LogCut) rather than pass a
gap on.

One thread at a time takes a stream apart: a container that floods its log must not have the
event loop share the interpreter with many threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

import requests
from docker import APIClient
from docker.errors import APIError, NotFound

from compute.engines.base import LogPiece
from compute.engines.docker.blocks import blocks_of
from compute.engines.docker.calls import CALL_S, Answer, Calls, CutOff, request
from compute.engines.docker.errors import translated
from compute.engines.docker.logs import Entries, stamp_of
from compute.errors import EngineUnavailable, LogCut

SILENCE_S = 600.0
"""How long a log may say nothing before it is opened anew: an engine that is gone without a
word looks the same."""

AHEAD = 8
"""Pieces (of at most a block) that are read before somebody takes them."""

LEAVE_S = 2.0

_TURN = threading.Lock()
_LARGEST_GROWTH, _ENTRY_BYTES = 6, 110
"""How much an entry takes at most in the engine's file: for each byte, and besides."""
_USUAL_HALF = 8 << 20


class LogReader:
    """One reader of one log: a thread that reads, a queue that the event loop drains."""

    def __init__(self, calls: Calls, name: str, *, follow: bool, skip: int) -> None:
        self._calls = calls
        self._name = name
        self._follow = follow
        self._skip = skip
        self._answer = Answer()
        self._room = threading.Semaphore(AHEAD)
        self._queue: asyncio.Queue[LogPiece | Exception | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._body, name="docker-log", daemon=True)

    async def pieces(self) -> AsyncGenerator[LogPiece, None]:
        """See :meth:`compute.engines.base.Engine.stream_log`."""
        self._thread.start()
        try:
            while (item := await self._queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                self._room.release()
                yield item
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End the thread. One that is just connecting ends by its own time-out."""
        self._answer.cut()
        self._room.release()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._ended.wait()
                self._thread.join()

    def _body(self) -> None:
        failure: Exception | None = None
        try:
            with translated(), self._calls.fresh() as client:
                self._read(client)
        except CutOff:
            failure = EngineUnavailable("The reading was interrupted")
        except Exception as error:  # whoever waits for the next piece is told
            failure = error
        finally:
            self._call(lambda: self._queue.put_nowait(failure))
            self._call(self._ended.set)

    def _read(self, client: APIClient) -> None:
        response = _open(client, self._name, follow=self._follow)
        if response is None:
            return
        entries = Entries()
        watch = _Watch(client, self._name) if self._follow else None
        told = False
        for block in self._answer.blocks(response):
            with _TURN:
                data = entries.feed(block)
            if not entries.count:
                continue
            left_out = min(self._skip, len(data))
            self._skip -= left_out
            if left_out < len(data) or not told:
                told = True
                self._send(LogPiece(data[left_out:], entries.first))
            if watch is not None:
                watch.read(len(data), entries)
        if watch is not None and _has_ended(client, self._name):
            watch.confirm(entries)
            self._send(LogPiece(b"", entries.first, ended=True))

    def _send(self, piece: LogPiece) -> None:
        self._room.acquire()
        if self._answer.is_cut:
            raise CutOff
        self._call(lambda: self._queue.put_nowait(piece))

    def _call(self, action: Callable[[], None]) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(action)


class _Watch:
    """Whether the reader was overtaken. Costs the engine a question only now and then, and
    none at all as long as the log cannot have dropped anything."""

    def __init__(self, client: APIClient, name: str) -> None:
        self._client = client
        self._name = name
        self._half = _half_of(client, name)
        self._since = 0
        self._entries = 0
        self._before = ""
        self._full = False

    def read(self, size: int, entries: Entries) -> None:
        """Note what was read. Raises LogCut."""
        self._before = self._before or stamp_of(entries.first)
        self._since += _LARGEST_GROWTH * size + _ENTRY_BYTES * (entries.count - self._entries)
        self._entries = entries.count
        if self._since >= self._half // 2:
            self._full = True
            self.confirm(entries)

    def confirm(self, entries: Entries) -> None:
        """Make sure that nothing was left out so far. Raises LogCut."""
        if not self._full and self._since < self._half // 2:
            return
        oldest = stamp_of(beginning_of(self._client, self._name))
        if not oldest or oldest > self._before:
            raise LogCut("The log grew faster than it was read")
        self._before, self._since = entries.last, 0


def beginning_of(client: APIClient, name: str) -> str:
    """See :meth:`compute.engines.base.Engine.log_beginning`."""
    response = _open(client, name, follow=False)
    if response is None:
        return ""
    entries = Entries()
    with response:
        for block in blocks_of(response):
            entries.feed(block)
            if entries.first:
                break
    return entries.first


def _open(client: APIClient, name: str, *, follow: bool) -> requests.Response | None:
    """The log from its beginning, None for a container that is gone or about to be."""
    options = {"stdout": "1", "stderr": "1", "timestamps": "1", "tail": "all"}
    try:
        return request(
            client,
            "GET",
            f"/containers/{name}/logs",
            params=options | ({"follow": "1"} if follow else {}),
            silence_s=SILENCE_S if follow else CALL_S,
        )
    except NotFound:
        return None
    except APIError as error:
        if error.status_code == 409:
            return None
        raise


def _has_ended(client: APIClient, name: str) -> bool:
    try:
        return not client.inspect_container(name)["State"]["Running"]
    except NotFound:
        return False


def _half_of(client: APIClient, name: str) -> int:
    """How large one of the two files of the container's log may become."""
    try:
        settings = client.inspect_container(name)["HostConfig"]["LogConfig"]["Config"]
        return int(settings["max-size"])
    except (NotFound, KeyError, TypeError, ValueError):
        return _USUAL_HALF

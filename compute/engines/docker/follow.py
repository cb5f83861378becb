"""Reading a container's log as it grows, from a thread into the event loop.

The engine keeps a log in two files and drops the older one when both are full. Its own stream
for those who follow cannot be relied on then: at a change of files it may repeat entries, or
leave a whole file out where one reads more slowly than the container prints, and it may end
before the last entries. (Seen with 20.10.) So the stream is only followed as long as the log
must still be in its first file. From then on the log is read again whenever its last entry is
another one, as often as a fixed share of the time allows, and the new entries are found in it
by counting, or by the last ones that are known. Where these are gone there may be a gap, and
the reader gives up (LogCut) rather than pass it on. The last look comes after the container's
end.

One thread at a time takes a stream apart: a container that floods its log must not have the
event loop share the interpreter with many threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing, suppress

import requests
from docker import APIClient
from docker.errors import APIError, NotFound

from compute.engines.base import LogPiece
from compute.engines.docker.blocks import blocks_of
from compute.engines.docker.calls import CALL_S, Answer, Calls, CutOff, request
from compute.engines.docker.errors import translated
from compute.engines.docker.logs import Frames, Going, Known, word
from compute.errors import EngineUnavailable

SILENCE_S = 600.0
"""How long a log may say nothing before it is opened anew: an engine that is gone without a
word looks the same."""

AHEAD_BYTES = 512 << 10
"""How much is read before somebody takes it."""

SHORTEST_QUIET_S, LONGEST_QUIET_S = 0.2, 2.0
SHARE = 1
"""How many times as long as reading took one waits before the log is read again."""

LEAVE_S = 2.0

_TURN = threading.Lock()
_USUAL_HALF = 8 << 20


class _Channel:
    """Bytes on their way from one thread to the event loop: what is not taken yet is one
    piece, and the thread waits when that is large."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._room = threading.Condition()
        self._data = bytearray()
        self._beginning = ""
        self._ended = self._closed = self._left = False
        self._failure: Exception | None = None

    def put(self, data: bytes, beginning: str, *, ended: bool = False) -> None:
        """By the thread. Raises CutOff when nobody takes anything any more."""
        with self._room:
            self._room.wait_for(lambda: self._left or len(self._data) < AHEAD_BYTES)
            if self._left:
                raise CutOff
            waited = not (self._data or self._ended)
            self._data += data
            self._beginning, self._ended = beginning, ended
        if waited:
            self._call(self._changed.set)

    def close(self, failure: Exception | None) -> None:
        """By the thread: nothing more will come."""
        with self._room:
            self._closed, self._failure = True, failure
        self._call(self._changed.set)

    async def pieces(self) -> AsyncGenerator[LogPiece, None]:
        """What was put, as much at a time as is there."""
        told = False
        while True:
            await self._changed.wait()
            self._changed.clear()
            with self._room:
                piece = LogPiece(bytes(self._data), self._beginning, self._ended)
                closed, failure = self._closed, self._failure
                self._data.clear()
                self._ended = False
                self._room.notify()
            if piece.data or piece.ended or (piece.beginning and not told):
                told = True
                yield piece
            if closed:
                if failure is not None:
                    raise failure
                return

    def leave(self) -> None:
        """By the event loop: nobody takes anything any more."""
        with self._room:
            self._left = True
            self._room.notify()

    def _call(self, action: Callable[[], None]) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(action)


class LogReader:
    """One reader of one log: a thread that reads, a channel that the event loop drains."""

    def __init__(self, calls: Calls, name: str, *, follow: bool, skip: int) -> None:
        self._calls = calls
        self._name = name
        self._follow = follow
        self._skip = skip
        self._answer = Answer()
        self._channel = _Channel()
        self._told = False
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._body, name="docker-log", daemon=True)

    async def pieces(self) -> AsyncGenerator[LogPiece, None]:
        """See :meth:`compute.engines.base.Engine.stream_log`."""
        self._thread.start()
        try:
            async with aclosing(self._channel.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End the thread. One that is just connecting ends by its own time-out."""
        self._answer.cut()
        self._channel.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._over.wait()
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
            self._channel.close(failure)
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._over.set)

    def _read(self, client: APIClient) -> None:
        known = Known()
        if not self._follow:
            self._look(client, known)
            return
        self._listen(client, known)
        quiet_s = SHORTEST_QUIET_S
        while True:
            state = _running(client, self._name)
            began, before = time.monotonic(), known.count
            self._look(client, known)
            if not state:
                if state is not None and known.count:
                    self._channel.put(b"", known.first, ended=True)
                return
            took_s = time.monotonic() - began
            quiet_s = max(SHORTEST_QUIET_S, SHARE * took_s) if known.count > before else quiet_s
            quiet_s = self._wait_for_more(client, known, quiet_s)

    def _listen(self, client: APIClient, known: Known) -> None:
        """Follow the engine's stream as long as the log must still be in its first file."""
        response = _open(client, self._name, follow=True)
        if response is None:
            return
        half, frames = _half_of(client, self._name), Frames()
        with closing(self._answer.blocks(response)) as blocks:
            for block in blocks:
                with _TURN:
                    said = known.note(frames.feed(block))
                self._put(said, known)
                if known.weight >= half:
                    return

    def _look(self, client: APIClient, known: Known) -> None:
        """Read the log as it is now and pass on what is new. Raises LogCut."""
        response = _open(client, self._name, follow=False)
        if response is None:
            return
        frames, going = Frames(), Going(known)
        with closing(self._answer.blocks(response)) as blocks:
            for block in blocks:
                with _TURN:
                    said = known.note(going.feed(frames.feed(block)))
                self._put(said, known)
        going.finish()

    def _wait_for_more(self, client: APIClient, known: Known, quiet_s: float) -> float:
        """Return when there is something new, or the container does not run any more; how
        long the last pause was."""
        while True:
            if self._answer.wait(quiet_s):
                raise CutOff
            newest = _word_of(client, self._name, "1")
            if newest not in ("", *list(known.latest)[-1:]) or not _running(client, self._name):
                return quiet_s
            quiet_s = min(LONGEST_QUIET_S, quiet_s * 1.3)

    def _put(self, said: bytes, known: Known) -> None:
        """Pass on what is not to be skipped, and in any case that there is a log."""
        left_out = min(self._skip, len(said))
        self._skip -= left_out
        if known.count and (left_out < len(said) or not self._told):
            self._told = True
            self._channel.put(said[left_out:], known.first)


def beginning_of(client: APIClient, name: str) -> str:
    """See :meth:`compute.engines.base.Engine.log_beginning`."""
    return _word_of(client, name, "all")


def _word_of(client: APIClient, name: str, tail: str) -> str:
    """The word for the first of the last ``tail`` entries, "" if there is none."""
    response = _open(client, name, follow=False, tail=tail)
    if response is None:
        return ""
    frames = Frames()
    with response, closing(blocks_of(response)) as blocks:
        for block in blocks:
            if found := frames.feed(block):
                return word(found[0])
    return ""


def _open(
    client: APIClient, name: str, *, follow: bool, tail: str = "all"
) -> requests.Response | None:
    """The log, or the last entries of it; None for a container that is gone or about to be."""
    options = {"stdout": "1", "stderr": "1", "timestamps": "1", "tail": tail}
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


def _running(client: APIClient, name: str) -> bool | None:
    """None for a container that is gone."""
    try:
        return bool(client.inspect_container(name)["State"]["Running"])
    except NotFound:
        return None


def _half_of(client: APIClient, name: str) -> int:
    """How large one of the two files of the container's log may become."""
    try:
        settings = client.inspect_container(name)["HostConfig"]["LogConfig"]["Config"]
        return int(settings["max-size"])
    except (NotFound, KeyError, TypeError, ValueError):
        return _USUAL_HALF

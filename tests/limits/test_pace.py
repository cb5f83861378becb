"""Answers that are taken too slowly are cut, by either event loop; all others are not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from provider.downloads import FileAnswer
from provider.pace import Watch

RATE = 64 << 10
LARGE = 16 << 20
LOOK_S, WINDOW_S = 0.1, 0.6
Loop = Callable[[], asyncio.AbstractEventLoop]

LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


def run(loop: Loop, scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario)


@asynccontextmanager
async def serving(folder: Path, window_s: float = WINDOW_S) -> AsyncIterator[int]:
    """A watched server of a large file, a large text, and a stream that says little."""
    path = folder / "large"
    path.write_bytes(bytes(LARGE))

    async def file(_: web.Request) -> web.StreamResponse:
        return FileAnswer(path, filename="large", sha256="00")

    async def text(_: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(LARGE))

    async def murmur(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(20):
            await response.write(b"still here\n")
            await asyncio.sleep(0.1)
        return response

    app = web.Application()
    app.add_routes([web.get("/file", file), web.get("/text", text), web.get("/murmur", murmur)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    assert runner.server is not None
    watch = asyncio.create_task(Watch(runner.server, RATE, window_s=window_s).run(LOOK_S))
    yield runner.addresses[0][1]
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    await runner.cleanup()


async def taken(port: int, path: str, piece: int, pause_s: float, buffer: int = 4096) -> int:
    """How many bytes come for one who takes so many at a time and then pauses; until there
    are no more, or the connection breaks. His own buffer is small, for what it holds counts as
    taken."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=client, limit=buffer)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    count = 0
    try:
        async with asyncio.timeout(90):
            while got := await reader.read(piece):
                count += len(got)
                await asyncio.sleep(pause_s)
    except ConnectionError:
        pass
    writer.close()
    return count


@LOOPS
@pytest.mark.parametrize("path", ["/file", "/text"])
def test_who_takes_next_to_nothing_is_cut_off(
    tmp_path: Path, loop: Loop, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as port:
            counts = await asyncio.gather(*(taken(port, path, 512, 0.1) for _ in range(3)))
            assert all(count < LARGE // 2 for count in counts)

    run(loop, scenario())
    [line] = [each.getMessage() for each in caplog.records if each.name == "provider.pace"]
    assert line == "answer_taken_too_slowly client=127.0.0.1 times=1"


@LOOPS
@pytest.mark.parametrize("path", ["/file", "/text"])
def test_who_is_slow_but_fast_enough_gets_all(tmp_path: Path, loop: Loop, path: str) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, window_s=2.0) as port:
            assert await taken(port, path, 1 << 20, 0.02, 128 << 10) > LARGE

    run(loop, scenario())


@LOOPS
def test_a_stream_that_says_little_is_no_slow_client(tmp_path: Path, loop: Loop) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as port:
            assert await taken(port, "/murmur", 1024, 0) > 20 * len(b"still here\n")

    run(loop, scenario())

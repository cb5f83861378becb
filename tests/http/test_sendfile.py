"""Files go out by the kernel on either event loop, and nothing stays open behind them."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from aiohttp import ClientSession, TCPConnector, web

from provider.downloads import FileAnswer
from provider.sendfile import PIECE_BYTES, TURN_BYTES

CONTENT = os.urandom(4096) * ((TURN_BYTES + 3 * PIECE_BYTES) // 4096) + b"end"
Loop = Callable[[], asyncio.AbstractEventLoop]

LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


def run(loop: Loop, scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario)


class Served:
    """A server of one file, and how its sendings ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = ""
        self.answers: list[FileAnswer] = []
        self.sending: list[asyncio.Task[Any]] = []
        self.ends: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        answer = FileAnswer(self.path, filename="large.bin", sha256="00")
        task = asyncio.current_task()
        assert task is not None
        self.sending.append(task)
        try:
            await answer.prepare(request)
        except BaseException as error:
            self.ends.put_nowait(error)
            raise
        self.ends.put_nowait(None)
        return answer

    def open_files(self) -> int:
        """How many descriptors of this process lead to the file."""
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum(os.path.realpath(link) == str(self.path) for link in links)

    async def all_closed(self) -> None:
        async with asyncio.timeout(20):
            while self.open_files():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(folder: Path, encryption: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    path = folder.resolve() / "large"
    path.write_bytes(CONTENT)
    served = Served(path)
    app = web.Application()
    app.add_routes([web.get("/file", served.answer)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=encryption).start()
    served.url = f"http{'s' if encryption else ''}://127.0.0.1:{runner.addresses[0][1]}/file"
    try:
        yield served
    finally:
        await runner.cleanup()


async def one_who_waits(served: Served) -> socket.socket:
    """A client that asks and then takes only the beginning."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    port = int(served.url.rpartition(":")[2].partition("/")[0])
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 200")
    return client


@LOOPS
def test_whole_files_and_parts_follow_each_other_on_one_connection(
    tmp_path: Path, loop: Loop
) -> None:
    async def scenario() -> None:
        ranges = {"": CONTENT, "bytes=5-17": CONTENT[5:18], "bytes=-100003": CONTENT[-100003:]}
        async with serving(tmp_path) as served, ClientSession() as session:
            for wanted, content in [*ranges.items(), *ranges.items()]:
                headers = {"Range": wanted} if wanted else {}
                async with session.get(served.url, headers=headers) as response:
                    assert await response.read() == content
            await served.all_closed()
            assert [served.ends.get_nowait() for _ in range(6)] == [None] * 6

    run(loop, scenario())


@LOOPS
def test_who_hangs_up_ends_the_sending(tmp_path: Path, loop: Loop) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as served:
            client = await one_who_waits(served)
            assert served.open_files()
            client.close()
            assert isinstance(await served.ends.get(), ConnectionError)
            await served.all_closed()

    run(loop, scenario())


@LOOPS
def test_an_answer_that_is_cut_off_breaks_for_the_client(tmp_path: Path, loop: Loop) -> None:
    """Although the file goes through a descriptor that the transport knows nothing of."""

    async def scenario() -> None:
        async with serving(tmp_path) as served, asyncio.timeout(20):
            client = await one_who_waits(served)
            [task] = served.sending
            task.cancel()
            assert isinstance(await served.ends.get(), asyncio.CancelledError)
            await served.all_closed()
            taken = 0
            while got := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
                taken += len(got)
            assert taken < len(CONTENT)
            client.close()

    run(loop, scenario())


@LOOPS
def test_a_file_that_ends_early_breaks_the_connection(tmp_path: Path, loop: Loop) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as served:
            client = await one_who_waits(served)
            os.truncate(served.path, 100)
            while await asyncio.get_running_loop().sock_recv(client, 1 << 20):
                pass
            assert isinstance(await served.ends.get(), ConnectionError)
            client.close()

    run(loop, scenario())


@LOOPS
def test_what_is_encrypted_does_not_go_past_the_encryption(tmp_path: Path, loop: Loop) -> None:
    async def scenario() -> None:
        authority = trustme.CA()
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(ours)
        theirs = ssl.create_default_context()
        authority.configure_trust(theirs)
        async with (
            serving(tmp_path, ours) as served,
            ClientSession(connector=TCPConnector(ssl=theirs)) as session,
            session.get(served.url) as response,
        ):
            assert await response.read() == CONTENT

    run(loop, scenario())

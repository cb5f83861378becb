"""Connections: how many, how long without a word, and what a flood of them cannot do."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from ocean_consumer import Api

from provider.listening import IDLE_S, Door, allow_many_files

HALF = b"GET / HTTP/1.1\r\nHost: x\r\n"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


@asynccontextmanager
async def listening(most: int, **options: float) -> AsyncIterator[int]:
    """A server behind a door; its port."""
    app = web.Application(handler_args=options)
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    door = Door(runner.server, most)
    server = await asyncio.get_running_loop().create_server(door, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await runner.cleanup()


async def connect(port: int, text: bytes) -> Stream:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    return reader, writer


async def first_line(stream: Stream) -> bytes:
    try:
        return await asyncio.wait_for(stream[0].readline(), 60)
    except ConnectionResetError:
        return b""


async def test_who_comes_when_all_places_are_taken_is_turned_away_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(3) as port:
        taken = [await connect(port, HALF) for _ in range(3)]
        await asyncio.sleep(0.05)
        turned_away = [await connect(port, HALF + b"\r\n") for _ in range(5)]
        assert [await first_line(each) for each in turned_away] == [b""] * 5
        taken[0][1].write(b"\r\n")
        assert b" 200 " in await first_line(taken[0])
        taken[1][1].close()
        await asyncio.sleep(0.05)
        again = await connect(port, HALF + b"\r\n")
        assert b" 200 " in await first_line(again)
        for _, writer in (*taken, *turned_away, again):
            writer.close()
    assert [each.getMessage() for each in caplog.records] == ["connections_full limit=3 times=1"]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("text", [b"", HALF, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + HALF])
async def test_a_connection_without_a_whole_header_is_closed_in_time(text: bytes) -> None:
    async with listening(3, keepalive_timeout=0.2) as port:
        reader, writer = await connect(port, text)
        for _ in range(4):
            await asyncio.sleep(0.03)
            writer.write(b"X-Drop: 1\r\n" if text else b"")
        await asyncio.wait_for(reader.read(), 60)
        writer.close()


async def test_the_service_closes_such_connections(api: Api) -> None:
    assert api.client.app._handler_args
    assert api.client.app._handler_args["keepalive_timeout"] == IDLE_S


async def test_who_has_a_whole_region_of_ipv6_does_not_get_all_places() -> None:
    server = web.Server(hello)
    door = Door(server, 4096, most_of_one=2)
    entered = [door.enter(f"2001:db8:1:{number:x}::1") for number in range(12)]
    assert entered.count(None) == 4
    assert door.enter("2001:db8:2:1::1") is not None
    assert door.enter("203.0.113.7") is not None
    for address in entered:
        if address is not None:
            door.leave(address)
    again = [door.enter("2001:db8:1:ff::1") for _ in range(3)]
    assert again.count(None) == 1


@pytest.fixture
def few_files() -> Iterator[int]:
    """A soft limit of open files far below the hard one, which is told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_of_open_files_is_raised_to_what_is_allowed(few_files: int) -> None:
    assert allow_many_files() == few_files
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == few_files

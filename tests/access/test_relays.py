"""What happens on the way from an origin to a consumer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from access_world import ALICE, World
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer

from compute.errors import InputUnavailable
from provider.assets.origins.base import Part
from provider.relays import RelayAnswer

PIECE = b"x" * 65536


def breaking(**headers: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An origin whose connection ends after one piece."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(PIECE)
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return response

    return answer


@pytest.mark.parametrize("headers", [{"Content-Length": "1000000"}, {}])
async def test_a_broken_origin_never_looks_like_the_end(
    world: World, headers: dict[str, str]
) -> None:
    world.add_url(world.origin.on("/broken", breaking(**headers)))
    query = world.download_query(ALICE, await world.order())
    with pytest.raises(ClientError):
        await world.download(query)


async def test_an_origin_that_falls_silent_never_looks_like_the_end(world: World) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(PIECE)
        await asyncio.sleep(30)
        return response

    world.add_url(world.origin.on("/silent", silent))
    query = world.download_query(ALICE, await world.order())
    with pytest.raises(ClientError):
        await world.download(query)


async def test_no_second_answer_follows_a_broken_one(world: World) -> None:
    world.add_url(world.origin.on("/broken", breaking(**{"Content-Length": "1000000"})))
    query = world.download_query(ALICE, await world.order())
    received = bytearray()
    async with world.client.get("/api/services/download", params=query) as answer:
        with suppress(ClientError):
            async for chunk in answer.content.iter_any():
                received += chunk
    assert len(received) < 1_000_000
    assert set(received) <= {ord("x")}


async def test_a_client_that_leaves_frees_the_origin(world: World) -> None:
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(PIECE)
        finally:
            left.set()

    world.add_url(world.origin.on("/endless", endless))
    query = world.download_query(ALICE, await world.order())
    answer = await world.client.get("/api/services/download", params=query)
    assert (await answer.content.readany())[:1] == b"x"
    answer.close()
    async with asyncio.timeout(30):
        await left.wait()


@pytest.mark.parametrize(
    ("path", "headers", "disposition"),
    [
        ("/data.csv", {}, "attachment;filename=data.csv"),
        ("/data", {"Content-Type": "text/csv"}, "attachment;filename=data.csv"),
        ("/x", {"Content-Disposition": 'attachment; filename="a b.csv"'}, None),
        ("/x", {"Content-Disposition": 'attachment; filename="../../etc/passwd"'}, None),
        ("/x", {"Content-Disposition": "attachment; filename*=UTF-8''%C3%BC.csv"}, None),
        ("/x", {"Content-Disposition": 'attachment; filename="a\\";b=c.csv"'}, None),
        ("/%22;b=c%0d.csv", {}, None),
    ],
)
async def test_names_are_safe_and_real(
    world: World, path: str, headers: dict[str, str], disposition: str | None
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"1", headers=headers)

    world.origin.otherwise = answer
    world.add_url(world.origin.url(path))
    query = world.download_query(ALICE, await world.order())
    async with world.client.get("/api/services/download", params=query) as response:
        assert response.status == 200, await response.text()
        shown = response.headers["Content-Disposition"]
        assert "Set-Cookie" not in response.headers
        name = response.content_disposition.filename if response.content_disposition else ""
    assert disposition is None or shown == disposition
    assert shown.startswith("attachment;filename")
    assert name
    assert not set(name) & {"/", "\r", "\n"}


@pytest.mark.parametrize("name", [b"Content-Type", b"ETag", b"Content-Disposition"])
async def test_headers_that_are_no_text_do_no_harm(world: World, name: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + name + b': "\xff\xc3"\r\n\r\n'
        writer.write(head + b"ok")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1")
    async with server:
        world.add_url(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/data.csv")
        query = world.download_query(ALICE, await world.order())
        assert await world.download(query) == (200, b"ok")


class Stage:
    """An application that answers with one part; ``ended`` once the answer is over."""

    def __init__(self) -> None:
        self.part: Part | None = None
        self.stall_s = 60.0
        self.ended = asyncio.Event()
        self.failed: BaseException | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert self.part is not None
        try:
            return await RelayAnswer(self.part, stall_s=self.stall_s).send(request)
        except BaseException as error:
            self.failed = error
            raise
        finally:
            self.ended.set()


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    app.router.add_get("/", stage.answer)
    opened = TestClient(TestServer(app))
    await opened.start_server()
    yield opened
    await opened.close()


def part(chunks: AsyncIterator[bytes], size: int | None = None, **changes: Any) -> Part:
    facts: dict[str, Any] = {
        "status": 200,
        "size": size,
        "content_type": "",
        "content_range": None,
        "accepts_ranges": False,
        "name": "data.csv",
        "validator": None,
        "chunks": chunks,
        **changes,
    }
    return Part(**facts)


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


async def test_the_type_is_that_of_the_name_where_the_origin_tells_none(
    stage: Stage, client: TestClient[web.Request, web.Application]
) -> None:
    stage.part = part(pieces(b"a,b"), 3)
    async with client.get("/") as answer:
        assert answer.headers["Content-Type"] == "text/csv"
        assert await answer.read() == b"a,b"


async def test_less_than_announced_is_not_an_answer(
    stage: Stage, client: TestClient[web.Request, web.Application]
) -> None:
    stage.part = part(pieces(b"1234"), 10)
    with pytest.raises(ClientError):
        async with client.get("/") as answer:
            await answer.read()


async def test_a_failure_without_a_length_is_not_an_answer(
    stage: Stage, client: TestClient[web.Request, web.Application]
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"1234"
        raise InputUnavailable("broken", temporary=True)

    stage.part = part(failing())
    with pytest.raises(ClientError):
        async with client.get("/") as answer:
            await answer.read()
    assert stage.failed is None


async def test_a_client_that_takes_nothing_is_cut(
    stage: Stage, client: TestClient[web.Request, web.Application]
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield PIECE

    stage.part, stage.stall_s = part(endless()), 0.2
    port = client.port
    raw = socket.create_connection(("127.0.0.1", port or 0))
    try:
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(raw, b"GET / HTTP/1.1\r\nHost: p\r\n\r\n")
        async with asyncio.timeout(60):
            await stage.ended.wait()
    finally:
        raw.close()
    assert stage.failed is None


async def test_a_client_that_takes_little_is_served(
    stage: Stage, client: TestClient[web.Request, web.Application]
) -> None:
    body = PIECE * 64
    stage.part, stage.stall_s = part(pieces(body), len(body)), 30.0
    async with client.get("/") as answer:
        received = bytearray()
        while chunk := await answer.content.read(1 << 18):
            received += chunk
            await asyncio.sleep(0.01)
    assert bytes(received) == body


async def test_validators_and_ranges_are_passed_on(
    stage: Stage, client: TestClient[web.Request, web.Application]
) -> None:
    stage.part = part(
        pieces(b"34"),
        2,
        status=206,
        content_range="bytes 2-3/10",
        accepts_ranges=True,
        validator='etag:"abc"',
    )
    async with client.get("/") as answer:
        assert answer.status == 206
        assert answer.headers["ETag"] == '"abc"'
        assert answer.headers["Content-Range"] == "bytes 2-3/10"
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert await answer.read() == b"34"


async def test_headers_alone(
    stage: Stage, client: TestClient[web.Request, web.Application]
) -> None:
    asked: list[bytes] = []

    async def noted() -> AsyncIterator[bytes]:
        asked.append(b"1")
        yield b"1"

    stage.part = part(noted(), 1)
    async with client.head("/") as answer:
        assert answer.headers["Content-Length"] == "1"
        assert await answer.read() == b""
    assert not asked

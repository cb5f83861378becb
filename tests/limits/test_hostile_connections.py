"""Raw sockets against the service: what is too large, too slow, too much, or no HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.service import Service, free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/services/compute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """One running service for all tests here; nothing that comes leaves a trace of code."""
    service = Service(tmp_path_factory.mktemp("limits") / "shared")
    await service.start(OUTPUT_QUOTA="watch")
    yield service
    code = await asyncio.to_thread(service.stop)
    assert code == 0
    assert "Traceback" not in service.log(), service.log()
    assert "request_failed" not in service.log(), service.log()


def port_of(service: Service) -> int:
    return int(service.url.rpartition(":")[2])


async def sent(service: Service, text: bytes, *, end: bool = False) -> tuple[int, bytes]:
    """Status and body of the first answer, 0 for none; reads until the service hangs up, so
    what it does not close is a failure."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(service))
    try:
        writer.write(text)
        if end:
            writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


async def answers(service: Service) -> bool:
    """Whether the service is as well as ever."""
    status, _ = await sent(service, GET + b"Connection: close\r\n\r\n")
    return status == 200


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (GET + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (GET + b"a" * 9000 + b": x\r\n\r\n", 431),
        (GET + b"".join(b"X-%d: 1\r\n" % each for each in range(70)) + b"\r\n", 431),
        (GET + (b"X: " + b"a" * 8000 + b"\r\n") * 70 + b"\r\n", 431),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"F" * 100_000, 400),
        (CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: 1\r\n" * 100 + b"\r\n", 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 500, 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (GET + b"Host: y\r\n\r\n", 400),
        (GET + b"X: a\0b\r\n\r\n", 400),
        (GET + b"X: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (POST + b"Content-Length: -5\r\n\r\n{}", 400),
        (POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
        (POST + b"Content-Length: +2\r\n\r\n{}", 400),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}", 400),
        (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
        (CHUNKED + b"FFFFFFFFFFFFFFFFFF\r\n{}", 400),
        (CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", 400),
        (CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n", 400),
        (CHUNKED + b"2\n{}\n0\n\n", 400),
        (CHUNKED + b"2\r\n{}extra\r\n0\r\n\r\n", 400),
    ],
)
async def test_what_cannot_be_read_is_refused_in_one_sentence_and_closed(
    shared: Service, text: bytes, status: int
) -> None:
    told, body = await sent(shared, text)
    assert told == status
    assert list(json.loads(body)) == ["error"]
    assert b"aaaa" not in body
    assert await answers(shared)


@pytest.mark.parametrize(
    "smuggled",
    [
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_is_hidden_behind_a_doubtful_body_is_never_answered(
    shared: Service, smuggled: bytes
) -> None:
    status, body = await sent(shared, smuggled + GET + b"\r\n")
    assert status == 400
    assert b"serviceEndpoints" not in body
    assert b"HTTP/1" not in body


@pytest.mark.parametrize("announced", [b"Content-Length: 99999999999\r\n\r\n{}", b""])
async def test_a_body_that_is_too_large_is_refused_when_that_is_known(
    shared: Service, announced: bytes
) -> None:
    text = (
        POST + announced if announced else CHUNKED + (b"40000\r\n" + b" " * 0x40000 + b"\r\n") * 5
    )
    status, body = await sent(shared, text)
    assert status in {413, 0}, "hung up on while it still sends"
    if announced:
        assert (status, json.loads(body)) == (413, {"error": "The request is too large."})


async def test_a_hundred_requests_at_once_are_answered_in_order(shared: Service) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(shared))
    texts = [GET + b"X-Request-Id: n%d\r\n\r\n" % each for each in range(99)]
    writer.write(b"".join(texts) + GET + b"Connection: close\r\nX-Request-Id: n99\r\n\r\n")
    async with asyncio.timeout(60):
        answer = (await reader.read()).decode()
    writer.close()
    ids = [line[14:] for line in answer.splitlines() if line.startswith("X-Request-Id: ")]
    assert ids == [f"n{each}" for each in range(100)]


@pytest.mark.parametrize(
    "text", [b"", GET, POST + b"Content-Length: 10\r\n\r\n{}", CHUNKED + b"5\r\n{}"]
)
async def test_who_hangs_up_in_the_middle_leaves_nothing_behind(
    shared: Service, text: bytes
) -> None:
    status, _ = await sent(shared, text, end=True)
    assert status in {0, 400}
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(shared))
        writer.write(text)
        await writer.drain()
        writer.transport.abort()
    assert await answers(shared)


async def drip(service: Service, text: bytes) -> tuple[float, bytes]:
    """Send ``text`` and then a byte at a time, twice a second. How long the service listened,
    and what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(service))
    began = time.monotonic()
    answer = asyncio.ensure_future(reader.read())
    writer.write(text)
    try:
        while not answer.done():
            writer.write(b"a")
            await asyncio.wait({answer}, timeout=0.5)
        return time.monotonic() - began, answer.result()
    except ConnectionError:
        return time.monotonic() - began, b""
    finally:
        writer.close()


async def test_who_sends_too_slowly_is_cut_off(shared: Service) -> None:
    async with asyncio.timeout(90):
        header, plain, chunked, ext = await asyncio.gather(
            drip(shared, GET + b"X: "),
            drip(shared, POST + b"Content-Length: 1000\r\n\r\n"),
            drip(shared, CHUNKED + b"FFFF\r\n"),
            drip(shared, CHUNKED + b"2;"),
        )
    assert 18 < header[0] < 50
    for seconds, answer in (plain, chunked, ext):
        assert 8 < seconds < 50, "a minute is what all of it may take"
        assert b" 408 " in answer.splitlines()[0]
        assert b"did not arrive in time" in answer


def own_address() -> str:
    """An address of this machine that is not the loopback. Nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        found: str = probe.getsockname()[0]
        return found


async def test_connections_of_one_address_are_bounded_but_not_of_this_machine(
    service: Service,
) -> None:
    host, port = own_address(), free_port()
    variables = {"MAX_CONNECTIONS_PER_ADDRESS": "3", "LISTEN_HOST": "0.0.0.0"}
    await service.start(OUTPUT_QUOTA="watch", LISTEN_PORT=str(port), **variables)

    async def connect(to: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(to, port)
        writer.write(GET + b"\r\n")
        return reader, writer

    async def first(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
        try:
            return await asyncio.wait_for(stream[0].readline(), 30)
        except ConnectionError:
            return b""

    inside = [await connect(host) for _ in range(3)]
    assert [b" 200 " in await first(each) for each in inside] == [True] * 3
    outside = [await connect(host) for _ in range(5)]
    assert [await first(each) for each in outside] == [b""] * 5
    local = [await connect("127.0.0.1") for _ in range(8)]
    assert [b" 200 " in await first(each) for each in local] == [True] * 8
    inside[0][1].close()
    async with asyncio.timeout(60):
        while True:
            again = await connect(host)
            if b" 200 " in await first(again):
                break
            again[1].close()
    for _, writer in (*inside, *outside, *local, again):
        writer.close()
    lines = [line for line in service.log().splitlines() if "connections_of_one_full" in line]
    assert len(lines) == 1, "once a minute"
    assert f"client={host}" in lines[0]

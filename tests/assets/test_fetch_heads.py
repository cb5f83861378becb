"""Origins that send much before their answer, or never come to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from asset_fetching import HEAD, LOOPBACK, fetched, refused
from asset_origins import Origin, raw_origin

from provider.assets.fetch import Fetcher, FetchLimits
from provider.assets.heads import MAX_HEAD_BYTES

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
ANSWER = HEAD + b"Content-Length: 3\r\n\r\nabc"


class Endless:
    """An origin that sends the same again and again; ``sent`` counts its bytes."""

    def __init__(self, again: bytes, *, first: bytes = b"", pause_s: float = 0) -> None:
        self.sent = 0
        self._first, self._again, self._pause_s = first, again, pause_s

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/file"
        finally:
            server.close()
            await server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._first)
        try:
            while self.sent < 1 << 27:
                writer.write(self._again)
                self.sent += len(self._again)
                await writer.drain()
                await asyncio.sleep(self._pause_s)
        except ConnectionError:
            pass
        finally:
            writer.close()


async def test_endless_interim_answers_are_cut_off(fetcher: Fetcher) -> None:
    endless = Endless(INTERIM * 8000)
    async with endless.running() as url:
        started = time.monotonic()
        error = await refused(fetcher, url)
        assert time.monotonic() - started < 30
    assert error.temporary
    assert endless.sent < 1 << 24


async def test_interim_answers_that_trickle_are_given_up() -> None:
    limits = FetchLimits(head_s=0.4)
    endless = Endless(b"HTTP/1.1 102 Processing\r\n\r\n", pause_s=0.1)
    async with endless.running() as url, Fetcher(allowed_networks=LOOPBACK, limits=limits) as wary:
        error = await refused(wary, url)
    assert error.temporary
    assert "took too long" in error.public


async def test_one_long_interim_answer_is_cut_off(fetcher: Fetcher) -> None:
    first = b"HTTP/1.1 103 Early Hints\r\n"
    endless = Endless(b"Link: " + b"x" * 4000 + b"\r\n", first=first)
    async with endless.running() as url:
        assert (await refused(fetcher, url)).temporary
    assert endless.sent < 1 << 24


@pytest.mark.parametrize("count", [1, 5])
async def test_a_few_interim_answers_are_passed_over(fetcher: Fetcher, count: int) -> None:
    async with raw_origin(INTERIM * count + ANSWER) as url:
        assert await fetched(fetcher, url) == b"abc"


async def test_content_is_not_counted_as_head(fetcher: Fetcher, origin: Origin) -> None:
    content = bytes(range(256)) * 3500
    assert len(content) > MAX_HEAD_BYTES
    url = origin.serve("/t", content)
    assert [await fetched(fetcher, url) for _ in range(3)] == [content] * 3


async def test_what_comes_after_the_answer_is_not_kept(fetcher: Fetcher) -> None:
    async with raw_origin(ANSWER + ANSWER * 1000, then_wait=True) as url:
        assert await fetched(fetcher, url) == b"abc"
        assert await fetched(fetcher, url) == b"abc"


async def test_an_answer_that_begins_in_time_may_take_longer(origin: Origin) -> None:
    limits = FetchLimits(head_s=2)
    async with Fetcher(allowed_networks=LOOPBACK, limits=limits) as wary:
        url = origin.serve("/t", b"abc")
        async with wary.open(url) as download:
            await asyncio.sleep(2.2)
            assert b"".join([chunk async for chunk in download.chunks]) == b"abc"

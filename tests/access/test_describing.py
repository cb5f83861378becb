"""The bounds of describing files: how many at a time, how long, how large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from compute.supply import Download
from provider.assets.origins.base import CONTRACTS, Part, Probe, SourceFile, one_chunk
from provider.describing import Describer, OriginUnavailable


class Slow(SourceFile):
    """A file whose origin answers after ``delay_s``; counts who is asking it now."""

    asking = 0
    most = 0
    opened = 0

    def __init__(
        self,
        *,
        delay_s: float = 0,
        read_s: float = 0,
        size: int | None = 4,
        origin: str = "//slow.example",
    ) -> None:
        self.type = "url"
        self.name = "slow"
        self.origin = origin
        self.identity = "slow"
        self._delay_s = delay_s
        self._read_s = read_s
        self._size = size

    async def probe(self) -> Probe:
        Slow.asking += 1
        Slow.most = max(Slow.most, Slow.asking)
        try:
            await asyncio.sleep(self._delay_s)
        finally:
            Slow.asking -= 1
        return Probe(self._size, "text/plain", self.name)

    @asynccontextmanager
    async def open(self, validator: str | None) -> AsyncIterator[Download]:
        Slow.opened += 1
        await asyncio.sleep(self._read_s)
        yield Download(False, None, self._size, one_chunk(b"slow"))

    def part(
        self, range_: str | None = None, *, if_range: str | None = None
    ) -> AbstractAsyncContextManager[Part]:
        raise NotImplementedError


async def test_a_silent_origin_is_given_up() -> None:
    describer = Describer(probe_s=1)
    slow, quick = await describer.describe([Slow(delay_s=30), Slow()], checksum=False)
    assert slow.probe is None
    assert quick.probe == Probe(4, "text/plain", "slow")


async def test_reading_that_takes_too_long_gives_no_checksum() -> None:
    describer = Describer(checksum_s=0.05)
    [info] = await describer.describe([Slow(read_s=30)], checksum=True)
    assert info.probe is not None
    assert info.checksum == ""


async def test_what_is_announced_as_too_large_is_not_even_opened() -> None:
    Slow.opened = 0
    describer = Describer(max_checksum_bytes=100)
    files = [Slow(size=101), Slow(size=100), Slow(size=None)]
    infos = await describer.describe(files, checksum=True)
    assert [bool(info.checksum) for info in infos] == [False, True, True]
    assert Slow.opened == 2


async def test_many_files_are_asked_about_a_few_at_a_time() -> None:
    Slow.most = 0
    infos = await Describer().describe([Slow(delay_s=0.001) for _ in range(200)], checksum=False)
    assert len(infos) == 200
    assert 1 < Slow.most <= 32


async def test_one_request_does_not_take_all_places() -> None:
    Slow.most = 0
    files = [Slow(delay_s=0.01, origin=f"//{number}") for number in range(100)]
    await Describer().describe(files, checksum=False)
    assert Slow.most == 8


async def test_a_silent_origin_keeps_no_other_waiting() -> None:
    describer = Describer(probe_s=40)
    silent = [
        asyncio.create_task(describer.describe([Slow(delay_s=40)], checksum=False))
        for _ in range(200)
    ]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        [info] = await describer.describe([Slow(origin="//other.example")], checksum=False)
    assert info.probe is not None
    for each in silent:
        each.cancel()
    await asyncio.gather(*silent, return_exceptions=True)
    assert Slow.asking == 0


async def test_contracts_are_asked_two_at_a_time() -> None:
    Slow.most = 0
    files = [Slow(delay_s=0.01, origin=CONTRACTS) for _ in range(10)]
    await Describer().describe(files, checksum=False)
    assert Slow.most == 2


async def test_waiting_for_ones_turn_counts() -> None:
    describer = Describer(probe_s=30, request_s=1)
    with pytest.raises(OriginUnavailable, match="try again") as caught:
        await describer.describe([Slow(delay_s=30) for _ in range(20)], checksum=False)
    assert caught.value.status == 503
    assert Slow.asking == 0
    assert await describer.describe([Slow()], checksum=False)


async def test_files_are_told_without_the_checksums_that_were_not_had_in_time() -> None:
    describer = Describer(request_s=2)
    files = [Slow(read_s=30), Slow(origin="//quick")]
    infos = await describer.describe(files, checksum=True)
    assert [bool(info.checksum) for info in infos] == [False, True]
    assert all(info.probe for info in infos)


async def test_nobody_is_asked_for_somebody_who_left() -> None:
    describer, there = Describer(probe_s=50), True
    asking = asyncio.create_task(
        describer.describe([Slow(delay_s=50)] * 50, checksum=True, gone=lambda: not there)
    )
    await asyncio.sleep(0.6)
    assert not asking.done()
    there = False
    async with asyncio.timeout(30):
        with pytest.raises(OriginUnavailable):
            await asking
    assert Slow.asking == 0


async def test_who_comes_when_too_many_wait_is_told_so() -> None:
    describer = Describer(probe_s=30)
    waiting = [
        asyncio.create_task(describer.describe([Slow(delay_s=30)], checksum=False))
        for _ in range(256)
    ]
    await asyncio.sleep(0.01)
    with pytest.raises(OriginUnavailable, match="Too many"):
        await describer.describe([Slow(origin="//other.example")], checksum=False)
    assert await describer.probe(Slow())
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await describer.describe([Slow()], checksum=False)

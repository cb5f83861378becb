"""The bounds of describing files: how many at a time, how long, how large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from compute.supply import Download
from provider.assets.origins.base import Part, Probe, SourceFile, one_chunk
from provider.describing import Describer


class Slow(SourceFile):
    """A file whose origin answers after ``delay_s``; counts who is asking it now."""

    asking = 0
    most = 0
    opened = 0

    def __init__(self, *, delay_s: float = 0, read_s: float = 0, size: int | None = 4) -> None:
        self.type = "url"
        self.name = "slow"
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
    describer = Describer(probe_s=0.05)
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

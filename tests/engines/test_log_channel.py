"""Bytes on their way from the thread that reads a log: bounded, and let go of at once."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import aclosing

import pytest

from compute.engines.docker.calls import CutOff
from compute.engines.docker.follow import AHEAD_BYTES, _Channel

BLOCK = b"x" * (64 << 10)


async def until(condition: object) -> None:
    async with asyncio.timeout(90):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_a_reader_waits_for_who_takes_slowly_and_what_waits_is_one_piece() -> None:
    channel, put = _Channel(), [0]

    def reads() -> None:
        for _ in range(100):
            channel.put(BLOCK, "first")
            put[0] += 1
        channel.close(None)

    thread = threading.Thread(target=reads)
    thread.start()
    most = AHEAD_BYTES // len(BLOCK)
    await until(lambda: put[0] == most)
    await asyncio.sleep(0.1)
    assert put[0] == most
    async with aclosing(channel.pieces()) as pieces:
        sizes = [len(piece.data) async for piece in pieces]
    assert sum(sizes) == 100 * len(BLOCK)
    assert sizes[0] == AHEAD_BYTES
    assert max(sizes) <= AHEAD_BYTES + len(BLOCK)
    thread.join()


async def test_a_reader_that_waits_is_let_go_when_nobody_takes_any_more() -> None:
    channel, ended = _Channel(), []

    def reads() -> None:
        try:
            while True:
                channel.put(BLOCK, "first")
        except CutOff:
            ended.append(time.monotonic())

    thread = threading.Thread(target=reads)
    thread.start()
    await asyncio.sleep(0.1)
    assert not ended
    channel.leave()
    await until(lambda: ended)
    thread.join()


async def test_what_was_read_comes_before_the_failure() -> None:
    channel = _Channel()
    channel.put(b"all there was", "first")
    channel.close(ValueError("broke"))
    got = []
    async with aclosing(channel.pieces()) as pieces:
        got.append(await anext(pieces))
        with pytest.raises(ValueError, match="broke"):
            await anext(pieces)
    assert [piece.data for piece in got] == [b"all there was"]

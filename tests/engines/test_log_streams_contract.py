"""Streams of a container's log: what every engine owes, whichever it is."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from uuid import uuid4

import pytest
from engine_bench import EXITS_3, GREETS, TERMINATES, Bench

from compute.engines.base import LogPiece


async def everything(bench: Bench, name: str, *, follow: bool, skip: int = 0) -> list[LogPiece]:
    async with aclosing(bench.engine.stream_log(name, follow=follow, skip=skip)) as pieces:
        return [piece async for piece in pieces]


def text(pieces: list[LogPiece]) -> bytes:
    return b"".join(piece.data for piece in pieces)


@pytest.mark.parametrize("follow", [False, True])
async def test_a_stream_has_the_bytes_of_the_saved_log(
    bench: Bench, tmp_path: Path, follow: bool
) -> None:
    spec = await bench.launch(GREETS)
    await bench.ended(spec.name)
    await bench.engine.save_log(spec.name, tmp_path / "log", 1000)
    saved = (tmp_path / "log").read_bytes()
    for skip in (0, 1, 6, 11, 12, 13, 1000):
        pieces = await everything(bench, spec.name, follow=follow, skip=skip)
        assert text(pieces) == saved[skip:]
        assert {piece.beginning for piece in pieces} == {
            await bench.engine.log_beginning(spec.name)
        }
        assert [piece.ended for piece in pieces if piece.ended] == ([True] if follow else [])


async def test_a_follower_gets_all_of_a_container_that_ends_meanwhile(bench: Bench) -> None:
    spec = await bench.launch(GREETS)
    pieces = await everything(bench, spec.name, follow=True)
    assert text(pieces) == b"hello\nworld\n"
    assert pieces[-1].ended


async def test_a_log_without_a_word_has_no_beginning(bench: Bench) -> None:
    spec = await bench.launch(EXITS_3)
    await bench.ended(spec.name)
    assert await everything(bench, spec.name, follow=True) == []
    assert await bench.engine.log_beginning(spec.name) == ""


async def test_a_container_that_is_gone_gives_nothing(bench: Bench) -> None:
    name = f"ocean-test-{uuid4().hex}"
    for follow in (False, True):
        assert await everything(bench, name, follow=follow) == []
    assert await bench.engine.log_beginning(name) == ""


async def test_a_stream_ends_when_the_container_is_removed(bench: Bench) -> None:
    spec = await bench.launch(TERMINATES)
    following = asyncio.create_task(everything(bench, spec.name, follow=True))
    await asyncio.sleep(0.2)
    assert not following.done()
    await bench.engine.remove(spec.name)
    async with asyncio.timeout(60):
        assert text(await following) == b""


async def test_who_stops_following_is_free_at_once(bench: Bench) -> None:
    spec = await bench.launch(TERMINATES)
    following = asyncio.create_task(everything(bench, spec.name, follow=True))
    await asyncio.sleep(0.2)
    following.cancel()
    async with asyncio.timeout(40):
        with pytest.raises(asyncio.CancelledError):
            await following

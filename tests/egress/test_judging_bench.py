"""Who looks into hostile results holds up nobody else, and ends with those who wait."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from threading import Event

import pytest

from compute import tenure
from compute.egress.bench import Bench, MayGoOn
from compute.egress.judge import Left, judge
from compute.egress.rules import EgressRules
from compute.egress.sources import Source
from compute.errors import MoveLost
from compute.models import ResultFile

PATIENCE_S = 20


async def test_one_environment_does_not_hold_up_another() -> None:
    bench, go_on = Bench(), Event()

    def slow(may_go_on: MayGoOn) -> int:
        assert go_on.wait(PATIENCE_S)
        return 1

    async with asyncio.timeout(PATIENCE_S):
        slow_ones = [asyncio.create_task(bench.run("slow", slow)) for _ in range(40)]
        await asyncio.sleep(0)
        assert await bench.run("other", lambda may_go_on: 2) == 2
        assert await asyncio.to_thread(lambda: 3) == 3
        assert not any(each.done() for each in slow_ones)
        go_on.set()
        assert await asyncio.gather(*slow_ones) == [1] * 40


async def test_when_nobody_waits_any_more_the_looking_ends() -> None:
    bench, begun, ended = Bench(), Event(), Event()

    def endless(may_go_on: MayGoOn) -> None:
        begun.set()
        try:
            while True:
                may_go_on()
        finally:
            ended.set()

    looking = asyncio.create_task(bench.run("small", endless))
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    looking.cancel()
    assert await asyncio.to_thread(ended.wait, PATIENCE_S)
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert await bench.run("small", lambda may_go_on: 4) == 4


async def test_who_has_lost_the_job_does_not_look_on() -> None:
    def look(may_go_on: MayGoOn) -> None:
        may_go_on()

    with tenure.under(lambda: False), pytest.raises(MoveLost):
        await Bench().run("small", look)


def test_a_job_lost_in_the_middle_of_an_archive_is_no_broken_archive(tmp_path: Path) -> None:
    """Else the rules would fire, and the results be refused."""
    packed = gzip.compress(b"row\n" * (1 << 16))
    (tmp_path / "0").write_bytes(packed)
    left = Left([ResultFile(0, "rows.gz", len(packed), "aa", "output")], tmp_path)
    calls = 0

    def may_go_on() -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise MoveLost("lost")

    rules = EgressRules(maxRows=1 << 20)
    with pytest.raises(MoveLost):
        judge([Source("environment", rules)], left, most_inflated=1 << 30, may_go_on=may_go_on)

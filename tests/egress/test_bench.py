"""Looking into results holds up nobody else, and ends when nobody waits for it."""

from __future__ import annotations

import asyncio
import gzip
import threading
from pathlib import Path

import pytest

from compute import tenure
from compute.egress.bench import Bench, MayGoOn
from compute.egress.judge import Left, judge
from compute.egress.rules import EgressRules
from compute.egress.sources import Source
from compute.errors import MoveLost
from compute.models import ResultFile


async def test_an_environment_that_takes_all_its_turns_holds_up_no_other() -> None:
    bench, go = Bench(), threading.Event()

    def waits(may_go_on: MayGoOn) -> bool:
        return go.wait(90)

    full = [asyncio.create_task(bench.run("full", waits)) for _ in range(3)]
    try:
        assert await asyncio.wait_for(bench.run("free", lambda may_go_on: 7), 60) == 7
        assert not any(task.done() for task in full)
    finally:
        go.set()
    assert await asyncio.gather(*full) == [True, True, True]


async def test_what_nobody_waits_for_any_more_ends() -> None:
    bench, begun, ended = Bench(), threading.Event(), threading.Event()

    def looks(may_go_on: MayGoOn) -> None:
        begun.set()
        try:
            while True:
                may_go_on()
                threading.Event().wait(0.01)
        except MoveLost:
            ended.set()
            raise

    task = asyncio.create_task(bench.run("small", looks))
    assert await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 60)


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

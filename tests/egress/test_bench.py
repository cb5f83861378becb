"""Looking into results holds up nobody else, and ends when nobody waits for it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from compute.egress.bench import Bench, MayGoOn
from compute.errors import MoveLost


async def test_an_environment_that_takes_all_its_turns_holds_up_no_other() -> None:
    bench, go = Bench(), threading.Event()

    def waits(may_go_on: MayGoOn) -> bool:
        return go.wait(30)

    full = [asyncio.create_task(bench.run("full", waits)) for _ in range(3)]
    try:
        assert await asyncio.wait_for(bench.run("free", lambda may_go_on: 7), 20) == 7
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
    assert await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 20)

"""Answers kept for a while, and shared questions."""

from __future__ import annotations

import asyncio

import pytest
from stand_in_node import ManualClock

from provider.chain.memo import FOR_EVER, Memo, Shared


class Counter:
    """Answers how often it was asked, after ``go`` is set."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()
        self.ended: list[str] = []

    async def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        return number


class Breaks(Exception):
    pass


async def breaks() -> int:
    await asyncio.sleep(0)
    raise Breaks


async def test_an_answer_is_kept_as_long_as_said(clock: ManualClock) -> None:
    memo: Memo[str, int] = Memo(10, clock=clock)
    counter = Counter()
    assert [await memo.get("a", counter, lambda _: 5) for _ in range(3)] == [1, 1, 1]
    clock.now += 4.9
    assert await memo.get("a", counter, lambda _: 5) == 1
    clock.now += 0.1
    assert await memo.get("a", counter, lambda _: FOR_EVER) == 2
    clock.now += 10**9
    assert await memo.get("a", counter, lambda _: 5) == 2
    memo.drop("a")
    assert await memo.get("a", counter, lambda _: 5) == 3


async def test_its_time_counts_from_the_question(clock: ManualClock) -> None:
    memo: Memo[str, int] = Memo(10, clock=clock)

    async def slow() -> int:
        clock.now += 4
        return int(clock.now)

    first = await memo.get("a", slow, lambda _: 5)
    assert await memo.get("a", slow, lambda _: 5) == first
    clock.now += 1
    assert await memo.get("a", slow, lambda _: 5) > first


async def test_the_time_may_depend_on_the_answer(clock: ManualClock) -> None:
    memo: Memo[str, int] = Memo(10, clock=clock)
    counter = Counter()
    for _ in range(5):
        await memo.get("a", counter, lambda value: FOR_EVER if value == 3 else 0)
    assert counter.asked == 3


async def test_the_ones_used_last_are_kept(clock: ManualClock) -> None:
    memo: Memo[int, int] = Memo(2, clock=clock)
    counter = Counter()
    for key in (1, 2, 1, 3, 1):
        await memo.get(key, counter, lambda _: FOR_EVER)
    assert counter.asked == 3
    await memo.get(2, counter, lambda _: FOR_EVER)
    assert counter.asked == 4
    assert len(memo) == 2


async def test_errors_are_not_kept(clock: ManualClock) -> None:
    memo: Memo[str, int] = Memo(2, clock=clock)
    with pytest.raises(Breaks):
        await memo.get("a", breaks, lambda _: FOR_EVER)
    assert await memo.get("a", Counter(), lambda _: FOR_EVER) == 1


async def test_all_who_ask_at_once_share_the_answer() -> None:
    shared: Shared[str, int] = Shared()
    counter = Counter()
    assert await asyncio.gather(*(shared.run("a", counter) for _ in range(5))) == [1] * 5
    assert await shared.run("a", counter) == 2
    assert await asyncio.gather(shared.run("a", counter), shared.run("b", counter)) == [3, 4]


async def test_all_who_ask_at_once_share_the_error() -> None:
    shared: Shared[str, int] = Shared()
    found = await asyncio.gather(
        *(shared.run("a", breaks) for _ in range(3)), return_exceptions=True
    )
    assert [type(each) for each in found] == [Breaks] * 3
    assert await shared.run("a", Counter()) == 1


async def test_one_who_gives_up_leaves_the_others_alone() -> None:
    shared: Shared[str, int] = Shared()
    counter = Counter()
    counter.go.clear()
    first, second = (asyncio.ensure_future(shared.run("a", counter)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    counter.go.set()
    assert await second == 1
    assert first.cancelled()
    assert counter.ended == []


async def test_when_all_give_up_the_question_ends_and_may_be_asked_anew() -> None:
    shared: Shared[str, int] = Shared()
    counter = Counter()
    counter.go.clear()
    asking = [asyncio.ensure_future(shared.run("a", counter)) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    counter.go.set()
    assert await shared.run("a", counter) == 2
    assert counter.ended == ["cancelled"]


async def test_an_error_that_nobody_waits_for_bothers_nobody() -> None:
    shared: Shared[str, int] = Shared()
    go = asyncio.Event()

    async def late() -> int:
        try:
            await go.wait()
        finally:
            raise Breaks

    asking = asyncio.ensure_future(shared.run("a", late))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(0)

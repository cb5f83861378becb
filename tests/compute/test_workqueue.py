"""The queue of keys: once waiting, once worked on, never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from compute.workqueue import WorkQueue, backoff_s


def taken_now(queue: WorkQueue) -> Iterator[str]:
    """All keys that are due, without waiting."""
    while True:
        step = queue.take()
        try:
            step.send(None)
        except StopIteration as end:
            yield end.value
        else:
            step.close()
            return


async def test_keys_come_in_the_order_they_were_put() -> None:
    queue = WorkQueue()
    for key in "cab":
        queue.put(key)
    assert list(taken_now(queue)) == ["c", "a", "b"]


async def test_a_key_put_twice_is_taken_once() -> None:
    queue = WorkQueue()
    queue.put("a")
    queue.put("a")
    assert list(taken_now(queue)) == ["a"]
    queue.done("a")
    assert list(taken_now(queue)) == []


async def test_a_key_put_while_worked_on_is_due_again_only_when_that_ends() -> None:
    queue = WorkQueue()
    queue.put("a")
    assert await queue.take() == "a"
    queue.put("a")
    queue.put("a")
    assert list(taken_now(queue)) == []
    queue.done("a")
    assert list(taken_now(queue)) == ["a"]
    queue.done("a")
    assert list(taken_now(queue)) == []


async def test_one_who_waits_is_woken_by_a_put() -> None:
    queue = WorkQueue()
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.put("a")
    async with asyncio.timeout(60):
        assert await waiting == "a"


async def test_a_cancelled_take_loses_no_key() -> None:
    queue = WorkQueue()
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.put("a")
    waiting.cancel()
    results = await asyncio.gather(waiting, return_exceptions=True)
    left = list(taken_now(queue))
    assert [*left, *(r for r in results if isinstance(r, str))] == ["a"]


async def test_a_delayed_key_becomes_due() -> None:
    queue = WorkQueue()
    queue.put_in("a", 0.001)
    assert list(taken_now(queue)) == []
    async with asyncio.timeout(60):
        assert await queue.take() == "a"


async def test_a_delay_in_the_past_is_due_at_once() -> None:
    queue = WorkQueue()
    queue.put_in("a", -5)
    async with asyncio.timeout(60):
        assert await queue.take() == "a"


async def test_a_put_replaces_a_delay() -> None:
    queue = WorkQueue()
    queue.put_in("a", 0.001)
    queue.put("a")
    assert await queue.take() == "a"
    queue.done("a")
    queue.put_in("b", 0.01)
    assert await queue.take() == "b"
    assert list(taken_now(queue)) == []


async def test_of_two_delays_the_earlier_holds_in_either_order() -> None:
    queue = WorkQueue()
    queue.put_in("a", 3600)
    queue.put_in("a", 0.001)
    queue.put_in("b", 0.001)
    queue.put_in("b", 3600)
    async with asyncio.timeout(60):
        assert {await queue.take(), await queue.take()} == {"a", "b"}


async def test_a_delayed_key_may_be_worked_on_meanwhile() -> None:
    queue = WorkQueue()
    queue.put("a")
    assert await queue.take() == "a"
    queue.put_in("a", 0.001)
    queue.put_in("b", 0.002)
    async with asyncio.timeout(60):
        assert await queue.take() == "b"
    assert list(taken_now(queue)) == []
    queue.done("a")
    assert list(taken_now(queue)) == ["a"]


async def test_a_closed_queue_forgets_its_timers() -> None:
    queue = WorkQueue()
    queue.put_in("a", 0.001)
    queue.close()
    await asyncio.sleep(0.003)
    assert list(taken_now(queue)) == []


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (10**9, 30.0)]
)
def test_backoff_doubles_up_to_its_cap(attempt: int, seconds: float) -> None:
    assert backoff_s(attempt) == seconds


KEYS = st.sampled_from("abc")


class QueueModel(RuleBasedStateMachine):
    """The queue against the plainest model of it: two sets."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.queue = WorkQueue()
        self.wanted: list[str] = []
        self.working: set[str] = set()

    @rule(key=KEYS)
    def put(self, key: str) -> None:
        self.queue.put(key)
        if key not in self.wanted:
            self.wanted.append(key)

    @precondition(lambda self: set(self.wanted) - self.working)
    @rule()
    def take(self) -> None:
        with pytest.raises(StopIteration) as end:
            self.queue.take().send(None)
        key = end.value.value
        assert key in self.wanted
        assert key not in self.working
        self.wanted.remove(key)
        self.working.add(key)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.queue.done(key)
        self.working.remove(key)

    @invariant()
    def nothing_more_is_due_than_is_wanted(self) -> None:
        if not set(self.wanted) - self.working:
            assert self.due() == []

    def due(self) -> list[str]:
        async def look() -> list[str]:
            return list(taken_now(self.queue))

        return self.loop.run_until_complete(look())

    def teardown(self) -> None:
        for key in sorted(self.working):
            self.queue.done(key)
        due = self.due()
        self.loop.close()
        assert sorted(due) == sorted(self.wanted)


QueueModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_the_queue_behaves_like_two_sets = QueueModel.TestCase

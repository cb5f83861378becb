"""Token buckets: how much at once, how much in time, and how many are remembered."""

from __future__ import annotations

import pytest

from provider.limits import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_the_rate() -> None:
    clock = Clock()
    buckets = Buckets(2.0, 5, now=clock)
    assert [buckets.take("a") for _ in range(5)] == [0.0] * 5
    assert buckets.take("a") == pytest.approx(0.5)
    assert buckets.take("a") == pytest.approx(0.5), "a refusal costs nothing"
    assert buckets.take("b") == 0.0
    clock.now += 0.5
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(0.5)
    clock.now += 3600
    assert [buckets.take("a") for _ in range(6)] == [0.0] * 5 + [pytest.approx(0.5)]


def test_what_is_charged_is_owed_but_never_for_long() -> None:
    clock = Clock()
    buckets = Buckets(1.0, 10, now=clock)
    buckets.charge("a", 8)
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, pytest.approx(1.0)]
    for _ in range(1000):
        buckets.charge("a", 8)
    assert buckets.take("a") == pytest.approx(21.0), "three bursts, one of them for nothing"


def test_who_has_not_asked_for_longest_is_forgotten_first() -> None:
    buckets = Buckets(1.0, 1, now=Clock(), most=3)
    for key in "abc":
        assert buckets.take(key) == 0.0
    assert buckets.take("a") > 0, "refused, and remembered as the latest"
    assert buckets.take("d") == 0.0
    assert len(buckets) == 3
    assert buckets.take("a") > 0
    assert buckets.take("b") == 0.0, "forgotten"


def test_memory_is_bounded_whatever_comes() -> None:
    buckets = Buckets(1.0, 1, now=Clock(), most=100)
    for number in range(10_000):
        buckets.take(str(number))
        buckets.charge(str(-number), 5)
    assert len(buckets) == 100

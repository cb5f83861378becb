"""A look asks once at a time, answers soon, and tells what it found."""

from __future__ import annotations

import asyncio
import logging

import pytest

from compute.errors import EngineUnavailable
from provider.health import Health, Look


class Part:
    """What is looked at: counts its questions, answers, fails or hangs as told."""

    def __init__(self) -> None:
        self.asked = 0
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self) -> int:
        self.asked += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return 42


async def test_however_many_ask_it_is_asked_once_for_a_while() -> None:
    part = Part()
    look = Look("part", part.ask, fresh_s=1000)
    assert await asyncio.gather(*(look.look() for _ in range(50))) == [True] * 50
    assert await look.look()
    assert (part.asked, look.value) == (1, 42)
    assert look.answered_at is not None


async def test_a_part_that_hangs_is_down_soon_and_is_not_asked_again_meanwhile() -> None:
    part = Part()
    part.gate.clear()
    look = Look("part", part.ask, fresh_s=0, patience_s=0.2)
    async with asyncio.timeout(60):
        assert not await look.look()
        assert not await look.look()
    assert part.asked == 1
    part.gate.set()
    assert await look.look()
    assert part.asked == 1
    await look.look()
    assert part.asked == 2
    await look.close()


async def test_it_may_be_closed_while_it_waits() -> None:
    part = Part()
    part.gate.clear()
    look = Look("part", part.ask, patience_s=0.01)
    assert not await look.look()
    async with asyncio.timeout(60):
        await look.close()


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (EngineUnavailable("The engine is silent"), "The engine is silent"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (RuntimeError("secret"), "a fault of the service"),
    ],
)
async def test_the_fault_is_told_once_and_so_is_its_end(
    fault: Exception, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "provider.health")
    part = Part()
    look = Look("part", part.ask, fresh_s=0)
    assert await look.look()
    part.fault = fault
    assert not await look.look()
    assert not await look.look()
    assert look.value is None
    part.fault = None
    assert await look.look()
    told = [each for each in caplog.messages if not each.startswith("part_not_seen")]
    assert told == [f"part_down part=part cause={cause}", "part_up part=part"]


async def test_what_answers_may_not_be_good_enough() -> None:
    look = Look("part", Part().ask, good=lambda value: value > 100)
    assert not await look.look()
    assert look.value == 42


async def test_a_part_that_is_not_needed_only_degrades() -> None:
    store, chain, draining = Part(), Part(), False
    health = Health(
        [Look("store", store.ask, fresh_s=0), Look("chain-1", chain.ask, needed=False, fresh_s=0)],
        lambda: draining,
    )
    assert await health.ready() == ("ready", {"store": "up", "chain-1": "up"})
    chain.fault = EngineUnavailable("x")
    found = await health.ready()
    assert found == ("degraded", {"store": "up", "chain-1": "down"})
    assert found.takes_requests
    store.fault, chain.fault = chain.fault, None
    found = await health.ready()
    assert found == ("unready", {"store": "down", "chain-1": "up"})
    assert not found.takes_requests
    store.fault, draining = None, True
    found = await health.ready()
    assert found.status == "draining"
    assert not found.takes_requests


async def test_who_drains_asks_nobody() -> None:
    part = Part()
    part.gate.clear()
    async with asyncio.timeout(60):
        assert (await Health([Look("p", part.ask)], lambda: True).ready()).status == "draining"
    assert part.asked == 0

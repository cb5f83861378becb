"""A turn is had by one process at a time, and by another when that one is gone."""

from __future__ import annotations

import asyncio
import logging

import pytest
from sqlalchemy import Connection, insert, select
from support.sharing import Process

from compute.store.base import Database
from provider.sharing.leases import KEPT_S, TERM_S, LeaseLost, Leases
from provider.sharing.tables import leases

PATIENCE_S = 10.0


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_turn_is_one_process_s_as_long_as_it_goes_on(
    here: Process, there: Process, clock: Clock
) -> None:
    mine, theirs = Leases(here, now=clock), Leases(there, now=clock)
    assert await mine.take("a") == 0
    assert await theirs.take("a") is None
    assert await theirs.take("b") == 0
    clock.now += TERM_S / 2
    assert await mine.take("a") == 0
    clock.now += TERM_S / 2
    assert await theirs.take("a") is None
    clock.now += TERM_S / 2
    assert await theirs.take("a") == 0
    assert await mine.take("a") is None


async def test_of_all_that_ask_one_gets_it(database: Database, clock: Clock) -> None:
    everybody = [Leases(Process(database), now=clock) for _ in range(8)]
    for name in map(str, range(10)):
        taken = await asyncio.gather(*(each.take(name) for each in everybody))
        assert sorted(taken, key=str) == [0, *[None] * 7]


async def test_who_lost_it_writes_nothing_any_more(
    here: Process, there: Process, clock: Clock
) -> None:
    mine, theirs = Leases(here, now=clock), Leases(there, now=clock)
    row = {"name": "mark", "holder": "", "ends_at": 0.0, "number": 0}

    def guarded(connection: Connection) -> None:
        mine.require("a")(connection)
        connection.execute(insert(leases), row)

    for lost in (lambda: theirs.take("b"), lambda: theirs.take("a")):
        await lost()
        with pytest.raises(LeaseLost):
            await here.write(guarded)
        clock.now += 2 * TERM_S
    await mine.take("a")
    await here.write(guarded)
    marks = await there.read(
        lambda connection: connection.execute(
            select(leases.c.name).where(leases.c.name == "mark")
        ).all()
    )
    assert len(marks) == 1


async def test_what_is_given_back_is_had_at_once_with_its_number(
    here: Process, there: Process, clock: Clock
) -> None:
    mine, theirs = Leases(here, now=clock), Leases(there, now=clock)
    inside: list[str] = []

    async def work(turns: Leases, who: str) -> None:
        async with turns.hold("a") as held:
            inside.append(who)
            assert len(inside) == 1
            held.number += 1
            await asyncio.sleep(0.01)
            inside.remove(who)

    async with asyncio.timeout(PATIENCE_S):
        for _ in range(5):
            await asyncio.gather(work(mine, "mine"), work(theirs, "theirs"))
    assert await mine.take("a") == 10


async def test_it_is_given_back_whatever_happens(
    here: Process, there: Process, clock: Clock
) -> None:
    mine, theirs = Leases(here, now=clock), Leases(there, now=clock)
    with pytest.raises(LookupError):
        async with mine.hold("a"):
            raise LookupError
    assert await theirs.take("a") == 0
    await mine.give_back("a")
    assert await mine.take("a") is None


async def test_a_turn_goes_on_as_long_as_it_is_held(
    here: Process, there: Process, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    mine = Leases(here, now=clock, renewed_every_s=0.01)
    theirs = Leases(there, now=clock)
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(PATIENCE_S), mine.hold("a"):
            for _ in range(3):
                clock.now += TERM_S - 1
                writes = here.writes
                while here.writes < writes + 2:
                    await asyncio.sleep(0.001)
                assert await theirs.take("a") is None
            assert caplog.text == ""
            clock.now += 2 * TERM_S
            await theirs.take("a")
            while "turn_lost name=a" not in caplog.text:
                await asyncio.sleep(0.001)
    assert await mine.take("a") is None, "what was another's is not given back"


async def test_a_process_alone_waits_for_nobody_and_writes_nothing(
    database: Database, clock: Clock
) -> None:
    alone = Leases(database, now=clock)
    assert await alone.take("a") == 0
    async with alone.hold("a") as held:
        assert held.number == 0
    await database.write(alone.require("a"))
    await alone.give_back("a")
    assert await alone.purge() == 0
    query = select(leases)
    assert await database.read(lambda connection: connection.execute(query).all()) == []


async def test_turns_that_nobody_takes_are_forgotten(
    here: Process, there: Process, clock: Clock
) -> None:
    mine = Leases(here, now=clock)
    await mine.take("old")
    await mine.give_back("old", 7)
    clock.now += KEPT_S
    await mine.take("new")
    clock.now += 1
    assert await Leases(there, now=clock).purge() == 1
    assert await mine.take("old") == 0

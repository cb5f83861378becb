"""A turn is had by one process at a time, and by another when that one is gone."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from sqlalchemy import Connection, insert, select, update
from support.sharing import Process

from compute.store.base import Database
from provider.sharing.leases import KEPT_S, TERM_S, LeaseLost, Leases
from provider.sharing.tables import leases

PATIENCE_S = 60.0


@pytest.fixture
def mine(here: Process) -> Leases:
    return Leases(here, now=time.time)


@pytest.fixture
def theirs(there: Process) -> Leases:
    return Leases(there, now=time.time)


async def later(database: Database, seconds: float) -> None:
    """As if that much time had passed since what is written down."""
    aged = update(leases).values(ends_at=leases.c.ends_at - seconds)
    await database.write(lambda connection: connection.execute(aged))


async def test_a_turn_is_one_process_s_as_long_as_it_goes_on(
    database: Database, mine: Leases, theirs: Leases
) -> None:
    assert await mine.take("a") == 0
    assert await theirs.take("a") is None
    assert await theirs.take("b") == 0
    await later(database, TERM_S / 2)
    assert await mine.take("a") == 0
    await later(database, TERM_S / 2)
    assert await theirs.take("a") is None
    await later(database, TERM_S / 2)
    assert await theirs.take("a") == 0
    assert await mine.take("a") is None


async def test_of_all_that_ask_one_gets_it(here: Process, there: Process) -> None:
    everybody = [Leases((here, there)[number % 2], now=time.time) for number in range(8)]
    for name in map(str, range(10)):
        taken = await asyncio.gather(*(each.take(name) for each in everybody))
        assert sorted(taken, key=str) == [0, *[None] * 7]


async def test_who_lost_it_writes_nothing_any_more(
    database: Database, here: Process, there: Process, mine: Leases, theirs: Leases
) -> None:
    row = {"name": "mark", "holder": "", "ends_at": 0.0, "number": 0}

    def guarded(connection: Connection) -> None:
        mine.require("a")(connection)
        connection.execute(insert(leases), row)

    for lost in (lambda: theirs.take("b"), lambda: theirs.take("a")):
        await lost()
        with pytest.raises(LeaseLost):
            await here.write(guarded)
        await later(database, 2 * TERM_S)
    await mine.take("a")
    await here.write(guarded)
    marks = await there.read(
        lambda connection: connection.execute(
            select(leases.c.name).where(leases.c.name == "mark")
        ).all()
    )
    assert len(marks) == 1


async def test_what_is_given_back_is_had_at_once_with_its_number(
    database: Database, mine: Leases, theirs: Leases
) -> None:
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
    database: Database, mine: Leases, theirs: Leases
) -> None:
    with pytest.raises(LookupError):
        async with mine.hold("a"):
            raise LookupError
    assert await theirs.take("a") == 0
    await mine.give_back("a")
    assert await mine.take("a") is None


async def test_a_turn_goes_on_as_long_as_it_is_held(
    database: Database,
    here: Process,
    there: Process,
    theirs: Leases,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mine = Leases(here, now=time.time, renewed_every_s=0.01)
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(PATIENCE_S), mine.hold("a"):
            for _ in range(3):
                await later(database, TERM_S - 1)
                writes = here.writes
                while here.writes < writes + 2:
                    await asyncio.sleep(0.001)
                assert await theirs.take("a") is None
            assert caplog.text == ""
            lost = update(leases).values(holder=theirs.holder, ends_at=leases.c.ends_at + 60)
            await there.write(lambda connection: connection.execute(lost))
            while "turn_lost name=a" not in caplog.text:
                await asyncio.sleep(0.001)
    assert await mine.take("a") is None, "what was another's is not given back"


async def test_a_process_alone_waits_for_nobody_and_writes_nothing(alone: Database) -> None:
    turns = Leases(alone, now=time.time)
    assert await turns.take("a") == 0
    async with turns.hold("a") as held:
        assert held.number == 0
    await alone.write(turns.require("a"))
    await turns.give_back("a")
    assert await turns.purge() == 0
    query = select(leases)
    assert await alone.read(lambda connection: connection.execute(query).all()) == []


async def test_turns_that_nobody_takes_are_forgotten(
    database: Database, mine: Leases, theirs: Leases
) -> None:
    await mine.take("old")
    await mine.give_back("old", 7)
    await later(database, KEPT_S)
    await mine.take("new")
    await later(database, 1)
    assert await theirs.purge() == 1
    assert await mine.take("old") == 0

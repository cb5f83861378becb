"""The queue in the store: turns of owners, what a machine has, what is kept, what is told."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from dataclasses import replace

import pytest
from job_factory import ENOUGH, MACHINE, ONE_EACH, MakeJob, a_claim, only_sqlite
from sqlalchemy import Connection, insert, select, update

from compute.fairness import Resources, Turn
from compute.models import Job
from compute.status import ACTIVE, Goal, Phase
from compute.store import claims, turns
from compute.store.base import Database
from compute.store.claims import MOST_AT_ONCE, Claim, Share
from compute.store.jobs import JobStore
from compute.store.tables import jobs, queue_turns, queue_waits

ALICE, BOB, CAROL = (f"0x{letter * 40}" for letter in "AbC")


async def queue(store: JobStore, make_job: MakeJob, *owners: str, **fields: object) -> list[Job]:
    return [
        await store.insert(make_job(owner=owner, **fields), queue_limit=100_000) for owner in owners
    ]


def owners(started: list[Job]) -> list[str]:
    return [{ALICE: "a", BOB: "b", CAROL: "c"}[job.owner] for job in started]


async def finish(store: JobStore, job: Job, now: float = 3.0) -> None:
    await store.move(job, Phase.STOPPED, now=now)


async def serve(store: JobStore, number: int) -> list[Job]:
    """Give one place away after the other."""
    served: list[Job] = []
    for _ in range(number):
        for job in await store.claim(a_claim(), now=2.0):
            served.append(job)
            await finish(store, job)
    return served


async def seats(database: Database) -> dict[str, list[str]]:
    def look(connection: Connection) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        query = select(queue_turns).order_by(queue_turns.c.environment, queue_turns.c.turn)
        for row in connection.execute(query):
            found.setdefault(row.environment, []).append(row.owner_key[2])
        return found

    return await database.read(look)


# Turns


async def test_wallets_take_turns(store: JobStore, make_job: MakeJob) -> None:
    await queue(store, make_job, ALICE, ALICE, ALICE, BOB, CAROL, CAROL)
    assert owners(await serve(store, 7)) == ["a", "b", "c", "a", "c", "a"]


async def test_one_claim_of_many_places_keeps_the_same_order(
    store: JobStore, make_job: MakeJob
) -> None:
    made = await queue(store, make_job, ALICE, ALICE, ALICE, BOB, CAROL, CAROL)
    started = await store.claim(a_claim(places=5), now=2.0)
    assert owners(started) == ["a", "b", "c", "a", "c"]
    assert [job.id for job in started if job.owner == ALICE] == [made[0].id, made[1].id]


async def test_the_casing_of_an_address_makes_no_second_wallet(
    store: JobStore, make_job: MakeJob
) -> None:
    await queue(store, make_job, ALICE, ALICE.lower(), BOB)
    assert [job.owner for job in await serve(store, 3)] == [ALICE, BOB, ALICE.lower()]


async def test_nobody_gains_by_leaving_the_queue_and_coming_back(
    store: JobStore, make_job: MakeJob
) -> None:
    """One job at a time, each as soon as the last has started, is no way past the others."""
    await queue(store, make_job, ALICE, ALICE, ALICE, BOB)
    order = []
    for _ in range(6):
        (job,) = await serve(store, 1)
        order += owners([job])
        if job.owner == BOB:
            await queue(store, make_job, BOB)
    assert order == ["a", "b", "a", "b", "a", "b"]


async def test_a_newcomer_waits_for_one_round(store: JobStore, make_job: MakeJob) -> None:
    await queue(store, make_job, *[ALICE] * 50, *[BOB] * 50)
    await serve(store, 3)
    await queue(store, make_job, CAROL)
    assert "c" in owners(await serve(store, 3))


async def test_seats_go_with_the_last_job_however_it_leaves(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    a, b, b2, c = await queue(store, make_job, ALICE, BOB, BOB, CAROL)
    assert await seats(database) == {"small": ["a", "b", "c"]}
    await store.move(b, Phase.STOPPED, now=2.0)
    assert await seats(database) == {"small": ["a", "b", "c"]}
    await store.move(b2, Phase.EXPIRED, now=2.0)
    assert await seats(database) == {"small": ["a", "c"]}
    await store.claim(a_claim(places=9), now=2.0)
    assert await seats(database) == {}
    assert {(await store.get(job.id)).phase for job in (a, c)} == {Phase.STARTED}


async def test_what_is_not_due_holds_nobody_up_and_loses_no_turn(
    store: JobStore, make_job: MakeJob
) -> None:
    await queue(store, make_job, ALICE, retry_at=5.0)
    await queue(store, make_job, BOB, BOB)
    assert owners(await serve(store, 1)) == ["b"]
    (late,) = await store.claim(a_claim(), now=5.0)
    assert late.owner == ALICE


async def test_a_wallet_gets_no_more_places_than_it_may_have(
    store: JobStore, make_job: MakeJob
) -> None:
    await queue(store, make_job, *[ALICE] * 4, BOB)
    limited = a_claim(places=9, owner_limit=2)
    first = await store.claim(limited, now=2.0)
    assert owners(first) == ["a", "b", "a"]
    assert await store.claim(limited, now=2.0) == []
    await finish(store, first[0])
    assert owners(await store.claim(limited, now=2.0)) == ["a"]


# The machine


def two(capacity: Resources, **patience: float) -> Claim:
    """An environment of small jobs and one of jobs four times as large."""
    large = Resources(*(4 * part for part in ONE_EACH.parts))
    shares = {"small": Share(ONE_EACH, 9), "large": Share(large, 9)}
    return Claim(MACHINE, capacity, shares, **patience)


def times(number: int) -> Resources:
    return Resources(*(number * part for part in ONE_EACH.parts))


@pytest.mark.parametrize("short", ["millicpus", "memory_bytes", "disk_bytes"])
async def test_active_jobs_never_exceed_the_machine(
    store: JobStore, make_job: MakeJob, short: str
) -> None:
    capacity = replace(ENOUGH, **{short: 3 * getattr(ONE_EACH, short)})
    await queue(store, make_job, *[ALICE] * 9)
    claim = a_claim(places=9, capacity=capacity)
    first = await store.claim(claim, now=2.0)
    assert len(first) == 3
    assert await store.claim(claim, now=2.0) == []
    await finish(store, first[1])
    assert len(await store.claim(claim, now=2.0)) == 1


@pytest.mark.parametrize("phase", sorted(ACTIVE))
async def test_a_job_takes_its_share_in_each_active_phase(
    store: JobStore, make_job: MakeJob, database: Database, phase: Phase
) -> None:
    await queue(store, make_job, ALICE, ALICE)
    claim = a_claim(places=9, capacity=times(1))
    (job,) = await store.claim(claim, now=2.0)
    await database.write(
        lambda connection: connection.execute(
            update(jobs).where(jobs.c.id == job.id).values(phase=phase.value)
        )
    )
    assert await store.claim(claim, now=2.0) == []


async def test_environments_share_one_machine(store: JobStore, make_job: MakeJob) -> None:
    await queue(store, make_job, *[ALICE] * 9)
    await queue(store, make_job, BOB, environment="large")
    claim = two(times(6))
    started = Counter(job.environment for job in await store.claim(claim, now=2.0))
    assert started == {"small": 2, "large": 1}
    other = replace(claim, machine="other")
    assert len(await store.claim(other, now=2.0)) == 6
    assert (await store.get((await store.find(environment="large"))[0].id)).machine == MACHINE


async def test_a_large_job_is_kept_room_for_once_it_has_waited(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    (running,) = await queue(store, make_job, ALICE)
    claim = two(times(4), patience_s=60.0)
    (running,) = await store.claim(claim, now=0.0)
    (large,) = await queue(store, make_job, BOB, environment="large")
    assert await store.claim(claim, now=10.0) == []
    small = await queue(store, make_job, CAROL, CAROL, CAROL)
    assert [job.id for job in await store.claim(two(times(2)), now=20.0)] == [small[0].id]
    # By now it has waited for a minute: what is free is kept.
    assert await store.claim(claim, now=70.0) == []
    for job in (running, await store.get(small[0].id)):
        await finish(store, job)
    (started,) = await store.claim(claim, now=71.0)
    assert (started.id, started.machine) == (large.id, MACHINE)
    waiting = await database.read(lambda c: c.execute(select(queue_waits.c.environment)).all())
    assert [row.environment for row in waiting] == ["small"]


async def test_nothing_is_kept_for_a_job_that_has_left(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    claim = two(times(3), patience_s=0.0)
    (large,) = await queue(store, make_job, BOB, environment="large")
    await queue(store, make_job, ALICE)
    assert await store.claim(claim, now=1.0) == []
    await store.move(large, Phase.STOPPED, now=2.0)
    assert len(await store.claim(claim, now=3.0)) == 1
    assert await database.read(lambda c: c.execute(select(queue_waits)).all()) == []


async def test_devices_are_given_whole(store: JobStore, make_job: MakeJob) -> None:
    needs = replace(ONE_EACH, gpus=2)
    claim = replace(
        a_claim(places=9, needs=needs, capacity=replace(ENOUGH, gpus=5)),
        gpu_devices=("a", "b", "c", "d", "e"),
    )
    await queue(store, make_job, *[ALICE] * 3)
    first, second = await store.claim(claim, now=2.0)
    assert (first.gpu_devices, second.gpu_devices) == (("a", "b"), ("c", "d"))
    await finish(store, first)
    (third,) = await store.claim(claim, now=2.0)
    assert third.gpu_devices == ("a", "b")
    assert (await JobStore(store._database).get(third.id)).gpu_devices == ("a", "b")


async def test_many_claims_at_once_never_exceed_anything(
    store: JobStore, make_job: MakeJob
) -> None:
    for owner in (ALICE, BOB, CAROL):
        await queue(store, make_job, *[owner] * 10)
        await queue(store, make_job, *[owner] * 10, environment="large")
    claim = two(times(11))
    started = await asyncio.gather(*(store.claim(claim, now=2.0) for _ in range(40)))
    count = Counter(job.environment for jobs_ in started for job in jobs_)
    assert count["small"] + 4 * count["large"] <= 11
    assert min(count.values()) > 0


async def test_a_claim_starts_no_more_than_others_can_wait_for(
    store: JobStore, make_job: MakeJob
) -> None:
    await queue(store, make_job, *[ALICE] * (MOST_AT_ONCE + 3))
    assert len(await store.claim(a_claim(places=1000), now=2.0)) == MOST_AT_ONCE
    assert len(await store.claim(a_claim(places=1000), now=2.0)) == 3


async def test_jobs_of_before_are_on_the_machine_of_the_first_operator(
    store: JobStore, make_job: MakeJob
) -> None:
    """As an upgrade leaves them: active, on no machine, promised nothing."""
    job = await store.insert(make_job(phase=Phase.RUNNING), queue_limit=9)
    await queue(store, make_job, ALICE)
    claim = a_claim(places=9, capacity=times(1))
    await store.settle(claim, now=1.0)
    assert (await JobStore(store._database).get(job.id)).machine == MACHINE
    assert await store.claim(claim, now=2.0) == []


@only_sqlite
async def test_alone_a_machine_with_a_new_name_is_the_same(
    store: JobStore, make_job: MakeJob
) -> None:
    await queue(store, make_job, ALICE, BOB)
    claim = a_claim(places=9, capacity=times(1))
    await store.settle(claim, now=1.0)
    await store.claim(claim, now=2.0)
    renamed = replace(claim, machine="renamed")
    await store.settle(renamed, now=3.0)
    assert await store.claim(renamed, now=4.0) == []
    share = renamed.shares["small"]
    assert dict((await store.survey("small", share, now=4.0)).free) == {"renamed": times(0)}


# What is told


async def test_a_survey_tells_all_that_a_job_waits_for(store: JobStore, make_job: MakeJob) -> None:
    _, a2, b1 = await queue(store, make_job, ALICE, ALICE, BOB)
    (late,) = await queue(store, make_job, CAROL, retry_at=50.0)
    (stopping,) = await queue(store, make_job, CAROL)
    await store.wish(stopping.id, Goal.STOP, now=1.0)
    await queue(store, make_job, BOB, environment="large")
    claim = two(times(3), patience_s=0.0)
    await store.settle(claim, now=1.0)
    # The first of the small ones starts; then room is kept for the large one.
    assert len(await store.claim(claim, now=2.0)) == 1
    share = claim.shares["small"]._replace(owner_limit=1)
    found = await store.survey("small", share, now=3.0)
    assert list(found.turns) == [Turn(BOB.lower(), [b1.id], 1), Turn(ALICE.lower(), [a2.id], 0)]
    assert dict(found.delayed) == {late.id: 50.0}
    assert (found.places, dict(found.free)) == (8, {MACHINE: times(2)})
    assert [(rival.machine, rival.environment) for rival in found.rivals] == [(MACHINE, "large")]


@only_sqlite
async def test_a_machine_that_nobody_tells_of_is_not_there(
    store: JobStore, make_job: MakeJob
) -> None:
    claim = a_claim()
    await store.settle(claim, now=1000.0)
    share = claim.shares["small"]
    assert (await store.survey("small", share, now=1000.0 + claims.LOST_S)).free
    assert not (await store.survey("small", share, now=1001.0 + claims.LOST_S)).free
    await store.present(claim, now=1001.0 + claims.LOST_S)
    assert (await store.survey("small", share, now=1001.0 + claims.LOST_S)).free


# What it costs


async def fill(database: Database, wallets: int, jobs_each: int) -> None:
    """Queued jobs, written as they lie in the tables."""

    def work(connection: Connection) -> None:
        rows = [
            {
                "id": f"{k}-{n}", "owner": f"0x{n:05}", "owner_key": f"0x{n:05}",
                "environment": "small", "phase": "queued", "goal": "run", "revision": 1,
                "created_at": 1.0, "attempts": 0, "retry_at": 0.0, "image_id": "",
            }
            for k in range(jobs_each) for n in range(wallets)
        ]  # fmt: skip
        connection.execute(insert(jobs), rows)
        for n in range(wallets):
            turns.enter(connection, "small", f"0x{n:05}")

    await database.write(work)


async def steps_of_a_claim(database: Database) -> int:
    """Steps of SQLite's machine, counted without a clock; nothing is kept of it."""

    def work(connection: Connection) -> int:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        counted = 0

        def count() -> int:
            nonlocal counted
            counted += 1
            return 0

        with connection.begin_nested() as savepoint:
            driver.set_progress_handler(count, 1)
            try:
                assert len(claims.start_next(connection, a_claim(), 9.0)) == 1
            finally:
                driver.set_progress_handler(None, 1)
            savepoint.rollback()
        return counted

    return await database.write(work)


@only_sqlite
@pytest.mark.parametrize(("wallets", "each"), [(1, 10_000), (1_000, 10), (10_000, 1)])
async def test_a_claim_costs_the_same_however_long_the_queue_is(
    database: Database, wallets: int, each: int
) -> None:
    await fill(database, 1, 1)
    one = await steps_of_a_claim(database)
    await database.write(lambda connection: connection.exec_driver_sql("DELETE FROM jobs"))
    await database.write(lambda connection: connection.exec_driver_sql("DELETE FROM queue_turns"))
    await fill(database, wallets, each)
    assert await steps_of_a_claim(database) <= one * 1.5 + 50

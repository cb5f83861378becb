"""The contract of the job store: the queue, and everything that returns lists."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from job_factory import MakeJob, claim
from sqlalchemy import text

from compute.models import Job, Load, Outline
from compute.status import ACTIVE, TERMINAL, UNFINISHED, Goal, Phase
from compute.store.base import Database
from compute.store.jobs import JobStore

ALICE = "0xAaAaAaAaAaAaAaAaAaAaAaAaAaAaAaAaAaAaAaAa"
BOB = "0xBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBbBb"


async def insert_all(store: JobStore, *jobs: Job) -> list[Job]:
    return [await store.insert(job, queue_limit=10_000) for job in jobs]


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


# The queue


async def test_the_job_that_waited_longest_starts_first(store: JobStore, make_job: MakeJob) -> None:
    await insert_all(store, *(make_job(id=name) for name in ("c", "a", "b")))
    assert ids(await claim(store, "small", 2, now=2.0)) == ["c", "a"]
    assert ids(await claim(store, "small", 3, now=2.0)) == ["b"]


async def test_a_claimed_job_is_started(store: JobStore, make_job: MakeJob) -> None:
    (job,) = await insert_all(store, make_job())
    await store.note(job, now=1.0, attempts=4, retry_at=8.0)
    assert await claim(store, "small", 1, now=2.0) == []
    (claimed,) = await claim(store, "small", 1, now=9.0)
    assert (claimed.phase, claimed.attempts, claimed.retry_at) == (Phase.STARTED, 0, 0.0)
    assert claimed == await store.get(job.id)
    assert [(move.at, move.phase) for move in await store.history(job.id)] == [
        (1000.0, Phase.QUEUED),
        (9.0, Phase.STARTED),
    ]


@pytest.mark.parametrize("phase", sorted(ACTIVE))
async def test_each_active_phase_occupies_a_place(
    store: JobStore, make_job: MakeJob, phase: Phase
) -> None:
    await insert_all(store, make_job(phase=phase), make_job())
    assert await claim(store, "small", 1, now=2.0) == []
    assert len(await claim(store, "small", 2, now=2.0)) == 1


async def test_finished_jobs_occupy_no_place(store: JobStore, make_job: MakeJob) -> None:
    await insert_all(store, *(make_job(phase=phase) for phase in sorted(TERMINAL)), make_job())
    assert len(await claim(store, "small", 1, now=2.0)) == 1


async def test_jobs_not_wanted_any_more_are_passed_over(store: JobStore, make_job: MakeJob) -> None:
    first, second, third = await insert_all(store, make_job(), make_job(), make_job())
    await store.wish(first.id, Goal.STOP, now=2.0)
    await store.wish(second.id, Goal.DELETE, now=2.0)
    assert ids(await claim(store, "small", 1, now=2.0)) == [third.id]


async def test_environments_do_not_share_places(store: JobStore, make_job: MakeJob) -> None:
    await insert_all(store, make_job(), make_job(environment="large", id="large"))
    await claim(store, "small", 1, now=2.0)
    assert ids(await claim(store, "large", 1, now=2.0)) == ["large"]
    assert await claim(store, "unheard of", 1, now=2.0) == []


async def test_concurrent_claims_never_exceed_the_places(
    store: JobStore, make_job: MakeJob
) -> None:
    await insert_all(store, *(make_job() for _ in range(40)))
    claimed = await asyncio.gather(*(claim(store, "small", 5, now=2.0) for _ in range(64)))
    started = [job.id for jobs in claimed for job in jobs]
    assert len(started) == len(set(started)) == 5
    assert await store.loads() == {"small": Load(queued=35, active=5)}


async def test_claims_after_a_restart_bring_the_specification(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    jobs = await insert_all(store, *(make_job(dids=(f"did:op:{n}",)) for n in range(3)))
    claimed = await claim(JobStore(database), "small", 3, now=2.0)
    assert [job.spec for job in claimed] == [job.spec for job in jobs]


async def test_loads_count_queued_and_active_jobs(store: JobStore, make_job: MakeJob) -> None:
    jobs = [make_job(phase=phase) for phase in Phase]
    await insert_all(store, *jobs, make_job(environment="large"))
    assert await store.loads() == {
        "small": Load(queued=1, active=len(ACTIVE)),
        "large": Load(queued=1),
    }


# Finding


async def test_an_owner_is_found_in_any_casing(store: JobStore, make_job: MakeJob) -> None:
    job, _ = await insert_all(store, make_job(owner=ALICE), make_job(owner=BOB))
    for casing in (ALICE, ALICE.lower(), ALICE.upper().replace("X", "x")):
        assert await store.find(owner=casing) == [job]
    assert (await store.find(owner=ALICE.lower()))[0].owner == ALICE


async def test_newest_first_up_to_the_limit(store: JobStore, make_job: MakeJob) -> None:
    jobs = ids(await insert_all(store, *(make_job() for _ in range(5))))
    assert ids(await store.find()) == jobs[::-1]
    assert ids(await store.find(limit=2)) == jobs[:-3:-1]
    assert ids(await store.find(did="did:op:data", limit=2)) == jobs[:-3:-1]
    assert ids(await store.find(phases=UNFINISHED, limit=2)) == jobs[:-3:-1]


async def test_a_did_is_that_of_any_dataset_or_the_algorithm(
    store: JobStore, make_job: MakeJob
) -> None:
    (job, raw) = await insert_all(
        store,
        make_job(dids=("did:op:a", "did:op:b", "did:op:a"), algorithm="did:op:c"),
        make_job(dids=("did:op:c",), algorithm=""),
    )
    assert await store.find(did="did:op:a") == [job]
    assert await store.find(did="did:op:b") == [job]
    assert await store.find(did="did:op:c") == [raw, job]
    assert await store.find(did="") == []


async def test_all_conditions_must_be_met(store: JobStore, make_job: MakeJob) -> None:
    wanted, *others = await insert_all(
        store,
        make_job(owner=ALICE, dids=("did:op:a",), environment="large", phase=Phase.RUNNING),
        make_job(owner=BOB, dids=("did:op:a",), environment="large", phase=Phase.RUNNING),
        make_job(owner=ALICE, dids=("did:op:b",), environment="large", phase=Phase.RUNNING),
        make_job(owner=ALICE, dids=("did:op:a",), environment="small", phase=Phase.RUNNING),
        make_job(owner=ALICE, dids=("did:op:a",), environment="large", phase=Phase.QUEUED),
    )
    assert len(others) == 4
    running = {Phase.RUNNING, Phase.FILTERING}
    found = await store.find(owner=ALICE, did="did:op:a", environment="large", phases=running)
    assert found == [wanted]
    assert len(await store.find(owner=ALICE, did="did:op:a")) == 3
    assert len(await store.find(owner=ALICE, environment="large")) == 3
    assert len(await store.find(did="did:op:a", phases=running)) == 3
    assert len(await store.find(environment="large", phases=running)) == 3
    assert len(await store.find(environment="large")) == 4


async def test_no_phases_is_no_jobs(store: JobStore, make_job: MakeJob) -> None:
    await insert_all(store, make_job())
    assert await store.find(phases=[]) == []


async def test_a_cold_find_of_many_brings_every_specification(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    jobs = await insert_all(store, *(make_job() for _ in range(1100)))
    assert await JobStore(database).find(limit=2000) == jobs[::-1]


# What is left to do


async def test_unfinished_jobs_are_those_with_work_left(store: JobStore, make_job: MakeJob) -> None:
    jobs = [
        make_job(id=f"{phase}-{goal}", phase=phase, goal=goal) for phase in Phase for goal in Goal
    ]
    await insert_all(store, *jobs)
    expected = [
        job.id
        for job in jobs
        if job.phase in UNFINISHED or (job.goal is Goal.DELETE and job.phase is not Phase.DELETED)
    ]
    found = await store.backlog.unfinished()
    assert [job.id for job in found] == expected
    assert {(job.id, job.phase, job.goal) for job in found} <= {
        (job.id, job.phase, job.goal) for job in jobs
    }
    assert await store.backlog.ids() == set(expected)
    begun = [job.id for job in await store.backlog.unfinished(queued=False)]
    assert begun == [name for name in expected if not name.startswith("queued")]


async def test_how_long_unfinished_jobs_wait_is_told(store: JobStore, make_job: MakeJob) -> None:
    bought = make_job(retry_at=7.0)
    bought = replace(bought, spec=bought.spec.model_copy(update={"ends_by": 99.5}))
    many = [make_job() for _ in range(600)]
    await insert_all(store, *many, bought)
    found = await store.backlog.unfinished()
    assert [(job.created_at, job.retry_at, job.ends_by) for job in found] == [
        (job.created_at, job.retry_at, job.spec.ends_by) for job in (*many, bought)
    ]


async def test_expired_jobs_are_finished_and_past_their_time(
    store: JobStore, make_job: MakeJob
) -> None:
    def job(name: str, phase: Phase, expires_at: float | None) -> Job:
        return make_job(id=name, phase=phase, expires_at=expires_at)

    await insert_all(
        store,
        job("now", Phase.COMPLETED, 50.0),
        job("past", Phase.ALGORITHM_FAILED, 40.0),
        job("future", Phase.COMPLETED, 50.1),
        job("never", Phase.COMPLETED, None),
        job("deleted", Phase.DELETED, 40.0),
        job("running", Phase.RUNNING, 40.0),
    )
    assert ids(await store.expired(50.0)) == ["past", "now"]
    assert ids(await store.expired(50.0, limit=1)) == ["past"]
    assert await store.expired(39.9) == []


# Outlines


async def test_outlines_are_an_owners_jobs_that_are_not_deleted(
    store: JobStore, make_job: MakeJob
) -> None:
    jobs = await insert_all(
        store,
        make_job(owner=ALICE, dids=("did:op:a",)),
        make_job(owner=ALICE, phase=Phase.COMPLETED, finished_at=7.0),
        make_job(owner=ALICE, phase=Phase.DELETED),
        make_job(owner=BOB),
    )
    found = await store.outlines(owner=ALICE.lower())
    assert found == [
        Outline(job.id, ALICE, job.created_at, job.finished_at, job.phase) for job in jobs[1::-1]
    ]
    assert await store.outlines(owner=ALICE, did="did:op:a") == found[1:]
    assert await store.outlines(owner=ALICE, limit=1) == found[:1]


async def test_outlines_of_one_agreement(store: JobStore, make_job: MakeJob) -> None:
    def agreed(agreement_id: str) -> Job:
        return make_job(spec=make_job().spec.model_copy(update={"agreement_id": agreement_id}))

    names = ["0xab", "", 'x","agreement_id":"0xab', "%", "0x_b"]
    jobs = await insert_all(store, *map(agreed, names))
    for name, job in zip(names, jobs, strict=True):
        found = await store.outlines(owner=job.owner, agreement_id=name)
        assert [each.id for each in found] == [job.id]


async def test_an_outline_reads_no_specification(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    await insert_all(store, make_job(owner=ALICE))
    await database.write(lambda connection: connection.execute(text("DELETE FROM job_specs")))
    assert len(await JobStore(database).outlines(owner=ALICE)) == 1

"""What only one unfinished job may have: taken with the job, given back with its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from job_factory import MakeJob
from sqlalchemy import Connection, create_engine, select, text

from compute.errors import HoldTaken, MoveLost, QueueFull
from compute.models import Job
from compute.status import TERMINAL, Goal, Phase, may_move
from compute.store import schema
from compute.store.base import Database
from compute.store.database import open_database
from compute.store.jobs import JobStore
from compute.store.tables import job_holds

ORDER = "8996:0x" + "ab" * 32
OTHER = "8996:0x" + "cd" * 32
TO_RUNNING = (Phase.STARTED, Phase.CONFIGURING_VOLUMES, Phase.PROVISIONED, Phase.RUNNING)


def holding(make_job: MakeJob, *names: str) -> Job:
    """A queued job with these holds."""
    plain = make_job()
    return make_job(spec=plain.spec.model_copy(update={"holds": names}))


async def insert(store: JobStore, job: Job) -> Job:
    return await store.insert(job, queue_limit=100)


async def advance(store: JobStore, job: Job, *phases: Phase) -> Job:
    for phase in phases:
        job = await store.move(job, phase, now=2000.0)
    return job


async def held(database: Database) -> list[str]:
    """All names that are taken."""
    query = select(job_holds.c.name).order_by(job_holds.c.name)
    return await database.read(lambda connection: list(connection.execute(query).scalars()))


def path_to(end: Phase) -> list[Phase]:
    """Moves from the queue to a terminal phase."""
    found: dict[Phase, list[Phase]] = {Phase.QUEUED: []}
    while end not in found:
        for source, moves in list(found.items()):
            for target in Phase:
                if target not in found and may_move(source, target):
                    found[target] = [*moves, target]
    return found[end]


async def test_a_second_unfinished_job_is_refused_and_leaves_nothing(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    await insert(store, holding(make_job, ORDER))
    second = holding(make_job, OTHER, ORDER)
    with pytest.raises(HoldTaken, match="has not finished yet") as refused:
        await insert(store, second)
    assert refused.value.name == ORDER
    assert ORDER not in refused.value.public
    assert await held(database) == [ORDER]
    assert store.recall(second.id) is None
    assert len(await store.find()) == 1


async def test_what_comes_along_is_taken_back_with_the_refused_job(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    def mark(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE IF NOT EXISTS marks (mark INTEGER)"))
        connection.execute(text("INSERT INTO marks VALUES (1)"))

    def marks(connection: Connection) -> int:
        return int(connection.execute(text("SELECT count(*) FROM marks")).scalar_one())

    await store.insert(holding(make_job, ORDER), queue_limit=100, also=mark)
    with pytest.raises(HoldTaken):
        await store.insert(holding(make_job, ORDER), queue_limit=100, also=mark)
    assert await database.read(marks) == 1


@pytest.mark.parametrize("end", sorted(TERMINAL - {Phase.DELETED}))
async def test_every_end_gives_the_holds_back(
    store: JobStore, database: Database, make_job: MakeJob, end: Phase
) -> None:
    job = await insert(store, holding(make_job, ORDER, OTHER))
    *before, last = path_to(end)
    job = await advance(store, job, *before)
    assert await held(database) == [ORDER, OTHER]
    await advance(store, job, last)
    assert await held(database) == []
    again = await insert(store, holding(make_job, OTHER, ORDER))
    assert (await store.get(again.id)).phase is Phase.QUEUED


@pytest.mark.parametrize("phases", [(), TO_RUNNING[:1], TO_RUNNING])
async def test_an_unfinished_job_keeps_its_holds(
    store: JobStore, make_job: MakeJob, phases: Sequence[Phase]
) -> None:
    job = await insert(store, holding(make_job, ORDER))
    job = await advance(store, job, *phases)
    await store.wish(job.id, Goal.DELETE, now=2.0)
    await store.note(job, now=2.0, note="stopping")
    with pytest.raises(HoldTaken):
        await insert(store, holding(make_job, ORDER))


async def test_a_deleted_job_takes_nothing_of_its_successor(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    first = await insert(store, holding(make_job, ORDER))
    first = await advance(store, first, Phase.STOPPED)
    await insert(store, holding(make_job, ORDER))
    first = await advance(store, first, Phase.DELETED)
    assert first.spec.holds == (ORDER,)
    assert await held(database) == [ORDER]


async def test_a_lost_move_to_an_end_frees_nothing(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    queued = await insert(store, holding(make_job, ORDER))
    await advance(store, queued, Phase.STARTED)
    with pytest.raises(MoveLost):
        await store.move(queued, Phase.EXPIRED, now=2.0)
    assert await held(database) == [ORDER]


async def test_a_job_may_name_a_hold_twice(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    """Dataset and algorithm bought in one transaction."""
    job = await insert(store, holding(make_job, ORDER, ORDER))
    assert await held(database) == [ORDER]
    await advance(store, job, Phase.STOPPED)
    assert await held(database) == []


async def test_jobs_without_holds_do_not_meet(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    for _ in range(3):
        await insert(store, holding(make_job))
    assert await held(database) == []


async def test_of_concurrent_jobs_exactly_one_holds(store: JobStore, make_job: MakeJob) -> None:
    tries = (insert(store, holding(make_job, ORDER)) for _ in range(20))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, Job) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, HoldTaken) for outcome in outcomes) == 19


async def test_a_job_that_finds_no_place_takes_no_hold(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    with pytest.raises(QueueFull):
        await store.insert(holding(make_job, ORDER), queue_limit=0)
    assert await held(database) == []


async def test_holds_outlive_the_process(url: str, make_job: MakeJob) -> None:
    database = await open_database(url)
    job = await insert(JobStore(database), holding(make_job, ORDER))
    await database.close()
    database = await open_database(url)
    store = JobStore(database)
    with pytest.raises(HoldTaken):
        await insert(store, holding(make_job, ORDER))
    await advance(store, await store.get(job.id), Phase.STOPPED)
    await insert(store, holding(make_job, ORDER))
    await database.close()


async def test_a_specification_keeps_its_holds_and_its_end(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    spec = make_job().spec.model_copy(
        update={"holds": (ORDER, OTHER), "ends_by": 1234.5, "agreement_id": "0xagreed"}
    )
    job = await insert(store, make_job(spec=spec))
    assert (await JobStore(database).get(job.id)).spec == spec
    found = await store.outlines(owner=job.owner, agreement_id="0xagreed")
    assert [outline.id for outline in found] == [job.id]


OLD_JOB = (
    "INSERT INTO jobs (id, owner, owner_key, environment, phase, goal, revision, created_at,"
    " attempts, retry_at, image_id) VALUES ('old', '0xA', '0xa', 'small', 'queued', 'run', 1,"
    " 1.0, 0, 0.0, '')"
)
OLD_SPEC = (
    '{"datasets":[{"did":"did:op:1","service_id":"s","source":{}}],"algorithm":{"did":"",'
    '"service_id":"","image":{"image":"python","tag":"3.11","checksum":""},"entrypoint":"run",'
    '"custom_data":null,"source":{}},"documents":{},"network":false,"max_duration_s":60,'
    '"agreement_id":""}'
)


async def test_a_database_from_before_holds_goes_on(tmp_path: Path, make_job: MakeJob) -> None:
    only_first = tmp_path / "first"
    only_first.mkdir()
    step = schema.VERSIONS / "c0001_jobs.py"
    (only_first / step.name).write_text(step.read_text())
    engine = create_engine(f"sqlite:///{tmp_path}/jobs.db")
    with engine.begin() as connection:
        schema.upgrade(connection, [only_first])
        connection.exec_driver_sql(OLD_JOB)
        connection.exec_driver_sql("INSERT INTO job_specs VALUES (1, ?)", (OLD_SPEC,))
    engine.dispose()
    database = await open_database(f"sqlite:///{tmp_path}/jobs.db")
    store = JobStore(database)
    old = await store.get("old")
    assert (old.spec.holds, old.spec.ends_by, old.spec.stages[0].max_duration_s) == ((), None, 60)
    await advance(store, old, Phase.STOPPED)
    await insert(store, holding(make_job, ORDER))
    assert await held(database) == [ORDER]
    await database.close()

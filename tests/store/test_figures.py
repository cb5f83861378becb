"""Figures of the store: what stands, how long phases took, told once and only when durable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from job_factory import MakeJob, claim
from sqlalchemy import Connection, Select

from compute.errors import MoveLost
from compute.metrics import Recorder
from compute.models import Job
from compute.status import Goal, Phase
from compute.store import schema
from compute.store.base import Database
from compute.store.database import open_database
from compute.store.figures import Standing, standing, touch
from compute.store.jobs import JobStore


class Moved(NamedTuple):
    before: Phase | None
    after: Phase
    seconds: float


class Listening(Recorder):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.moves: list[Moved] = []
        self.commits: list[int] = []
        self.failed: list[int] = []

    def moved(self, environment: str, before: Phase | None, after: Phase, seconds: float) -> None:
        assert environment == "small"
        self.moves.append(Moved(before, after, seconds))

    def committed(self, units: int, seconds: float) -> None:
        assert seconds > 0
        self.commits.append(units)

    def commit_failed(self, units: int) -> None:
        self.failed.append(units)


@pytest.fixture
def told(database: Database) -> Listening:
    recorder = Listening()
    database.measure(recorder)
    return recorder


async def insert(store: JobStore, job: Job) -> Job:
    return await store.insert(job, queue_limit=100)


async def claim_one(store: JobStore, now: float) -> Job:
    [job] = await claim(store, "small", 100, now=now)
    return job


async def test_each_move_is_told_with_the_time_that_the_phase_took(
    store: JobStore, told: Listening, make_job: MakeJob
) -> None:
    await insert(store, make_job(created_at=1000.0))
    job = await claim_one(store, 1007.0)
    job = await store.note(job, now=1008.0, note="try 1 failed", attempts=1)
    job = await store.wish(job.id, Goal.STOP, now=1009.0)
    job = await store.move(job, Phase.CONFIGURING_VOLUMES, now=1010.0)
    await store.move(job, Phase.STOPPED, now=1010.5)
    assert told.moves == [
        (None, Phase.QUEUED, 0.0),
        (Phase.QUEUED, Phase.STARTED, 7.0),
        (Phase.STARTED, Phase.CONFIGURING_VOLUMES, 3.0),
        (Phase.CONFIGURING_VOLUMES, Phase.STOPPED, 0.5),
    ]


async def test_what_another_process_began_is_read_from_the_history(
    store: JobStore, database: Database, told: Listening, make_job: MakeJob
) -> None:
    await insert(store, make_job())
    job = await claim_one(store, 1002.0)
    job = await store.note(job, now=1003.0, note="noted")
    for phase, now in (
        (Phase.CONFIGURING_VOLUMES, 1004.0),
        (Phase.PROVISIONED, 1005.0),
        (Phase.RUNNING, 1006.0),
        (Phase.STARTED, 1007.0),
    ):
        stage = {"stage": 1} if (phase, now) == (Phase.STARTED, 1007.0) else {}
        job = await store.move(job, phase, now=now, **stage)  # type: ignore[arg-type]
    job = await store.note(job, now=1008.0, note="noted")
    fresh = JobStore(database)
    job = await fresh.move(job, Phase.CONFIGURING_VOLUMES, now=1017.0)
    assert told.moves[-1] == (Phase.STARTED, Phase.CONFIGURING_VOLUMES, 10.0)
    # This one still remembers when the first stage was here.
    await store.move(job, Phase.PROVISIONED, now=1018.0)
    assert told.moves[-1] == (Phase.CONFIGURING_VOLUMES, Phase.PROVISIONED, 1.0)


async def test_a_move_that_is_lost_is_not_told(
    store: JobStore, told: Listening, make_job: MakeJob
) -> None:
    queued = await insert(store, make_job())
    await claim_one(store, 1001.0)
    before = list(told.moves)
    with pytest.raises(MoveLost):
        await store.move(queued, Phase.EXPIRED, now=1002.0)
    assert told.moves == before


async def test_an_insert_that_is_taken_back_is_not_told(
    store: JobStore, told: Listening, make_job: MakeJob
) -> None:
    def refuses(connection: Connection) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.insert(make_job(), queue_limit=10, also=refuses)
    assert told.moves == []


async def test_commits_are_told(store: JobStore, told: Listening, make_job: MakeJob) -> None:
    for _ in range(3):
        await insert(store, make_job())
    assert sum(told.commits) == 3
    assert told.failed == []


async def test_what_stands_is_counted_by_environment_and_phase(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    assert await database.read(lambda connection: standing(connection, 2000.0)) == []
    for created_at in (1000.0, 1010.0, 1020.0):
        await insert(store, make_job(created_at=created_at))
    await insert(store, make_job(environment="other", created_at=1030.0))
    await insert(store, make_job(environment="later", created_at=1040.0, retry_at=3000.0))
    ended = await insert(store, make_job(environment="ended"))
    await store.move(ended, Phase.EXPIRED, now=1001.0)
    await claim(store, "small", 1, now=1050.0)
    found = await database.read(lambda connection: standing(connection, 2000.0))
    assert sorted(found) == [
        Standing("later", Phase.QUEUED, 1, None),
        Standing("other", Phase.QUEUED, 1, 1030.0),
        Standing("small", Phase.QUEUED, 2, 1010.0),
        Standing("small", Phase.STARTED, 1, 1000.0),
    ]


async def test_a_job_whose_time_has_come_waits_since_then(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    await insert(store, make_job(created_at=1000.0, retry_at=1500.0))
    [found] = await database.read(lambda connection: standing(connection, 1600.0))
    assert found.waiting_since == 1500.0


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_database(f"sqlite:///{tmp_path}/own.db")
    yield opened
    await opened.close()


async def test_what_has_ended_costs_nothing(sqlite: Database) -> None:
    def plan(connection: Connection) -> list[str]:
        statements: list[str] = []

        class Spy:
            def execute(self, query: Select[Any]) -> list[object]:
                literal = {"literal_binds": True}
                statements.append(str(query.compile(connection, compile_kwargs=literal)))
                return []

        standing(cast(Connection, Spy()), 1.0)
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statements[0]}")
        return [str(row[-1]) for row in rows]

    steps = await sqlite.read(plan)
    assert any("USING INDEX ix_jobs_phase (phase=?" in step for step in steps), steps
    assert not any(step.startswith("SCAN") for step in steps), steps


async def test_a_touch_is_a_write(sqlite: Database, tmp_path: Path) -> None:
    log = tmp_path / "own.db-wal"
    await sqlite.write(lambda connection: None)
    assert not log.exists() or log.stat().st_size == 0
    await sqlite.write(touch)
    assert log.stat().st_size > 0


async def test_a_touch_changes_nothing(database: Database) -> None:
    before = await database.read(schema.current)
    await database.write(touch)
    assert await database.read(schema.current) == before == schema.heads([schema.VERSIONS])

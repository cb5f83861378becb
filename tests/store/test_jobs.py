"""The contract of the job store: inserting, wishing, moving, noting."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from job_factory import MakeJob, only_sqlite
from sqlalchemy import Connection, text

from compute.errors import MoveLost, QueueFull, UnknownJob
from compute.models import AlgorithmItem, Image, Job, JobSpec, Move, ResultFile, Termination
from compute.status import Goal, Phase
from compute.store.base import Action, Database, Listener, T, Work
from compute.store.jobs import JobStore


def refuse(_connection: Connection) -> None:
    raise LookupError("refused")


def mark(connection: Connection) -> None:
    """A unit of another floor, whose effect can be counted."""
    connection.execute(text("CREATE TABLE IF NOT EXISTS marks (mark INTEGER)"))
    connection.execute(text("INSERT INTO marks VALUES (1)"))


async def marks(database: Database) -> int:
    def count(connection: Connection) -> int:
        if not connection.dialect.has_table(connection, "marks"):
            return 0
        return connection.execute(text("SELECT count(*) FROM marks")).scalar_one()

    return await database.read(count)


async def advance(store: JobStore, job: Job, *phases: Phase) -> Job:
    for phase in phases:
        job = await store.move(job, phase, now=2000.0)
    return job


TO_RUNNING = (Phase.STARTED, Phase.CONFIGURING_VOLUMES, Phase.PROVISIONED, Phase.RUNNING)
TO_COMPLETED = (*TO_RUNNING, Phase.PUBLISHING, Phase.COMPLETED)


# Inserting and getting


async def test_a_job_comes_back_as_it_went_in(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    job = make_job(
        owner="0xMiXeD",
        attempts=2,
        retry_at=5.5,
        image_id="sha256:1",
        started_at=1.5,
        ended_at=2.5,
        finished_at=3.5,
        expires_at=4.5,
        termination=Termination(Phase.ALGORITHM_FAILED, "exit_code", "It says 3.", 3, True),
        results=(ResultFile(0, "a/b.csv", 12, "00ff", "output"),),
    )
    assert await store.insert(job, queue_limit=1) == job
    assert await JobStore(database).get(job.id) == job


async def test_texts_that_no_database_stores_come_back(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    strange: dict[str, Any] = {
        "nul": "a\0b",
        "half": "\ud800",
        "deep": [1e300, None, True, -(2**70)],
    }
    algorithm = AlgorithmItem(image=Image(image="i"), entrypoint="e\0", custom_data=strange)
    spec = JobSpec(datasets=(), algorithm=algorithm, max_duration_s=1, documents={"d": strange})
    job = await store.insert(make_job(spec=spec), queue_limit=1)
    assert (await JobStore(database).get(job.id)).spec == spec


async def test_an_unknown_job_is_told(store: JobStore, make_job: MakeJob) -> None:
    missing = make_job(id="missing")
    with pytest.raises(UnknownJob):
        await store.get("missing")
    with pytest.raises(UnknownJob):
        await store.history("missing")
    with pytest.raises(UnknownJob):
        await store.wish("missing", Goal.STOP, now=1.0)
    with pytest.raises(UnknownJob):
        await store.move(missing, Phase.STARTED, now=1.0)
    with pytest.raises(UnknownJob):
        await store.note(missing, now=1.0, attempts=1)
    assert store.recall("missing") is None


async def test_the_queue_limit_holds_per_environment(store: JobStore, make_job: MakeJob) -> None:
    first = await store.insert(make_job(), queue_limit=2)
    await store.insert(make_job(), queue_limit=2)
    with pytest.raises(QueueFull):
        await store.insert(make_job(), queue_limit=2)
    await store.insert(make_job(environment="other"), queue_limit=1)
    await store.move(first, Phase.STARTED, now=2.0)
    await store.insert(make_job(), queue_limit=2)


async def test_the_limit_of_an_owner_leaves_room_for_others(
    store: JobStore, make_job: MakeJob
) -> None:
    async def queue(**fields: Any) -> Job:
        return await store.insert(make_job(**fields), queue_limit=9, owner_limit=2)

    await queue(owner="0xother")
    first = await queue()
    await queue(owner=first.owner.upper())
    with pytest.raises(QueueFull, match="wallet"):
        await queue(owner=first.owner.lower())
    await queue(owner="0xother")
    await queue(environment="other")
    await store.move(first, Phase.STARTED, now=2.0)
    await queue()


async def test_an_owner_may_take_the_free_places_besides(
    store: JobStore, make_job: MakeJob
) -> None:
    for _ in range(3):
        await store.insert(make_job(), queue_limit=9, owner_limit=1, places=2)
    with pytest.raises(QueueFull):
        await store.insert(make_job(), queue_limit=9, owner_limit=1, places=2)


async def test_concurrent_inserts_never_exceed_the_queue_limit(
    store: JobStore, make_job: MakeJob
) -> None:
    tries = (store.insert(make_job(), queue_limit=7) for _ in range(50))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, Job) for outcome in outcomes) == 7
    assert sum(isinstance(outcome, QueueFull) for outcome in outcomes) == 43
    assert (await store.loads())["small"].queued == 7


async def test_a_job_and_what_goes_with_it_commit_together(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    await store.insert(make_job(), queue_limit=1, also=mark)
    assert await marks(database) == 1
    with pytest.raises(QueueFull):
        await store.insert(make_job(), queue_limit=1, also=mark)
    assert await marks(database) == 1


async def test_no_job_when_what_goes_with_it_is_refused(store: JobStore, make_job: MakeJob) -> None:
    job = make_job()
    with pytest.raises(LookupError):
        await store.insert(job, queue_limit=1, also=refuse)
    assert store.recall(job.id) is None
    with pytest.raises(UnknownJob):
        await store.get(job.id)
    assert await store.find(did="did:op:data") == []


# Wishing


async def test_a_goal_only_rises(store: JobStore, make_job: MakeJob) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    assert (await store.wish(job.id, Goal.STOP, now=2.0)).goal is Goal.STOP
    assert (await store.wish(job.id, Goal.RUN, now=3.0)).goal is Goal.STOP
    assert (await store.wish(job.id, Goal.DELETE, now=4.0)).goal is Goal.DELETE
    assert (await store.wish(job.id, Goal.STOP, now=5.0)).goal is Goal.DELETE
    assert [move.goal for move in await store.history(job.id)] == [
        Goal.RUN,
        Goal.STOP,
        Goal.DELETE,
    ]


async def test_what_goes_with_a_wish_is_done_even_if_nothing_changes(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    for _ in range(2):
        await store.wish(job.id, Goal.STOP, now=2.0, also=mark)
    assert await marks(database) == 2


async def test_no_wish_when_what_goes_with_it_is_refused(
    store: JobStore, make_job: MakeJob
) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    with pytest.raises(LookupError):
        await store.wish(job.id, Goal.STOP, now=2.0, also=refuse)
    assert (await store.get(job.id)).goal is Goal.RUN


async def test_a_wish_for_several_is_for_all_or_none(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    ids = [(await store.insert(make_job(), queue_limit=9)).id for _ in range(3)]
    with pytest.raises(UnknownJob):
        await store.wish_all([*ids, "missing"], Goal.STOP, now=2.0, also=mark)
    assert await marks(database) == 0
    assert {(await store.get(job_id)).goal for job_id in ids} == {Goal.RUN}
    wished = await store.wish_all(ids, Goal.STOP, now=2.0, also=mark)
    assert [(job.id, job.goal) for job in wished] == [(job_id, Goal.STOP) for job_id in ids]
    assert await marks(database) == 1


# Moving


async def test_a_move_returns_the_wish_made_meanwhile(store: JobStore, make_job: MakeJob) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    await store.wish(job.id, Goal.STOP, now=2.0)
    moved = await store.move(job, Phase.STARTED, now=3.0)
    assert (moved.phase, moved.goal) == (Phase.STARTED, Goal.STOP)
    assert moved == await store.get(job.id)


async def test_a_move_from_another_phase_is_lost(store: JobStore, make_job: MakeJob) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    await store.move(job, Phase.STARTED, now=2.0)
    with pytest.raises(MoveLost):
        await store.move(job, Phase.STOPPED, now=3.0)
    with pytest.raises(MoveLost):
        await store.note(job, now=3.0, note="too late")
    assert (await store.get(job.id)).phase is Phase.STARTED
    assert len(await store.history(job.id)) == 2


async def test_of_many_moves_exactly_one_is_made(store: JobStore, make_job: MakeJob) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    targets = [Phase.STARTED, Phase.STOPPED, Phase.EXPIRED] * 10
    outcomes = await asyncio.gather(
        *(store.move(job, target, now=2.0) for target in targets), return_exceptions=True
    )
    assert sum(isinstance(outcome, Job) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, MoveLost) for outcome in outcomes) == 29


async def test_a_move_that_is_not_in_the_table_is_a_mistake(
    store: JobStore, make_job: MakeJob
) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    with pytest.raises(ValueError, match="queued -> running"):
        await store.move(job, Phase.RUNNING, now=2.0)


async def test_a_field_that_is_not_to_be_changed_is_a_mistake(
    store: JobStore, make_job: MakeJob
) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    wrong: dict[str, Any] = {"owner": "0xother"}
    with pytest.raises(TypeError, match="owner"):
        await store.move(job, Phase.STARTED, now=2.0, **wrong)


async def test_attempts_start_anew_with_each_phase(store: JobStore, make_job: MakeJob) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    job = await store.note(job, now=2.0, attempts=3, retry_at=9.0)
    assert (job.attempts, job.retry_at) == (3, 9.0)
    job = await store.move(job, Phase.STARTED, now=3.0)
    assert (job.attempts, job.retry_at) == (0, 0.0)
    job = await store.move(job, Phase.CONFIGURING_VOLUMES, now=3.0, attempts=1, retry_at=4.0)
    assert (job.attempts, job.retry_at) == (1, 4.0)


async def test_fields_change_with_a_move(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    job = await advance(store, await store.insert(make_job(), queue_limit=1), *TO_RUNNING)
    ended = Termination(Phase.COMPLETED, "exit_code", exit_code=0)
    job = await store.move(
        job,
        Phase.PUBLISHING,
        now=5.0,
        image_id="i",
        started_at=1.0,
        ended_at=2.0,
        termination=ended,
    )
    files = (
        ResultFile(0, "ä.csv", 1, "aa", "output"),
        ResultFile(1, "log", 2, "bb", "algorithmLog"),
    )
    job = await store.move(job, Phase.COMPLETED, now=6.0, results=files, expires_at=7.0)
    assert job == await JobStore(database).get(job.id)
    assert (job.image_id, job.started_at, job.ended_at, job.expires_at) == ("i", 1.0, 2.0, 7.0)
    assert (job.termination, job.results) == (ended, files)


async def test_the_time_of_finishing_is_set_once(store: JobStore, make_job: MakeJob) -> None:
    job = await advance(store, await store.insert(make_job(), queue_limit=1), *TO_RUNNING)
    assert job.finished_at is None
    job = await store.move(job, Phase.PUBLISHING, now=4.0)
    assert job.finished_at is None
    job = await store.move(job, Phase.COMPLETED, now=5.0)
    assert job.finished_at == 5.0
    job = await store.move(job, Phase.DELETED, now=6.0)
    assert job.finished_at == 5.0


async def test_history_tells_each_move_and_note(store: JobStore, make_job: MakeJob) -> None:
    job = await store.insert(make_job(created_at=1.0), queue_limit=1)
    job = await store.note(job, now=2.0, attempts=1)
    job = await store.note(job, now=3.0, note="the engine is away")
    await store.wish(job.id, Goal.STOP, now=4.0)
    await store.move(job, Phase.STOPPED, now=5.0, note="before its start")
    assert await store.history(job.id) == [
        Move(job.id, 1.0, Phase.QUEUED, Goal.RUN),
        Move(job.id, 3.0, Phase.QUEUED, Goal.RUN, "the engine is away"),
        Move(job.id, 4.0, Phase.QUEUED, Goal.STOP),
        Move(job.id, 5.0, Phase.STOPPED, Goal.STOP, "before its start"),
    ]


# What is kept in memory, where no other process writes


@only_sqlite
async def test_memory_and_table_agree_after_a_storm(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    """Moves, wishes, notes and readers with cold memories, all at once."""
    jobs = [await store.insert(make_job(), queue_limit=99) for _ in range(20)]

    async def run(job: Job) -> None:
        await advance(store, job, *TO_COMPLETED)

    async def disturb(job: Job) -> None:
        for number in range(8):
            await store.wish(job.id, list(Goal)[number % 3], now=3.0)
            await store.get(job.id)
            await store.find(owner=job.owner, limit=3)

    await asyncio.gather(*(work(job) for job in jobs for work in (run, disturb)))
    for job in jobs:
        assert store.recall(job.id) == await JobStore(database).get(job.id)
        assert (await store.get(job.id)).phase is Phase.COMPLETED


class HeldReads(Database):
    """A database whose answers to reads are on their way until ``arrive`` is set."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.read_done = asyncio.Event()
        self.arrive = asyncio.Event()

    @property
    def shared(self) -> bool:
        return self._database.shared

    def hear(self, listener: Listener) -> Action:
        return self._database.hear(listener)

    async def write(self, work: Work[T]) -> T:
        return await self._database.write(work)

    async def read(self, work: Work[T]) -> T:
        answer = await self._database.read(work)
        self.read_done.set()
        await self.arrive.wait()
        return answer

    async def close(self) -> None:
        await self._database.close()


@only_sqlite
async def test_a_late_reader_never_puts_back_an_older_row(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    held = HeldReads(database)
    cold = JobStore(held)
    reading = asyncio.create_task(cold.get(job.id))
    await held.read_done.wait()
    moved = await cold.move(job, Phase.STARTED, now=2.0)
    held.arrive.set()
    assert await reading == job
    assert cold.recall(job.id) == moved


@only_sqlite
async def test_memory_is_bounded_and_refilled(database: Database, make_job: MakeJob) -> None:
    store = JobStore(database, recent=2)
    jobs = [await store.insert(make_job(), queue_limit=9) for _ in range(3)]
    assert [store.recall(job.id) for job in jobs] == [None, *jobs[1:]]
    assert await store.get(jobs[0].id) == jobs[0]
    assert store.recall(jobs[0].id) == jobs[0]


@only_sqlite
async def test_a_lost_move_makes_the_next_look_go_to_the_table(
    database: Database, make_job: MakeJob
) -> None:
    store, other = JobStore(database), JobStore(database)
    job = await store.insert(make_job(), queue_limit=1)
    moved = await other.move(job, Phase.STARTED, now=2.0)
    assert await store.get(job.id) == job
    with pytest.raises(MoveLost):
        await store.move(job, Phase.STARTED, now=2.0)
    assert await store.get(job.id) == moved


async def test_the_specification_in_memory_is_not_parsed_again(
    store: JobStore, make_job: MakeJob
) -> None:
    job = await store.insert(make_job(), queue_limit=1)
    wished = await store.wish(job.id, Goal.STOP, now=2.0)
    (found,) = await store.find(owner=job.owner)
    (queued,) = await store.find(phases=[Phase.QUEUED])
    assert wished.spec is found.spec is queued.spec is job.spec
    assert replace(wished, goal=Goal.RUN) == job

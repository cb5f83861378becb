"""Several operators over one store: a job is one process's, and another's when that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace

import pytest
from compute_samples import DID, OWNER, a_spec
from sqlalchemy import update
from workshop import (
    IMAGE,
    NOTHING_LEFT,
    GatedEngine,
    MovableClock,
    Workshop,
    an_environment,
    ended,
    reach,
    start,
)

from compute.egress.rules import EgressRules, Hold
from compute.egress.verdict import Decision
from compute.engines.fake import FakeRun
from compute.environments import Environments
from compute.errors import MoveLost, StoreUnavailable
from compute.lease import Lease, Terms
from compute.models import DatasetItem, Job
from compute.operator import Operator, operating
from compute.status import Goal, Phase
from compute.store.backlog import Backlog
from compute.store.base import Action, Database, Listener, T, Work
from compute.store.jobs import JobStore
from compute.store.leases import Holder, renew
from compute.store.tables import jobs

REVIEWER = "0x" + "d1" * 20
SHORT = Terms(lease_s=1.5, renew_s=0.1, kept_back_s=0.3)
PATIENCE_S = 60.0


class SharedDatabase(Database):
    """A database that says others write into it, too; ``away`` it answers nobody."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.away = False

    @property
    def shared(self) -> bool:
        return True

    def hear(self, listener: Listener) -> Action:
        return self._inner.hear(listener)

    async def write(self, work: Work[T]) -> T:
        self._require()
        return await self._inner.write(work)

    async def read(self, work: Work[T]) -> T:
        self._require()
        return await self._inner.read(work)

    async def close(self) -> None:
        """The machine's database outlives the process."""

    def _require(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


class Process:
    """One operator process, as far as it can be told from outside."""

    def __init__(self, workshop: Workshop) -> None:
        self.database = SharedDatabase(workshop.database)
        self.store = JobStore(self.database)
        self.engine = GatedEngine(workshop.world)
        self._workshop = workshop

    def life(self, *, at_work: bool = True) -> object:
        workshop = self._workshop
        return operating(
            environments=workshop.environments,
            engine=self.engine,
            store=self.store,
            supplier=workshop.supplier,
            space=workshop.space,
            data_dir=workshop.data_dir,
            secrets_dir=workshop.secrets_dir,
            clock=workshop.clock,
            limits=workshop.limits,
            terms=SHORT,
            at_work=at_work,
        )


@contextmanager
def silenced(process: Process) -> Iterator[None]:
    """The process cannot reach the database, as when it stands still."""
    process.database.away = True
    try:
        yield
    finally:
        process.database.away = False


async def until_released(run: FakeRun) -> int:
    while not run.path("/data/outputs").joinpath("go").exists():
        await asyncio.sleep(0.005)
    run.path("/data/outputs/result.txt").write_text("42")
    return 0


async def open_life(stack: AsyncExitStack, process: Process, *, at_work: bool = True) -> Operator:
    opened: Operator = await stack.enter_async_context(process.life(at_work=at_work))  # type: ignore[arg-type]
    return opened


async def owner_of(store: JobStore, job: Job) -> str:
    return (await store.get(job.id)).operator


async def test_who_only_serves_leaves_the_work_to_others(workshop: Workshop) -> None:
    async with AsyncExitStack() as stack:
        desk = await open_life(stack, Process(workshop), at_work=False)
        job = await start(desk)
        await asyncio.sleep(0.05)
        assert (await desk.job(job.id)).phase is Phase.QUEUED
        told: list[Job] = []
        desk.on_end(told.append)
        await open_life(stack, Process(workshop))
        done = await ended(desk, job)
        assert done.phase is Phase.COMPLETED
        assert done.operator == ""
        async with asyncio.timeout(PATIENCE_S):
            while not told:
                await asyncio.sleep(0.005)
        assert [each.id for each in told] == [job.id]
        index = done.results[0].index
        assert desk.result(done, index)[1].read_bytes() == b"42"
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_wish_reaches_the_process_that_has_the_job(workshop: Workshop) -> None:
    workshop.environment(maxJobs=2)
    workshop.world.add_image(IMAGE, until_released)
    async with AsyncExitStack() as stack:
        desk = await open_life(stack, Process(workshop), at_work=False)
        await open_life(stack, Process(workshop))
        await open_life(stack, Process(workshop))
        jobs = [await start(desk) for _ in range(3)]
        for job in jobs[:2]:
            await reach(desk, job, Phase.RUNNING)
        stopped = await desk.stop([job.id for job in jobs])
        assert [job.phase for job in stopped] == [Phase.STOPPED] * 3
        deleted = await desk.delete([job.id for job in jobs])
        assert [job.phase for job in deleted] == [Phase.DELETED] * 3
    assert workshop.leftovers() == NOTHING_LEFT


async def test_jobs_of_a_process_that_ends_in_good_order_are_anothers_at_once(
    workshop: Workshop,
) -> None:
    workshop.world.add_image(IMAGE, until_released)
    first, second = Process(workshop), Process(workshop)
    async with AsyncExitStack() as stack:
        async with AsyncExitStack() as short:
            operator = await open_life(short, first)
            job = await start(operator)
            await reach(operator, job, Phase.RUNNING)
            former = await owner_of(first.store, job)
        operator = await open_life(stack, second)
        assert await owner_of(second.store, job) not in {"", former}
        release(workshop, job)
        assert (await ended(operator, job)).phase is Phase.COMPLETED
        notes = [move.note for move in await operator.history(job.id)]
        assert f"taken over from operator {former}" in notes
    assert list(workshop.world.starts.values()) == [1]
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_lease_that_lapses_gives_the_jobs_to_another_and_two_never_have_one(
    workshop: Workshop,
) -> None:
    workshop.world.add_image(IMAGE, until_released)
    first, second = Process(workshop), Process(workshop)
    async with AsyncExitStack() as stack:
        operator = await open_life(stack, first)
        job = await start(operator)
        await reach(operator, job, Phase.RUNNING)
        former = await owner_of(first.store, job)
        other = await open_life(stack, second)
        assert await owner_of(second.store, job) == former
        with silenced(first):
            async with asyncio.timeout(PATIENCE_S):
                while await owner_of(second.store, job) == former:
                    await asyncio.sleep(0.01)
            release(workshop, job)
            done = await ended(other, job)
        assert done.phase is Phase.COMPLETED
        assert (await ended(operator, job)).phase is Phase.COMPLETED
    assert list(workshop.world.starts.values()) == [1]
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_review_goes_on_when_the_process_that_began_it_is_gone(
    workshop: Workshop,
) -> None:
    workshop.environment(egress={"hold": "always", "reviewers": [REVIEWER]})
    brief = EgressRules(hold=Hold.ALWAYS, reviewers=(REVIEWER,), holdFor=2)
    dataset = DatasetItem(did=DID, service_id="s1", egress=brief)
    async with AsyncExitStack() as stack:
        async with AsyncExitStack() as short:
            operator = await open_life(short, Process(workshop))
            released = await start(operator)
            held = await reach(operator, released, Phase.HELD)
            assert (held.operator, held.machine) == ("", "")
            desk = await open_life(stack, Process(workshop), at_work=False)
            other = await open_life(stack, Process(workshop))
            expires = await start(operator, datasets=(dataset,))
            await reach(operator, expires, Phase.HELD, Phase.PUBLISHING_FAILED)
        done = await desk.decide(released.id, REVIEWER, Decision.RELEASED)
        assert done.phase is Phase.COMPLETED
        over = await ended(other, expires)
        assert over.termination
        assert over.termination.reason == "hold_expired"
    assert workshop.leftovers() == NOTHING_LEFT


async def test_who_lost_a_job_can_not_move_it(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_released)
    async with AsyncExitStack() as stack:
        process = Process(workshop)
        operator = await open_life(stack, process)
        job = await start(operator)
        held = await reach(operator, job, Phase.RUNNING)
        thief, now = Holder("thief"), workshop.clock()
        await process.database.write(lambda connection: renew(connection, thief, now, 3600.0))
        taken = await process.store.take_over(thief, now=now, alone=True)
        assert [each.id for each in taken] == [job.id]
        with pytest.raises(MoveLost):
            await process.store.move(held, Phase.PUBLISHING, now=workshop.clock())
        with pytest.raises(MoveLost):
            await process.store.note(held, now=workshop.clock(), pid=7)
        with pytest.raises(MoveLost):
            await process.store.take(held, "another")
        release(workshop, job)
        await asyncio.sleep(0.1)
        assert (await process.store.get(job.id)).phase is Phase.RUNNING


async def test_who_froze_before_the_launch_starts_nothing_that_another_has_ended(
    workshop: Workshop,
) -> None:
    first, second = Process(workshop), Process(workshop)
    async with AsyncExitStack() as stack:
        operator = await open_life(stack, first)
        reached = first.engine.hold("create")
        job = await start(operator)
        await reached.wait()
        other = await open_life(stack, second)
        with silenced(first):
            assert (await ended(other, job)).phase is Phase.COMPLETED
        first.engine.let_go("create")
        await asyncio.sleep(0.2)
    assert sum(workshop.world.starts.values()) == 1
    assert workshop.leftovers() == NOTHING_LEFT


async def test_no_job_is_lost_or_run_twice_by_several_that_come_and_go(workshop: Workshop) -> None:
    workshop.environment(maxJobs=4, maxQueue=100)
    async with AsyncExitStack() as stack:
        desk = await open_life(stack, Process(workshop), at_work=False)
        await open_life(stack, Process(workshop))
        jobs = [
            await desk.start(owner=OWNER, environment="small", spec=a_spec()) for _ in range(40)
        ]
        for _ in range(4):
            passing = Process(workshop)
            async with AsyncExitStack() as short:
                await open_life(short, passing)
                await asyncio.sleep(0.05)
                passing.database.away = True
            # Its lease is given back by nobody.
        done = [await ended(desk, job) for job in jobs]
    assert {job.phase for job in done} == {Phase.COMPLETED}
    assert len(workshop.world.starts) == 40
    assert set(workshop.world.starts.values()) == {1}
    assert workshop.leftovers() == NOTHING_LEFT


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def a_lease(process: Process, clock: MovableClock, hand: Hand) -> Lease:
    async def here() -> str:
        return "here"

    return Lease(process.store, machine=here, clock=clock, terms=Terms(10, 2.5, 3), monotonic=hand)


async def test_a_lease_is_held_for_less_than_it_lasts(workshop: Workshop) -> None:
    process, hand = Process(workshop), Hand()
    lease = a_lease(process, workshop.clock, hand)
    assert not lease.held
    await lease.take()
    assert lease.held
    hand.now = 6.9
    assert lease.held
    hand.now = 7.0
    assert not lease.held


async def test_a_clock_that_jumps_ends_no_lease_of_ones_own(workshop: Workshop) -> None:
    process, hand = Process(workshop), Hand()
    lease = a_lease(process, workshop.clock, hand)
    await lease.take()
    workshop.clock.advance(-3600)
    assert lease.held
    workshop.clock.advance(7200)
    assert lease.held


async def test_living_operators_are_counted(workshop: Workshop) -> None:
    process, hand = Process(workshop), Hand()
    assert await process.store.tenants.number(now=workshop.clock()) == 0
    lease = a_lease(process, workshop.clock, hand)
    await lease.take()
    await a_lease(process, workshop.clock, hand).take()
    assert await process.store.tenants.number(now=workshop.clock()) == 2
    await lease.give_back()
    assert await process.store.tenants.number(now=workshop.clock()) == 1
    workshop.clock.advance(11)
    assert await process.store.tenants.number(now=workshop.clock()) == 0


def release(workshop: Workshop, job: Job) -> None:
    """Let the algorithm come to its end."""
    for folder in (workshop.data_dir / "jobs" / job.id).rglob("outputs"):
        (folder / "go").touch()


async def test_jobs_of_an_environment_that_only_others_know_are_left_to_them(
    workshop: Workshop,
) -> None:
    """As while the environments are changed in one process after the other."""
    workshop.world.add_image(IMAGE, until_released)
    workshop.environment(maxJobs=1)
    newer = workshop.environments
    first, last = Process(workshop), Process(workshop)
    async with AsyncExitStack() as stack:
        async with AsyncExitStack() as short:
            operator = await open_life(short, first)
            running = await start(operator)
            await reach(operator, running, Phase.RUNNING)
            waiting = await start(operator)
            workshop.environments = Environments((an_environment(id="other"),))
            await open_life(stack, Process(workshop))
            workshop.environments = newer
            other = await open_life(stack, last)
            await asyncio.sleep(SHORT.lease_s)
            assert (await other.job(waiting.id)).phase is Phase.QUEUED
            assert (await other.job(running.id)).phase is Phase.RUNNING
        release(workshop, running)
        assert (await ended(other, running)).phase is Phase.COMPLETED
        await reach(other, waiting, Phase.RUNNING)
        release(workshop, waiting)
        assert (await ended(other, waiting)).phase is Phase.COMPLETED
    assert workshop.leftovers() == NOTHING_LEFT


async def test_jobs_of_an_environment_that_nobody_knows_any_more_come_to_their_end(
    workshop: Workshop,
) -> None:
    workshop.world.add_image(IMAGE, until_released)
    workshop.environment(maxJobs=1)
    workshop.limits = replace(workshop.limits, look_s=0.05)
    async with AsyncExitStack() as stack:
        async with AsyncExitStack() as short:
            operator = await open_life(short, Process(workshop))
            running = await start(operator)
            await reach(operator, running, Phase.RUNNING)
            waiting = await start(operator)
            workshop.environments = Environments((an_environment(id="other"),))
            other = await open_life(stack, Process(workshop))
            await open_life(stack, Process(workshop))
        for job in (running, waiting):
            end = (await ended(other, job)).termination
            assert end is not None
            assert end.reason == "environment_removed"
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_delete_whose_process_was_killed_after_the_jobs_end_is_another_ones(
    workshop: Workshop,
) -> None:
    async with AsyncExitStack() as stack:
        process = Process(workshop)
        operator = await open_life(stack, process)
        job = await ended(operator, await start(operator))
        # As a process leaves it that is killed between the two moves: nobody is told again.
        wished = update(jobs).where(jobs.c.id == job.id).values(goal=Goal.DELETE.value)
        await process.database.write(lambda connection: connection.execute(wished).rowcount)
        async with asyncio.timeout(PATIENCE_S):
            while (await operator.job(job.id)).phase is not Phase.DELETED:
                await asyncio.sleep(0.01)
    assert workshop.leftovers() == NOTHING_LEFT


async def test_secrets_that_another_process_shows_while_one_starts_are_left_alone(
    workshop: Workshop,
) -> None:
    place = workshop.secrets_dir / "queued-a-moment-ago"

    class Slow(Backlog):
        async def ids(self) -> set[str]:
            found = await super().ids()
            place.mkdir(mode=0o700)
            return found

    workshop.secrets_dir.mkdir(mode=0o700)
    left = workshop.secrets_dir / "left-by-a-crash"
    left.mkdir(mode=0o700)
    process = Process(workshop)
    process.store.backlog = Slow(process.database)
    async with AsyncExitStack() as stack:
        await open_life(stack, process)
        assert place.exists()
        assert not left.exists()
    place.rmdir()
    workshop.secrets_dir.rmdir()

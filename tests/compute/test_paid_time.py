"""What was paid for ends: in the queue, while staging, while the algorithm runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from compute_samples import DID, a_job, a_spec, an_environment
from small_inputs import MemoryFile, MemorySupplier
from workshop import HASTY, NOTHING_LEFT, Workshop, ended, phases_of, reach, start

from compute.decide import (
    STOPPED,
    Adopt,
    Conclude,
    Filter,
    Finish,
    Kill,
    Launch,
    PrepareImage,
    Provision,
    Publish,
    Rest,
    Step,
    next_step,
    queue_end,
)
from compute.engines.base import GONE, ContainerState, Observation
from compute.engines.fake import FakeRun, until_stopped
from compute.engines.faulty import UnreachableEngine
from compute.errors import HoldTaken
from compute.models import Job, Termination
from compute.operator import Operator
from compute.status import Goal, Phase

IMAGE = "python:3.11"
CREATED = Observation(ContainerState.CREATED)
RUNNING = Observation(ContainerState.RUNNING, started_at=500.0)
EXITED = Observation(ContainerState.EXITED, exit_code=0, started_at=500.0, finished_at=550.0)
COMPLETED = Termination(Phase.COMPLETED, "completed", "", 0)
PAID = Termination(
    Phase.ALGORITHM_FAILED, "paid_time_over", "the paid time was over before the algorithm's end"
)
LATE = Termination(
    Phase.EXPIRED, "paid_time_over", "the paid time was over before there was a place"
)
QUEUE = Termination(Phase.EXPIRED, "queue_wait", "waited longer than 600 s for a place")
SOON_S = 4.0
"""Paid time of jobs that have to come far within it, on a busy machine too."""
LIMIT = Termination(Phase.ALGORITHM_FAILED, "time_limit", "the algorithm ran longer than 60 s")


def step(
    phase: Phase,
    *,
    ends_by: float | None = 520.0,
    now: float = 520.0,
    goal: Goal = Goal.RUN,
    seen: Observation | None = None,
    filter_image: str = "",
    **changes: Any,
) -> Step:
    values: dict[str, Any] = {"created_at": 0.0, "started_at": 500.0} | changes
    job = a_job(phase=phase, goal=goal, spec=a_spec(ends_by=ends_by), **values)
    environment = an_environment(
        maxQueueWait=600, stopGrace=3.0, maxJobDuration=100, filterImage=filter_image
    )
    return next_step(job, environment, now, seen)


@pytest.mark.parametrize(
    ("ends_by", "now", "goal", "expected"),
    [
        (520.0, 519.9, Goal.RUN, Rest(520.0)),
        (520.0, 520.0, Goal.RUN, Finish(LATE)),
        (520.0, 900.0, Goal.RUN, Finish(LATE)),
        (520.0, 900.0, Goal.STOP, Finish(STOPPED)),
        (700.0, 599.0, Goal.RUN, Rest(600.0)),
        (700.0, 600.0, Goal.RUN, Finish(QUEUE)),
        (None, 599.0, Goal.RUN, Rest(600.0)),
        (None, 600.0, Goal.RUN, Finish(QUEUE)),
    ],
)
def test_in_the_queue(ends_by: float | None, now: float, goal: Goal, expected: Step) -> None:
    assert step(Phase.QUEUED, ends_by=ends_by, now=now, goal=goal) == expected


@pytest.mark.parametrize(
    ("ends_by", "expected"), [(None, 601.0), (9999.0, 601.0), (30.0, 30.0), (0.5, 0.5)]
)
def test_how_long_a_job_may_wait(ends_by: float | None, expected: float) -> None:
    job = a_job(created_at=1.0, spec=a_spec(ends_by=ends_by))
    assert queue_end(job, an_environment(maxQueueWait=600)) == expected


@pytest.mark.parametrize(
    ("phase", "work"), [(Phase.STARTED, PrepareImage()), (Phase.CONFIGURING_VOLUMES, Provision())]
)
def test_while_it_is_prepared(phase: Phase, work: Step) -> None:
    assert step(phase, now=519.9) == work
    assert step(phase) == Finish(PAID)
    assert step(phase, retry_at=530.0) == Finish(PAID)
    assert step(phase, ends_by=None, now=1e12) == work
    assert step(phase, goal=Goal.STOP) == Finish(STOPPED)


@pytest.mark.parametrize(
    ("seen", "now", "goal", "expected"),
    [
        (GONE, 519.9, Goal.RUN, Launch()),
        (GONE, 520.0, Goal.RUN, Finish(PAID)),
        (CREATED, 520.0, Goal.RUN, Finish(PAID)),
        (CREATED, 520.0, Goal.STOP, Finish(STOPPED)),
        (RUNNING, 520.0, Goal.RUN, Adopt(500.0)),
        (EXITED, 520.0, Goal.RUN, Adopt(500.0)),
    ],
)
def test_before_the_container_starts(
    seen: Observation, now: float, goal: Goal, expected: Step
) -> None:
    assert step(Phase.PROVISIONED, seen=seen, now=now, goal=goal) == expected


@pytest.mark.parametrize(
    ("ends_by", "now", "expected"),
    [
        (520.0, 519.9, Rest(520.0)),
        (520.0, 520.0, Kill(PAID, 3.0)),
        (600.0, 559.9, Rest(560.0)),
        (600.0, 560.0, Kill(LIMIT, 3.0)),
        (560.0, 560.0, Kill(LIMIT, 3.0)),
        (490.0, 501.0, Kill(PAID, 3.0)),
        (None, 559.9, Rest(560.0)),
    ],
)
def test_while_it_runs(ends_by: float | None, now: float, expected: Step) -> None:
    assert step(Phase.RUNNING, ends_by=ends_by, now=now, seen=RUNNING) == expected


def test_an_algorithm_that_ended_in_time_keeps_its_outcome() -> None:
    assert step(Phase.RUNNING, now=9999.0, seen=EXITED) == Conclude(COMPLETED, EXITED)
    filtering = step(Phase.FILTERING, now=9999.0, seen=GONE, filter_image="filter")
    assert filtering == Filter()
    assert step(Phase.PUBLISHING, now=9999.0) == Publish()


def test_an_end_before_the_container_is_carried_through_after_a_crash() -> None:
    for seen in (GONE, CREATED, RUNNING):
        assert step(Phase.PROVISIONED, now=1.0, seen=seen, termination=PAID) == Finish(PAID)


# On a whole operator


async def buy(workshop: Workshop, operator: Operator, seconds: float, **spec: Any) -> Job:
    """Start a job whose paid time is over so many seconds from now."""
    return await start(operator, ends_by=workshop.clock() + seconds, **spec)


def reason(job: Job) -> tuple[int, str]:
    assert job.termination is not None
    return job.phase.number, job.termination.reason


async def test_2_no_place_within_the_paid_time(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        await reach(operator, await start(operator), Phase.RUNNING)
        waiting = await ended(operator, await buy(workshop, operator, 0.5))
        assert await phases_of(operator, waiting) == [1, 2]
    assert reason(waiting) == (2, "paid_time_over")


async def test_2_also_when_nobody_was_there_to_see_it(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        await reach(operator, await start(operator), Phase.RUNNING)
        waiting = await buy(workshop, operator, 30)
    workshop.clock.advance(31)
    async with workshop.operator() as operator:
        assert reason(await ended(operator, waiting)) == (2, "paid_time_over")


async def test_41_the_image_does_not_come_in_time(workshop: Workshop) -> None:
    workshop.engine.hold("ensure_image")
    async with workshop.operator() as operator:
        job = await ended(operator, await buy(workshop, operator, SOON_S))
        assert await phases_of(operator, job) == [1, 10, 41]
    assert reason(job) == (41, "paid_time_over")
    assert workshop.world.starts.total() == 0
    assert workshop.leftovers() == NOTHING_LEFT


async def test_41_the_inputs_do_not_come_in_time(workshop: Workshop) -> None:
    slow = MemoryFile("a.csv", b"rows", validator="1")
    slow.gate = asyncio.Event()
    workshop.supplier = MemorySupplier({DID: [slow]}, [MemoryFile("algo.py", b"code")])
    async with workshop.operator() as operator:
        job = await ended(operator, await buy(workshop, operator, SOON_S))
        assert await phases_of(operator, job) == [1, 10, 20, 41]
        assert slow.held.is_set()
    assert reason(job) == (41, "paid_time_over")
    assert job.results == ()
    assert workshop.leftovers() == NOTHING_LEFT


async def test_41_the_container_was_made_but_not_started_in_time(workshop: Workshop) -> None:
    reached = workshop.engine.hold("create")
    async with workshop.operator() as operator:
        job = await buy(workshop, operator, 30)
        await reached.wait()
        workshop.clock.advance(31)
        workshop.engine.let_go("create")
        job = await ended(operator, job)
        assert await phases_of(operator, job) == [1, 10, 20, 30, 41]
    assert reason(job) == (41, "paid_time_over")
    assert workshop.world.starts.total() == 0
    assert workshop.leftovers() == NOTHING_LEFT


async def test_41_it_runs_until_the_paid_time_is_over_and_no_longer(workshop: Workshop) -> None:
    async def writes_and_waits(run: FakeRun) -> int:
        run.path("/data/outputs/half.txt").write_text("half")
        return await until_stopped(run)

    workshop.world.add_image(IMAGE, writes_and_waits)
    workshop.environment(stopGrace=0.1)
    async with workshop.operator() as operator:
        job = await ended(operator, await buy(workshop, operator, SOON_S))
        assert await phases_of(operator, job) == [1, 10, 20, 30, 40, 60, 41]
    assert reason(job) == (41, "paid_time_over")
    assert job.spec.ends_by is not None
    assert job.ended_at is not None
    assert 0 <= job.ended_at - job.spec.ends_by < 5
    assert [file.filename for file in job.results] == ["half.txt", "algorithm.log"]


async def test_41_a_run_is_ended_by_the_next_process(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        job = await reach(operator, await buy(workshop, operator, 30), Phase.RUNNING)
    workshop.clock.advance(31)
    async with workshop.operator() as operator:
        assert reason(await ended(operator, job)) == (41, "paid_time_over")
    assert workshop.leftovers() == NOTHING_LEFT


async def test_41_an_engine_that_comes_back_too_late_starts_nothing(workshop: Workshop) -> None:
    workshop.limits = replace(HASTY, look_s=0.01, watch_s=0.01)
    engine = UnreachableEngine(workshop.world)
    engine.switch_on()
    async with workshop.operator(engine=engine) as operator:
        engine.switch_off()
        job = await reach(operator, await buy(workshop, operator, 30), Phase.STARTED)
        workshop.clock.advance(31)
        assert reason(await ended(operator, job)) == (41, "paid_time_over")
    assert workshop.world.starts.total() == 0


async def test_a_job_within_its_paid_time_is_like_any_other(workshop: Workshop) -> None:
    async with workshop.operator() as operator:
        job = await ended(operator, await buy(workshop, operator, 3600))
    assert reason(job) == (70, "completed")


@pytest.mark.parametrize("goal", [Goal.STOP, Goal.DELETE])
async def test_an_order_carries_the_next_job_once_the_first_is_over(
    workshop: Workshop, goal: Goal
) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        running = await reach(operator, await start(operator, holds=("0xorder",)), Phase.RUNNING)
        with pytest.raises(HoldTaken):
            await start(operator, holds=("0xorder",))
        wish = operator.stop if goal is Goal.STOP else operator.delete
        await wish([running.id])
        second = await start(operator, holds=("0xorder",))
        await reach(operator, second, Phase.RUNNING)


async def test_an_order_is_free_again_after_a_queued_job_was_deleted(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        await reach(operator, await start(operator), Phase.RUNNING)
        queued = await start(operator, holds=("0xorder",))
        await operator.delete([queued.id])
        assert (await operator.job(queued.id)).phase is Phase.DELETED
        await start(operator, holds=("0xorder",))

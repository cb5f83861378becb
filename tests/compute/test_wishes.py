"""Stop and delete, in every phase."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from compute_samples import DID
from small_inputs import MemoryFile, MemorySupplier
from workshop import (
    NOTHING_LEFT,
    GatedSpace,
    Workshop,
    ended,
    reach,
    start,
)

from compute.engines.fake import (
    FakeRun,
    until_stopped,
)
from compute.layout import container_name
from compute.models import Job
from compute.operator import Operator
from compute.status import Goal, Phase

IMAGE = "python:3.11"

Arrange = Callable[[Workshop], Callable[[], None]]


def nothing_to_let_go() -> None:
    """The phase holds by itself."""


def hold_verb(verb: str) -> Arrange:
    def arrange(workshop: Workshop) -> Callable[[], None]:
        workshop.engine.hold(verb)
        return lambda: workshop.engine.let_go(verb)

    return arrange


def hold_inputs(workshop: Workshop) -> Callable[[], None]:
    file = MemoryFile("a.csv", b"rows")
    file.gate = asyncio.Event()
    workshop.supplier = MemorySupplier({DID: [file]}, [])
    return nothing_to_let_go


def hold_running(workshop: Workshop) -> Callable[[], None]:
    workshop.world.add_image(IMAGE, until_stopped)
    return nothing_to_let_go


def hold_filter(workshop: Workshop) -> Callable[[], None]:
    workshop.environment(filterImage="lab/filter:1")
    gate = asyncio.Event()

    async def waits(run: FakeRun) -> int:
        await gate.wait()
        return 0

    workshop.world.add_image("lab/filter:1", waits)
    return gate.set


def hold_publishing(workshop: Workshop) -> Callable[[], None]:
    space = GatedSpace()
    space.gate.clear()
    workshop.space = space
    return space.gate.set


def hold_queue(workshop: Workshop) -> Callable[[], None]:
    workshop.environment(maxJobs=1)
    workshop.world.add_image(IMAGE, until_stopped)
    return nothing_to_let_go


PHASES: dict[Phase, tuple[Arrange, Phase]] = {
    Phase.QUEUED: (hold_queue, Phase.STOPPED),
    Phase.STARTED: (hold_verb("ensure_image"), Phase.STOPPED),
    Phase.CONFIGURING_VOLUMES: (hold_inputs, Phase.STOPPED),
    Phase.PROVISIONED: (hold_verb("create"), Phase.STOPPED),
    Phase.RUNNING: (hold_running, Phase.STOPPED),
    Phase.FILTERING: (hold_filter, Phase.COMPLETED),
    Phase.PUBLISHING: (hold_publishing, Phase.COMPLETED),
}


async def held_in(operator: Operator, phase: Phase) -> Job:
    """A job that is held in this phase, behind another one for the queue."""
    if phase is Phase.QUEUED:
        await reach(operator, await start(operator), Phase.RUNNING)
        return await start(operator)
    return await reach(operator, await start(operator), phase)


@pytest.mark.parametrize("phase", PHASES)
async def test_stop_in_every_phase(workshop: Workshop, phase: Phase) -> None:
    arrange, end = PHASES[phase]
    let_go = arrange(workshop)
    async with workshop.operator() as operator:
        job = await held_in(operator, phase)
        wish = asyncio.create_task(operator.stop([job.id]))
        await goal_reached(operator, job, Goal.STOP)
        let_go()
        async with asyncio.timeout(60):
            (stopped,) = await wish
        assert stopped.goal is Goal.STOP
        job = await ended(operator, job)
        assert job.phase in {end, Phase.STOPPED}
        assert job.finished_at
    assert job.id not in workshop.leftovers()["folders"]
    assert container_name(job.id) not in workshop.world.containers
    assert workshop.world.starts[container_name(job.id)] <= 1


@pytest.mark.parametrize("phase", PHASES)
async def test_delete_in_every_phase(workshop: Workshop, phase: Phase) -> None:
    let_go = PHASES[phase][0](workshop)
    async with workshop.operator() as operator:
        job = await held_in(operator, phase)
        wish = asyncio.create_task(operator.delete([job.id]))
        await goal_reached(operator, job, Goal.DELETE)
        let_go()
        async with asyncio.timeout(60):
            (deleted,) = await wish
        assert deleted.phase.number == 8
        assert deleted.results == ()
        assert not (workshop.data_dir / "results" / job.id).exists()
    assert job.id not in workshop.leftovers()["folders"]
    assert not [name for name in workshop.world.containers if job.id in name]


async def goal_reached(operator: Operator, job: Job, goal: Goal) -> None:
    async with asyncio.timeout(60):
        while (await operator.job(job.id)).goal is not goal:
            await asyncio.sleep(0)


async def test_an_interrupted_pull_or_staging_is_given_up_at_once(workshop: Workshop) -> None:
    workshop.engine.hold("ensure_image")
    async with workshop.operator() as operator:
        job = await held_in(operator, Phase.STARTED)
        async with asyncio.timeout(60):
            (stopped,) = await operator.stop([job.id])
        assert stopped.phase is Phase.STOPPED
    assert workshop.leftovers() == NOTHING_LEFT


async def test_several_are_stopped_in_one_call(workshop: Workshop) -> None:
    workshop.environment(maxJobs=2)
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        jobs = [await start(operator) for _ in range(4)]
        await reach(operator, jobs[0], Phase.RUNNING)
        stopped = await operator.stop([job.id for job in jobs])
        assert [job.id for job in stopped] == [job.id for job in jobs]
        assert {job.phase for job in stopped} == {Phase.STOPPED}
        again = await operator.stop([job.id for job in jobs])
        assert again == stopped
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_stop_that_takes_longer_is_answered_with_what_is(workshop: Workshop) -> None:
    async def stubborn(run: FakeRun) -> int:
        await asyncio.Event().wait()
        return 0

    workshop.environment(stopGrace=2)
    workshop.world.add_image(IMAGE, stubborn)
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        (answer,) = await operator.stop([job.id], wait_s=0.01)
        assert (answer.phase, answer.goal) == (Phase.RUNNING, Goal.STOP)
        job = await ended(operator, job)
    assert job.phase is Phase.STOPPED
    assert job.termination
    assert job.termination.exit_code == 137

"""A machine's clock that is set forward or back by hours while jobs go on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from compute_samples import DID
from small_inputs import MemoryFile, MemorySupplier
from workshop import HASTY, IMAGE, NOTHING_LEFT, Workshop, ended, reach, start

from compute.engines.fake import FakeRun, until_stopped
from compute.errors import InputUnavailable
from compute.models import DatasetItem
from compute.status import Goal, Phase

HOURS = 5 * 3600.0


class Finishable:
    """An algorithm that ends when it is told to."""

    def __init__(self) -> None:
        self.finish = asyncio.Event()

    async def run(self, run: FakeRun) -> int:
        await self.finish.wait()
        run.path("/data/outputs/result.txt").write_text("42")
        return 0


class Late(MemorySupplier):
    """An origin that does not answer before it is ``there``; ``asked`` tells that it was."""

    def __init__(self) -> None:
        super().__init__(
            {DID: [MemoryFile("a.csv", b"rows", validator="1")]},
            [MemoryFile("algo.py", b"code", validator="1")],
        )
        self.there = False
        self.asked = asyncio.Event()

    async def dataset(self, item: DatasetItem) -> list[MemoryFile]:
        self.asked.set()
        if not self.there:
            raise InputUnavailable("The origin does not answer", temporary=True)
        return list(await super().dataset(item))


async def test_forward_the_running_job_is_out_of_time_and_the_next_has_its_turn(
    workshop: Workshop,
) -> None:
    workshop.environment(maxJobs=1)
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        first, second = await start(operator), await start(operator)
        await reach(operator, first, Phase.RUNNING)
        workshop.clock.advance(HOURS)
        await workshop.wake(first)
        over = await ended(operator, first)
        assert over.termination is not None
        assert (over.phase, over.termination.reason) == (Phase.ALGORITHM_FAILED, "time_limit")
        assert (await reach(operator, second, Phase.RUNNING)).started_at == pytest.approx(
            workshop.clock(), abs=60
        )
        await operator.stop([second.id])
    assert workshop.leftovers() == NOTHING_LEFT


async def test_back_a_running_job_goes_on_and_completes(workshop: Workshop) -> None:
    algorithm = Finishable()
    workshop.environment(maxJobs=2)
    workshop.world.add_image(IMAGE, algorithm.run)
    async with workshop.operator() as operator:
        job = await start(operator)
        await reach(operator, job, Phase.RUNNING)
        workshop.clock.advance(-HOURS)
        await workshop.wake(job)
        following = await start(operator)
        await reach(operator, following, Phase.RUNNING)
        algorithm.finish.set()
        for each in (job, following):
            done = await ended(operator, each)
            assert done.phase is Phase.COMPLETED
            assert done.finished_at == pytest.approx(workshop.clock(), abs=60)
            assert [file.filename for file in done.results if file.type == "output"] == [
                "result.txt"
            ]
    assert workshop.leftovers() == NOTHING_LEFT


async def test_back_the_next_try_does_not_wait_for_hours(workshop: Workshop) -> None:
    supplier = Late()
    workshop.limits = replace(HASTY, first_backoff_s=0.2, most_backoff_s=0.2)
    async with workshop.operator(supplier=supplier) as operator:
        job = await start(operator)
        async with asyncio.timeout(60):
            await supplier.asked.wait()
            while not (await operator.job(job.id)).retry_at:
                await asyncio.sleep(0.001)
        workshop.clock.advance(-HOURS)
        supplier.there = True
        assert (await ended(operator, job)).phase is Phase.COMPLETED


async def test_an_operator_that_starts_before_its_jobs_were_made(workshop: Workshop) -> None:
    """A machine that comes up with a clock of the past adopts what runs and starts what waits."""
    algorithm = Finishable()
    workshop.environment(maxJobs=1)
    workshop.world.add_image(IMAGE, algorithm.run)
    async with workshop.operator() as operator:
        running, waiting, unwanted = [await start(operator) for _ in range(3)]
        await reach(operator, running, Phase.RUNNING)
    workshop.clock.advance(-HOURS)
    async with workshop.operator() as operator:
        stopped = await operator.stop([unwanted.id])
        assert [(job.phase, job.goal) for job in stopped] == [(Phase.STOPPED, Goal.STOP)]
        algorithm.finish.set()
        assert (await ended(operator, running)).phase is Phase.COMPLETED
        assert (await ended(operator, waiting)).phase is Phase.COMPLETED
    assert workshop.leftovers() == NOTHING_LEFT

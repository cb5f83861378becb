"""Death at every call: the job ends the same, runs once, and nothing is left over.

A first operator dies at its k-th call to engine, store or space, before or after that call
took effect; a second one on the same machine must bring the job to the same end. k counts
up until the first operator survives.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from compute_samples import DID, OTHER_DID, OWNER, a_job, a_spec, a_spec_of_stages
from small_inputs import MemoryFile, MemorySupplier
from workshop import (
    HASTY,
    NOTHING_LEFT,
    Fate,
    MortalDatabase,
    MortalEngine,
    MortalSpace,
    Workshop,
    ended,
    reach,
    writes_a_result,
)

from compute.egress.rules import EgressRules
from compute.egress.verdict import Decision
from compute.engines.fake import FakeRun, until_stopped
from compute.errors import ReviewOver, UnknownJob
from compute.models import DatasetItem, Job
from compute.operator import Operator
from compute.status import TERMINAL, Phase
from compute.store.base import nothing
from compute.store.jobs import JobStore

IMAGE = "python:3.11"
REVIEWER, OTHER_REVIEWER = "0x" + "d1" * 20, "0x" + "d2" * 20
Drive = Callable[[Workshop, Operator, Job], Awaitable[Job]]


async def exits_3(run: FakeRun) -> int:
    run.path("/data/outputs/result.txt").write_text("half")
    return 3


async def let_run(workshop: Workshop, operator: Operator, job: Job) -> Job:
    return await ended(operator, job)


async def stop_when_running(workshop: Workshop, operator: Operator, job: Job) -> Job:
    await up(workshop, operator, job)
    await operator.stop([job.id], wait_s=0)
    return await ended(operator, job)


async def delete_when_running(workshop: Workshop, operator: Operator, job: Job) -> Job:
    await up(workshop, operator, job)
    await operator.delete([job.id], wait_s=0)
    return await reach(operator, job, Phase.DELETED)


async def delete_when_done(workshop: Workshop, operator: Operator, job: Job) -> Job:
    await ended(operator, job)
    await operator.delete([job.id], wait_s=0)
    return await reach(operator, job, Phase.DELETED)


async def up(workshop: Workshop, operator: Operator, job: Job) -> None:
    """Wait until the algorithm runs, or is over."""
    async with asyncio.timeout(60):
        while (await operator.job(job.id)).phase.number < 40:
            if (await operator.job(job.id)).phase.terminal:
                return
            await asyncio.sleep(0.001)


def plain(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, writes_a_result)


def failing(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, exits_3)


def filtered(workshop: Workshop) -> None:
    """By its environment's filter, and by its dataset's."""
    workshop.environment(filterImage="lab/filter:1")
    for number in (1, 2):
        workshop.world.add_image(f"lab/filter:{number}", writes_a_result)
    rules = EgressRules(filterImage="lab/filter:2")
    workshop.spec = a_spec(datasets=(DatasetItem(did=DID, service_id="s1", egress=rules),))


def badly_filtered(workshop: Workshop) -> None:
    workshop.environment(filterImage="lab/filter:1")
    workshop.world.add_image("lab/filter:1", exits_3)


def refused(workshop: Workshop) -> None:
    rules = EgressRules(noInputCopies=True, maxFiles=0)
    workshop.spec = a_spec(datasets=(DatasetItem(did=DID, service_id="s1", egress=rules),))


def endless(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)


def in_stages(workshop: Workshop) -> None:
    for stage in ("fetch", "train"):
        workshop.world.add_image(f"lab/{stage}:1", writes_a_result)
    workshop.spec = a_spec_of_stages("fetch", "train")


def failing_in_the_second_stage(workshop: Workshop) -> None:
    in_stages(workshop)
    workshop.world.add_image("lab/train:1", exits_3)


def endless_in_the_second_stage(workshop: Workshop) -> None:
    in_stages(workshop)
    workshop.world.add_image("lab/train:1", until_stopped)


async def stop_in_the_second_stage(workshop: Workshop, operator: Operator, job: Job) -> Job:
    async with asyncio.timeout(60):
        while not ((now := await operator.job(job.id)).phase.terminal or now.stage):
            await asyncio.sleep(0.001)
    return await stop_when_running(workshop, operator, job)


def held(workshop: Workshop) -> None:
    workshop.environment(egress={"hold": "always", "reviewers": [REVIEWER]})
    data_owners = EgressRules(maxFiles=1, hold="fired", reviewers=(OTHER_REVIEWER,))
    dataset = DatasetItem(did=DID, service_id="s1", egress=data_owners)
    workshop.spec = a_spec(datasets=(dataset,))

    async def writes_two(run: FakeRun) -> int:
        run.path("/data/outputs/more.txt").write_text("43")
        return await writes_a_result(run)

    workshop.world.add_image(IMAGE, writes_two)


async def release(workshop: Workshop, operator: Operator, job: Job) -> Job:
    await up_to_review(operator, job)
    for reviewer in (REVIEWER, OTHER_REVIEWER):
        await decide(operator, job, reviewer, Decision.RELEASED)
    return await ended(operator, job)


async def release_half_and_refuse(workshop: Workshop, operator: Operator, job: Job) -> Job:
    await up_to_review(operator, job)
    await decide(operator, job, REVIEWER, Decision.RELEASED)
    await decide(operator, job, OTHER_REVIEWER, Decision.REFUSED)
    return await ended(operator, job)


async def delete_while_held(workshop: Workshop, operator: Operator, job: Job) -> Job:
    await up_to_review(operator, job)
    await operator.delete([job.id], wait_s=0)
    return await reach(operator, job, Phase.DELETED)


async def up_to_review(operator: Operator, job: Job) -> None:
    await reach(operator, job, Phase.HELD, *TERMINAL)


async def decide(operator: Operator, job: Job, reviewer: str, decision: Decision) -> None:
    """Once: the decision may be on disk already."""
    with contextlib.suppress(ReviewOver, UnknownJob):
        await operator.decide(job.id, reviewer, decision)


def without_data(workshop: Workshop) -> None:
    workshop.supplier = MemorySupplier({}, [MemoryFile("x", b"code")])


SCENARIOS: dict[str, tuple[Callable[[Workshop], None], Drive, Phase, list[str]]] = {
    "completes": (plain, let_run, Phase.COMPLETED, ["result.txt", "algorithm.log"]),
    "fails": (failing, let_run, Phase.ALGORITHM_FAILED, ["result.txt", "algorithm.log"]),
    "filtered": (filtered, let_run, Phase.COMPLETED, ["result.txt", "algorithm.log"]),
    "badly filtered": (badly_filtered, let_run, Phase.PUBLISHING_FAILED, []),
    "refused": (refused, let_run, Phase.PUBLISHING_FAILED, []),
    "stopped": (endless, stop_when_running, Phase.STOPPED, ["algorithm.log"]),
    "deleted while it runs": (endless, delete_when_running, Phase.DELETED, []),
    "deleted when it is done": (plain, delete_when_done, Phase.DELETED, []),
    "in stages": (in_stages, let_run, Phase.COMPLETED, ["result.txt", "fetch.log", "train.log"]),
    "fails in a stage": (
        failing_in_the_second_stage,
        let_run,
        Phase.ALGORITHM_FAILED,
        ["result.txt", "fetch.log", "train.log"],
    ),
    "stopped in a stage": (
        endless_in_the_second_stage,
        stop_in_the_second_stage,
        Phase.STOPPED,
        ["fetch.log", "train.log"],
    ),
    "released": (
        held,
        release,
        Phase.COMPLETED,
        ["more.txt", "result.txt", "algorithm.log"],
    ),
    "refused by a reviewer": (held, release_half_and_refuse, Phase.PUBLISHING_FAILED, []),
    "deleted while held": (held, delete_while_held, Phase.DELETED, []),
    "without its data": (without_data, let_run, Phase.DATA_FAILED, []),
}


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_job_survives_death_at_every_call(
    workshop: Workshop, scenario: str, after: bool
) -> None:
    prepare, drive, phase, names = SCENARIOS[scenario]
    prepare(workshop)
    workshop.limits = replace(HASTY, watch_s=60.0)
    for fatal in range(1, 200):
        job = await insert(workshop, f"{fatal:032}", holds=("the one order",))
        fate = Fate(fatal, after=after)
        survived = await first_life(workshop, fate, drive, job)
        async with workshop.operator(store=JobStore(workshop.database)) as operator:
            job = await drive(workshop, operator, job)
            where = f"died at call {fatal}: {fate.names[-1] if fate.names else ''}"
            assert job.phase is phase, where
            assert [file.filename for file in job.results] == names, where
            assert workshop.leftovers() == NOTHING_LEFT, where
            account = await operator.account(job.id)
            assert account is not None, where
            assert is_whole(account), where
        assert set(workshop.world.starts.values()) <= {1}, where
        if survived:
            assert fatal > 6, "it hardly did anything"
            return
    pytest.fail("the operator never survived")


def is_whole(account: dict[str, Any]) -> bool:
    """Whether of all that ran it was written down what it was given and how it was run."""
    known = [stage["inputs"] is not None and stage["limits"] for stage in account["stages"]]
    return [bool(each) for each in known] == [stage["ran"] for stage in account["stages"]]


async def insert(workshop: Workshop, job_id: str, holds: tuple[str, ...] = ()) -> Job:
    """A queued job. Refused while an earlier one with the same holds has not finished."""
    spec = (workshop.spec or a_spec()).model_copy(update={"holds": holds})
    job = a_job(id=job_id, owner=OWNER, spec=spec, created_at=workshop.clock())
    return await JobStore(workshop.database).insert(job, queue_limit=10)


async def first_life(workshop: Workshop, fate: Fate, drive: Drive, job: Job) -> bool:
    """Drive the job until its end or the process's; True for the former."""
    store = JobStore(MortalDatabase(workshop.database, fate))
    engine = MortalEngine(workshop.world, fate)
    space = MortalSpace(workshop.space, fate)
    struck = asyncio.create_task(fate.struck.wait())
    life = asyncio.create_task(live(workshop, store, engine, space, drive, job))
    async with asyncio.timeout(60):
        await asyncio.wait({struck, life}, return_when=asyncio.FIRST_COMPLETED)
        for task in (struck, life):
            task.cancel()
        await asyncio.gather(struck, life, return_exceptions=True)
    # What was handed to the writer is on disk or not when a process is gone, never later.
    await workshop.database.write(nothing)
    if not life.cancelled() and (error := life.exception()):
        raise error
    return not fate.struck.is_set()


async def live(
    workshop: Workshop,
    store: JobStore,
    engine: MortalEngine,
    space: MortalSpace,
    drive: Drive,
    job: Job,
) -> None:
    async with workshop.operator(store=store, engine=engine, space=space) as operator:
        await drive(workshop, operator, job)


async def test_jobs_of_each_kind_survive_one_death_together(workshop: Workshop) -> None:
    workshop.environment(maxJobs=2)
    for fatal in range(3, 60, 4):
        jobs = [await insert(workshop, f"{fatal:016}{n:016}") for n in range(4)]
        missing = a_spec(datasets=(DatasetItem(did=OTHER_DID, service_id="s"),))
        lost = a_job(id=f"{fatal:032}", spec=missing, created_at=workshop.clock())
        jobs.append(await JobStore(workshop.database).insert(lost, queue_limit=10))
        await first_life(workshop, Fate(fatal, after=True), all_of(jobs), jobs[0])
        async with workshop.operator(store=JobStore(workshop.database)) as operator:
            phases = [(await ended(operator, job)).phase.number for job in jobs]
        assert phases == [70, 70, 70, 70, 31]
        assert workshop.leftovers() == NOTHING_LEFT
    assert set(workshop.world.starts.values()) == {1}


def all_of(jobs: list[Job]) -> Drive:
    async def drive(workshop: Workshop, operator: Operator, job: Job) -> Job:
        for each in jobs:
            await ended(operator, each)
        return await operator.job(job.id)

    return drive

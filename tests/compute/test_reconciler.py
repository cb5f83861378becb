"""The loop under faults: silence, retries, restarts, a lost disk."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from compute_samples import DID, OWNER, a_job, a_spec, an_environment
from small_inputs import MemoryFile, MemorySupplier
from workshop import (
    HASTY,
    NOTHING_LEFT,
    Workshop,
    ended,
    phases_of,
    reach,
    start,
)

from compute.engines.fake import FakeRun, until_stopped
from compute.engines.faulty import (
    LosesEvents,
    NeverStoppingEngine,
    StumblingEngine,
    UnreachableEngine,
)
from compute.environments import Environments
from compute.errors import ComputeError, StoreUnavailable, VolumeFailed
from compute.layout import container_name
from compute.models import Job
from compute.reconciler import Limits
from compute.space import LoopSpace, Usage, WatchedSpace
from compute.status import Goal, Phase
from compute.store.jobs import JobStore

IMAGE = "python:3.11"
AWAY = "The container engine does not answer"

# an engine that is away


async def test_an_engine_that_is_away_when_the_job_starts(workshop: Workshop) -> None:
    engine = UnreachableEngine(workshop.world)
    engine.switch_on()
    async with workshop.operator(engine=engine) as operator:
        engine.switch_off()
        assert not await operator.engine_answers()
        job = await reach(operator, await start(operator), Phase.STARTED)
        await calls(engine, "ensure_image", 10)
        now = await operator.job(job.id)
        assert (now.phase, now.attempts) == (Phase.STARTED, 0)
        engine.switch_on()
        assert await operator.engine_answers()
        job = await ended(operator, job)
        notes = [move.note for move in await operator.history(job.id)]
    assert job.phase is Phase.COMPLETED
    assert notes.count(AWAY) == 1
    assert workshop.leftovers() == NOTHING_LEFT


async def calls(engine: UnreachableEngine | NeverStoppingEngine, verb: str, more: int) -> None:
    """Wait until the engine was asked so many times more."""
    before = [name for name, _ in engine.calls].count(verb)
    async with asyncio.timeout(60):
        while [name for name, _ in engine.calls].count(verb) < before + more:
            await asyncio.sleep(0.001)


async def test_jobs_wait_in_the_queue_until_the_engine_has_told_of_its_machine(
    workshop: Workshop,
) -> None:
    engine = UnreachableEngine(workshop.world)
    async with workshop.operator(engine=engine) as operator:
        job = await start(operator)
        await calls(engine, "machine", 5)
        assert (await operator.job(job.id)).phase is Phase.QUEUED
        engine.switch_on()
        assert (await ended(operator, job)).phase is Phase.COMPLETED


@pytest.mark.parametrize("goal", [Goal.STOP, Goal.DELETE])
async def test_a_job_that_has_no_container_yet_ends_without_the_engine(
    workshop: Workshop, goal: Goal
) -> None:
    engine = UnreachableEngine(workshop.world)
    engine.switch_on()
    async with workshop.operator(engine=engine) as operator:
        engine.switch_off()
        job = await reach(operator, await start(operator), Phase.STARTED)
        wish = operator.stop if goal is Goal.STOP else operator.delete
        (now,) = await wish([job.id])
    assert now.phase.number == {Goal.STOP: 7, Goal.DELETE: 8}[goal]


async def test_silence_while_it_runs_says_nothing_about_the_job(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    workshop.limits = replace(HASTY, look_s=0.002, watch_s=0.002)
    engine = UnreachableEngine(workshop.world)
    engine.switch_on()
    async with workshop.operator(engine=engine) as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        for _ in range(2):
            engine.switch_off()
            await calls(engine, "observe", 10)
            assert (await operator.job(job.id)).phase is Phase.RUNNING
            engine.switch_on()
            await calls(engine, "observe", 3)
        engine.switch_off()
        workshop.world.finish(container_name(job.id))
        await calls(engine, "observe", 3)
        assert (await operator.job(job.id)).phase is Phase.RUNNING
        engine.switch_on()
        job = await ended(operator, job)
        notes = [move.note for move in await operator.history(job.id)]
    assert job.phase is Phase.COMPLETED
    assert notes.count(AWAY) == 3


async def test_a_stop_during_silence_takes_effect_when_the_engine_is_back(
    workshop: Workshop,
) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    engine = UnreachableEngine(workshop.world)
    engine.switch_on()
    async with workshop.operator(engine=engine) as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        engine.switch_off()
        (now,) = await operator.stop([job.id], wait_s=0.02)
        assert now.phase is Phase.RUNNING
        engine.switch_on()
        assert (await ended(operator, job)).phase is Phase.STOPPED


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "verb", ["ensure_image", "create", "start", "observe", "save_log", "remove", "owned"]
)
async def test_every_verb_may_stumble(workshop: Workshop, verb: str, after: bool) -> None:
    engine = StumblingEngine({verb: 3}, workshop.world, after=after)
    async with workshop.operator(engine=engine) as operator:
        job = await ended(operator, await start(operator))
    assert job.phase is Phase.COMPLETED
    assert set(workshop.world.starts.values()) == {1}
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_container_that_does_not_stop_is_asked_again_without_haste(
    workshop: Workshop,
) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    engine = NeverStoppingEngine(workshop.world)
    async with workshop.operator(engine=engine) as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        await operator.stop([job.id], wait_s=0)
        await calls(engine, "stop", 5)
        notes = len(await operator.history(job.id))
        await calls(engine, "stop", 5)
        assert len(await operator.history(job.id)) == notes
        assert (await operator.job(job.id)).phase is Phase.RUNNING
        workshop.world.finish(container_name(job.id), 137)
        assert (await ended(operator, job)).phase is Phase.STOPPED


async def test_lost_events_are_made_up_for_by_looking(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    workshop.limits = replace(HASTY, look_s=0.01, watch_s=0.01)
    async with workshop.operator(engine=LosesEvents(workshop.world)) as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        workshop.world.finish(container_name(job.id))
        assert (await ended(operator, job)).phase is Phase.COMPLETED


async def test_an_event_is_enough(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    workshop.limits = Limits(look_s=3600, watch_s=3600)
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        workshop.world.finish(container_name(job.id))
        assert (await ended(operator, job)).phase is Phase.COMPLETED


# restarts


async def test_a_running_container_is_adopted(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
    async with workshop.operator() as operator:
        assert (await operator.job(job.id)).phase is Phase.RUNNING
        workshop.world.finish(container_name(job.id))
        assert (await ended(operator, job)).phase is Phase.COMPLETED
    assert set(workshop.world.starts.values()) == {1}


async def test_a_container_that_ended_meanwhile_is_harvested(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
    workshop.world.finish(container_name(job.id), 3)
    async with workshop.operator() as operator:
        job = await ended(operator, job)
    assert job.phase is Phase.ALGORITHM_FAILED
    assert workshop.leftovers() == NOTHING_LEFT


async def test_what_belongs_to_no_job_is_swept_and_what_is_not_ours_stays(
    workshop: Workshop,
) -> None:
    stranger = workshop.data_dir / "jobs" / "nobody"
    (stranger / "space" / "outputs").mkdir(parents=True)
    half = workshop.data_dir / "results" / "nobody.partial"
    half.mkdir(parents=True)
    kept = workshop.data_dir / "results" / "somebody"
    kept.mkdir()
    async with workshop.operator() as operator:
        await ended(operator, await start(operator))
    assert workshop.leftovers() == NOTHING_LEFT
    assert kept.exists()


async def test_jobs_of_an_environment_that_is_gone_end_and_publish_nothing(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        running = await reach(operator, await start(operator), Phase.RUNNING)
        queued = await start(operator)
    workshop.environments = Environments((an_environment(id="other"),))
    async with workshop.operator() as operator:
        ended_run = await ended(operator, running)
        ended_wait = await ended(operator, queued)
    assert (ended_run.phase, ended_wait.phase) == (Phase.PUBLISHING_FAILED, Phase.STOPPED)
    for job in (ended_run, ended_wait):
        assert job.termination is not None
        assert job.termination.reason == "environment_removed"
        assert job.results == ()
    assert workshop.leftovers() == NOTHING_LEFT
    assert "Traceback" not in caplog.text


# faults of ours


class BrokenSupplier(MemorySupplier):
    """Fails with something that nobody foresaw."""

    def __init__(self, times: int) -> None:
        super().__init__({DID: []}, [])
        self.times = times

    async def dataset(self, item: object) -> list[MemoryFile]:
        self.times -= 1
        if self.times >= 0:
            raise ZeroDivisionError("secret detail")
        return []


@pytest.mark.parametrize(("times", "number"), [(4, 70), (5, 21)])
async def test_what_was_not_foreseen_is_tried_a_bounded_number_of_times(
    workshop: Workshop, times: int, number: int
) -> None:
    async with workshop.operator(supplier=BrokenSupplier(times)) as operator:
        job = await ended(operator, await start(operator))
        notes = [m.note for m in await operator.history(job.id) if m.note.startswith("try ")]
    assert job.phase.number == number
    assert notes == [f"try {n} of 5 failed: internal fault" for n in range(1, 5)]
    assert job.attempts == 0
    assert job.termination
    assert "secret" not in repr(job.termination)
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_fault_of_one_job_does_not_hold_up_another(workshop: Workshop) -> None:
    workshop.environment(maxJobs=2)
    workshop.limits = replace(HASTY, first_backoff_s=3600, most_backoff_s=3600)
    async with workshop.operator(supplier=BrokenSupplier(1)) as operator:
        broken = await reach(operator, await start(operator), Phase.CONFIGURING_VOLUMES)
        async with asyncio.timeout(60):
            while not (await operator.job(broken.id)).attempts:
                await asyncio.sleep(0)
        assert (await ended(operator, await start(operator))).phase is Phase.COMPLETED
        (stopped,) = await operator.stop([broken.id])
        assert stopped.phase is Phase.STOPPED


async def test_a_second_service_finds_the_history_whole(workshop: Workshop) -> None:
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator))
    async with workshop.operator(store=JobStore(workshop.database)) as operator:
        moves = await operator.history(job.id)
        assert await phases_of(operator, job) == [1, 10, 20, 30, 40, 60, 70]
        assert [m.at for m in moves] == sorted(m.at for m in moves)


async def test_also_and_the_job_commit_together_or_not_at_all(workshop: Workshop) -> None:
    def refuses(connection: object) -> None:
        raise ComputeError("nonce too low")

    async with workshop.operator() as operator:
        with pytest.raises(ComputeError, match="nonce"):
            await operator.start(owner=OWNER, environment="small", spec=a_spec(), also=refuses)
        assert await operator.jobs(owner=OWNER) == []
        job = await ended(operator, await start(operator))
        for wish in (operator.stop, operator.delete):
            with pytest.raises(ComputeError, match="nonce"):
                await wish([job.id], also=refuses)
        assert (await operator.job(job.id)).goal is Goal.RUN


async def test_an_operator_that_ends_leaves_no_task(workshop: Workshop) -> None:
    before = asyncio.all_tasks()
    workshop.engine.hold("ensure_image")
    async with workshop.operator() as operator:
        await reach(operator, await start(operator), Phase.STARTED)
        waiting = asyncio.create_task(operator._waiting.settled("nobody", 3600))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert asyncio.all_tasks() == before


async def test_a_start_that_fails_lets_go_of_the_engine(workshop: Workshop) -> None:
    class Locked(JobStore):
        async def take_over(self, *_: object, **__: object) -> list[Job]:
            raise StoreUnavailable("The database is locked")

    with pytest.raises(StoreUnavailable):
        async with workshop.operator(store=Locked(workshop.database)):
            pass
    assert workshop.engine.calls[-1] == ("close", "")


async def test_a_leftover_that_cannot_be_removed_does_not_stop_the_service(
    workshop: Workshop,
) -> None:
    class Stuck(WatchedSpace):
        async def release(self, job_dir: Path) -> None:
            if job_dir.name == "nobody":
                raise VolumeFailed("umount failed with code 32")
            await super().release(job_dir)

    (workshop.data_dir / "jobs" / "nobody").mkdir(parents=True)
    async with workshop.operator(space=Stuck()) as operator:
        assert (await ended(operator, await start(operator))).phase is Phase.COMPLETED


class LostSpace(WatchedSpace):
    """A space that cannot be found again once ``lost``."""

    lost = False

    async def prepare(self, job_dir: Path, **how: Any) -> None:
        if self.lost:
            raise VolumeFailed("e2fsck failed with code 8")
        await super().prepare(job_dir, **how)

    async def usage(self, job_dir: Path) -> Usage:
        if self.lost:
            raise VolumeFailed("The job's space is not mounted")
        return await super().usage(job_dir)


@pytest.mark.parametrize("goal", [Goal.RUN, Goal.STOP])
async def test_a_space_that_is_lost_ends_the_job(workshop: Workshop, goal: Goal) -> None:
    space = LostSpace()
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator(space=space) as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        space.lost = True
        workshop.world.finish(container_name(job.id))
        if goal is Goal.STOP:
            await operator.stop([job.id], wait_s=0)
        job = await ended(operator, job)
    assert job.phase is Phase.PUBLISHING_FAILED
    assert workshop.leftovers() == NOTHING_LEFT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
async def test_outputs_survive_a_restart_of_the_machine(workshop: Workshop) -> None:
    async def writes_and_waits(run: FakeRun) -> int:
        run.path("/data/outputs/precious.txt").write_text("kept")
        return await until_stopped(run)

    workshop.space = LoopSpace()
    workshop.environment(diskGB=0.01)
    workshop.world.add_image(IMAGE, writes_and_waits)
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        space = workshop.data_dir / "jobs" / job.id / "space"
        async with asyncio.timeout(60):
            while not (space / "outputs" / "precious.txt").exists():
                await asyncio.sleep(0.001)
    subprocess.run(["umount", space], check=True)
    workshop.world.finish(container_name(job.id), 137)
    async with workshop.operator() as operator:
        job = await ended(operator, job)
        assert job.phase is Phase.ALGORITHM_FAILED
        assert operator.result(job, 0)[1].read_text() == "kept"
    assert workshop.leftovers() == NOTHING_LEFT


async def test_an_inserted_job_is_found_by_the_next_operator(workshop: Workshop) -> None:
    job = a_job(spec=a_spec(), created_at=workshop.clock())
    await workshop.store.insert(job, queue_limit=1)
    async with workshop.operator() as operator:
        assert (await ended(operator, job)).phase is Phase.COMPLETED

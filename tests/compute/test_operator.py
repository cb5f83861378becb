"""Every status number, reached on a whole operator."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from compute_samples import DID, OTHER_DID, OWNER, a_spec
from small_inputs import MemoryFile, MemorySupplier, digest
from workshop import (
    NOTHING_LEFT,
    GatedSpace,
    Workshop,
    ended,
    phases_of,
    reach,
    start,
    writes_a_result,
)

from compute.engines.fake import FakeRun, until_stopped
from compute.engines.faulty import FailsToCreate, FailsToPull, FailsToStart, VanishingEngine
from compute.errors import (
    InputUnavailable,
    QueueFull,
    UnknownEnvironment,
    UnknownJob,
    UnknownResult,
    VolumeFailed,
)
from compute.models import AlgorithmItem, DatasetItem, Image
from compute.space import WatchedSpace
from compute.status import Goal, Phase

IMAGE = "python:3.11"


async def exits_3(run: FakeRun) -> int:
    run.print("no such column")
    run.path("/data/outputs/partly.txt").write_text("half")
    return 3


async def test_70_a_job_that_completes(workshop: Workshop) -> None:
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator))
        assert job.phase is Phase.COMPLETED
        assert await phases_of(operator, job) == [1, 10, 20, 30, 40, 60, 70]
        assert [(f.index, f.filename, f.type) for f in job.results] == [
            (0, "result.txt", "output"),
            (1, "algorithm.log", "algorithmLog"),
        ]
        file, path = operator.result(job, 0)
        assert path.read_text() == "42"
        assert file.sha256 == digest(b"42")
        assert operator.result(job, 1)[1].read_text() == "hello\n"
    assert job.termination
    assert (job.termination.exit_code, job.termination.reason) == (0, "completed")
    assert job.started_at
    assert job.ended_at
    assert job.finished_at
    assert job.expires_at
    assert job.started_at <= job.ended_at <= job.finished_at < job.expires_at
    assert workshop.leftovers() == NOTHING_LEFT


async def test_what_the_algorithm_sees(workshop: Workshop) -> None:
    seen: dict[str, str] = {}

    async def looks(run: FakeRun) -> int:
        for name in (f"{DID[7:]}/0", "algoCustomData.json"):
            seen[name] = run.path(f"/data/inputs/{name}").read_text()
        seen["algorithm"] = run.path("/data/transformations/algorithm").read_text()
        seen["ddo"] = run.path(f"/data/ddos/{DID[7:]}").read_text()
        seen["secret"] = run.spec.environment["secret"]
        run.path("/data/logs/own.log").write_text("mine")
        return 0

    workshop.world.add_image(IMAGE, looks)
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator, documents={DID: {"id": DID}}))
    assert job.phase is Phase.COMPLETED
    assert seen.pop("secret")
    assert json.loads(seen.pop("ddo")) == {"id": DID}
    assert seen == {f"{DID[7:]}/0": "rows", "algoCustomData.json": "{}", "algorithm": "code"}
    assert [f.filename for f in job.results] == ["algorithm.log", "own.log"]


async def test_1_a_job_waits_for_its_place_and_comes_in_turn(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        first = await start(operator)
        await reach(operator, first, Phase.RUNNING)
        second, third = await start(operator), await start(operator)
        assert (await operator.job(second.id)).phase.number == 1
        assert (await operator.loads())["small"].queued == 2
        await operator.stop([first.id])
        await reach(operator, second, Phase.RUNNING)
        assert (await operator.job(third.id)).phase.number == 1
        await operator.stop([second.id])
        await reach(operator, third, Phase.RUNNING)


async def test_never_more_jobs_than_places(workshop: Workshop) -> None:
    workshop.environment(maxJobs=3)
    at_once, most = 0, 0

    async def counts(run: FakeRun) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _ in range(20):
            await asyncio.sleep(0)
        at_once -= 1
        return 0

    workshop.world.add_image(IMAGE, counts)
    async with workshop.operator() as operator:
        jobs = [await start(operator) for _ in range(12)]
        done = [await ended(operator, job) for job in jobs]
    assert {job.phase for job in done} == {Phase.COMPLETED}
    assert 1 <= most <= 3
    assert set(workshop.world.starts.values()) == {1}
    assert workshop.leftovers() == NOTHING_LEFT


async def test_2_a_job_that_waited_too_long(workshop: Workshop) -> None:
    workshop.environment(maxQueueWait=100)
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        await reach(operator, await start(operator), Phase.RUNNING)
        waiting = await start(operator)
        workshop.clock.advance(101)
        await workshop.wake(waiting)
        job = await ended(operator, waiting)
        assert job.phase.number == 2
        assert await phases_of(operator, job) == [1, 2]
    assert job.termination
    assert job.termination.reason == "queue_wait"
    assert job.finished_at


async def test_10_and_11_an_image_that_is_not_to_be_had(workshop: Workshop) -> None:
    engine = FailsToPull(workshop.world)
    async with workshop.operator(engine=engine) as operator:
        job = await ended(operator, await start(operator))
        assert await phases_of(operator, job) == [1, 10, 11]
    assert job.termination
    assert job.termination.reason == "image_unavailable"
    assert "cannot be pulled" in job.termination.detail
    assert [verb for verb, _ in engine.calls].count("ensure_image") == 1
    assert workshop.leftovers() == NOTHING_LEFT


@pytest.mark.parametrize(("tag", "number"), [("3.11", 11), ("evil", 70)])
async def test_a_checksum_does_not_borrow_an_allowed_tag(
    workshop: Workshop, tag: str, number: int
) -> None:
    evil = workshop.world.add_image("python:evil", writes_a_result)
    workshop.environment(images={"allow": [f"python:{tag}"]})
    image = Image(image="python", tag=tag, checksum=evil)
    async with workshop.operator() as operator:
        algorithm = AlgorithmItem(image=image, entrypoint="run")
        job = await ended(operator, await start(operator, algorithm=algorithm))
    assert job.phase.number == number
    assert job.termination
    if number == 11:
        assert job.termination.detail == "The checksum is not that of the allowed tag"
        assert workshop.world.starts.total() == 0


class BrokenSpace(WatchedSpace):
    """No space can be made."""

    tried = 0

    async def prepare(self, job_dir: Path, **how: Any) -> None:
        self.tried += 1
        raise VolumeFailed("mkfs.ext4 failed with code 1")


async def test_20_and_21_a_space_that_cannot_be_made(workshop: Workshop) -> None:
    space = BrokenSpace()
    async with workshop.operator(space=space) as operator:
        job = await ended(operator, await start(operator))
        assert await phases_of(operator, job) == [1, 10, 20, 21]
        notes = [move.note for move in await operator.history(job.id)]
    assert space.tried == 5
    assert sum(note.startswith("try ") for note in notes) == 4
    assert job.termination
    assert job.termination.reason == "volume_fault"
    assert workshop.leftovers() == NOTHING_LEFT


@pytest.mark.parametrize("engine", [FailsToCreate, FailsToStart])
async def test_30_and_22_a_container_that_cannot_be_made(
    workshop: Workshop, engine: type[FailsToCreate | FailsToStart]
) -> None:
    async with workshop.operator(engine=engine(workshop.world)) as operator:
        job = await ended(operator, await start(operator))
        assert await phases_of(operator, job) == [1, 10, 20, 30, 22]
    assert job.termination
    assert job.termination.reason == "engine_refused"
    assert workshop.leftovers() == NOTHING_LEFT


async def test_22_an_entrypoint_that_is_none(workshop: Workshop) -> None:
    algorithm = AlgorithmItem(image=Image(image="python", tag="3.11"), entrypoint="run 'open")
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator, algorithm=algorithm))
        assert job.phase.number == 22
        assert not [m for m in await operator.history(job.id) if m.note.startswith("try ")]
    assert job.termination
    assert "entrypoint" in job.termination.detail


async def test_31_a_dataset_that_is_not_to_be_had(workshop: Workshop) -> None:
    async with workshop.operator() as operator:
        datasets = (DatasetItem(did=OTHER_DID, service_id="s"),)
        job = await ended(operator, await start(operator, datasets=datasets))
        assert await phases_of(operator, job) == [1, 10, 20, 31]
    assert job.termination
    assert (job.termination.reason, job.termination.detail) == (
        "input_unavailable",
        "No such dataset",
    )
    assert workshop.leftovers() == NOTHING_LEFT


@pytest.mark.parametrize(("failures", "number"), [(1, 70), (4, 70), (5, 31)])
async def test_31_a_dataset_that_stumbles_is_tried_five_times(
    workshop: Workshop, failures: int, number: int
) -> None:
    file = MemoryFile("a.csv", b"rows")
    file.failures = [InputUnavailable("timed out", temporary=True)] * failures
    supplier = MemorySupplier({DID: [file]}, [MemoryFile("x", b"code")])
    async with workshop.operator(supplier=supplier) as operator:
        job = await ended(operator, await start(operator))
        notes = [move.note for move in await operator.history(job.id)]
    assert job.phase.number == number
    assert notes.count("try 1 of 5 failed: timed out") == 1
    assert notes.count("try 4 of 5 failed: timed out") == int(failures > 3)
    assert job.termination
    told = (job.termination.reason, job.termination.tries)
    assert told == (("completed", 1) if number == 70 else ("input_unreachable", 5))


async def test_32_an_algorithm_that_is_not_to_be_had(workshop: Workshop) -> None:
    file = MemoryFile("algo.py", b"")
    file.failures = [InputUnavailable("The address is not public")]
    supplier = MemorySupplier({DID: []}, [file])
    async with workshop.operator(supplier=supplier) as operator:
        job = await ended(operator, await start(operator))
        assert await phases_of(operator, job) == [1, 10, 20, 32]
    assert job.termination
    assert job.termination.detail == "The address is not public"
    assert workshop.leftovers() == NOTHING_LEFT


async def test_40_and_41_an_algorithm_that_fails_keeps_what_it_wrote(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, exits_3)
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator))
        assert await phases_of(operator, job) == [1, 10, 20, 30, 40, 60, 41]
        assert operator.result(job, 1)[1].read_text() == "no such column\n"
    assert job.termination
    assert (job.termination.reason, job.termination.exit_code) == ("exit_code", 3)
    assert [file.filename for file in job.results] == ["partly.txt", "algorithm.log"]


async def test_41_out_of_memory(workshop: Workshop) -> None:
    async def hungry(run: FakeRun) -> int:
        raise MemoryError

    workshop.world.add_image(IMAGE, hungry)
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator))
    assert job.phase.number == 41
    assert job.termination
    assert (job.termination.reason, job.termination.oom_killed) == ("out_of_memory", True)
    assert job.termination.exit_code == 137


async def test_41_the_time_limit_counts_from_the_algorithms_start(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    reached = workshop.engine.hold("create")
    async with workshop.operator() as operator:
        job = await start(operator, max_duration_s=60)
        await reached.wait()
        workshop.clock.advance(1000)
        workshop.engine.let_go("create")
        await reach(operator, job, Phase.RUNNING)
        workshop.clock.advance(61)
        await workshop.wake(job)
        job = await ended(operator, job)
    assert job.phase.number == 41
    assert job.termination
    assert job.termination.reason == "time_limit"
    assert job.termination.exit_code == 143


async def test_41_a_container_that_vanishes(workshop: Workshop) -> None:
    async with workshop.operator(engine=VanishingEngine(workshop.world)) as operator:
        job = await ended(operator, await start(operator))
    assert job.phase.number == 41
    assert job.termination
    assert job.termination.reason == "container_gone"
    assert workshop.leftovers() == NOTHING_LEFT


async def test_42_more_than_the_disk_gives_is_ended_while_it_runs(workshop: Workshop) -> None:
    async def floods(run: FakeRun) -> int:
        run.path("/data/outputs/flood").write_bytes(b"x" * (2 << 20))
        return await until_stopped(run)

    workshop.world.add_image(IMAGE, floods)
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator))
    assert job.phase.number == 42
    assert job.termination
    assert job.termination.reason == "disk_quota"
    assert [file.filename for file in job.results] == ["algorithm.log"]
    assert workshop.leftovers() == NOTHING_LEFT


async def test_42_too_many_files(workshop: Workshop) -> None:
    async def litters(run: FakeRun) -> int:
        for number in range(50):
            run.path(f"/data/outputs/{number:02}").touch()
        return 0

    workshop.world.add_image(IMAGE, litters)
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator))
    assert job.phase.number == 42
    assert len(job.results) == 20 + 1


async def censors(run: FakeRun) -> int:
    for file in run.path("/data/outputs").iterdir():
        file.write_text("censored")
    return 0


async def test_50_a_filter_passes_over_the_outputs(workshop: Workshop) -> None:
    workshop.environment(filterImage="lab/filter:1")
    workshop.world.add_image("lab/filter:1", censors)
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator))
        assert await phases_of(operator, job) == [1, 10, 20, 30, 40, 50, 60, 70]
        assert operator.result(job, 0)[1].read_text() == "censored"
    assert workshop.leftovers() == NOTHING_LEFT


@pytest.mark.parametrize("fault", ["exit", "missing", "time"])
async def test_50_and_61_a_filter_that_fails_withholds_everything(
    workshop: Workshop, fault: str
) -> None:
    workshop.environment(filterImage="lab/filter:1", maxJobDuration=3600)
    programs = {"exit": exits_3, "time": until_stopped}
    if fault in programs:
        workshop.world.add_image("lab/filter:1", programs[fault])
    async with workshop.operator() as operator:
        job = await start(operator)
        if fault == "time":
            await reach(operator, job, Phase.FILTERING)
            async with asyncio.timeout(60):
                while f"ocean-compute-{job.id}-filter" not in workshop.world.starts:
                    await asyncio.sleep(0.001)
            workshop.clock.advance(3601)
            await workshop.wake(job)
        job = await ended(operator, job)
        assert await phases_of(operator, job) == [1, 10, 20, 30, 40, 50, 61]
    assert job.results == ()
    assert workshop.leftovers() == NOTHING_LEFT


async def test_60_results_are_being_published(workshop: Workshop) -> None:
    space = GatedSpace()
    space.gate.clear()
    async with workshop.operator(space=space) as operator:
        job = await start(operator)
        await space.reached.wait()
        assert (await operator.job(job.id)).phase.number == 60
        space.gate.set()
        assert (await ended(operator, job)).phase.number == 70


@pytest.mark.parametrize("goal", [Goal.RUN, Goal.STOP])
async def test_61_results_that_cannot_be_stored(workshop: Workshop, goal: Goal) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        job = await start(operator)
        await reach(operator, job, Phase.RUNNING)
        in_the_way = workshop.data_dir / "results" / f"{job.id}.partial"
        in_the_way.touch()
        if goal is Goal.STOP:
            await operator.stop([job.id], wait_s=0)
        else:
            workshop.world.finish(f"ocean-compute-{job.id}")
        job = await ended(operator, job)
        notes = [move.note for move in await operator.history(job.id)]
        in_the_way.unlink()
    assert job.phase.number == 61
    assert job.termination
    assert job.termination.reason == "publishing_fault"
    assert sum(note.startswith("try ") for note in notes) == 4
    assert workshop.leftovers() == NOTHING_LEFT


async def test_7_and_8_stop_then_delete(workshop: Workshop) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    async with workshop.operator() as operator:
        job = await start(operator)
        await reach(operator, job, Phase.RUNNING)
        (stopped,) = await operator.stop([job.id])
        assert stopped.phase.number == 7
        assert [file.filename for file in stopped.results] == ["algorithm.log"]
        (deleted,) = await operator.delete([job.id])
        assert deleted.phase.number == 8
        assert deleted.results == ()
        assert deleted.finished_at == stopped.finished_at
        assert await operator.jobs(owner=OWNER) == []
        with pytest.raises(UnknownResult):
            operator.result(deleted, 0)
    assert list((workshop.data_dir / "results").iterdir()) == []
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_full_queue_takes_no_more(workshop: Workshop) -> None:
    workshop.environment(maxQueue=1)
    workshop.engine.hold("ensure_image")
    async with workshop.operator() as operator:
        await reach(operator, await start(operator), Phase.STARTED)
        await start(operator)
        with pytest.raises(QueueFull):
            await start(operator)


async def test_what_is_not_there_is_said_so(workshop: Workshop) -> None:
    async with workshop.operator() as operator:
        with pytest.raises(UnknownEnvironment):
            await operator.start(owner=OWNER, environment="large", spec=a_spec())
        for call in (operator.job("x"), operator.stop(["x"]), operator.history("x")):
            with pytest.raises(UnknownJob):
                await call
        assert operator.recall("x") is None
        job = await ended(operator, await start(operator))
        for index in (-1, 2, 10**9):
            with pytest.raises(UnknownResult, match=f"No such index {index}"):
                operator.result(job, index)


async def test_the_janitor_removes_what_nobody_keeps(workshop: Workshop) -> None:
    workshop.environment(storageExpiry=1000)
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator))
    workshop.clock.advance(999 - 10)
    async with workshop.operator() as operator:
        await ended(operator, await start(operator))
        assert (await operator.job(job.id)).phase is Phase.COMPLETED
    workshop.clock.advance(20)
    async with workshop.operator() as operator:
        await reach(operator, job, Phase.DELETED)
    assert not (workshop.data_dir / "results" / job.id).exists()

"""Jobs of several stages, over the fake engine: one after the other, each with its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from compute_samples import OWNER, a_spec_of_stages, a_stage
from pydantic import ValidationError
from workshop import NOTHING_LEFT, PATIENCE_S, Workshop, ended, phases_of, reach

from compute.engines.fake import FakeRun, until_stopped
from compute.errors import QueueFull
from compute.models import Job, JobSpec, Stage
from compute.operator import Operator
from compute.status import Phase
from compute.store.jobs import JobStore


async def counts_on(run: FakeRun) -> int:
    """Writes one more than all earlier stages wrote."""
    inputs = run.path("/data/inputs")
    earlier = sorted((inputs / "stages").iterdir()) if (inputs / "stages").exists() else []
    shown = [mount for mount in run.spec.mounts if "/stages/" in mount.target]
    numbers = [int((mount.source / "count").read_text()) for mount in shown]
    assert all(mount.read_only for mount in shown), earlier
    run.print(f"{run.spec.environment['STAGE']} saw {numbers}")
    run.path("/data/outputs/count").write_text(str(sum(numbers) + 1))
    return 0


async def fails(run: FakeRun) -> int:
    run.print("no")
    run.path("/data/outputs/half").write_text("x")
    return 3


def with_stages(workshop: Workshop, **programs: object) -> JobSpec:
    for name, program in programs.items():
        workshop.world.add_image(f"lab/{name}:1", program)  # type: ignore[arg-type]
    return a_spec_of_stages(*programs)


async def begin(operator: Operator, spec: JobSpec, **options: object) -> Job:
    return await operator.start(owner=OWNER, environment="small", spec=spec, **options)  # type: ignore[arg-type]


async def running_in(operator: Operator, job: Job, stage: int) -> None:
    """Return once that stage runs."""
    async with asyncio.timeout(PATIENCE_S):
        while ((now := await operator.job(job.id)).stage, now.phase) != (stage, Phase.RUNNING):
            await asyncio.sleep(0.001)


def texts(operator: Operator, job: Job) -> dict[str, str]:
    return {file.filename: operator.result(job, file.index)[1].read_text() for file in job.results}


async def test_stages_run_one_after_the_other(workshop: Workshop) -> None:
    spec = with_stages(workshop, fetch=counts_on, train=counts_on, deliver=counts_on)
    async with workshop.operator() as operator:
        job = await ended(operator, await begin(operator, spec))
        assert job.phase is Phase.COMPLETED
        assert await phases_of(operator, job) == [1, *[10, 20, 30, 40] * 3, 60, 70]
        assert texts(operator, job) == {
            "count": "4",
            "fetch.log": "fetch saw []\n",
            "train.log": "train saw [1]\n",
            "deliver.log": "deliver saw [1, 2]\n",
        }
        assert [run.stage for run in job.runs] == ["fetch", "train", "deliver"]
        assert all(run.exit_code == 0 and run.started_at and run.ended_at for run in job.runs)
        assert len({run.image_id for run in job.runs}) == 3
        notes = [move.note for move in await operator.history(job.id)]
        assert "stage fetch is done, train is next" in notes
    assert workshop.leftovers() == NOTHING_LEFT
    assert set(workshop.world.starts.values()) == {1}


async def test_a_failure_ends_the_job_and_names_the_stage(workshop: Workshop) -> None:
    spec = with_stages(workshop, fetch=counts_on, train=fails, deliver=counts_on)
    async with workshop.operator() as operator:
        job = await ended(operator, await begin(operator, spec))
        assert job.phase is Phase.ALGORITHM_FAILED
        assert job.termination is not None
        assert (job.termination.stage, job.termination.exit_code) == ("train", 3)
        assert job.termination.detail == "stage train: the algorithm ended with exit code 3"
        assert list(texts(operator, job)) == ["half", "fetch.log", "train.log"]
        assert [run.stage for run in job.runs] == ["fetch", "train"]
    assert len(workshop.world.starts) == 2


async def test_an_image_that_the_last_stage_lacks_is_told_before_the_first_runs(
    workshop: Workshop,
) -> None:
    with_stages(workshop, fetch=counts_on)
    async with workshop.operator() as operator:
        job = await ended(operator, await begin(operator, a_spec_of_stages("fetch", "train")))
    assert job.phase is Phase.IMAGE_FAILED
    assert not workshop.world.starts


async def test_a_stage_that_cannot_be_made_ready_keeps_the_logs_before_it(
    workshop: Workshop,
) -> None:
    workshop.world.add_image("lab/fetch:1", counts_on)
    workshop.world.add_image("lab/train:1", counts_on)
    late = a_stage("train", secrets={"site": "not sealed by us"})
    spec = JobSpec(stages=(a_stage("fetch"), late))
    async with workshop.operator() as operator:
        job = await ended(operator, await begin(operator, spec))
        assert job.phase is Phase.CONTAINER_FAILED
        assert job.termination is not None
        assert job.termination.stage == "train"
        assert texts(operator, job) == {"fetch.log": "fetch saw []\n"}
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_stop_ends_the_present_stage_and_no_other_begins(workshop: Workshop) -> None:
    spec = with_stages(workshop, fetch=counts_on, train=until_stopped, deliver=counts_on)
    async with workshop.operator() as operator:
        job = await begin(operator, spec)
        await running_in(operator, job, 1)
        [job] = await operator.stop([job.id])
        assert job.phase is Phase.STOPPED
        assert [run.stage for run in job.runs] == ["fetch", "train"]
    assert len(workshop.world.starts) == 2
    assert workshop.leftovers() == NOTHING_LEFT


async def test_each_stage_has_its_own_time_limit(workshop: Workshop) -> None:
    workshop.world.add_image("lab/fetch:1", counts_on)
    workshop.world.add_image("lab/train:1", until_stopped)
    spec = JobSpec(stages=(a_stage("fetch"), a_stage("train", max_duration_s=7)))
    async with workshop.operator() as operator:
        job = await begin(operator, spec)
        await running_in(operator, job, 1)
        workshop.clock.advance(8)
        job = await ended(operator, job)
    assert job.termination is not None
    assert job.termination.reason == "time_limit"
    assert job.termination.detail == "stage train: the algorithm ran longer than 7 s"


async def test_the_log_of_a_running_stage_can_be_read_from_any_byte(workshop: Workshop) -> None:
    async def talks(run: FakeRun) -> int:
        run.print("one")
        await run.stopping.wait()
        return 0

    spec = with_stages(workshop, fetch=counts_on, train=talks)
    async with workshop.operator() as operator:
        job = await begin(operator, spec)
        await running_in(operator, job, 1)
        while not (part := await operator.log(job, limit=100)).data:
            await asyncio.sleep(0.001)
        assert (part.data, part.size, part.ended) == (b"one\n", 4, False)
        part = await operator.log(job, "train", offset=2, limit=1)
        assert (part.data, part.offset, part.size) == (b"e", 2, 4)
        part = await operator.log(job, "fetch", limit=100)
        assert (part.data, part.ended) == (b"fetch saw []\n", True)
        await operator.stop([job.id])
        part = await operator.log(job, "train", limit=100)
        assert (part.data, part.ended) == (b"one\n", True)


async def test_outputs_can_be_looked_at_while_the_stage_runs(workshop: Workshop) -> None:
    async def writes_and_waits(run: FakeRun) -> int:
        outputs = run.path("/data/outputs")
        (outputs / "progress.json").write_text("{}")
        (outputs / "passwd").symlink_to("/etc/passwd")
        (outputs / "etc").symlink_to("/etc")
        await run.stopping.wait()
        return 0

    spec = with_stages(workshop, only=writes_and_waits)
    async with workshop.operator() as operator:
        job = await reach(operator, await begin(operator, spec), Phase.RUNNING)
        while (seen := await operator.output(job, "progress.json", limit=1)) is None:
            await asyncio.sleep(0.001)
        assert seen == b"{"
        for name in ("passwd", "etc/passwd", "../given/x", "/etc/passwd", "none", "", "a\0b"):
            assert await operator.output(job, name, limit=9) is None, name
        await operator.stop([job.id])
        assert await operator.output(job, "progress.json", limit=9) == b"{}"


async def test_nothing_is_shown_before_the_filter_has_seen_it(workshop: Workshop) -> None:
    workshop.environment(filterImage="lab/filter:1")
    workshop.world.add_image("lab/filter:1", counts_on)

    async def talks(run: FakeRun) -> int:
        run.print("secret")
        run.path("/data/outputs/x").write_text("secret")
        await run.stopping.wait()
        return 0

    spec = with_stages(workshop, only=talks)
    async with workshop.operator() as operator:
        job = await reach(operator, await begin(operator, spec), Phase.RUNNING)
        assert (await operator.log(job, limit=99)).data == b""
        assert await operator.output(job, "x", limit=9) is None


async def test_files_handed_in_are_the_jobs_own(workshop: Workshop, tmp_path: Path) -> None:
    async def copies(run: FakeRun) -> int:
        inputs = run.path("/data/inputs")
        seen = {str(p.relative_to(inputs)): p.read_text() for p in inputs.rglob("*.txt")}
        run.path("/data/outputs/seen").write_text(repr(seen))
        return 0

    workshop.world.add_image("lab/fetch:1", counts_on)
    workshop.world.add_image("lab/train:1", copies)
    spec = JobSpec(stages=(a_stage("fetch"), a_stage("train", files=("a/b.txt", "c.txt"))))
    inside, outside = workshop.data_dir / "upload", tmp_path / "elsewhere"
    workshop.data_dir.mkdir()
    inside.write_text("in")
    outside.write_text("out")
    outside.chmod(0o640)
    async with workshop.operator() as operator:
        job = await begin(operator, spec, files={"a/b.txt": inside, "c.txt": outside})
        inside.unlink()
        outside.write_text("changed")
        job = await ended(operator, job)
        assert texts(operator, job)["seen"] == repr({"c.txt": "out", "a/b.txt": "in"}) or texts(
            operator, job
        )["seen"] == repr({"a/b.txt": "in", "c.txt": "out"})
    assert outside.stat().st_mode & 0o777 == 0o640
    assert workshop.leftovers() == NOTHING_LEFT


async def test_secrets_lie_in_memory_while_the_stage_runs_and_are_gone_after(
    workshop: Workshop,
) -> None:
    seen: dict[str, Path] = {}

    async def reads(run: FakeRun) -> int:
        mounts = {mount.target: mount for mount in run.spec.mounts}
        mount = mounts["/run/secrets/site"]
        seen["path"] = mount.source
        assert mount.read_only
        return 0 if mount.source.read_text() == "hush" else 1

    workshop.world.add_image("lab/only:1", reads)
    spec = JobSpec(stages=(a_stage("only", secrets={"site": "sealed:hush"}),))
    async with workshop.operator() as operator:
        job = await ended(operator, await begin(operator, spec))
        assert job.phase is Phase.COMPLETED
        assert not job.spec.has_secrets
        fresh = await JobStore(workshop.database).get(job.id)
        assert not fresh.spec.has_secrets
        assert fresh.spec.stages[0].algorithm == spec.stages[0].algorithm
    assert workshop.secrets_dir in seen["path"].parents
    assert not workshop.secrets_dir.exists()


async def test_secrets_are_never_put_on_a_disk(workshop: Workshop, tmp_path: Path) -> None:
    workshop.secrets_dir = Path("/var/tmp") / tmp_path.name
    workshop.world.add_image("lab/only:1", counts_on)
    spec = JobSpec(stages=(a_stage("only", secrets={"site": "sealed:hush"}),))
    async with workshop.operator() as operator:
        job = await ended(operator, await begin(operator, spec))
    assert not workshop.secrets_dir.exists()
    assert job.phase is Phase.CONTAINER_FAILED
    assert job.termination is not None
    assert "no place in memory" in job.termination.detail


async def test_nothing_is_removed_through_a_link_in_place_of_the_secrets(
    workshop: Workshop, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    (victim / "folder").mkdir(parents=True)
    workshop.secrets_dir.symlink_to(victim)
    workshop.world.add_image("lab/only:1", counts_on)
    spec = JobSpec(stages=(a_stage("only", secrets={"site": "sealed:hush"}),))
    async with workshop.operator() as operator:
        job = await ended(operator, await begin(operator, spec))
    workshop.secrets_dir.unlink()
    assert job.phase is Phase.CONTAINER_FAILED
    assert [path.name for path in victim.iterdir()] == ["folder"]


async def test_files_of_a_job_that_finds_no_place_are_not_copied(
    workshop: Workshop, tmp_path: Path
) -> None:
    workshop.environment(maxQueue=0, maxJobs=1)
    workshop.world.add_image("lab/only:1", until_stopped)
    spec = JobSpec(stages=(a_stage("only", files=("a.txt",)),))
    source = tmp_path / "a.txt"
    source.write_text("a")
    async with workshop.operator() as operator:
        job = await begin(operator, spec, files={"a.txt": source})
        await reach(operator, job, Phase.RUNNING)
        source.unlink()
        with pytest.raises(QueueFull):
            await begin(operator, spec, files={"a.txt": source})
        assert [path.name for path in (workshop.data_dir / "jobs").iterdir()] == [job.id]
        await operator.stop([job.id])


async def test_a_delayed_job_waits_without_holding_up_others(workshop: Workshop) -> None:
    spec = with_stages(workshop, only=counts_on)
    async with workshop.operator() as operator:
        late = await begin(operator, spec, delay_s=60)
        prompt = await ended(operator, await begin(operator, spec))
        assert prompt.phase is Phase.COMPLETED
        assert (await operator.job(late.id)).phase is Phase.QUEUED
        workshop.clock.advance(60)
        await workshop.wake(late)
        late = await ended(operator, late)
        assert late.phase is Phase.COMPLETED
        moves = await operator.history(late.id)
        assert moves[1].at - moves[0].at >= 60


async def test_the_end_of_each_job_is_told(workshop: Workshop) -> None:
    spec = with_stages(workshop, only=counts_on)
    told: list[Job] = []
    async with workshop.operator() as operator:
        operator.on_end(told.append)
        job = await ended(operator, await begin(operator, spec))
        assert [each.id for each in told] == [job.id]
        assert told[0].phase is Phase.COMPLETED


@pytest.mark.parametrize(
    "stages",
    [(), (a_stage("a"), a_stage("a")), tuple(a_stage(f"s{n}") for n in range(17))],
    ids=["none", "one name twice", "too many"],
)
def test_a_job_has_some_stages_of_different_names(stages: tuple[Stage, ...]) -> None:
    with pytest.raises(ValidationError):
        JobSpec(stages=stages)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", "", "a//b", ".x", "a/b/c", "a\0", "a\n"])
def test_a_file_of_a_stage_has_a_harmless_name(name: str) -> None:
    with pytest.raises(ValidationError):
        a_stage("a", files=(name,))


def test_specifications_from_before_stages_are_read() -> None:
    old = {
        "datasets": [{"did": "did:op:1", "service_id": "s"}],
        "algorithm": {"image": {"image": "python"}, "entrypoint": "x"},
        "network": True,
        "max_duration_s": 5,
        "agreement_id": "0x1",
    }
    spec = JobSpec.model_validate(old)
    [stage] = spec.stages
    assert (stage.name, stage.network, stage.max_duration_s) == ("algorithm", True, 5)
    assert (spec.datasets[0].did, spec.agreement_id) == ("did:op:1", "0x1")

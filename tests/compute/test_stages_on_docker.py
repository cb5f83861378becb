"""Jobs of several stages on the real engine: what a later stage sees, and what is left."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import docker
import pytest
import pytest_asyncio
from compute_samples import OWNER, an_environment
from workshop import NOTHING_LEFT, Workshop, ended

from compute.engines.docker import DockerEngine
from compute.environments import Environments
from compute.models import AlgorithmItem, Image, Job, JobSpec, Stage
from compute.operator import Operator
from compute.space import best_space
from compute.status import Phase

pytestmark = pytest.mark.docker

SHELL = Image(image="ocean-compute-test/busybox", tag="1")


def stage(name: str, script: str, **changes: object) -> Stage:
    algorithm = AlgorithmItem(image=SHELL, entrypoint=f"sh -c '{script}'")
    return Stage(name=name, algorithm=algorithm, max_duration_s=60, **changes)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def machine(workshop: Workshop) -> AsyncIterator[Workshop]:
    """The workshop with a real engine and the best space that there is here."""
    workshop.data_dir.mkdir()
    environment = an_environment(diskGB=0.01, maxOutputFiles=100, ramGB=0.1, network="bridge")
    workshop.environments = Environments((environment,))
    workshop.engine = DockerEngine(base_url=None, operator_id=uuid.uuid4().hex)  # type: ignore[assignment]
    workshop.space = await best_space(workshop.data_dir, "auto")
    yield workshop


async def run(operator: Operator, *stages: Stage, **options: object) -> Job:
    spec = JobSpec(stages=stages)
    job = await operator.start(owner=OWNER, environment="small", spec=spec, **options)  # type: ignore[arg-type]
    return await ended(operator, job)


def text(operator: Operator, job: Job, name: str) -> str:
    [file] = [file for file in job.results if file.filename == name]
    return operator.result(job, file.index)[1].read_text()


async def test_outputs_become_inputs_and_cannot_be_changed(machine: Workshop) -> None:
    async with machine.operator() as operator:
        job = await run(
            operator,
            stage("fetch", "echo rows > /data/outputs/rows; echo fetched"),
            stage(
                "train",
                "cat /data/inputs/stages/0/rows > /data/outputs/model;"
                " (echo x >> /data/inputs/stages/0/rows) 2> /dev/null || echo kept;"
                " ls /data/outputs",
            ),
            stage("deliver", "cat /data/inputs/stages/*/* > /data/outputs/all; echo $STAGE $W"
                  , variables={"W": "w", "OUTPUTS": "elsewhere"}),
        )  # fmt: skip
        assert job.phase is Phase.COMPLETED, job.termination
        assert text(operator, job, "all") == "rows\nrows\n"
        assert text(operator, job, "fetch.log") == "fetched\n"
        assert text(operator, job, "train.log").splitlines()[-2:] == ["kept", "model"]
        assert text(operator, job, "deliver.log") == "deliver w\n"
        assert [run.exit_code for run in job.runs] == [0, 0, 0]
    left = machine.leftovers()
    assert left == NOTHING_LEFT


async def test_all_stages_share_one_disk(machine: Workshop) -> None:
    if not machine.space.enforced:
        pytest.skip("a watched folder is not bounded by the kernel")
    fill = "dd if=/dev/zero of=/data/outputs/zeros bs=1M count=7"
    async with machine.operator() as operator:
        job = await run(operator, stage("one", fill), stage("two", fill))
    assert job.phase is Phase.QUOTA_EXCEEDED
    assert job.termination is not None
    assert job.termination.stage == "two"


async def test_only_the_stage_that_has_network_sees_one(machine: Workshop) -> None:
    look = "ls /sys/class/net > /data/outputs/net"
    async with machine.operator() as operator:
        job = await run(
            operator,
            stage("fetch", look, network=True),
            stage("train", look + "; cp /data/inputs/stages/0/net /data/outputs/before"),
        )
        assert text(operator, job, "before").split() == ["eth0", "lo"]
        assert text(operator, job, "net").split() == ["lo"]


async def test_a_secret_is_a_file_in_memory_and_no_part_of_the_container(
    machine: Workshop,
) -> None:
    seal = {"site": "sealed:correct horse"}
    script = "cat /run/secrets/site > /dev/null && test -s /run/secrets/site && sleep 2"
    spec = JobSpec(stages=(stage("read", script, secrets=seal),))
    async with machine.operator() as operator:
        job = await operator.start(owner=OWNER, environment="small", spec=spec)
        while (await operator.job(job.id)).phase is not Phase.RUNNING:
            assert not (await operator.job(job.id)).phase.terminal
            await operator._waiting.settled(job.id, 0.01)
        client = docker.APIClient(version="auto")
        try:
            described = str(client.inspect_container(f"ocean-compute-{job.id}"))
        finally:
            client.close()
        assert "correct horse" not in described
        [shown] = list(machine.secrets_dir.rglob("site"))
        assert shown.read_text() == "correct horse"
        job = await ended(operator, job)
        assert job.phase is Phase.COMPLETED, job.termination
    assert not machine.secrets_dir.exists()


async def test_the_pid_is_the_containers_own(machine: Workshop) -> None:
    async with machine.operator() as operator:
        spec = JobSpec(stages=(stage("only", "sleep 1"),))
        job = await operator.start(owner=OWNER, environment="small", spec=spec)
        while (now := await operator.job(job.id)).phase is not Phase.RUNNING:
            assert not now.phase.terminal, now.termination
            await operator._waiting.settled(job.id, 0.01)
        assert now.pid is not None
        assert b"sleep" in Path(f"/proc/{now.pid}/cmdline").read_bytes()
        job = await ended(operator, job)
        assert job.runs[0].pid == now.pid

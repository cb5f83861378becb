"""Two environments and three wallets on the real engine, on a machine with room for two."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import docker
import pytest
import pytest_asyncio
from compute_samples import an_environment
from workshop import NOTHING_LEFT, Workshop, ended

from compute.engines.base import JOB_LABEL, OPERATOR_LABEL
from compute.engines.docker import DockerEngine
from compute.environments import Environments, MachineSection
from compute.models import AlgorithmItem, Image, Job, JobSpec, Stage
from compute.operator import Operator
from compute.space import best_space
from compute.status import ACTIVE, Phase

pytestmark = pytest.mark.docker

SHELL = Image(image="ocean-compute-test/busybox", tag="1")
WALLETS = [f"0x{letter * 40}" for letter in "abc"]
NAME = "queue-test"


@pytest_asyncio.fixture
async def machine(workshop: Workshop) -> AsyncIterator[Workshop]:
    """Two processors that are to be shared by environments of one and of two."""
    workshop.data_dir.mkdir()
    limits = {"diskGB": 0.01, "maxOutputFiles": 100, "ramGB": 0.05, "maxJobs": 4}
    workshop.environments = Environments(
        (an_environment(cpu=1, **limits), an_environment(id="large", cpu=2, **limits)),
        MachineSection(cpu=2.0, keepAfter=1),
    )
    workshop.engine = DockerEngine(base_url=None, operator_id=f"{NAME}-{uuid.uuid4().hex}")  # type: ignore[assignment]
    workshop.space = await best_space(workshop.data_dir, "auto")
    yield workshop


async def start(operator: Operator, owner: str, environment: str) -> Job:
    algorithm = AlgorithmItem(image=SHELL, entrypoint="sh -c 'sleep 0.3; echo $OUTPUTS'")
    spec = JobSpec(stages=(Stage(algorithm=algorithm, max_duration_s=60),))
    return await operator.start(owner=owner, environment=environment, spec=spec)


async def watch(operator: Operator, seen: list[Counter[str]]) -> None:
    """What is active, and what runs on the engine, over and over."""
    with docker.APIClient(version="auto") as client:
        while True:
            jobs = {job.id: job for owner in WALLETS for job in await operator.jobs(owner=owner)}
            found = await asyncio.to_thread(client.containers, filters={"label": JOB_LABEL})
            running = Counter(
                jobs[one["Labels"][JOB_LABEL]].environment
                for one in found
                if one["Labels"].get(OPERATOR_LABEL, "").startswith(NAME)
                and one["Labels"][JOB_LABEL] in jobs
            )
            seen += [running, Counter(j.environment for j in jobs.values() if j.phase in ACTIVE)]
            await asyncio.sleep(0.05)


async def test_three_wallets_share_two_environments_of_one_machine(machine: Workshop) -> None:
    seen: list[Counter[str]] = []
    async with machine.operator() as operator:
        jobs = [await start(operator, WALLETS[0], "small") for _ in range(5)]
        jobs += [await start(operator, wallet, "small") for wallet in WALLETS[1:]]
        large = [await start(operator, wallet, "large") for wallet in WALLETS[:2]]
        watching = asyncio.create_task(watch(operator, seen))
        try:
            over = [await ended(operator, job) for job in jobs]
            large = [await ended(operator, job) for job in large]
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    assert {job.phase for job in (*over, *large)} == {Phase.COMPLETED}
    # Never more than the machine has, as we count and as the engine does.
    assert max(each["small"] + 2 * each["large"] for each in seen) == 2
    # The other wallets did not wait for all that the first had queued before them.
    begun = sorted(over, key=lambda job: job.started_at or 0.0)
    assert {job.owner for job in begun[:-1]} == set(WALLETS)
    # And the large ones did not wait for all small ones.
    assert min(job.started_at or 0.0 for job in large) < (begun[-1].started_at or 0.0)
    assert len({job.machine for job in (*over, *large)}) == 1
    assert machine.leftovers() == NOTHING_LEFT

"""An operator with a queue: who is started, what is told, what takes effect at once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest
from compute_samples import a_spec, an_environment
from workshop import HASTY, IMAGE, Workshop, ended, reach

from compute import capacity
from compute.engines.base import Machine
from compute.engines.fake import FakeEngine, until_stopped
from compute.engines.faulty import UnreachableEngine
from compute.environments import Environment, Environments, MachineSection, parse
from compute.errors import EnvironmentsInvalid
from compute.fairness import Reason, Shortage
from compute.layout import container_name
from compute.models import Job
from compute.operator import Operator
from compute.status import Phase

ALICE, BOB, CAROL = (f"0x{letter * 40}" for letter in "abc")
GIB = 1 << 30


@pytest.fixture
def full(workshop: Workshop) -> Workshop:
    """A workshop whose jobs run until they are stopped."""
    workshop.world.add_image(IMAGE, until_stopped)
    workshop.environment(maxJobs=1)
    return workshop


def two_environments(workshop: Workshop, **machine: object) -> None:
    large = an_environment(id="large", cpu=3, ramGB=0.1, maxJobs=5)
    small = an_environment(cpu=1, ramGB=0.1, maxJobs=5)
    section = MachineSection.model_validate(machine)
    workshop.environments = Environments((small, large), section)


async def start(operator: Operator, owner: str = ALICE, environment: str = "small", **how: object
                ) -> Job:  # fmt: skip
    return await operator.start(owner=owner, environment=environment, spec=a_spec(), **how)  # type: ignore[arg-type]


async def running(operator: Operator, owner: str = ALICE, environment: str = "small") -> Job:
    return await reach(operator, await start(operator, owner, environment), Phase.RUNNING)


async def told(operator: Operator, *jobs: Job) -> list[tuple[int | None, str]]:
    """Positions and reasons, once a look at the queue shows all of the jobs."""
    async with asyncio.timeout(60):
        while True:
            fresh = [await operator.job(job.id) for job in jobs]
            found = await operator.waits_for(fresh)
            if len(found) == len(jobs):
                return [(found[job.id].position, found[job.id].reason) for job in jobs]
            await asyncio.sleep(0.01)


async def until_told(operator: Operator, job: Job, reason: Reason) -> None:
    async with asyncio.timeout(60):
        while (await told(operator, job))[0][1] != reason:
            await asyncio.sleep(0.01)


# What is started


async def test_wallets_are_served_in_turn(workshop: Workshop) -> None:
    """Of two wallets that queue ten and one the second does not wait for the first."""
    workshop.environment(maxJobs=1)
    gate = asyncio.Event()

    async def waits(run: object) -> int:
        await gate.wait()
        return 0

    workshop.world.add_image(IMAGE, waits)
    async with workshop.operator() as operator:
        first = [await start(operator) for _ in range(6)]
        await reach(operator, first[0], Phase.RUNNING)
        other = await start(operator, BOB)
        assert await told(operator, *first[1:4], other) == [
            (1, "place"), (3, "place"), (4, "place"), (2, "place"),
        ]  # fmt: skip
        gate.set()
        jobs = [await ended(operator, job) for job in (*first, other)]
    begun = sorted(jobs, key=lambda job: job.started_at or 0.0)
    assert [job.id for job in begun[:3]] == [first[0].id, first[1].id, other.id]


async def test_a_machine_is_shared_by_its_environments(full: Workshop) -> None:
    two_environments(full, cpu=4)
    async with full.operator() as operator:
        large = await running(operator, ALICE, "large")
        small = await running(operator, ALICE)
        waiting, behind = await start(operator, BOB), await start(operator, CAROL, "large")
        found = await told(operator, waiting, behind)
        assert found == [(1, "machine"), (1, "machine")]
        (why,) = (await operator.waits_for([await operator.job(behind.id)])).values()
        assert why.short == (Shortage("cpu", 3.0, 0.0),)
        full.world.finish(container_name(small.id))
        assert (await reach(operator, waiting, Phase.RUNNING)).machine == "fake"
        assert (await operator.job(behind.id)).phase is Phase.QUEUED
        full.world.finish(container_name(large.id))
        await reach(operator, behind, Phase.RUNNING)


async def test_room_is_kept_for_a_large_job_that_small_ones_pass(full: Workshop) -> None:
    two_environments(full, cpu=3, keepAfter=60)
    async with full.operator() as operator:
        first = await running(operator)
        large = await start(operator, BOB, "large")
        await until_told(operator, large, Reason.MACHINE)
        second = await running(operator, CAROL)
        full.clock.advance(61)
        third = await start(operator, CAROL)
        await until_told(operator, third, Reason.MACHINE)
        full.world.finish(container_name(first.id))
        await ended(operator, first)
        assert await told(operator, third) == [(1, "machine")]
        full.world.finish(container_name(second.id))
        await reach(operator, large, Phase.RUNNING)
        # What has waited longer is before the next large one.
        next_large = await start(operator, BOB, "large")
        await until_told(operator, next_large, Reason.MACHINE)
        full.clock.advance(61)
        await operator.stop([large.id])
        await reach(operator, third, Phase.RUNNING)
        # And whoever stops waiting lets the others go on.
        fourth = await start(operator, CAROL)
        await until_told(operator, fourth, Reason.MACHINE)
        await operator.stop([next_large.id])
        await reach(operator, fourth, Phase.RUNNING)


async def test_a_wallet_has_no_more_running_than_it_may(full: Workshop) -> None:
    full.environment(maxJobs=9, maxJobsPerConsumer=1)
    async with full.operator() as operator:
        first = await running(operator)
        second = await start(operator)
        other = await running(operator, BOB)
        assert await told(operator, second) == [(1, "consumer_limit")]
        assert (await operator.job(other.id)).phase is Phase.RUNNING
        full.world.finish(container_name(first.id))
        await reach(operator, second, Phase.RUNNING)


async def test_what_runs_counts_after_a_restart(full: Workshop) -> None:
    two_environments(full, cpu=3)
    async with full.operator() as operator:
        large = await running(operator, ALICE, "large")
    async with full.operator() as operator:
        small = await start(operator, BOB)
        assert await told(operator, small) == [(1, "machine")]
        full.world.finish(container_name(large.id))
        await reach(operator, small, Phase.RUNNING)


async def test_whole_devices_are_given_to_each_job(full: Workshop) -> None:
    environment = an_environment(gpu={"count": 1}, maxJobs=9)
    full.environments = Environments((environment,), MachineSection(gpu=("left", "right")))
    async with full.operator() as operator:
        jobs = [await running(operator, owner) for owner in (ALICE, BOB)]
        third = await start(operator, CAROL)
        assert await told(operator, third) == [(1, "machine")]
        specs = [full.world.containers[container_name(job.id)].spec for job in jobs]
        assert [spec.gpu_devices for spec in specs] == [("left",), ("right",)]


# What is told


async def test_a_delay_is_told_and_has_no_position(full: Workshop) -> None:
    async with full.operator() as operator:
        late = await start(operator, delay_s=100.0)
        (why,) = (await operator.waits_for([late])).values()
        assert (why.reason, why.position, why.until) == (Reason.DELAY, None, late.retry_at)
        assert why.wait_ends_at == late.retry_at + 24 * 3600


async def test_the_end_of_the_wait_and_of_the_job_before_are_told(full: Workshop) -> None:
    full.environment(maxJobs=1, maxQueueWait=500, stopGrace=2)
    async with full.operator() as operator:
        first = await running(operator)
        waiting = await start(operator, BOB)
        assert await told(operator, waiting) == [(1, "place")]
        (why,) = (await operator.waits_for([await operator.job(waiting.id)])).values()
        first = await operator.job(first.id)
        assert first.started_at is not None
        assert why.frees_by == first.started_at + 60 + 2
        assert why.wait_ends_at == waiting.created_at + 500


async def test_a_machine_that_has_not_been_seen_is_told_to_be_missing(full: Workshop) -> None:
    async with full.operator(engine=UnreachableEngine(full.world)) as operator:
        job = await start(operator)
        assert await told(operator, job) == [(1, "machine")]
        (why,) = (await operator.waits_for([job])).values()
        assert why.short == ()


async def test_nothing_is_told_of_what_does_not_wait(full: Workshop) -> None:
    async with full.operator() as operator:
        job = await running(operator)
        assert await operator.waits_for([job]) == {}


class CountsSurveys:
    """How often a queue was looked at."""

    def __init__(self, workshop: Workshop) -> None:
        self.number = 0
        self._survey = workshop.store.survey

    async def __call__(self, *args: object, **kwargs: object) -> object:
        self.number += 1
        await asyncio.sleep(0.02)
        return await self._survey(*args, **kwargs)  # type: ignore[arg-type]


async def test_many_questions_are_answered_by_one_look(
    full: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = CountsSurveys(full)
    monkeypatch.setattr(full.store, "survey", counting)
    async with full.operator() as operator:
        await running(operator)
        job = await start(operator)
        found = await asyncio.gather(*(operator.waits_for([job]) for _ in range(200)))
        assert counting.number == 1
        assert {each[job.id].position for each in found} == {1}


# What takes effect at once


@pytest.mark.parametrize("wish", ["stop", "delete"])
async def test_a_queued_job_ends_at_once(full: Workshop, wish: str) -> None:
    """Without a look at the clock: nothing of it waits for what runs, or for the engine."""
    full.limits = replace(HASTY, look_s=3600, watch_s=3600)
    async with full.operator() as operator:
        before = await running(operator)
        jobs = [await start(operator, owner) for owner in (ALICE, BOB, CAROL)]
        (now,) = await getattr(operator, wish)([jobs[1].id])
        assert now.phase is (Phase.STOPPED if wish == "stop" else Phase.DELETED)
        assert await told(operator, jobs[0], jobs[2]) == [(1, "place"), (2, "place")]
        assert (await operator.job(before.id)).phase is Phase.RUNNING
        assert full.world.starts.total() == 1


async def test_a_job_that_waited_too_long_leaves_the_queue(full: Workshop) -> None:
    full.environment(maxJobs=1, maxQueueWait=100)
    async with full.operator() as operator:
        await running(operator)
        job = await start(operator, BOB)
        full.clock.advance(101)
        await full.wake(job)
        ended_job = await ended(operator, job)
        assert (ended_job.phase, ended_job.phase.number) == (Phase.EXPIRED, 2)


# The machine


SAID = Machine("m", cpus=2.0, memory_bytes=4 * GIB)


def small(**changes: object) -> Environment:
    return an_environment(ramGB=0.5, **changes)


def test_what_is_not_written_is_what_the_engine_says(workshop: Workshop) -> None:
    workshop.data_dir.mkdir()
    claim = capacity.claim_on(SAID, Environments((small(maxJobs=3),)), workshop.data_dir)
    assert (claim.machine, claim.gpu_devices, claim.patience_s) == ("m", (), 60)
    assert (claim.capacity.millicpus, claim.capacity.memory_bytes) == (2000, 4 * GIB)
    assert claim.capacity.disk_bytes > GIB
    assert claim.shares["small"].places == 3


def test_what_is_written_counts(workshop: Workshop) -> None:
    section = MachineSection(cpu=7.5, ramGB=2.0, diskGB=3.0, gpu=2, keepAfter=5)
    claim = capacity.claim_on(SAID, Environments((small(),), section), workshop.data_dir)
    assert claim.capacity.parts == (7500, 2 * GIB, 3 * GIB, 2)
    assert (claim.gpu_devices, claim.patience_s) == (("0", "1"), 5)


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("cpu: 3", r"lab\.cpu: one job needs 3 and the machine has 2, so none could ever start;"
                   r" write less, or what the machine shall count as in machine\.cpu"),
        ("ramGB: 5", r"lab\.ramGB: one job needs 5 and the machine has 4,"),
        ("diskGB: 90", r"lab\.diskGB: one job needs 90 and the machine has 80,"),
        ("gpu: {count: 1}", r"lab\.gpu\.count: one job needs 1 and the machine has 0,"),
    ],
)  # fmt: skip
async def test_an_environment_that_can_never_fit_stops_the_start(
    workshop: Workshop, field: str, fault: str
) -> None:
    workshop.world.machine = SAID
    text = f"machine: {{diskGB: 80}}\nenvironments:\n  - id: fits\n  - id: lab\n    {field}\n"
    workshop.environments = parse(text, "environments.yaml")
    with pytest.raises(EnvironmentsInvalid, match=rf"^environments\.yaml: {fault}"):
        async with workshop.operator():
            pass


async def test_an_engine_that_tells_too_late_is_warned_about(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    """The service runs by then, and other environments may fit."""
    workshop.world.machine = SAID
    workshop.environments = Environments((small(), small(id="large", cpu=3)))
    engine = UnreachableEngine(workshop.world)
    async with workshop.operator(engine=engine) as operator:
        never = await start(operator, environment="large")
        job = await start(operator)
        engine.switch_on()
        assert (await ended(operator, job)).phase is Phase.COMPLETED
        await until_told(operator, never, Reason.MACHINE)
    assert "environment_does_not_fit cause=environments: large.cpu: one job needs 3" in caplog.text


async def test_places_that_do_not_fit_at_once_are_told_at_the_start(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    workshop.world.machine = SAID
    workshop.environments = Environments((small(maxJobs=2), small(id="other", cpu=0.5)))
    async with workshop.operator(engine=FakeEngine(workshop.world)):
        pass
    assert "machine_known machine=m has=cpu:2,ram:4," in caplog.text
    assert "machine_smaller_than_environments short=cpu wanted=cpu:2.5," in caplog.text

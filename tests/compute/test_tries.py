"""What is tried again by itself, and what never is: counted at the engine and the origins."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from compute_samples import DID
from small_inputs import MemoryFile, MemorySupplier
from workshop import HASTY, IMAGE, NOTHING_LEFT, Workshop, ended, phases_of, reach, start

from compute.decide import MOST_TRIES
from compute.engines.base import PullPolicy
from compute.engines.fake import FakeEngine, FakeRun, FakeWorld, until_stopped
from compute.engines.faulty import AilingEngine, UnreachableEngine
from compute.errors import ImageUnavailable, InputUnavailable
from compute.models import Image
from compute.operator import Operator
from compute.patience import ENGINE_PATIENCE
from compute.status import Phase

FAULT = "The container engine answers with a fault of its own"
MOST_OF_AN_ENGINE = MOST_TRIES * ENGINE_PATIENCE


class BusyRegistry(FakeEngine):
    """A registry that asks to wait so many times."""

    def __init__(self, times: int, world: FakeWorld) -> None:
        super().__init__(world)
        self.times = times

    async def ensure_image(
        self, image: Image, policy: PullPolicy, *, tag_must_match: bool = False
    ) -> str:
        self.times -= 1
        if self.times >= 0:
            await self._enter("ensure_image", image.reference)
            raise ImageUnavailable("the registry asks to wait", temporary=True)
        return await super().ensure_image(image, policy, tag_must_match=tag_must_match)


async def tries_told(operator: Operator, job_id: str) -> list[str]:
    return [m.note for m in await operator.history(job_id) if m.note.startswith("try ")]


@pytest.mark.parametrize(("times", "number"), [(MOST_TRIES - 1, 70), (MOST_TRIES, 11)])
async def test_a_registry_that_asks_to_wait_is_asked_again(
    workshop: Workshop, times: int, number: int
) -> None:
    engine = BusyRegistry(times, workshop.world)
    async with workshop.operator(engine=engine) as operator:
        job = await ended(operator, await start(operator))
        told = await tries_told(operator, job.id)
    assert job.phase.number == number
    assert told == [f"try {n} of 5 failed: the registry asks to wait" for n in range(1, 5)]
    assert job.termination
    if number == 11:
        assert (job.termination.reason, job.termination.tries) == ("image_unreachable", 5)
    assert workshop.leftovers() == NOTHING_LEFT


@pytest.mark.parametrize("of", ["dataset", "algorithm"])
@pytest.mark.parametrize("temporary", [False, True])
async def test_an_input_is_fetched_again_only_if_that_may_help(
    workshop: Workshop, of: str, temporary: bool
) -> None:
    bad, good = MemoryFile("bad", b""), MemoryFile("good", b"")
    bad.failures = [InputUnavailable("answered 503", temporary=temporary)] * 100
    data, code = (bad, good) if of == "dataset" else (good, bad)
    supplier = MemorySupplier({DID: [data]}, [code])
    async with workshop.operator(supplier=supplier) as operator:
        job = await ended(operator, await start(operator))
        told = await tries_told(operator, job.id)
    assert len(told) == (MOST_TRIES - 1 if temporary else 0)
    assert 100 - len(bad.failures) == (MOST_TRIES if temporary else 1)
    assert job.termination
    assert (job.termination.phase, job.termination.reason, job.termination.tries) == (
        Phase.DATA_FAILED if of == "dataset" else Phase.ALGORITHM_MISSING,
        "input_unreachable" if temporary else "input_unavailable",
        MOST_TRIES if temporary else 1,
    )


@pytest.mark.parametrize(
    ("verb", "phases"), [("ensure_image", [1, 10]), ("create", [1, 10, 20, 30])]
)
@pytest.mark.parametrize("enough", [False, True])
async def test_an_engine_that_answers_with_faults_is_asked_a_bounded_number_of_times(
    workshop: Workshop, verb: str, phases: list[int], enough: bool
) -> None:
    times = MOST_OF_AN_ENGINE - (0 if enough else 1)
    engine = AilingEngine({verb: times}, workshop.world)
    async with workshop.operator(engine=engine) as operator:
        job = await ended(operator, await start(operator))
        told = await tries_told(operator, job.id)
        number = {"ensure_image": 11, "create": 22}[verb]
        whole = [*phases, number] if enough else [1, 10, 20, 30, 40, 60, 70]
        assert await phases_of(operator, job) == whole
    assert told == [f"try {n} of 10 failed: {FAULT}" for n in range(1, MOST_OF_AN_ENGINE)]
    assert job.termination
    assert job.termination.reason == ("engine_fault" if enough else "completed")
    assert workshop.leftovers() == NOTHING_LEFT
    assert sum(workshop.world.starts.values()) == (0 if enough else 1)


async def test_an_end_after_faults_waits_for_what_must_be_removed_first(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine that dies while it makes the container, and cannot remove it either."""
    engine = AilingEngine({"create": MOST_OF_AN_ENGINE, "remove": 30}, workshop.world)
    async with workshop.operator(engine=engine) as operator:
        job = await ended(operator, await start(operator))
        assert len(await tries_told(operator, job.id)) == MOST_OF_AN_ENGINE - 1
    assert job.termination
    assert (job.phase.number, job.termination.reason) == (22, "engine_fault")
    assert "Traceback" not in caplog.text
    assert engine.failures["remove"] == 0


@pytest.mark.parametrize("verb", ["observe", "save_log", "remove"])
async def test_faults_about_a_container_that_ran_end_nothing(workshop: Workshop, verb: str) -> None:
    workshop.world.add_image(IMAGE, until_stopped)
    engine = AilingEngine({}, workshop.world)
    async with workshop.operator(engine=engine) as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        engine.failures[verb] = MOST_OF_AN_ENGINE * 3
        workshop.world.finish(f"ocean-compute-{job.id}")
        job = await ended(operator, job)
        assert await tries_told(operator, job.id) == []
    assert job.phase is Phase.COMPLETED
    assert engine.failures[verb] == 0


async def test_an_algorithms_own_fault_is_never_tried_again(workshop: Workshop) -> None:
    async def fails(run: FakeRun) -> int:
        return 3

    workshop.world.add_image(IMAGE, fails)
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator))
        assert await tries_told(operator, job.id) == []
    assert sum(workshop.world.starts.values()) == 1
    assert job.termination
    assert (job.termination.reason, job.termination.tries) == ("exit_code", 1)


async def test_pauses_grow_and_tries_outlive_a_restart(workshop: Workshop) -> None:
    workshop.limits = replace(HASTY, fault_s=10.0, most_backoff_s=3600.0)
    engine = BusyRegistry(MOST_TRIES, workshop.world)
    async with workshop.operator(engine=UnreachableEngine(workshop.world)) as operator:
        job = await start(operator)
    pauses = []
    for tries in range(1, MOST_TRIES):
        async with workshop.operator(engine=engine) as operator:
            async with asyncio.timeout(60):
                while (now := await operator.job(job.id)).attempts < tries:
                    await asyncio.sleep(0.001)
            failed_at = (await operator.history(job.id))[-1].at
            pauses.append(round(now.retry_at - failed_at))
        workshop.clock.advance(now.retry_at - workshop.clock() + 1)
    async with workshop.operator(engine=engine) as operator:
        job = await ended(operator, job)
    assert pauses == [10, 20, 40, 80]
    assert job.termination
    assert (job.phase.number, job.termination.tries) == (11, MOST_TRIES)

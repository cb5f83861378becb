"""When results and logs are sealed on their way out, and what of them is clear until then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from compute_samples import OWNER, a_spec_of_stages
from workshop import (
    NOTHING_LEFT,
    Workshop,
    ended,
    reach,
    start,
)

from compute import sealing
from compute.egress.verdict import Decision
from compute.engines.fake import FakeRun
from compute.errors import LogSealed
from compute.models import Job
from compute.status import Phase
from provider.auth.publickeys import public_key_of
from provider.client.opening import open_file

KEY = bytes([7] * 32)
TO = public_key_of(KEY)
NEEDLE = "needle-in-the-output"
REVIEWER = "0x" + "ab" * 20


async def tells(run: FakeRun) -> int:
    run.print(NEEDLE)
    run.path("/data/outputs/result.txt").write_text(NEEDLE)
    run.path("/data/logs/own.log").write_text(NEEDLE)
    return 0


@pytest.fixture
def telling(workshop: Workshop) -> Workshop:
    workshop.world.add_image("python:3.11", tells)
    return workshop


def clear_copies(folder: Path) -> list[str]:
    """All files in which the algorithm's text can be read."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [str(path.relative_to(folder)) for path in files if NEEDLE.encode() in path.read_bytes()]


def opened(workshop: Workshop, job: Job) -> dict[str, str]:
    found = {}
    for file in job.results:
        path = workshop.data_dir / "results" / job.id / str(file.index)
        meant = (job.id, file.index, file.type)
        target = workshop.data_dir.parent / f"clear-{file.index}"
        text = open_file(path, target, KEY, meant=meant, overwrite=True).read_text()
        found[file.filename.removesuffix(sealing.SUFFIX)] = text
    return found


ALL = {"result.txt": NEEDLE, "own.log": NEEDLE, "algorithm.log": NEEDLE + "\n"}


async def test_everything_that_is_published_is_sealed(telling: Workshop) -> None:
    async with telling.operator() as operator:
        job = await ended(operator, await start(operator, encrypt_to=TO))
    assert job.phase is Phase.COMPLETED
    assert opened(telling, job) == ALL
    assert all(file.filename.endswith(".sealed") for file in job.results)
    assert clear_copies(telling.data_dir) == []
    assert telling.leftovers() == NOTHING_LEFT


async def test_nobody_looks_at_what_is_sealed_not_even_while_it_runs(telling: Workshop) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def waits(run: FakeRun) -> int:
        code = await tells(run)
        entered.set()
        await go_on.wait()
        return code

    telling.world.add_image("python:3.11", waits)
    async with telling.operator() as operator:
        job = await start(operator, encrypt_to=TO)
        await asyncio.wait_for(entered.wait(), 60)
        for over in (False, True):
            if over:
                go_on.set()
                await ended(operator, job)
            job = await operator.job(job.id)
            with pytest.raises(LogSealed):
                await operator.log_stream(job, follow=False)
            assert (await operator.log(job, limit=100)).data == b""
            assert await operator.output(job, "result.txt", limit=100) is None


async def test_logs_of_earlier_stages_are_sealed_when_a_later_one_cannot_start(
    workshop: Workshop,
) -> None:
    workshop.world.add_image("lab/one:1", tells)
    workshop.world.add_image("lab/two:1", tells)
    spec = a_spec_of_stages("one", "two").model_copy(update={"encrypt_to": TO})

    async def goes(run: FakeRun) -> int:
        del workshop.world.images["lab/two:1"]
        return await tells(run)

    workshop.world.add_image("lab/one:1", goes)
    async with workshop.operator() as operator:
        job = await operator.start(owner=OWNER, environment="small", spec=spec)
        job = await ended(operator, job)
    assert job.phase.number == 11
    assert opened(workshop, job) == {"one.log": NEEDLE + "\n"}
    assert clear_copies(workshop.data_dir) == []


async def test_what_is_held_is_clear_until_it_is_delivered(telling: Workshop) -> None:
    telling.environment(egress={"hold": "always", "reviewers": [REVIEWER]})
    async with telling.operator() as operator:
        job = await reach(operator, await start(operator, encrypt_to=TO), Phase.HELD)
        held = [f"held/{job.id}/{file.index}" for file in job.held]
        assert sorted(clear_copies(telling.data_dir)) == sorted(held)
        assert len(held) == len(ALL)
        assert job.verdict
        now = telling.clock()
        verdict = job.verdict.decided(REVIEWER, Decision.RELEASED, now)
        await telling.store.note(job, now=now, verdict=verdict)
        await telling.wake(job)
        job = await ended(operator, job)
    assert job.phase is Phase.COMPLETED
    assert opened(telling, job) == ALL
    assert clear_copies(telling.data_dir) == []


async def test_a_delete_takes_what_a_crash_left_half_done(telling: Workshop) -> None:
    entered = asyncio.Event()

    async def waits(run: FakeRun) -> int:
        await tells(run)
        entered.set()
        await asyncio.Event().wait()
        return 0

    telling.world.add_image("python:3.11", waits)
    async with telling.operator() as operator:
        job = await start(operator, encrypt_to=TO)
        await asyncio.wait_for(entered.wait(), 60)
        half = telling.data_dir / "results" / f"{job.id}.partial"
        half.mkdir()
        (half / "0").write_text(NEEDLE)
        [job] = await operator.delete([job.id])
    assert job.phase is Phase.DELETED
    assert clear_copies(telling.data_dir) == []
    assert telling.leftovers() == NOTHING_LEFT

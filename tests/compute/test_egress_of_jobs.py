"""Rules at work in an operator: filters in a row, logs of which only the beginning leaves,
and what is not shown before it was judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from compute_samples import DID, a_spec
from workshop import IMAGE, NOTHING_LEFT, Workshop, ended, phases_of, reach, start

from compute.egress.rules import EgressRules
from compute.engines.fake import FakeRun
from compute.models import DatasetItem, Job
from compute.operator import Operator
from compute.status import Phase


def with_rules(**rules: Any) -> dict[str, Any]:
    """Of a specification: a dataset that has these."""
    egress = EgressRules.model_validate(rules)
    return {"datasets": (DatasetItem(did=DID, service_id="s1", egress=egress),)}


async def signs(run: FakeRun) -> int:
    """A filter that leaves its name in the outputs and in the log."""
    for path in (run.path("/data/outputs/result.txt"), run.path("/data/logs/algorithm.log")):
        with path.open("a") as file:
            file.write(f" {run.spec.image_id[-8:]}")
    return 0


async def exits_3(run: FakeRun) -> int:
    return 3


@pytest.fixture
def filters(workshop: Workshop) -> list[str]:
    """An environment with a filter, and one more image; what each leaves behind."""
    workshop.environment(filterImage="lab/filter:1")
    return [workshop.world.add_image(f"lab/filter:{number}", signs)[-8:] for number in (1, 2)]


async def test_filters_run_one_after_the_other(workshop: Workshop, filters: list[str]) -> None:
    async with workshop.operator() as operator:
        job = await start(operator, **with_rules(filterImage="lab/filter:2", maxFiles=1))
        job = await ended(operator, job)
        assert await phases_of(operator, job) == [1, 10, 20, 30, 40, 50, 60, 70]
        assert operator.result(job, 0)[1].read_text() == "42 " + " ".join(filters)
        names = [f"ocean-compute-{job.id}{suffix}" for suffix in ("", "-filter", "-filter-1")]
        assert workshop.world.starts == dict.fromkeys(names, 1)
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_filter_that_two_ask_for_runs_once(workshop: Workshop, filters: list[str]) -> None:
    async with workshop.operator() as operator:
        job = await start(operator, **with_rules(filterImage="lab/filter:1"))
        job = await ended(operator, job)
        assert operator.result(job, 0)[1].read_text() == f"42 {filters[0]}"


async def test_a_dataset_s_filter_counts_whatever_becomes_of_the_environment_s(
    workshop: Workshop, filters: list[str]
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def waits_and_fails(run: FakeRun) -> int:
        begun.set()
        await go_on.wait()
        return 3

    workshop.world.add_image("lab/filter:3", waits_and_fails)
    async with workshop.operator() as operator:
        job = await start(operator, **with_rules(filterImage="lab/filter:3"))
        await begun.wait()
    go_on.set()
    workshop.environment(filterImage="")
    async with workshop.operator() as operator:
        job = await ended(operator, job)
        assert (job.phase, job.results) == (Phase.PUBLISHING_FAILED, ())
        assert job.termination is not None
        assert job.termination.reason == "filter_failed"
    assert workshop.leftovers() == NOTHING_LEFT


async def test_a_dataset_s_filter_that_fails(workshop: Workshop, filters: list[str]) -> None:
    workshop.world.add_image("lab/filter:3", exits_3)
    async with workshop.operator() as operator:
        job = await start(operator, **with_rules(filterImage="lab/filter:3"))
        job = await ended(operator, job)
        assert (job.phase, job.results) == (Phase.PUBLISHING_FAILED, ())
        assert job.termination is not None
        assert job.termination.detail.startswith("a dataset's filter ended with exit code 3")
    assert workshop.leftovers() == NOTHING_LEFT


class Talker:
    """A program that prints what it is told to, and ends when it is told to."""

    def __init__(self, workshop: Workshop) -> None:
        self.words: asyncio.Queue[bytes | None] = asyncio.Queue()
        workshop.world.add_image(IMAGE, self)

    async def __call__(self, run: FakeRun) -> int:
        self.run = run
        run.path("/data/outputs/result.txt").write_text("42")
        while (word := await self.words.get()) is not None:
            run.log += word
        return 0

    async def says(self, word: bytes) -> None:
        self.words.put_nowait(word)
        while not self.words.empty():
            await asyncio.sleep(0.001)


async def rest(stream: AsyncGenerator[bytes, None]) -> bytes:
    async with asyncio.timeout(60), aclosing(stream):
        return b"".join([piece async for piece in stream])


async def look(operator: Operator, job: Job) -> bytes:
    return await rest(await operator.log_stream(job, offset=0, follow=False))


def kept(operator: Operator, job: Job) -> bytes:
    [index] = [file.index for file in job.results if file.type == "algorithmLog"]
    return operator.result(job, index)[1].read_bytes()


async def test_of_a_log_the_beginning_leaves_live_and_kept_alike(workshop: Workshop) -> None:
    workshop.environment(egress={"maxLogBytes": 10})
    talker = Talker(workshop)
    async with workshop.operator() as operator:
        job = await start(operator, **with_rules(maxLogBytes=6))
        job = await reach(operator, job, Phase.RUNNING)
        following = asyncio.create_task(rest(await operator.log_stream(job, offset=0, follow=True)))
        late = await operator.log_stream(job, offset=2, follow=True)
        await talker.says(b"0123")
        assert await look(operator, job) == b"0123"
        await talker.says(b"456789")
        assert await look(operator, job) == b"012345"
        part = await operator.log(job, offset=4, limit=100)
        assert (part.data, part.size) == (b"45", 6)
        talker.words.put_nowait(None)
        job = await ended(operator, job)
        assert await following == b"012345"
        assert await rest(late) == b"2345"
        assert kept(operator, job) == b"012345"
        assert job.phase is Phase.COMPLETED


async def test_of_a_log_that_lost_its_beginning_nothing_more_leaves(workshop: Workshop) -> None:
    workshop.environment(egress={"maxLogBytes": 4})
    talker = Talker(workshop)
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        await talker.says(b"01234567")
        assert await look(operator, job) == b"0123"
        talker.run.drop(4)
        assert await look(operator, job) == b""
        assert (await operator.log(job, offset=0, limit=100)).data == b""
        talker.words.put_nowait(None)
        job = await ended(operator, job)
        assert kept(operator, job) == b""


@pytest.mark.parametrize(
    ("rules", "log", "output"),
    [
        ({}, b"word", b"42"),
        ({"maxLogBytes": 9}, b"word", b"42"),
        ({"maxFiles": 9}, b"word", None),
        ({"types": ["text/*"]}, b"word", None),
        ({"noInputCopies": True}, b"", None),
        ({"filterImage": "lab/filter:1"}, b"", None),
        ({"hold": "fired", "reviewers": ["0x" + "ab" * 20]}, b"", None),
    ],
)
async def test_what_is_shown_before_it_was_judged(
    workshop: Workshop, rules: dict[str, Any], log: bytes, output: bytes | None
) -> None:
    talker = Talker(workshop)
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator, **with_rules(**rules)), Phase.RUNNING)
        await talker.says(b"word")
        assert await look(operator, job) == log
        assert (await operator.log(job, offset=0, limit=9)).data == log
        assert await operator.output(job, "result.txt", limit=9) == output
        await operator.delete([job.id], wait_s=0)
        await reach(operator, job, Phase.DELETED)


def test_a_job_stored_with_rules_is_read_back_with_them() -> None:
    spec = a_spec(**with_rules(maxRows=3, types=["text/*"], hold="always"))
    assert type(spec).model_validate(spec.model_dump(mode="json")) == spec
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec


async def test_who_deletes_a_job_does_not_wait_until_its_results_were_looked_into(
    workshop: Workshop,
) -> None:
    async def writes(run: FakeRun) -> int:
        # A minute's work: arrays in an array, none of them small enough to be skipped.
        run.path("/data/outputs/rows.json").write_bytes(b"[" + b"[1]," * (16 << 20) + b"1]")
        return 0

    workshop.environment(diskGB=0.1, egress={"maxRows": 1})
    workshop.world.add_image("python:3.11", writes)
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.PUBLISHING)
        async with asyncio.timeout(40):
            await operator.delete([job.id])
            await reach(operator, job, Phase.DELETED)
        assert await phases_of(operator, job) == [1, 10, 20, 30, 40, 60, 70, 8]
    assert workshop.leftovers() == NOTHING_LEFT

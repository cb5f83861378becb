"""Logs followed from the engine to what is kept, over stages, breaks and losses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from compute_samples import OWNER, a_spec_of_stages
from workshop import IMAGE, Workshop, ended, reach, start

from compute.engines.fake import FakeRun
from compute.engines.faulty import UnreachableEngine
from compute.errors import EngineUnavailable, LogCut, LogTooShort, UnknownJob, UnknownResult
from compute.models import Job
from compute.operator import Operator
from compute.status import Phase


class Talker:
    """A program that says what it is told to, and ends when it is told to."""

    def __init__(self) -> None:
        self.words: asyncio.Queue[str | None] = asyncio.Queue()
        self.run: FakeRun | None = None

    async def __call__(self, run: FakeRun) -> int:
        self.run = run
        while (word := await self.words.get()) is not None:
            run.log += word.encode()
        return 0

    def says(self, *words: str | None) -> None:
        for word in words:
            self.words.put_nowait(word)

    def loses(self, count: int) -> None:
        assert self.run is not None
        self.run.drop(count)


@pytest.fixture
def talker(workshop: Workshop) -> Talker:
    talker = Talker()
    workshop.world.add_image(IMAGE, talker)
    return talker


async def read(stream: AsyncGenerator[bytes, None], count: int) -> bytes:
    """So many bytes, as they come."""
    got = b""
    async with asyncio.timeout(60):
        while len(got) < count:
            got += await anext(stream)
    return got


async def rest(stream: AsyncGenerator[bytes, None]) -> bytes:
    async with asyncio.timeout(60), aclosing(stream):
        return b"".join([piece async for piece in stream])


async def log_of(operator: Operator, job: Job, offset: int = 0, *, follow: bool = True) -> bytes:
    return await rest(await operator.log_stream(job, offset=offset, follow=follow))


def kept(operator: Operator, job: Job) -> bytes:
    [index] = [file.index for file in job.results if file.type == "algorithmLog"]
    return operator.result(job, index)[1].read_bytes()


async def test_from_before_the_job_runs_until_its_end(workshop: Workshop, talker: Talker) -> None:
    workshop.engine.hold("create")
    async with workshop.operator() as operator:
        job = await start(operator)
        stream = await operator.log_stream(job, follow=True)
        coming = asyncio.create_task(read(stream, 3))
        await asyncio.sleep(0.05)
        assert not coming.done()
        assert await log_of(operator, job, follow=False) == b""
        workshop.engine.gates.pop("create").set()
        talker.says("one")
        assert await coming == b"one"
        assert await log_of(operator, job, follow=False) == b"one"
        assert await log_of(operator, job, 2, follow=False) == b"e"
        talker.says("two", "\nthree", None)
        assert await rest(stream) == b"two\nthree"
        job = await ended(operator, job)
        assert kept(operator, job) == b"onetwo\nthree"


@pytest.mark.parametrize("offset", [0, 1, 3, 7, 11, 12])
@pytest.mark.parametrize("follow", [False, True])
async def test_from_any_byte_of_what_is_kept(
    workshop: Workshop, talker: Talker, offset: int, follow: bool
) -> None:
    async with workshop.operator() as operator:
        talker.says("onetwo\nthree", None)
        job = await ended(operator, await start(operator))
        assert await log_of(operator, job, offset, follow=follow) == b"onetwo\nthree"[offset:]
        with pytest.raises(LogTooShort, match="ends 2 bytes before"):
            await operator.log_stream(job, offset=14, follow=follow)


async def test_over_all_stages_or_of_one(workshop: Workshop) -> None:
    async def says(run: FakeRun) -> int:
        run.log += run.spec.name.encode()[-2:] + b"|"
        return 0

    for name in ("fetch", "train", "deliver"):
        workshop.world.add_image(f"lab/{name}:1", says)
    async with workshop.operator() as operator:
        job = await operator.start(
            owner=OWNER, environment="small", spec=a_spec_of_stages("fetch", "train", "deliver")
        )
        whole = await log_of(operator, job)
        first = whole[:3]
        assert whole == first + b"-1|-2|"
        job = await ended(operator, job)
        for follow in (False, True):
            for offset in range(10):
                assert await log_of(operator, job, offset, follow=follow) == whole[offset:]
        with pytest.raises(LogTooShort):
            await operator.log_stream(job, offset=10, follow=True)
        for stage, text in (("fetch", first), ("train", b"-1|"), ("deliver", b"-2|")):
            assert await rest(await operator.log_stream(job, stage, follow=True)) == text
            part = await operator.log_stream(job, stage, offset=2, follow=False)
            assert await rest(part) == b"|"
        with pytest.raises(UnknownResult):
            await operator.log_stream(job, "none", follow=True)


async def test_a_job_that_never_ran_has_an_empty_log(workshop: Workshop, talker: Talker) -> None:
    workshop.environment(maxQueueWait=1)
    del workshop.world.images[IMAGE]
    async with workshop.operator() as operator:
        job = await ended(operator, await start(operator))
        assert job.phase is Phase.IMAGE_FAILED
        assert await log_of(operator, job) == b""


async def test_nothing_before_the_filter_has_seen_it(workshop: Workshop, talker: Talker) -> None:
    async def censors(run: FakeRun) -> int:
        log = run.path("/data/logs/algorithm.log")
        log.write_bytes(log.read_bytes().replace(b"secret", b"******"))
        return 0

    workshop.environment(filterImage="lab/filter:1")
    workshop.world.add_image("lab/filter:1", censors)
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        stream = await operator.log_stream(job, follow=True)
        talker.says("a secret")
        coming = asyncio.create_task(rest(stream))
        await asyncio.sleep(0.1)
        assert not coming.done()
        assert await log_of(operator, job, follow=False) == b""
        talker.says(None)
        assert await coming == b"a ******"


async def test_a_log_that_lost_its_oldest_part_is_never_shown_wrong(
    workshop: Workshop, talker: Talker
) -> None:
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        stream = await operator.log_stream(job, follow=True)
        talker.says("0123456789")
        assert await read(stream, 10) == b"0123456789"
        assert await log_of(operator, job, 4, follow=False) == b"456789"
        talker.loses(4)
        with pytest.raises(LogCut, match="outgrown"):
            await operator.log_stream(job, offset=4, follow=True)
        assert await log_of(operator, job, follow=False) == b"456789"
        talker.says("abc")
        assert await read(stream, 3) == b"abc"
        workshop.engine.hold("remove")
        talker.says(None)
        assert await rest(stream) == b""
        workshop.engine.let_go("remove")
        job = await ended(operator, job)
        assert kept(operator, job) == b"456789abc"
        with pytest.raises(LogCut):
            await operator.log_stream(job, offset=4, follow=False)
        assert await log_of(operator, job) == b"456789abc"


async def test_a_loss_is_remembered_by_the_next_process(workshop: Workshop, talker: Talker) -> None:
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        stream = await operator.log_stream(job, follow=True)
        talker.says("0123456789")
        assert await read(stream, 10) == b"0123456789"
        await stream.aclose()
    talker.loses(3)
    async with workshop.operator() as operator:
        with pytest.raises(LogCut):
            await operator.log_stream(job, offset=10, follow=True)
        talker.says(None)
        job = await ended(operator, job)
        with pytest.raises(LogCut):
            await operator.log_stream(job, offset=5, follow=True)
        await operator.delete([job.id])
        with pytest.raises(UnknownJob):
            await operator.log_stream(job, follow=True)
    assert list((workshop.data_dir / "log-marks").iterdir()) == []


async def test_who_is_overtaken_by_a_flood_is_told(workshop: Workshop, talker: Talker) -> None:
    async with workshop.operator() as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        stream = await operator.log_stream(job, follow=True)
        talker.says("0123456789")
        assert await read(stream, 10) == b"0123456789"
        assert talker.run is not None
        talker.run.log += b"lost and found"
        talker.loses(14)
        with pytest.raises(LogCut):
            await read(stream, 100)
        talker.says(None)


async def test_a_silent_engine_is_waited_for(workshop: Workshop, talker: Talker) -> None:
    engine = UnreachableEngine(workshop.world)
    engine.switch_on()
    async with workshop.operator(engine=engine) as operator:
        job = await reach(operator, await start(operator), Phase.RUNNING)
        stream = await operator.log_stream(job, follow=True)
        talker.says("one ")
        assert await read(stream, 4) == b"one "
        engine.switch_off()
        coming = asyncio.create_task(rest(stream))
        talker.says("two", None)
        await asyncio.sleep(0.1)
        assert not coming.done()
        with pytest.raises(EngineUnavailable):
            await log_of(operator, job, follow=False)
        engine.switch_on()
        assert await coming == b"two"


async def test_marks_without_a_job_are_swept(workshop: Workshop) -> None:
    folder = workshop.data_dir / "log-marks" / ("f" * 32)
    folder.mkdir(parents=True)
    (folder / "0").write_text("x")
    async with workshop.operator():
        assert not folder.exists()

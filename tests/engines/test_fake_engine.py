"""The fake's own extras: programs, a world that outlives its engines, ways to fail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from engine_bench import BASE, TEST_IMAGE, Bench, a_build, listening

from compute.engines.base import GONE, ContainerState, Mount, PullPolicy
from compute.engines.fake import FakeEngine, FakeRun, FakeWorld
from compute.engines.faulty import (
    FailsToBuild,
    FailsToCreate,
    FailsToPull,
    FailsToStart,
    LosesEvents,
    NeverStoppingEngine,
    SlowEngine,
    StumblingEngine,
    UnreachableEngine,
    VanishingEngine,
)
from compute.errors import BuildRefused, EngineRefused, EngineUnavailable, ImageUnavailable
from compute.models import Image

FOREVER = "runs until stopped"


def bench_of(engine: FakeEngine) -> Bench:
    return Bench(engine, engine.world.images[TEST_IMAGE.reference])


async def test_a_test_may_end_a_container(fake_bench: Bench, world: FakeWorld) -> None:
    spec = await fake_bench.launch(FOREVER)
    world.finish(spec.name, 137, oom_killed=True)
    seen = await fake_bench.engine.observe(spec.name)
    assert (seen.state, seen.exit_code, seen.oom_killed) == (ContainerState.EXITED, 137, True)
    world.finish(spec.name, 0)
    assert await fake_bench.engine.observe(spec.name) == seen


async def test_a_program_belongs_to_an_image(world: FakeWorld, tmp_path: Path) -> None:
    async def train(run: FakeRun) -> int:
        run.print(f"secret={run.spec.environment['secret']}")
        run.path("/data/outputs/sub").mkdir()
        run.path("/data/outputs/sub/model").write_text("weights")
        return 5

    image_id = world.add_image("acme/train:1", train)
    bench = Bench(FakeEngine(world), image_id)
    spec = await bench.launch(
        environment={"secret": "x"}, mounts=[Mount(tmp_path, "/data/outputs", read_only=False)]
    )
    assert (await bench.ended(spec.name)).exit_code == 5
    assert (tmp_path / "sub" / "model").read_text() == "weights"
    await bench.engine.save_log(spec.name, tmp_path / "log", 100)
    assert (tmp_path / "log").read_text() == "secret=x\n"


async def test_a_program_that_takes_too_much_memory_is_killed(world: FakeWorld) -> None:
    async def greedy(run: FakeRun) -> int:
        raise MemoryError

    bench = Bench(FakeEngine(world), world.add_image("acme/greedy:1", greedy))
    spec = await bench.launch()
    seen = await bench.ended(spec.name)
    assert (seen.exit_code, seen.oom_killed) == (137, True)


def test_outside_the_mounts_there_is_no_path(fake_bench: Bench) -> None:
    with pytest.raises(KeyError):
        FakeRun(fake_bench.spec()).path("/etc/passwd")


async def test_containers_outlive_their_engine(fake_bench: Bench, world: FakeWorld) -> None:
    spec = await fake_bench.launch(FOREVER)
    await fake_bench.engine.close()
    assert isinstance(fake_bench.engine, FakeEngine)
    heir = FakeEngine(world, operator_id=fake_bench.engine.operator_id)
    assert await heir.owned() == {spec.name: spec.job_id}
    await heir.start(spec.name)
    assert world.starts[spec.name] == 1
    assert await FakeEngine(world, operator_id="other").owned() == {}


async def test_an_image_in_the_registry_is_pulled_once(fake_bench: Bench, world: FakeWorld) -> None:
    world.add_image("acme/far:1", in_registry=True)
    image = Image(image="acme/far", tag="1")
    with pytest.raises(ImageUnavailable):
        await fake_bench.engine.ensure_image(image, PullPolicy.NEVER)
    for _ in range(2):
        await fake_bench.engine.ensure_image(image, PullPolicy.MISSING)
    assert world.pulls["acme/far:1"] == 1


async def test_broken_streams_say_so(fake_bench: Bench, world: FakeWorld) -> None:
    async with listening(fake_bench.engine) as events:
        assert await anext(events) == ""
        world.drop_connections()
        assert await anext(events) == ""
    assert world.listeners == set()


async def test_the_slow_engine_waits_to_be_let_on(world: FakeWorld) -> None:
    engine = SlowEngine(world)
    task = asyncio.create_task(engine.ping())
    while not engine.waiting["ping"]:
        await asyncio.sleep(0)
    assert not task.done()
    engine.gate.set()
    await task


async def test_the_unreachable_engine_comes_and_goes(world: FakeWorld) -> None:
    engine = UnreachableEngine(world)
    await engine.connect()
    with pytest.raises(EngineUnavailable):
        await engine.observe("x")
    async with listening(engine) as events:
        first = asyncio.ensure_future(anext(events))
        engine.switch_on()
        assert await first == ""
        assert await engine.observe("x") == GONE
        spec = await bench_of(engine).launch(FOREVER)
        engine.switch_off()
        world.finish(spec.name)
        with pytest.raises(EngineUnavailable):
            await engine.observe(spec.name)
        pending = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        engine.switch_on()
        assert await pending == ""
        assert (await engine.observe(spec.name)).state is ContainerState.EXITED


async def test_the_vanishing_engine_loses_what_it_starts(world: FakeWorld) -> None:
    bench = bench_of(VanishingEngine(world))
    spec = await bench.launch(FOREVER)
    assert await bench.engine.observe(spec.name) == GONE


async def test_the_engine_that_never_stops_keeps_running(world: FakeWorld) -> None:
    bench = bench_of(NeverStoppingEngine(world))
    spec = await bench.launch(FOREVER)
    with pytest.raises(EngineUnavailable):
        await bench.engine.stop(spec.name, 0)
    assert (await bench.engine.observe(spec.name)).state is ContainerState.RUNNING


async def test_each_stage_can_fail(world: FakeWorld) -> None:
    with pytest.raises(ImageUnavailable):
        await FailsToPull(world).ensure_image(TEST_IMAGE, PullPolicy.MISSING)
    with pytest.raises(EngineRefused):
        await bench_of(FailsToCreate(world)).launch()
    bench = bench_of(FailsToStart(world))
    spec = bench.spec()
    await bench.engine.create(spec)
    with pytest.raises(EngineRefused):
        await bench.engine.start(spec.name)
    seen = await bench.engine.observe(spec.name)
    assert seen.state is ContainerState.CREATED
    assert "not found" in seen.error


@pytest.mark.parametrize(("after", "state"), [(False, "gone"), (True, "created")])
async def test_an_answer_may_be_lost_before_or_after_the_deed(
    world: FakeWorld, after: bool, state: str
) -> None:
    bench = bench_of(StumblingEngine({"create": 1}, world, after=after))
    spec = bench.spec()
    with pytest.raises(EngineUnavailable):
        await bench.engine.create(spec)
    assert (await bench.engine.observe(spec.name)).state == state
    await bench.engine.create(spec)
    assert (await bench.engine.observe(spec.name)).state is ContainerState.CREATED


async def test_the_engine_that_loses_events_tells_nobody(world: FakeWorld) -> None:
    bench = bench_of(LosesEvents(world))
    async with listening(bench.engine) as events:
        assert await anext(events) == ""
        spec = await bench.launch(FOREVER)
        bench.engine.world.finish(spec.name)  # type: ignore[attr-defined]
        world.drop_connections()
        assert await anext(events) == ""


async def test_a_build_that_fails_tells_the_end_of_its_output(
    world: FakeWorld, tmp_path: Path
) -> None:
    with pytest.raises(BuildRefused, match="exit code 3") as refused:
        await FailsToBuild(world).build(a_build(tmp_path, BASE))
    assert "no such dataset" in refused.value.output
    assert world.built == {}


async def test_images_belong_to_the_operator_that_built_them(
    world: FakeWorld, tmp_path: Path
) -> None:
    build = a_build(tmp_path, BASE)
    await FakeEngine(world, operator_id="one").build(build)
    other = FakeEngine(world, operator_id="other")
    assert await other.built() == {}
    with pytest.raises(EngineRefused):
        await other.remove_image(build.reference.reference)

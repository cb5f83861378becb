"""What every engine owes, whichever it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from engine_bench import (
    BASE,
    COUNTS,
    EXITS_3,
    GREETS,
    IGNORES_TERM,
    PATIENCE_S,
    SAYS_IT_IS_UP,
    TERMINATES,
    TEST_IMAGE,
    WRITES,
    Bench,
    a_build,
    listening,
)

from compute.engines.base import GONE, ContainerState, Mount, PullPolicy
from compute.errors import BuildRefused, EngineRefused, ImageUnavailable
from compute.models import Image

NO_SUCH_ID = "sha256:" + "0" * 64


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


async def test_a_container_goes_from_created_to_exited_to_gone(bench: Bench) -> None:
    spec = bench.spec(EXITS_3)
    assert await bench.engine.observe(spec.name) == GONE
    await bench.engine.create(spec)
    created = await bench.engine.observe(spec.name)
    assert (created.state, created.exit_code, created.started_at) == (
        ContainerState.CREATED,
        None,
        None,
    )
    await bench.engine.start(spec.name)
    ended = await bench.ended(spec.name)
    assert (ended.state, ended.exit_code, ended.oom_killed) == (ContainerState.EXITED, 3, False)
    assert ended.started_at
    assert ended.finished_at
    assert ended.started_at <= ended.finished_at
    await bench.engine.remove(spec.name)
    assert await bench.engine.observe(spec.name) == GONE


async def test_a_machine_is_told_and_stays_the_same(bench: Bench) -> None:
    machine = await bench.engine.machine()
    assert machine.id
    assert machine.cpus >= 1
    assert machine.memory_bytes > 256 << 20
    assert await bench.engine.machine() == machine


async def test_creating_twice_makes_one_container(bench: Bench) -> None:
    spec = bench.spec()
    await asyncio.gather(bench.engine.create(spec), bench.engine.create(spec))
    await bench.engine.create(spec)
    assert await bench.engine.owned() == {spec.name: spec.job_id}


async def test_a_name_taken_by_another_job_is_refused(bench: Bench) -> None:
    spec = bench.spec()
    await bench.engine.create(spec)
    with pytest.raises(EngineRefused, match="taken"):
        await bench.engine.create(bench.spec(name=spec.name))


async def test_a_container_never_runs_twice(bench: Bench, outputs: Path) -> None:
    mounts = [Mount(outputs, "/data/outputs", read_only=False)]
    spec = bench.spec(COUNTS, mounts=mounts)
    await bench.engine.create(spec)
    await asyncio.gather(*(bench.engine.start(spec.name) for _ in range(5)))
    await bench.ended(spec.name)
    await bench.engine.start(spec.name)
    assert (await bench.engine.observe(spec.name)).state is ContainerState.EXITED
    assert (outputs / "runs").read_text() == "x"


async def test_a_cancelled_start_that_is_repeated_runs_once(bench: Bench, outputs: Path) -> None:
    mounts = [Mount(outputs, "/data/outputs", read_only=False)]
    spec = bench.spec(COUNTS, mounts=mounts)
    await bench.engine.create(spec)
    first = asyncio.create_task(bench.engine.start(spec.name))
    await asyncio.sleep(0)
    first.cancel()
    await bench.engine.start(spec.name)
    await bench.ended(spec.name)
    await bench.engine.start(spec.name)
    assert (outputs / "runs").read_text() == "x"


async def test_outputs_are_written_through_the_mount(bench: Bench, outputs: Path) -> None:
    spec = await bench.launch(WRITES, mounts=[Mount(outputs, "/data/outputs", read_only=False)])
    assert (await bench.ended(spec.name)).exit_code == 0
    assert (outputs / "result.txt").read_text() == "42\n"


async def test_all_verbs_accept_a_container_that_is_gone(bench: Bench, tmp_path: Path) -> None:
    name = f"ocean-test-{uuid4().hex}"
    await bench.engine.start(name)
    await bench.engine.stop(name, 1)
    await bench.engine.remove(name)
    await bench.engine.save_log(name, tmp_path / "log", 100)
    assert (tmp_path / "log").read_bytes() == b""


async def test_what_a_container_takes_is_told_while_it_runs(bench: Bench) -> None:
    spec = bench.spec(TERMINATES)
    await bench.engine.create(spec)
    assert await bench.engine.usage(spec.name) is None
    await bench.engine.start(spec.name)
    async with asyncio.timeout(PATIENCE_S):
        while (first := await bench.engine.usage(spec.name)) is None:
            await asyncio.sleep(0.05)
    second = await bench.engine.usage(spec.name)
    assert second
    assert 0 < first.memory_bytes <= spec.memory_bytes
    assert first.peak_bytes is None or first.peak_bytes <= spec.memory_bytes
    assert second.cpu_s >= first.cpu_s >= 0
    await bench.engine.stop(spec.name, 5)
    assert await bench.engine.usage(spec.name) is None
    await bench.engine.remove(spec.name)
    assert await bench.engine.usage(spec.name) is None


async def test_an_image_that_is_gone_is_told_apart(bench: Bench) -> None:
    with pytest.raises(ImageUnavailable):
        await bench.engine.create(bench.spec(image_id=NO_SUCH_ID))


async def test_a_missing_mount_source_is_refused_without_its_path(
    bench: Bench, tmp_path: Path
) -> None:
    spec = bench.spec(mounts=[Mount(tmp_path / "nothing", "/data/inputs")])
    with pytest.raises(EngineRefused) as refusal:
        await bench.engine.create(spec)
    assert str(tmp_path) not in refusal.value.public


async def test_a_container_that_honours_sigterm_ends_by_itself(bench: Bench) -> None:
    spec = await bench.launch(SAYS_IT_IS_UP)
    await bench.up(spec.name)
    await bench.engine.stop(spec.name, 60)
    seen = await bench.engine.observe(spec.name)
    assert (seen.state, seen.exit_code) == (ContainerState.EXITED, 143)


async def test_a_container_that_ignores_sigterm_is_killed(bench: Bench) -> None:
    spec = await bench.launch(IGNORES_TERM)
    await bench.engine.stop(spec.name, 0.5)
    seen = await bench.engine.observe(spec.name)
    assert (seen.state, seen.exit_code) == (ContainerState.EXITED, 137)
    assert not seen.oom_killed


async def test_stopping_what_does_not_run_does_nothing(bench: Bench) -> None:
    spec = bench.spec(EXITS_3)
    await bench.engine.create(spec)
    await bench.engine.stop(spec.name, 1)
    assert (await bench.engine.observe(spec.name)).state is ContainerState.CREATED
    await bench.engine.start(spec.name)
    ended = await bench.ended(spec.name)
    await bench.engine.stop(spec.name, 1)
    assert await bench.engine.observe(spec.name) == ended


async def test_a_running_container_is_removed(bench: Bench) -> None:
    spec = await bench.launch(IGNORES_TERM)
    await asyncio.gather(bench.engine.remove(spec.name), bench.engine.remove(spec.name))
    assert await bench.engine.observe(spec.name) == GONE
    assert await bench.engine.owned() == {}


async def test_the_log_holds_both_streams_in_order(bench: Bench, tmp_path: Path) -> None:
    assert await bench.output(GREETS, tmp_path) == "hello\nworld\n"


async def test_only_the_newest_part_of_a_log_is_saved(bench: Bench, tmp_path: Path) -> None:
    spec = await bench.launch(GREETS)
    await bench.ended(spec.name)
    for limit, kept in ((8, "o\nworld\n"), (12, "hello\nworld\n"), (0, ""), (1, "\n")):
        await bench.engine.save_log(spec.name, tmp_path / "log", limit)
        assert (tmp_path / "log").read_text() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


async def test_an_image_is_found_by_name_and_by_checksum(bench: Bench) -> None:
    for image in (TEST_IMAGE, TEST_IMAGE.model_copy(update={"checksum": bench.image_id})):
        for policy in (PullPolicy.MISSING, PullPolicy.NEVER):
            assert await bench.engine.ensure_image(image, policy) == bench.image_id


@pytest.mark.parametrize("policy", list(PullPolicy))
async def test_an_image_nobody_has_is_unavailable(bench: Bench, policy: PullPolicy) -> None:
    image = Image(image="registry.invalid/nobody/has-this", tag="1")
    with pytest.raises(ImageUnavailable, match="has-this"):
        await bench.engine.ensure_image(image, policy)


@pytest.mark.parametrize("policy", list(PullPolicy))
async def test_a_tag_that_points_elsewhere_is_unavailable(bench: Bench, policy: PullPolicy) -> None:
    with pytest.raises(ImageUnavailable):
        await bench.engine.ensure_image(
            TEST_IMAGE.model_copy(update={"checksum": NO_SUCH_ID}), policy
        )


@pytest.mark.parametrize("policy", [PullPolicy.MISSING, PullPolicy.NEVER])
async def test_a_checksum_and_its_tag_may_have_to_belong_together(
    bench: Bench, policy: PullPolicy
) -> None:
    image = TEST_IMAGE.model_copy(update={"checksum": bench.image_id})
    assert await bench.engine.ensure_image(image, policy, tag_must_match=True) == bench.image_id
    claimed = image.model_copy(update={"image": "registry.invalid/x", "tag": "reviewed"})
    for wrong in (claimed, image.model_copy(update={"checksum": NO_SUCH_ID})):
        with pytest.raises(ImageUnavailable):
            await bench.engine.ensure_image(wrong, policy, tag_must_match=True)


async def test_events_begin_with_a_call_to_look_and_name_jobs(bench: Bench) -> None:
    async with listening(bench.engine) as events:
        assert await anext(events) == ""
        spec = await bench.launch(EXITS_3)
        assert await anext(events) == spec.job_id
        assert (await bench.engine.observe(spec.name)).state is ContainerState.EXITED


async def test_closing_the_engine_leaves_containers_alone(bench: Bench) -> None:
    spec = await bench.launch(TERMINATES)
    await bench.engine.close()
    await bench.engine.connect()
    assert (await bench.engine.observe(spec.name)).state is ContainerState.RUNNING


async def test_only_what_runs_has_a_process(bench: Bench) -> None:
    specs = [bench.spec(TERMINATES) for _ in range(2)]
    for spec in specs:
        await bench.engine.create(spec)
        assert (await bench.engine.observe(spec.name)).pid is None
        await bench.engine.start(spec.name)
    pids = [(await bench.engine.observe(spec.name)).pid for spec in specs]
    assert len(set(pids)) == 2
    assert all(pid is not None and pid > 0 for pid in pids)
    await bench.engine.stop(specs[0].name, 5)
    assert (await bench.engine.observe(specs[0].name)).pid is None
    assert GONE.pid is None


@pytest.mark.parametrize("policy", list(PullPolicy))
async def test_a_built_image_is_had_by_its_name_and_checksum(
    bench: Bench, tmp_path: Path, policy: PullPolicy
) -> None:
    build = a_build(tmp_path, BASE)
    image_id = await bench.engine.build(build)
    assert await bench.engine.built() == {build.reference.reference: image_id}
    known = build.reference.model_copy(update={"checksum": image_id})
    for must_match in (False, True):
        assert await bench.engine.ensure_image(known, policy, tag_must_match=must_match) == image_id
    await bench.engine.remove_image(build.reference.reference)
    with pytest.raises(ImageUnavailable, match="is not on this machine") as gone:
        await bench.engine.ensure_image(known, policy)
    assert not gone.value.temporary
    assert await bench.engine.built() == {}


async def test_building_again_gives_the_name_to_the_newer_image(
    bench: Bench, tmp_path: Path
) -> None:
    build = a_build(tmp_path, BASE)
    older = await bench.engine.build(build)
    newer = await bench.engine.build(
        a_build(tmp_path, f"{BASE}ENV A=1\n", reference=build.reference)
    )
    assert newer != older
    assert await bench.engine.built() == {build.reference.reference: newer}
    known = build.reference.model_copy(update={"checksum": older})
    with pytest.raises(ImageUnavailable):
        await bench.engine.ensure_image(known, PullPolicy.MISSING)


async def test_without_a_dockerfile_nothing_is_built(bench: Bench, tmp_path: Path) -> None:
    build = a_build(tmp_path, BASE)
    (tmp_path / "Dockerfile").unlink()
    with pytest.raises(BuildRefused, match="no file Dockerfile"):
        await bench.engine.build(build)
    assert await bench.engine.built() == {}


async def test_an_image_in_use_stays(bench: Bench, tmp_path: Path) -> None:
    build = a_build(tmp_path, BASE)
    spec = bench.spec(image_id=await bench.engine.build(build))
    await bench.engine.create(spec)
    with pytest.raises(EngineRefused, match="in use"):
        await bench.engine.remove_image(build.reference.reference)
    await bench.engine.remove(spec.name)
    for _ in range(2):
        await bench.engine.remove_image(build.reference.reference)


async def test_an_image_built_by_nobody_here_stays(bench: Bench) -> None:
    with pytest.raises(EngineRefused, match="not built here"):
        await bench.engine.remove_image(TEST_IMAGE.reference)
    assert await bench.engine.ensure_image(TEST_IMAGE, PullPolicy.NEVER) == bench.image_id

"""Who may have an image built, within what, and what becomes of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from compute_samples import an_environment

from compute.builds import BUILT, Builder, is_built
from compute.engines.base import ContainerSpec, Engine, ImageBuild, PullPolicy
from compute.engines.docker import DockerEngine
from compute.engines.fake import FakeEngine, FakeWorld
from compute.engines.faulty import SlowEngine, UnreachableEngine
from compute.environments import Environments, Images
from compute.errors import (
    BuildRefused,
    EngineUnavailable,
    ImageUnavailable,
    UnknownEnvironment,
)
from compute.models import Image

BASE = "ocean-compute-test/busybox:1"
DIGEST = "sha256:" + "a" * 64


class Recorder(FakeEngine):
    """Remembers what it was asked to build."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(world)
        self.builds: list[ImageBuild] = []

    async def build(self, build: ImageBuild) -> str:
        self.builds.append(build)
        return await super().build(build)


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    world = FakeWorld()
    world.add_image(BASE)
    yield world
    await world.end()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {BASE}\n")
    return folder


def builder(engine: Engine, **changes: object) -> Builder:
    images = {"build": True, "allow": ["ocean-compute-test/*", "python:3.*"], "pull": "never"}
    changed = an_environment(**{"images": images, **changes})
    never = an_environment(id="never", images={**images, "build": False})
    return Builder(engine=engine, environments=Environments((changed, never)))


async def test_an_image_is_built_within_what_its_environment_has(
    world: FakeWorld, context: Path
) -> None:
    engine = Recorder(world)
    made = builder(engine, ramGB=0.5, cpu=2.0, diskGB=2.0, maxJobDuration=7200)
    image = await made.build("small", "a-b-1", context)
    assert (image.image, image.tag) == (f"{BUILT}/a-b-1", "1")
    assert await engine.built() == {image.reference: image.checksum}
    assert await engine.ensure_image(image, PullPolicy.MISSING) == image.checksum
    assert engine.builds == [
        ImageBuild(
            reference=image.by_tag(),
            context=context,
            memory_bytes=1 << 29,
            cpus=2.0,
            timeout_s=3600,
            disk_bytes=2 << 30,
            bases=[world.images[BASE]],
        )
    ]
    await builder(engine, maxJobDuration=60).build("small", "a-b-1", context)
    assert engine.builds[-1].timeout_s == 60


async def test_where_nothing_is_built_the_refusal_says_so(world: FakeWorld, context: Path) -> None:
    engine = FakeEngine(world)
    with pytest.raises(BuildRefused, match="Environment never builds no images"):
        await builder(engine).build("never", "a", context)
    with pytest.raises(UnknownEnvironment):
        await builder(engine).build("other", "a", context)
    assert engine.calls == []


@pytest.mark.parametrize("name", ["", "A", "a/b", "a.b", "a_b", "-a", "a-", "a" * 65, "a:1", "a\n"])
async def test_names_are_plain(world: FakeWorld, context: Path, name: str) -> None:
    with pytest.raises(BuildRefused, match="1 to 64 of a-z"):
        await builder(FakeEngine(world)).build("small", name, context)


REFUSED = {
    "FROM ruby:3\n": "Dockerfile line 1: the image ruby:3 is not allowed",
    "FROM python:2.7\n": "line 1: the image python:2.7 is not allowed",
    f"FROM {BASE}\nADD http://x /\n": "line 2: ADD",
    f"FROM python:3.1@{DIGEST}\n": "is not allowed",
    f"FROM {BUILT}/a:1\n": "is not allowed",
    f"FROM docker.io/{BUILT}/a@{DIGEST}\n": "is not allowed",
    f"FROM {BASE}\nCOPY --from={BUILT}/a:1 /a /\n": "line 2: the image",
    "FROM python:3.11\n": "Image python:3.11 is not on this machine",
    "": "has no FROM",
}


@pytest.mark.parametrize(("text", "words"), REFUSED.items(), ids=range(len(REFUSED)))
async def test_what_a_dockerfile_may_not_do_never_reaches_the_builder(
    world: FakeWorld, context: Path, text: str, words: str
) -> None:
    engine = Recorder(world)
    (context / "Dockerfile").write_text(text)
    with pytest.raises(BuildRefused) as refused:
        await builder(engine).build("small", "a", context)
    assert words in refused.value.public
    assert engine.builds == []


async def test_a_missing_base_is_fetched_before_the_build(world: FakeWorld, context: Path) -> None:
    engine = Recorder(world)
    base = world.add_image("python:3.12", in_registry=True)
    (context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY --from=python:3.12 /a /\n")
    images = {"build": True, "pull": "missing"}
    await builder(engine, images=images).build("small", "a", context)
    assert world.pulls == {"python:3.12": 1}
    assert engine.builds[0].bases == [world.images[BASE], base]


async def test_a_dockerfile_is_a_file_of_its_folder(
    world: FakeWorld, context: Path, tmp_path: Path
) -> None:
    file = context / "Dockerfile"
    file.rename(tmp_path / "elsewhere")
    made = builder(FakeEngine(world))
    with pytest.raises(BuildRefused, match="no file Dockerfile"):
        await made.build("small", "a", context)
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BuildRefused, match="no file Dockerfile"):
        await made.build("small", "a", context)
    file.unlink()
    file.write_bytes(b"FROM x\xff")
    with pytest.raises(BuildRefused, match="UTF-8"):
        await made.build("small", "a", context)


async def test_one_is_built_at_a_time(world: FakeWorld, context: Path) -> None:
    engine = SlowEngine(world)
    made = builder(engine)
    tasks = [asyncio.create_task(made.build("small", name, context)) for name in "abc"]
    async with asyncio.timeout(60):
        while not engine.waiting["ensure_image"]:
            await asyncio.sleep(0.01)
        assert sum(engine.waiting.values()) == 1
        tasks[0].cancel()
        engine.gate.set()
        await asyncio.wait(tasks)
    assert tasks[0].cancelled()
    assert sorted(await engine.built()) == [f"{BUILT}/b:1", f"{BUILT}/c:1"]


async def test_a_silent_engine_is_no_refusal(world: FakeWorld, context: Path) -> None:
    engine = UnreachableEngine(world)
    for call in (builder(engine).build("small", "a", context), builder(engine).keep([])):
        with pytest.raises(EngineUnavailable):
            await call


async def test_what_nobody_names_is_cleared_away_but_for_what_is_in_use(
    world: FakeWorld, context: Path
) -> None:
    engine = FakeEngine(world)
    made = builder(engine)
    images = [await made.build("small", name, context) for name in "abc"]
    await engine.create(ContainerSpec("n", "j", images[2].checksum, []))
    await made.keep({"a", "never-built"})
    assert sorted(await engine.built()) == [f"{BUILT}/a:1", f"{BUILT}/c:1"]
    await engine.remove("n")
    await made.keep([])
    assert await engine.built() == {}
    assert BASE in world.images


async def test_what_is_being_built_is_not_cleared_away(world: FakeWorld, context: Path) -> None:
    engine = SlowEngine(world)
    engine.gate.set()
    made = builder(engine)
    await made.build("small", "a", context)
    engine.gate.clear()
    again = asyncio.create_task(made.build("small", "a", context))
    async with asyncio.timeout(60):
        while not engine.waiting["ensure_image"]:
            await asyncio.sleep(0.01)
        keeping = asyncio.create_task(made.keep([]))
        while not engine.waiting["built"]:
            await asyncio.sleep(0.01)
        engine.gate.set()
        await asyncio.gather(again, keeping)
    assert list(await engine.built()) == [f"{BUILT}/a:1"]


@pytest.mark.parametrize("allow", [["*"], [f"{BUILT}/*"], ["*/*:1", "*:*"], []])
@pytest.mark.parametrize(
    "name", [f"{BUILT}/a", f"docker.io/{BUILT}/a", f"index.docker.io/{BUILT}/a/b"]
)
def test_a_built_image_runs_only_where_images_are_built(allow: list[str], name: str) -> None:
    known = Image(image=name, tag="1", checksum=DIGEST)
    for image in (known, Image(image=name, checksum=DIGEST)):
        assert is_built(image)
        assert not Images(allow=allow).allows(image)  # type: ignore[arg-type]
        builds = Images(allow=allow, build=True)  # type: ignore[arg-type]
        assert builds.allows(image)
        assert not builds.tag_must_match(image)
        assert not builds.allows(image.by_tag())


@pytest.mark.parametrize("name", [BUILT, f"{BUILT}x/a", f"lab/{BUILT}/a", f"reg.example/{BUILT}/a"])
def test_names_that_only_look_like_it_are_like_any_other(name: str) -> None:
    image = Image(image=name, tag="1", checksum=DIGEST)
    assert not is_built(image)
    assert not Images(allow=(), build=True).allows(image)


@pytest.mark.docker
async def test_a_dockerfile_becomes_an_image_that_runs(context: Path) -> None:
    engine = DockerEngine(base_url=None, operator_id=f"test-{uuid.uuid4().hex}")
    await engine.connect()
    made = builder(engine, ramGB=0.1)
    try:
        (context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY a /a\nRUN cat /a && touch /b\n")
        (context / "a").write_text("said\n")
        image = await made.build("small", uuid.uuid4().hex, context)
        for policy in PullPolicy:
            assert await engine.ensure_image(image, policy) == image.checksum
        (context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY a /a\nRUN cat /a && false\n")
        with pytest.raises(BuildRefused, match="exit code 1") as refused:
            await made.build("small", uuid.uuid4().hex, context)
        assert "said\n" in refused.value.output
        assert list((await engine.built()).values()) == [image.checksum]
    finally:
        await made.keep([])
        assert await engine.built() == {}
        for policy in PullPolicy:
            with pytest.raises(ImageUnavailable, match="is not on this machine"):
                await engine.ensure_image(image, policy)
        await engine.close()

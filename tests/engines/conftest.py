"""Engines under test. What is made in Docker carries the test's own label and is swept."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest
from engine_bench import TEST_IMAGE, Bench, shell

from compute.engines.base import PullPolicy
from compute.engines.docker import DockerEngine
from compute.engines.fake import FakeEngine, FakeWorld


@pytest.fixture
def operator_id() -> str:
    return f"test-{uuid4().hex}"


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Asked for by all that make engines, so that it looks when these are closed."""
    yield
    left = [one.name for one in threading.enumerate() if one.name.startswith("docker-")]
    assert left == []


@pytest.fixture
async def docker_engine(operator_id: str, no_thread_left: None) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(base_url=None, operator_id=operator_id)
    await engine.connect()
    yield engine
    for name in await engine.owned():
        await engine.remove(name)
    for reference in await engine.built():
        await engine.remove_image(reference)
    await engine.close()


@pytest.fixture
async def engine_at(
    operator_id: str, no_thread_left: None
) -> AsyncIterator[Callable[[Path], DockerEngine]]:
    made: list[DockerEngine] = []

    def make(path: Path) -> DockerEngine:
        made.append(DockerEngine(base_url=f"unix://{path}", operator_id=operator_id))
        return made[-1]

    yield make
    for engine in made:
        await engine.close()


@pytest.fixture
async def docker_bench(docker_engine: DockerEngine) -> Bench:
    image_id = await docker_engine.ensure_image(TEST_IMAGE, PullPolicy.NEVER)
    return Bench(docker_engine, image_id)


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    world = FakeWorld()
    world.programs["/bin/sh"] = shell
    world.add_image(TEST_IMAGE.reference)
    yield world
    await world.end()


@pytest.fixture
def fake_bench(world: FakeWorld, operator_id: str) -> Bench:
    engine = FakeEngine(world, operator_id=operator_id)
    return Bench(engine, world.images[TEST_IMAGE.reference])


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
def bench(request: pytest.FixtureRequest) -> Bench:
    """The same contract, kept by each engine."""
    found: Bench = request.getfixturevalue(f"{request.param}_bench")
    return found


@pytest.fixture
def raw() -> Iterator[docker.APIClient]:
    """Docker without our engine, to look at what was made."""
    with docker.APIClient(version="auto") as client:
        yield client

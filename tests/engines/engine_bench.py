"""One bench for every engine: scripts told twice and a short way to a specification.

On Docker a shell runs a script's text, in memory its twin acts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from uuid import uuid4

from compute.engines.base import (
    BUILT,
    ContainerSpec,
    ContainerState,
    Engine,
    ImageBuild,
    Observation,
)
from compute.engines.fake import FakeRun
from compute.models import Image

TEST_IMAGE = Image(image="ocean-compute-test/busybox", tag="1")
PATIENCE_S = 90.0


@dataclass(frozen=True)
class Script:
    """One behaviour, told twice."""

    shell: str
    act: Callable[[FakeRun], None]
    code: int = 0


def _greet(run: FakeRun) -> None:
    run.print("hello")
    run.print("world")


def _write(run: FakeRun) -> None:
    run.path("/data/outputs/result.txt").write_text("42\n")


def _count(run: FakeRun) -> None:
    with run.path("/data/outputs/runs").open("a") as file:
        file.write("x")


SCRIPTS = {
    script.shell: script
    for script in (
        Script("echo hello; sleep 0.5; echo world >&2", _greet),
        Script("exit 3", lambda run: None, code=3),
        Script("echo 42 > /data/outputs/result.txt", _write),
        Script("printf x >> /data/outputs/runs", _count),
    )
}
GREETS, EXITS_3, WRITES, COUNTS = SCRIPTS
TERMINATES = "trap 'exit 143' TERM; while true; do sleep 0.05; done"
SAYS_IT_IS_UP = TERMINATES.replace("; while", "; echo up; while")
IGNORES_TERM = "trap '' TERM; while true; do sleep 0.05; done"


async def shell(run: FakeRun) -> int:
    text = run.spec.command[2]
    if text in SCRIPTS:
        SCRIPTS[text].act(run)
        return SCRIPTS[text].code
    if text == SAYS_IT_IS_UP:
        run.print("up")
    await run.stopping.wait()
    if text == IGNORES_TERM:
        await asyncio.Event().wait()
    return 143


BASE = f"FROM {TEST_IMAGE.reference}\n"


def a_build(folder: Path, dockerfile: str, **changes: object) -> ImageBuild:
    """A build of a name of its own, from a folder that has nothing but this Dockerfile yet."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    build = ImageBuild(
        reference=Image(image=f"{BUILT}/test-{uuid4().hex}", tag="1"),
        context=folder,
        memory_bytes=64 << 20,
        cpus=1.0,
        timeout_s=PATIENCE_S,
    )
    return replace(build, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def listening(engine: Engine) -> AsyncGenerator[AsyncGenerator[str, None], None]:
    """The engine's events, ended for certain when the block is left."""
    events = cast("AsyncGenerator[str, None]", engine.events())
    async with asyncio.timeout(PATIENCE_S), aclosing(events):
        yield events


class Bench:
    """An engine, an image it has, and a short way to a specification."""

    def __init__(self, engine: Engine, image_id: str) -> None:
        self.engine = engine
        self.image_id = image_id

    def spec(self, shell: str = GREETS, **changes: object) -> ContainerSpec:
        job_id = uuid4().hex
        spec = ContainerSpec(
            name=f"ocean-test-{job_id}",
            job_id=job_id,
            image_id=self.image_id,
            command=["/bin/sh", "-c", shell],
            memory_bytes=64 << 20,
        )
        return replace(spec, **changes)  # type: ignore[arg-type]

    async def launch(self, shell: str = GREETS, **changes: object) -> ContainerSpec:
        spec = self.spec(shell, **changes)
        await self.engine.create(spec)
        await self.engine.start(spec.name)
        return spec

    async def up(self, name: str) -> None:
        """Return once a container has said something."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self.engine.log_beginning(name):
                await asyncio.sleep(0.02)

    async def ended(self, name: str) -> Observation:
        """What is seen of a container once it no longer runs."""
        async with listening(self.engine) as events:
            async for _ in events:
                seen = await self.engine.observe(name)
                if seen.state in {ContainerState.EXITED, ContainerState.GONE}:
                    return seen
        raise AssertionError("the stream of events ended")

    async def output(self, shell: str, folder: Path, **changes: object) -> str:
        """Run a script to its end and return what it said."""
        spec = await self.launch(shell, **changes)
        await self.ended(spec.name)
        await self.engine.save_log(spec.name, folder / "log", 1 << 20)
        await self.engine.remove(spec.name)
        return (folder / "log").read_text()

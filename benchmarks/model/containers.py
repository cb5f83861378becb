"""Containers alone: the engine, through the verbs and the options of the operator's, and
nothing else of the service."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from support.service import IMAGE, image_id

from benchmarks.model.busy import Spent, spent
from compute.engines.base import ContainerSpec, ContainerState, Mount, PullPolicy
from compute.engines.docker import DockerEngine
from compute.models import Image


class Containers:
    """Runs trivial containers, hardened as those of jobs are."""

    def __init__(self, engine: DockerEngine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._numbers = itertools.count()
        self._image_id = image_id()
        self._exits: dict[str, asyncio.Event] = {}

    async def listen(self) -> None:
        async for job_id in self._engine.events():
            if job_id in self._exits:
                self._exits[job_id].set()

    async def run(self, jobs: int, at_once: int) -> None:
        left: Iterator[int] = iter(range(jobs))

        async def one_after_the_other() -> None:
            for _ in left:
                await self._one(f"{next(self._numbers):032x}")

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(one_after_the_other())

    async def _one(self, job_id: str) -> None:
        """The calls that :class:`compute.steps.Steps` makes for a job of one stage."""
        engine, spec = self._engine, self._spec(job_id)
        self._exits[job_id] = asyncio.Event()
        image = Image(image=IMAGE, tag="1", checksum=self._image_id)
        await engine.ensure_image(image, PullPolicy.NEVER)
        await engine.observe(spec.name)
        await engine.create(spec)
        await engine.start(spec.name)
        seen = await engine.observe(spec.name)
        while seen.state is not ContainerState.EXITED:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exits[job_id].wait(), 1.0)
            seen = await engine.observe(spec.name)
        assert seen.exit_code == 0, seen
        await engine.save_log(spec.name, self._folder / f"{job_id}.log", 1 << 20)
        await engine.remove(spec.name)
        del self._exits[job_id]

    def _spec(self, job_id: str) -> ContainerSpec:
        targets = ("/data/inputs", "/data/transformations", "/data/ddos", "/data/outputs")
        mounts = [
            Mount(source=self._folder, target=target, read_only=target != "/data/outputs")
            for target in targets
        ]
        return ContainerSpec(
            name=f"ocean-compute-bench-{job_id}",
            job_id=job_id,
            image_id=self._image_id,
            command=("true",),
            mounts=mounts,
            memory_bytes=256 << 20,
        )


@contextlib.asynccontextmanager
async def containers() -> AsyncIterator[Containers]:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        engine = DockerEngine(base_url=None, operator_id=f"bench-{uuid.uuid4().hex}")
        await engine.connect()
        found = Containers(engine, Path(folder))
        listening = asyncio.create_task(found.listen())
        try:
            yield found
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            for name in await engine.owned():
                await engine.remove(name)
            await engine.close()


async def measured(jobs: int, at_once: int) -> Spent:
    """What so many cost, begun when the engine is warm."""
    async with containers() as found:
        await found.run(at_once, at_once)
        return await spent(lambda: found.run(jobs, at_once))

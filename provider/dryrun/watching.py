"""An engine and a store that tell what happens in them, for one person who watches one job.

They change nothing: the job goes the same way as at a provider. What is measured is asked for
while the algorithm runs, since an engine forgets it with the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compute import layout
from compute.engines.base import ContainerSpec, ContainerState, Usage
from compute.engines.docker import DockerEngine
from compute.errors import ComputeError, EngineUnavailable
from compute.models import Job
from compute.status import Phase
from compute.store.base import Database
from compute.store.claims import Claim
from compute.store.jobs import JobStore

MEASURE_S = 0.2
LAST_WORDS_S = 10.0
"""How long the rest of a log may take that a container has left."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The most memory seen at once, in bytes, and processor time, in seconds. ``by_engine`` when
    the engine kept the highest mark itself (it counts cached files, too); else the memory is
    the greatest of ``samples``, between which there may have been more. The time is that of the
    last sample."""

    memory_bytes: int
    cpu_s: float
    samples: int
    by_engine: bool

    @classmethod
    def of(cls, usage: Usage, before: Measured | None) -> Measured:
        """With one more sample. Pure."""
        memory = usage.memory_bytes if usage.peak_bytes is None else usage.peak_bytes
        by_engine = usage.peak_bytes is not None
        if before is None:
            return cls(memory, usage.cpu_s, 1, by_engine)
        return replace(
            before,
            memory_bytes=max(memory, before.memory_bytes),
            cpu_s=max(usage.cpu_s, before.cpu_s),
            samples=before.samples + 1,
        )


class WatchedEngine(DockerEngine):
    """Docker; what the algorithm prints goes to ``shown`` as it comes, what it takes is in
    ``measured``, None until it has been seen to run."""

    def __init__(
        self, *, base_url: str | None, operator_id: str, shown: Callable[[bytes], None]
    ) -> None:
        super().__init__(base_url=base_url, operator_id=operator_id)
        self.measured: Measured | None = None
        self._shown = shown
        self._algorithms: set[str] = set()
        self._watching: dict[str, tuple[asyncio.Task[None], ...]] = {}

    async def create(self, spec: ContainerSpec) -> None:
        if any(mount.target == layout.INPUTS for mount in spec.mounts):
            self._algorithms.add(spec.name)
        await super().create(spec)

    async def start(self, name: str) -> None:
        await super().start(name)
        if name in self._algorithms and name not in self._watching:
            self._watching[name] = (
                asyncio.create_task(self._show(name), name="dry run's log"),
                asyncio.create_task(self._measure(name), name="dry run's measuring"),
            )

    async def save_log(self, name: str, target: Path, limit_bytes: int) -> None:
        """Keeps the log once all of it has been shown: then the container goes."""
        for showing in self._watching.get(name, ())[:1]:
            await asyncio.wait([showing], timeout=LAST_WORDS_S)
        await super().save_log(name, target, limit_bytes)

    async def close(self) -> None:
        tasks = [task for pair in self._watching.values() for task in pair]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().close()

    async def _show(self, name: str) -> None:
        with contextlib.suppress(ComputeError):
            async with aclosing(self.stream_log(name, follow=True)) as pieces:
                async for piece in pieces:
                    self._shown(piece.data)

    async def _measure(self, name: str) -> None:
        """Pauses are between looks at a container that runs; nothing waits for them."""
        with contextlib.suppress(EngineUnavailable):
            while True:
                seen = await self.usage(name)
                if seen is not None:
                    self.measured = Measured.of(seen, self.measured)
                elif (await self.observe(name)).state is not ContainerState.RUNNING:
                    return
                await asyncio.sleep(MEASURE_S)


class WatchedStore(JobStore):
    """A store that tells each move of a job, and each line of its history, once it is kept."""

    def __init__(self, database: Database, told: Callable[[Job, str], None]) -> None:
        super().__init__(database)
        self._told = told

    async def move(self, job: Job, phase: Phase, **changes: Any) -> Job:
        moved = await super().move(job, phase, **changes)
        self._told(moved, changes.get("note", ""))
        return moved

    async def note(self, job: Job, **changes: Any) -> Job:
        noted = await super().note(job, **changes)
        if changes.get("note"):
            self._told(noted, changes["note"])
        return noted

    async def claim(self, claim: Claim, *, now: float) -> list[Job]:
        started = await super().claim(claim, now=now)
        for job in started:
            self._told(job, "")
        return started

"""Engines in memory that fail, one class for each way, for tests of whatever must bear it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from compute.engines.base import ContainerSpec, ImageBuild, PullPolicy
from compute.engines.fake import FakeEngine, FakeWorld
from compute.errors import (
    BuildRefused,
    EngineFault,
    EngineRefused,
    EngineUnavailable,
    ImageUnavailable,
)
from compute.models import Image


class SlowEngine(FakeEngine):
    """Every verb waits until ``gate`` is set; ``waiting`` tells which are."""

    def __init__(self, world: FakeWorld | None = None, *, operator_id: str = "fake") -> None:
        super().__init__(world, operator_id=operator_id)
        self.gate = asyncio.Event()
        self.waiting: Counter[str] = Counter()

    async def before(self, verb: str, name: str) -> None:
        self.waiting[verb] += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting[verb] -= 1


class UnreachableEngine(FakeEngine):
    """Silent until :meth:`switch_on`; containers run on meanwhile, events are lost."""

    def __init__(self, world: FakeWorld | None = None, *, operator_id: str = "fake") -> None:
        super().__init__(world, operator_id=operator_id)
        self._reachable = asyncio.Event()

    def switch_on(self) -> None:
        """Answer from now on; listeners get their empty text."""
        self._reachable.set()
        self.world.drop_connections()

    def switch_off(self) -> None:
        """Fall silent. Listeners hear nothing until :meth:`switch_on`."""
        self._reachable.clear()

    async def before(self, verb: str, name: str) -> None:
        if verb == "events":
            await self._reachable.wait()
        elif not self._reachable.is_set():
            raise EngineUnavailable("The container engine does not answer")

    async def events(self) -> AsyncIterator[str]:
        async for job_id in super().events():
            if self._reachable.is_set():
                yield job_id


class VanishingEngine(FakeEngine):
    """Each container is GONE as soon as it runs, without an event."""

    async def start(self, name: str) -> None:
        await super().start(name)
        self.world.vanish(name)


class NeverStoppingEngine(FakeEngine):
    """``stop`` ends in a time-out and the container runs on."""

    async def stop(self, name: str, grace_s: float) -> None:
        await self._enter("stop", name)
        if name in self.world.containers:
            raise EngineUnavailable("The container engine does not answer")


class FailsToPull(FakeEngine):
    """No image is to be had."""

    async def ensure_image(
        self, image: Image, policy: PullPolicy, *, tag_must_match: bool = False
    ) -> str:
        await self._enter("ensure_image", image.reference)
        raise ImageUnavailable(f"Image {image.reference} cannot be pulled: not found")


class FailsToBuild(FakeEngine):
    """A step of every build fails."""

    async def build(self, build: ImageBuild) -> str:
        await self._enter("build", build.reference.reference)
        text = "A command of the Dockerfile ended with exit code 3"
        raise BuildRefused(text, output="Step 2/2 : RUN train\nno such dataset\n")


class FailsToCreate(FakeEngine):
    """The specification of every container is refused."""

    async def create(self, spec: ContainerSpec) -> None:
        await self._enter("create", spec.name)
        raise EngineRefused("Minimum memory limit allowed is 6MB")


class FailsToStart(FakeEngine):
    """Containers are made but cannot be started, as with a missing entrypoint."""

    async def start(self, name: str) -> None:
        await self._enter("start", name)
        container = self.world.containers.get(name)
        if container is not None:
            reason = 'The entrypoint "nothing" was not found in the image'
            container.seen = replace(container.seen, error=reason)
            raise EngineRefused(reason)


class StumblingEngine(FakeEngine):
    """Each verb in ``failures`` is silent that many times, then works.

    With ``after`` the verb is done and only its answer is lost.
    """

    def __init__(
        self,
        failures: Mapping[str, int],
        world: FakeWorld | None = None,
        *,
        operator_id: str = "fake",
        after: bool = False,
    ) -> None:
        super().__init__(world, operator_id=operator_id)
        self.failures = Counter(failures)
        self._after = after

    def _stumble(self, verb: str) -> None:
        if self.failures[verb] > 0:
            self.failures[verb] -= 1
            raise EngineUnavailable("The container engine does not answer")

    async def before(self, verb: str, name: str) -> None:
        if not self._after:
            self._stumble(verb)

    async def create(self, spec: ContainerSpec) -> None:
        await super().create(spec)
        self._stumble("create")

    async def start(self, name: str) -> None:
        await super().start(name)
        self._stumble("start")

    async def stop(self, name: str, grace_s: float) -> None:
        await super().stop(name, grace_s)
        self._stumble("stop")

    async def remove(self, name: str) -> None:
        await super().remove(name)
        self._stumble("remove")


class AilingEngine(FakeEngine):
    """Each verb in ``failures`` is answered that many times with a fault of the engine's own."""

    def __init__(
        self,
        failures: Mapping[str, int],
        world: FakeWorld | None = None,
        *,
        operator_id: str = "fake",
    ) -> None:
        super().__init__(world, operator_id=operator_id)
        self.failures = Counter(failures)

    async def before(self, verb: str, name: str) -> None:
        if self.failures[verb] > 0:
            self.failures[verb] -= 1
            raise EngineFault("The container engine answers with a fault of its own")


class LosesEvents(FakeEngine):
    """Connects to the stream of events, which then never says anything."""

    async def events(self) -> AsyncIterator[str]:
        async for job_id in super().events():
            if not job_id:
                yield job_id

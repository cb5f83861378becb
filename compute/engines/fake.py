"""An engine in memory, for tests of whatever stands on the contract.

It keeps the contract to the letter and adds what a test needs: programs that act for
containers and really write into their mounts, and a record of all calls
(:mod:`compute.engines.faulty` has the ways in which an engine can fail). Containers live in
a :class:`FakeWorld`, which outlives an engine as real containers outlive the process that
started them: hand the same world to a second engine to play a restart.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from pathlib import Path, PurePosixPath

from compute.engines.base import (
    GONE,
    WRONG_TAG,
    ContainerSpec,
    ContainerState,
    Engine,
    ImageBuild,
    LogPiece,
    Machine,
    Observation,
    PullPolicy,
    Usage,
    is_built,
)
from compute.errors import (
    BuildRefused,
    EngineRefused,
    ImageUnavailable,
    LogCut,
)
from compute.models import Image

FIRST_PID = 4000
KILLED = 137
TERMINATED = 143
LOG_LOOK_S = 0.01


@dataclass(slots=True)
class FakeRun:
    """What a program sees: its container, the mounts behind it, its log, its SIGTERM."""

    spec: ContainerSpec
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    log: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def path(self, target: str) -> Path:
        """The host path of a path inside the container. Raises KeyError outside the mounts."""
        inside = PurePosixPath(target)
        for mount in sorted(self.spec.mounts, key=lambda mount: -len(mount.target)):
            if inside.is_relative_to(mount.target):
                return mount.source / inside.relative_to(mount.target)
        raise KeyError(target)

    def print(self, text: str) -> None:
        """Write a line to the log."""
        self.log += f"{text}\n".encode()

    def drop(self, count: int) -> None:
        """Lose the oldest bytes of the log, as an engine does with one that is too large."""
        del self.log[:count]
        self.dropped += count


Program = Callable[[FakeRun], Awaitable[int]]
"""What runs in a container; returns the exit code. Cancelled when the container is killed."""


async def until_stopped(run: FakeRun) -> int:
    """The default program: runs until SIGTERM."""
    await run.stopping.wait()
    return TERMINATED


@dataclass(slots=True)
class FakeContainer:
    """One container of the world."""

    operator_id: str
    run: FakeRun
    seen: Observation
    task: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spec(self) -> ContainerSpec:
        return self.run.spec


class FakeWorld:
    """The machine: images, containers, programs, listeners. Survives its engines.

    ``programs`` are looked up by image id, then by the command's first word, then "".
    ``built`` are the names of images that were built here, and the operators that did.
    ``machine`` is what it tells of itself.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.machine = Machine("fake", cpus=1024.0, memory_bytes=1 << 44)
        self.images: dict[str, str] = {}
        self.registry: dict[str, str] = {}
        self.programs: dict[str, Program] = {"": until_stopped}
        self.containers: dict[str, FakeContainer] = {}
        self.starts: Counter[str] = Counter()
        self.pulls: Counter[str] = Counter()
        self.built: dict[str, str] = {}
        self.listeners: set[asyncio.Queue[tuple[str, str]]] = set()
        self._pids = count(FIRST_PID)

    def add_image(
        self, reference: str, program: Program | None = None, *, in_registry: bool = False
    ) -> str:
        """Have an image here, or only in the registry; returns its id."""
        image_id = "sha256:" + sha256(reference.encode()).hexdigest()
        (self.registry if in_registry else self.images)[reference] = image_id
        if program is not None:
            self.programs[image_id] = program
        return image_id

    def program_of(self, spec: ContainerSpec) -> Program:
        keys = (spec.image_id, spec.command[0] if spec.command else "", "")
        return next(self.programs[key] for key in keys if key in self.programs)

    def launch(self, container: FakeContainer) -> None:
        """Start a container's program."""
        self.starts[container.spec.name] += 1
        container.seen = Observation(
            ContainerState.RUNNING, started_at=self.clock(), pid=next(self._pids)
        )
        container.task = asyncio.create_task(self._live(container))

    async def _live(self, container: FakeContainer) -> None:
        try:
            code = await self.program_of(container.spec)(container.run)
        except MemoryError:
            self.finish(container.spec.name, KILLED, oom_killed=True)
        else:
            self.finish(container.spec.name, code)

    def finish(self, name: str, exit_code: int = 0, *, oom_killed: bool = False) -> None:
        """End a running container and tell all who listen. In other states: does nothing."""
        container = self.containers.get(name)
        if container is None or container.seen.state is not ContainerState.RUNNING:
            return
        container.seen = replace(
            container.seen,
            state=ContainerState.EXITED,
            exit_code=exit_code,
            oom_killed=oom_killed,
            finished_at=self.clock(),
            pid=None,
        )
        self._quit(container)
        for listener in self.listeners:
            listener.put_nowait((container.operator_id, container.spec.job_id))

    def vanish(self, name: str) -> None:
        """Take a container away as if it had never been; nobody is told."""
        container = self.containers.pop(name, None)
        if container is not None:
            self._quit(container)

    def _quit(self, container: FakeContainer) -> None:
        container.ended.set()
        task, container.task = container.task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def drop_connections(self) -> None:
        """Break every stream of events; listeners connect again."""
        for listener in self.listeners:
            listener.put_nowait(("", ""))

    async def end(self) -> None:
        """Take everything away, so that no task outlives a test."""
        tasks = [container.task for container in self.containers.values() if container.task]
        for name in list(self.containers):
            self.vanish(name)
        await asyncio.gather(*tasks, return_exceptions=True)


class FakeEngine(Engine):
    """An engine over a world of its own or a shared one. ``calls`` lists all verbs used."""

    def __init__(self, world: FakeWorld | None = None, *, operator_id: str = "fake") -> None:
        self.world = world or FakeWorld()
        self.operator_id = operator_id
        self.calls: list[tuple[str, str]] = []

    async def before(self, verb: str, name: str) -> None:
        """Called first in each verb; a subclass may wait or fail here."""

    async def _enter(self, verb: str, name: str = "") -> None:
        self.calls.append((verb, name))
        await asyncio.sleep(0)
        await self.before(verb, name)

    def finish(self, name: str, exit_code: int = 0, *, oom_killed: bool = False) -> None:
        """End a container from outside."""
        self.world.finish(name, exit_code, oom_killed=oom_killed)

    async def connect(self) -> None:
        self.calls.append(("connect", ""))

    async def close(self) -> None:
        self.calls.append(("close", ""))

    async def ping(self) -> None:
        await self._enter("ping")

    async def machine(self) -> Machine:
        await self._enter("machine")
        return self.world.machine

    async def ensure_image(
        self, image: Image, policy: PullPolicy, *, tag_must_match: bool = False
    ) -> str:
        await self._enter("ensure_image", image.reference)
        if is_built(image):
            policy = PullPolicy.NEVER
        found = self._ensure(image, policy)
        if tag_must_match and found != self._ensure(image.by_tag(), policy):
            raise ImageUnavailable(WRONG_TAG)
        return found

    def _ensure(self, image: Image, policy: PullPolicy) -> str:
        world = self.world
        pulls = policy is PullPolicy.ALWAYS and not image.checksum
        found = None if pulls else _present(world.images, image)
        if found is None:
            if policy is PullPolicy.NEVER:
                raise ImageUnavailable(f"Image {image.reference} is not on this machine")
            found = _present(world.registry, image)
            if found is None:
                raise ImageUnavailable(f"Image {image.reference} cannot be pulled: not found")
            world.pulls[image.reference] += 1
            name = f"{image.image}@{found}" if image.checksum else image.reference
            world.images[name] = found
        return found

    async def build(self, build: ImageBuild) -> str:
        """An image for each reference and text of a Dockerfile; nothing is run."""
        reference = build.reference.reference
        await self._enter("build", reference)
        try:
            text = await asyncio.to_thread((build.context / "Dockerfile").read_text)
        except OSError:
            raise BuildRefused("There is no file Dockerfile; put one at the root") from None
        image_id = "sha256:" + sha256(f"{reference}\n{text}".encode()).hexdigest()
        self.world.images[reference] = image_id
        self.world.built[reference] = self.operator_id
        return image_id

    async def built(self) -> Mapping[str, str]:
        await self._enter("built")
        own = (name for name, one in self.world.built.items() if one == self.operator_id)
        return {reference: self.world.images[reference] for reference in own}

    async def remove_image(self, reference: str) -> None:
        await self._enter("remove_image", reference)
        image_id = self.world.images.get(reference)
        if image_id is None:
            return
        if self.world.built.get(reference) != self.operator_id:
            raise EngineRefused("The image was not built here")
        if any(one.spec.image_id == image_id for one in self.world.containers.values()):
            raise EngineRefused("The image is in use by a container")
        del self.world.images[reference], self.world.built[reference]

    async def create(self, spec: ContainerSpec) -> None:
        await self._enter("create", spec.name)
        world = self.world
        known = world.containers.get(spec.name)
        if known is not None:
            if (known.spec.job_id, known.operator_id) != (spec.job_id, self.operator_id):
                raise EngineRefused("The container's name is taken by another container")
            return
        if spec.image_id not in world.images.values():
            raise ImageUnavailable("The algorithm's image is no longer here")
        for mount in spec.mounts:
            if not mount.source.exists():
                raise EngineRefused("A folder of the job is missing")
        created = Observation(ContainerState.CREATED)
        world.containers[spec.name] = FakeContainer(self.operator_id, FakeRun(spec), created)

    async def start(self, name: str) -> None:
        await self._enter("start", name)
        container = self.world.containers.get(name)
        if container is not None and container.seen.state is ContainerState.CREATED:
            self.world.launch(container)

    async def observe(self, name: str) -> Observation:
        await self._enter("observe", name)
        container = self.world.containers.get(name)
        return container.seen if container is not None else GONE

    async def usage(self, name: str) -> Usage | None:
        """As much as the container may have, for as long as it has run."""
        await self._enter("usage", name)
        container = self.world.containers.get(name)
        if container is None or container.seen.state is not ContainerState.RUNNING:
            return None
        memory, begun = container.spec.memory_bytes, container.seen.started_at or 0.0
        return Usage(memory, memory, max(0.0, self.world.clock() - begun))

    async def stop(self, name: str, grace_s: float) -> None:
        await self._enter("stop", name)
        container = self.world.containers.get(name)
        if container is None or container.seen.state is not ContainerState.RUNNING:
            return
        container.run.stopping.set()
        try:
            async with asyncio.timeout(grace_s):
                await container.ended.wait()
        except TimeoutError:
            self.world.finish(name, KILLED)

    async def save_log(self, name: str, target: Path, limit_bytes: int) -> None:
        await self._enter("save_log", name)
        container = self.world.containers.get(name)
        log = bytes(container.run.log) if container is not None else b""
        kept = log[max(0, len(log) - limit_bytes) :]
        await asyncio.to_thread(target.write_bytes, kept)

    async def stream_log(
        self, name: str, *, follow: bool, skip: int = 0
    ) -> AsyncGenerator[LogPiece, None]:
        await self._enter("stream_log", name)
        container, told = self.world.containers.get(name), False
        if container is None:
            return
        run = container.run
        beginning, position = str(run.dropped), run.dropped + skip
        while True:
            ended = container.ended.is_set()
            if told and run.dropped > position:
                raise LogCut("The log grew faster than it was read")
            data = bytes(run.log[max(0, position - run.dropped) :])
            if data or (run.log and not told):
                told, position = True, position + len(data)
                yield LogPiece(data, beginning)
            if not follow:
                return
            if ended:
                if told and self.world.containers.get(name) is container:
                    yield LogPiece(b"", beginning, ended=True)
                return
            await asyncio.sleep(LOG_LOOK_S)
            await self.before("stream_log", name)

    async def log_beginning(self, name: str) -> str:
        await self._enter("log_beginning", name)
        container = self.world.containers.get(name)
        if container is None or not (container.run.log or container.run.dropped):
            return ""
        return str(container.run.dropped)

    async def remove(self, name: str) -> None:
        await self._enter("remove", name)
        self.world.finish(name, KILLED)
        self.world.containers.pop(name, None)

    async def owned(self) -> Mapping[str, str]:
        await self._enter("owned")
        return {
            name: container.spec.job_id
            for name, container in self.world.containers.items()
            if container.operator_id == self.operator_id
        }

    async def events(self) -> AsyncIterator[str]:
        listener: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.world.listeners.add(listener)
        try:
            await self._enter("events")
            yield ""
            while True:
                operator_id, job_id = await listener.get()
                if operator_id in {self.operator_id, ""}:
                    yield job_id
        finally:
            self.world.listeners.discard(listener)


def _present(images: Mapping[str, str], image: Image) -> str | None:
    if not image.checksum:
        return images.get(image.reference)
    own = (f"{image.image}:", f"{image.image}@")
    ids = {image_id for reference, image_id in images.items() if reference.startswith(own)}
    return image.checksum if image.checksum in ids else None

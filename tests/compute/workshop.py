"""A whole operator over a fake engine and a real store, and ways to take it down."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from compute_samples import DID, OWNER, a_job, a_spec, an_environment
from small_inputs import MemoryFile, MemorySupplier

from compute.engines.base import ContainerSpec, ContainerState, Observation, PullPolicy
from compute.engines.fake import FakeEngine, FakeRun, FakeWorld
from compute.environments import Environment, Environments
from compute.models import Image, Job, JobSpec
from compute.operator import Operator, operating
from compute.reconciler import Limits
from compute.space import Space, Usage, WatchedSpace
from compute.status import Phase
from compute.store.base import Action, Database, Listener, Work
from compute.store.jobs import JobStore
from compute.store.news import Event, tell
from compute.supply import InputSupplier

T = TypeVar("T")
PATIENCE_S = 60.0
IMAGE = "python:3.11"
HASTY = Limits(first_backoff_s=0.001, most_backoff_s=0.004, watch_s=0.01)


class MovableClock:
    """The real time, and a hand to move it on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += seconds


class GatedEngine(FakeEngine):
    """Holds each verb that has a gate until it is opened; ``reached`` tells who came."""

    def __init__(self, world: FakeWorld | None = None, *, operator_id: str = "fake") -> None:
        super().__init__(world, operator_id=operator_id)
        self.gates: dict[str, asyncio.Event] = {}
        self.reached: dict[str, asyncio.Event] = {}

    def hold(self, verb: str) -> asyncio.Event:
        """Close a gate; returns what is set once somebody stands before it."""
        self.gates[verb] = asyncio.Event()
        self.reached[verb] = asyncio.Event()
        return self.reached[verb]

    def let_go(self, verb: str) -> None:
        self.gates.pop(verb).set()

    async def before(self, verb: str, name: str) -> None:
        if verb in self.gates:
            self.reached[verb].set()
            await self.gates[verb].wait()


class GatedSpace(WatchedSpace):
    """A plain folder whose release waits for ``gate``."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()
        self.gate.set()

    async def release(self, job_dir: Path) -> None:
        self.reached.set()
        await self.gate.wait()
        await super().release(job_dir)


async def writes_a_result(run: FakeRun) -> int:
    """An algorithm that does its work at once."""
    run.print("hello")
    await asyncio.sleep(0)
    run.path("/data/outputs/result.txt").write_text("42")
    return 0


@dataclass
class Workshop:
    """All that outlives an operator: machine, database, folders, time."""

    database: Database
    data_dir: Path
    clock: MovableClock = field(default_factory=MovableClock)
    environments: Environments = field(default_factory=lambda: Environments((an_environment(),)))
    limits: Limits = HASTY
    spec: JobSpec | None = None
    world: FakeWorld = field(init=False)
    supplier: InputSupplier = field(init=False)
    space: Space = field(default_factory=WatchedSpace)

    secrets_dir: Path = field(init=False)

    def __post_init__(self) -> None:
        self.secrets_dir = Path("/dev/shm") / f"workshop-{uuid.uuid4().hex}"
        self.world = FakeWorld(clock=self.clock)
        self.world.add_image(IMAGE, writes_a_result)
        self.supplier = MemorySupplier(
            {DID: [MemoryFile("a.csv", b"rows", validator="1")]},
            [MemoryFile("algo.py", b"code", validator="1")],
        )
        self.engine = GatedEngine(self.world)
        self.store = JobStore(self.database)

    def environment(self, **changes: object) -> Environment:
        """Make the one environment ``small`` anew with these fields."""
        environment = an_environment(**changes)
        self.environments = Environments((environment,))
        return environment

    @asynccontextmanager
    async def operator(
        self,
        *,
        engine: FakeEngine | None = None,
        store: JobStore | None = None,
        space: Space | None = None,
        supplier: InputSupplier | None = None,
    ) -> AsyncIterator[Operator]:
        """One life of an operator."""
        async with operating(
            environments=self.environments,
            engine=engine or self.engine,
            store=store or self.store,
            supplier=supplier or self.supplier,
            space=space or self.space,
            data_dir=self.data_dir,
            secrets_dir=self.secrets_dir,
            clock=self.clock,
            limits=self.limits,
        ) as operator:
            yield operator

    async def wake(self, job: Job) -> None:
        """Have the operator look at a job now."""
        await self.database.write(
            lambda connection: tell(connection, Event.WISHED, job.environment, job.id)
        )

    def leftovers(self) -> dict[str, list[str]]:
        """Everything that ended jobs should not have left."""
        return {
            "containers": sorted(self.world.containers),
            "folders": sorted(path.name for path in (self.data_dir / "jobs").iterdir()),
            "held": [path.name for path in (self.data_dir / "held").glob("*")],
            "half_results": [p.name for p in (self.data_dir / "results").glob("*.partial")],
            "half_inputs": [p.name for p in (self.data_dir / "cache" / "partial").iterdir()],
        }


NOTHING_LEFT: dict[str, list[str]] = {
    "containers": [],
    "folders": [],
    "held": [],
    "half_results": [],
    "half_inputs": [],
}


async def start(operator: Operator, **spec: object) -> Job:
    """Start a small job."""
    return await operator.start(owner=OWNER, environment="small", spec=a_spec(**spec))


async def reach(operator: Operator, job: Job, *phases: Phase) -> Job:
    """The job once it is in one of these phases. Fails in any other that is terminal."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            now = await operator.job(job.id)
            if now.phase in phases:
                return now
            assert not (now.phase.terminal and now.phase is not Phase.DELETED and len(phases) == 1
                        and phases[0] is not Phase.DELETED), now  # fmt: skip
            await asyncio.sleep(0.001)


async def ended(operator: Operator, job: Job) -> Job:
    """The job at its end."""
    return await reach(operator, job, *(phase for phase in Phase if phase.terminal))


async def phases_of(operator: Operator, job: Job) -> list[int]:
    """The numbers that the job went through, without repeats."""
    numbers = [move.phase.number for move in await operator.history(job.id)]
    return [n for i, n in enumerate(numbers) if i == 0 or numbers[i - 1] != n]


def queued_job(spec: JobSpec | None = None, **changes: object) -> Job:
    return a_job(**({"spec": spec or a_spec()} | changes))


class Fate:
    """Decides at which call from outside the process dies.

    From then on no call has an effect and none returns, as when the process is gone.
    With ``after`` the fatal call has its effect and only the answer is lost.
    """

    def __init__(self, fatal: int, *, after: bool) -> None:
        self.fatal = fatal
        self.after = after
        self.count = 0
        self.names: list[str] = []
        self.struck = asyncio.Event()

    async def call(self, name: str, act: Callable[[], Awaitable[T]]) -> T:
        if self.struck.is_set():
            await self._die()
        self.count += 1
        self.names.append(name)
        fatal = self.count == self.fatal
        if fatal and not self.after:
            await self._die()
        answer = await act()
        if fatal or self.struck.is_set():
            await self._die()
        return answer

    async def _die(self) -> None:
        self.struck.set()
        await asyncio.get_running_loop().create_future()


class MortalDatabase(Database):
    """A database as one process sees it."""

    def __init__(self, inner: Database, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    @property
    def shared(self) -> bool:
        return self._inner.shared

    def hear(self, listener: Listener) -> Action:
        return self._inner.hear(lambda text: None if self._fate.struck.is_set() else listener(text))

    async def write(self, work: Work[T]) -> T:
        return await self._fate.call("write", lambda: self._inner.write(work))

    async def read(self, work: Work[T]) -> T:
        return await self._inner.read(work)

    async def close(self) -> None:
        """The machine's database outlives the process."""


class MortalSpace(Space):
    """A space as one process sees it."""

    def __init__(self, inner: Space, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate
        self.enforced = inner.enforced

    async def prepare(self, job_dir: Path, **how: Any) -> None:
        await self._fate.call("prepare", lambda: self._inner.prepare(job_dir, **how))

    async def usage(self, job_dir: Path) -> Usage:
        return await self._inner.usage(job_dir)

    async def release(self, job_dir: Path) -> None:
        await self._fate.call("release", lambda: self._inner.release(job_dir))


class MortalEngine(FakeEngine):
    """An engine as one process sees it."""

    def __init__(self, world: FakeWorld, fate: Fate) -> None:
        super().__init__(world)
        self._fate = fate

    async def ensure_image(
        self, image: Image, policy: PullPolicy, *, tag_must_match: bool = False
    ) -> str:
        return await self._fate.call(
            "image",
            lambda: FakeEngine.ensure_image(self, image, policy, tag_must_match=tag_must_match),
        )

    async def create(self, spec: ContainerSpec) -> None:
        await self._fate.call("create", lambda: FakeEngine.create(self, spec))

    async def start(self, name: str) -> None:
        await self._fate.call("start", lambda: FakeEngine.start(self, name))

    async def observe(self, name: str) -> Observation:
        return await self._fate.call("observe", lambda: FakeEngine.observe(self, name))

    async def stop(self, name: str, grace_s: float) -> None:
        await self._fate.call("stop", lambda: FakeEngine.stop(self, name, grace_s))

    async def save_log(self, name: str, target: Path, limit_bytes: int) -> None:
        await self._fate.call("log", lambda: FakeEngine.save_log(self, name, target, limit_bytes))

    async def remove(self, name: str) -> None:
        await self._fate.call("remove", lambda: FakeEngine.remove(self, name))

    async def owned(self) -> Mapping[str, str]:
        return await self._fate.call("owned", lambda: FakeEngine.owned(self))


def is_up(world: FakeWorld, name: str) -> bool:
    container = world.containers.get(name)
    return container is not None and container.seen.state is ContainerState.RUNNING

"""The store alone: what a transaction takes of the one who writes, on either database.

A transaction that one unit of work has to itself against those that many share, when there is
always something to write: the difference is what a unit costs, the rest what a transaction does.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from support.postgres import is_installed, running
from support.sqlite import prepared

from benchmarks.model.busy import tree_seconds
from benchmarks.model.inputs import Writes
from compute.fairness import Resources
from compute.metrics import Recorder
from compute.models import AlgorithmItem, DatasetItem, Image, Job, JobSpec, Stage
from compute.status import Phase
from compute.store.base import Database
from compute.store.claims import Claim, Share
from compute.store.database import open_database
from compute.store.jobs import JobStore
from provider.auth.nonces import Nonces
from provider.migrations import VERSIONS

CLIENTS = 64
NONCES = 2000
JOBS = 128
FEW = 8
ROUNDS = 3
"""The quickest counts: neighbours only ever add."""

ON_DISK = Path("/var/tmp")
"""Where a flush reaches a disk: what is in memory would be durable for nothing."""

_MOVES = (
    Phase.CONFIGURING_VOLUMES,
    Phase.PROVISIONED,
    Phase.RUNNING,
    Phase.PUBLISHING,
    Phase.COMPLETED,
)
_PLENTY = Resources(1 << 30, 1 << 50, 1 << 60)
_CLAIM = Claim("bench", _PLENTY, {"bench": Share(Resources(1000, 1 << 20, 1 << 20), 10_000)})


class _Counter(Recorder):
    """Counts commits and what shared them."""

    commits = units = 0

    def committed(self, units: int, seconds: float) -> None:
        self.commits += 1
        self.units += units


@dataclass(frozen=True)
class _Writing:
    wall_s: float
    cpu_s: float
    commits: int
    units: int

    @property
    def commit_s(self) -> float:
        """From one transaction to the next: there is always something to write."""
        return self.wall_s / self.commits

    @property
    def size(self) -> float:
        return self.units / self.commits


async def measured() -> dict[str, Writes]:
    """By kind of database; of PostgreSQL only where its programs are installed."""
    found = {}
    with tempfile.TemporaryDirectory(dir=ON_DISK, prefix="ocean-compute-bench-") as folder:
        url = prepared(Path(folder) / "bench.db", VERSIONS)
        found["sqlite"] = await _measured(url, lambda: 0.0)
    if is_installed():
        with running(folder=ON_DISK) as server:
            assert server.process is not None
            pid = server.process.pid
            url = server.prepared(VERSIONS)
            found["postgresql"] = await _measured(url, lambda: tree_seconds(pid))
    return found


async def _measured(url: str, server_cpu: Callable[[], float]) -> Writes:
    database = await open_database(url, migrations=[VERSIONS])
    try:
        spends, jobs = _Spends(database), _Jobs(database)
        await spends(FEW, 1)
        await jobs(FEW, 1)
        rounds = [
            (
                await _writing(database, server_cpu, lambda: spends(NONCES // 16, 1)),
                await _writing(database, server_cpu, lambda: spends(NONCES, CLIENTS)),
                await _writing(database, server_cpu, lambda: jobs(JOBS, CLIENTS)),
            )
            for _ in range(ROUNDS)
        ]
    finally:
        await database.close()
    alone, many, moves = (min(each, key=_unit_s) for each in zip(*rounds, strict=True))
    nonce = max(0.0, (many.commit_s - alone.commit_s) / (many.size - alone.size))
    base = max(0.0, alone.commit_s - nonce * alone.size)
    return Writes(
        base_s=base,
        nonce_s=nonce,
        move_s=max(0.0, moves.commit_s - base) / moves.size,
        nonce_cpu_s=many.cpu_s / many.units,
        move_cpu_s=moves.cpu_s / moves.units,
    )


async def _writing(
    database: Database, server_cpu: Callable[[], float], work: Callable[[], Awaitable[None]]
) -> _Writing:
    counter = _Counter()
    database.measure(counter)
    server, cpu, began = server_cpu(), time.process_time(), time.perf_counter()
    await work()
    wall, used = time.perf_counter() - began, time.process_time() - cpu
    return _Writing(wall, used + server_cpu() - server, counter.commits, counter.units)


def _unit_s(writing: _Writing) -> float:
    return writing.wall_s / writing.units


async def _shared(number: int, clients: int, one: Callable[[int], Awaitable[None]]) -> None:
    """``one`` for each number, by so many clients, each one after the other."""
    left = iter(range(number))

    async def client() -> None:
        for each in left:
            await one(each)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())


class _Spends:
    """Nonces of as many wallets as there are clients."""

    def __init__(self, database: Database) -> None:
        self._nonces = Nonces(database)
        self._last = itertools.count(time.time_ns())

    async def __call__(self, number: int, clients: int) -> None:
        async def one(each: int) -> None:
            await self._nonces.spend(f"0x{each % 1000:040x}", next(self._last))

        await _shared(number, clients, one)


class _Jobs:
    """What a job of one stage writes while it is operated, and its acceptance."""

    def __init__(self, database: Database) -> None:
        self._store = JobStore(database)
        self._numbers = itertools.count()

    async def __call__(self, number: int, clients: int) -> None:
        async def one(_: int) -> None:
            number = next(self._numbers)
            await self._store.insert(_job(number), queue_limit=10_000)
            for job in await self._store.claim(_CLAIM, now=time.time()):
                await self._through(job)

        await _shared(number, clients, one)

    async def _through(self, job: Job) -> None:
        for phase in _MOVES:
            job = await self._store.move(job, phase, now=time.time())
            if phase is Phase.PUBLISHING:
                job = await self._store.note(job, now=time.time())


def _job(number: int) -> Job:
    stage = Stage(
        name="algorithm",
        datasets=(DatasetItem(did=f"did:op:{number:064x}", service_id="compute"),),
        algorithm=AlgorithmItem(image=Image(image="bench", tag="1"), entrypoint="true"),
        max_duration_s=60,
    )
    return Job(
        id=f"{number:032x}",
        owner=f"0x{number % 20:040x}",
        environment="bench",
        spec=JobSpec(stages=(stage,)),
        created_at=time.time(),
    )

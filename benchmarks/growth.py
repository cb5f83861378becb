"""Memory that jobs leave behind in a service that runs on.

Real wallets start jobs over HTTP and look until they are finished. The service is the real
one with its database, its files and its operator; the engine below it is
:mod:`benchmarks.ghosts`, since ten thousand real containers take most of an hour. Beside it
as many real containers as fit in a minute. Nothing is collected or given back to the system
before memory is read.
"""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from support.consumer import TERMINAL, Consumer, raw
from support.service import DATASET, Service, image_id

from benchmarks import ghosts
from benchmarks.figures import Figure
from benchmarks.load import resident_mib

GOAL = 1.1
FIRST = 500
JOBS = 10_000
A_WALLET = 20
"""Jobs of each wallet."""

WALLETS_AT_ONCE = 32
LOOK_S = 0.5
"""Between two looks of one wallet: what looking costs is not what is measured."""

REAL_S = 60.0
REAL_FIRST_S = 10.0

Algorithm = dict[str, Any]
GHOST = raw(
    "true",
    image=ghosts.IMAGE,
    tag=ghosts.TAG,
    checksum="sha256:" + sha256(f"{ghosts.IMAGE}:{ghosts.TAG}".encode()).hexdigest(),
)


async def growth(folder: Path) -> list[Figure]:
    """After 10,000 jobs, against after 500: what is used for the first time, statements of the
    database, its pages, threads, is there by then. And, to be known, against none."""
    service = Service(folder)
    service.program = ("-P", str(Path(ghosts.__file__)))
    service.environments({"cpu": 0.1, "maxJobs": 64, "maxQueue": 20_000})
    await service.start(**_UNLIMITED, OUTPUT_QUOTA="watch")
    try:
        await asyncio.sleep(3)
        idle = resident_mib(service.pid)
        await _jobs(service, FIRST, GHOST)
        first = resident_mib(service.pid)
        await _jobs(service, JOBS - FIRST, GHOST)
        last = resident_mib(service.pid)
    finally:
        service.stop()
    name = f"memory after {JOBS:,} jobs"
    return [
        Figure(f"{name} / after {FIRST}", last, first, "MiB", last / first, GOAL, True),
        Figure(f"{name} / idle", last, idle, "MiB", last / idle, None, True),
    ]


async def growth_of_real_jobs(folder: Path) -> Figure:
    """As many real containers as fit in a minute, against those of the first seconds."""
    service = Service(folder)
    await service.start(**_UNLIMITED)
    algorithm = raw("true", checksum=image_id())
    try:
        began = time.monotonic()
        await _jobs_until(service, began + REAL_FIRST_S, algorithm)
        first = resident_mib(service.pid)
        number = await _jobs_until(service, began + REAL_S, algorithm)
        last = resident_mib(service.pid)
    finally:
        service.stop()
        service.sweep()
    name = f"memory after {number} more real jobs / after {REAL_FIRST_S:.0f} s of them"
    return Figure(name, last, first, "MiB", last / first, None, True)


_UNLIMITED = {
    "LOG_LEVEL": "warning",
    "REQUESTS_PER_ADDRESS": "0",
    "REQUESTS_PER_WALLET": "0",
}


async def _jobs(service: Service, number: int, algorithm: Algorithm) -> None:
    """So many jobs of so many wallets, from the first start until the last is finished."""
    turns = iter(range(number // A_WALLET))

    async def wallets() -> None:
        for _ in turns:
            await _wallet(service, algorithm, A_WALLET)

    async with asyncio.TaskGroup() as group:
        for _ in range(WALLETS_AT_ONCE):
            group.create_task(wallets())


async def _jobs_until(service: Service, end: float, algorithm: Algorithm) -> int:
    done = count()

    async def wallets() -> None:
        while time.monotonic() < end:
            await _wallet(service, algorithm, 1)
            next(done)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(wallets())
    return next(done)


async def _wallet(service: Service, algorithm: Algorithm, number: int) -> None:
    async with Consumer(service.url) as consumer:
        for _ in range(number):
            await consumer.start(algorithm, [DATASET])
        while True:
            jobs = await consumer.call(
                "GET", "/api/services/compute", params={"consumerAddress": consumer.address}
            )
            if all(job["status"] in TERMINAL for job in jobs):
                break
            await asyncio.sleep(LOOK_S)
    assert [job["status"] for job in jobs] == [70] * number

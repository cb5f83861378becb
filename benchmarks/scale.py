"""What a service of months costs: a million finished jobs, ten thousand that wait.

Services run side by side, one with little in its store, one with many finished jobs, one with
many that wait; the same requests go to two of them in turns. What is in the store is one real
job, multiplied. ``BENCH_FINISHED_JOBS`` in the environment asks for fewer than a million.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from eth_account import Account
from support.consumer import Consumer, raw
from support.crowd import crowded
from support.service import DATASET, Service, image_id

from benchmarks.figures import Figure, alternate
from benchmarks.load import drive

FINISHED = int(os.environ.get("BENCH_FINISHED_JOBS", "1000000"))
FEW_FINISHED = 1_000
QUEUED = 10_000
FEW_QUEUED = 10
GOAL = 1.5
QUEUE_GOAL = 1.3

ASKED = 900
LISTED = 300
STARTED = 100
A_LIST = 20
"""Jobs of the one owner whose list is asked for."""

ENVIRONMENTS = (
    {"id": "test"},
    {
        "id": "busy",
        "cpu": 0.1,
        "maxJobs": 1,
        "maxJobDuration": 86_400,
        "maxQueueWait": 864_000,
        "maxQueue": 100_000,
        "maxQueuePerConsumer": 100_000,
    },
)
"""The one place of the second is taken as long as anything is measured, so that what waits
there waits on."""


class Filled:
    """A service whose store holds so many finished and queued jobs."""

    def __init__(self, folder: Path, finished: int, queued: int) -> None:
        self.service = Service(folder)
        self.service.environments(*ENVIRONMENTS)
        self._finished, self._queued = finished, queued
        self.consumer = Consumer("", Account.create())
        self.job_ids: list[str] = []
        self.waiting = ""

    @property
    def port(self) -> int:
        return int(self.service.url.rpartition(":")[2])

    async def fill(self) -> None:
        """One job of each kind for real, then their copies."""
        await self.service.start(LOG_LEVEL="warning", MAX_CONNECTIONS="1000")
        self.consumer.url = self.service.url
        async with self.consumer as consumer:
            algorithm = raw("true", checksum=image_id())
            done = (await consumer.start(algorithm, [DATASET]))["jobId"]
            await consumer.follow(done)
            sleeper = raw("sleep 3600", checksum=image_id())
            running = (await consumer.start(sleeper, [DATASET], "busy"))["jobId"]
            await consumer.follow(running, until={40})
            waiting = (await consumer.start(algorithm, [DATASET], "busy"))["jobId"]
            self.waiting = waiting
        self.service.stop()
        with crowded(self.service.data / "ocean-compute.db") as crowd:
            found = crowd.multiply(done, self._finished, consumer.address, each=A_LIST)
            crowd.multiply(waiting, self._queued, "0xothers", each=A_LIST)
        self.job_ids = random.sample(found, FEW_FINISHED)
        await self.service.restart()

    def end(self) -> None:
        self.service.stop()
        self.service.sweep()


def _get(query: dict[str, str]) -> bytes:
    return f"GET /api/services/compute?{urlencode(query)} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


async def _seconds(filled: Filled, requests: list[bytes]) -> float:
    load = await drive(filled.port, filled.service.pid, requests, 4)
    assert not load.refused
    return 1 / load.per_second


async def figures(rounds: int) -> list[Figure]:
    """Status, list and start: what many jobs that are over cost, and many that wait."""
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        little = Filled(Path(folder) / "little", FEW_FINISHED, FEW_QUEUED)
        much = Filled(Path(folder) / "much", FINISHED, FEW_QUEUED)
        busy = Filled(Path(folder) / "busy", FEW_FINISHED, QUEUED)
        try:
            for filled in (little, much, busy):
                await filled.fill()
            over = f"{FINISHED:,} finished jobs against {FEW_FINISHED:,}"
            wait = f"{QUEUED:,} queued jobs against {FEW_QUEUED}"
            return [
                await _statuses(f"status, {over}", much, little, rounds),
                await _lists(f"list of one owner, {over}", much, little, rounds, GOAL),
                await _starts(f"accepting one more, {wait}", busy, little, rounds),
                await _lists(f"list of one owner, {wait}", busy, little, rounds, QUEUE_GOAL),
                await _waits(f"status of one that waits, {wait}", busy, little, rounds),
            ]
        finally:
            for filled in (little, much, busy):
                filled.end()


async def _statuses(name: str, much: Filled, little: Filled, rounds: int) -> Figure:
    """Each job is asked for once after a restart, so that none is in memory."""

    async def one(filled: Filled) -> float:
        filled.service.stop()
        await filled.service.restart()
        asked = random.sample(filled.job_ids, ASKED)
        return 1000 * await _seconds(filled, [_get({"jobId": job_id}) for job_id in asked])

    figure, other, ratio = await alternate(rounds, lambda: one(much), lambda: one(little))
    return Figure(name, figure, other, "ms", ratio, GOAL, True)


async def _lists(name: str, much: Filled, little: Filled, rounds: int, goal: float) -> Figure:
    async def one(filled: Filled) -> float:
        query = {"consumerAddress": filled.consumer.address}
        return 1000 * await _seconds(filled, [_get(query)] * LISTED)

    await one(much), await one(little)
    figure, other, ratio = await alternate(rounds, lambda: one(much), lambda: one(little))
    return Figure(name, figure, other, "ms", ratio, goal, True)


async def _waits(name: str, much: Filled, little: Filled, rounds: int) -> Figure:
    """The answer says what it waits for and how many are before it."""

    async def one(filled: Filled) -> float:
        return 1000 * await _seconds(filled, [_get({"jobId": filled.waiting})] * LISTED)

    await one(much), await one(little)
    figure, other, ratio = await alternate(rounds, lambda: one(much), lambda: one(little))
    return Figure(name, figure, other, "ms", ratio, None, True)


async def _starts(name: str, much: Filled, little: Filled, rounds: int) -> Figure:
    async def one(filled: Filled) -> float:
        algorithm = raw("true", checksum=image_id())
        async with Consumer(filled.service.url) as consumer:
            began = time.perf_counter()
            for _ in range(STARTED):
                await consumer.start(algorithm, [DATASET], "busy")
            return 1000 * (time.perf_counter() - began) / STARTED

    await one(much), await one(little)
    figure, other, ratio = await alternate(rounds, lambda: one(much), lambda: one(little))
    return Figure(name, figure, other, "ms", ratio, QUEUE_GOAL, True)

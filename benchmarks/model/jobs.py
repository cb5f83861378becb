"""Trivial jobs through the service: all are asked for at once, so many have a place at a time.

What they cost is told by the processors' accounts and by the service's own figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from support.consumer import TERMINAL, Consumer, Json, raw
from support.service import DATASET, Service, image_id

from benchmarks.model.busy import Spent, spent

PREFIX = "ocean_compute_"
WALLETS = 20
PLACES = (1, 4)
ONE, FOUR, NONE = "one", "four", "none"
_LOOK_S = 0.05

_ROOMY: Json = {"maxQueue": 10_000, "maxQueuePerConsumer": 10_000, "maxJobDuration": 300}
ENVIRONMENTS: tuple[Json, ...] = (
    {},
    {"id": ONE, "maxJobs": 1, **_ROOMY},
    {"id": FOUR, "maxJobs": 4, **_ROOMY},
    {"id": NONE, "maxJobs": 1, **_ROOMY, "maxJobDuration": 86_400},
    {"id": "wide", "diskGB": 1.0, "maxJobDuration": 300},
)
"""The only place of ``none`` is taken when it matters."""


@dataclass(frozen=True)
class Run:
    """``jobs`` from the first request until the last was finished. ``phases`` are seconds by
    the clock and ``units`` units of work of the store, of one job on average. Meanwhile the client
    has asked ``looks`` times for a status, without a signature."""

    jobs: int
    looks: int
    spent: Spent
    phases: Mapping[str, float]
    units: float

    @property
    def per_second(self) -> float:
        return self.jobs / self.spent.wall


class Bench:
    """A service of its own, and wallets."""

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder)
        self.service.environments(*ENVIRONMENTS)
        self.algorithm = raw("true", checksum=image_id())
        self.consumers: list[Consumer] = []
        self._looks = 0

    async def open(self, **environ: str) -> None:
        await self.service.start(
            **{
                "LOG_LEVEL": "warning",
                "MAX_CONNECTIONS": "1000",
                "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
                **environ,
            }
        )
        for _ in range(WALLETS):
            self.consumers.append(await Consumer(self.service.url).__aenter__())

    async def close(self) -> None:
        for consumer in self.consumers:
            await consumer.__aexit__()
        self.service.stop()
        self.service.sweep()

    @property
    def consumer(self) -> Consumer:
        return self.consumers[0]

    async def done(self, algorithm: Json, environment: str = "test", did: str = DATASET) -> Json:
        """A job that has succeeded."""
        job = await self.consumer.start(algorithm, [did], environment)
        job = await self.consumer.follow(job["jobId"], within=240)
        assert job["status"] == 70, job
        return job

    async def trivial(self, jobs: int, environment: str) -> Run:
        """So many trivial jobs. Signing is not part of it."""
        shares = [
            [each.start_body(self.algorithm, [DATASET], environment) for _ in range(number)]
            for each, number in zip(self.consumers, _shares(jobs), strict=True)
        ]
        before, looks = await self.figures(), self._looks
        used = await spent(lambda: self._all(shares), self.service.pid)
        after = await self.figures()
        phases = _phases(before, after, environment, jobs)
        return Run(jobs, self._looks - looks, used, phases, _units(before, after, jobs))

    async def _all(self, shares: list[list[Json]]) -> None:
        work = zip(self.consumers, shares, strict=True)
        started = await asyncio.gather(*(_start(consumer, share) for consumer, share in work))
        waiting = [
            job_id for each in zip(*_even(started), strict=True) for job_id in each if job_id
        ]
        for job_id in waiting:
            while (await self._look(job_id)) != 70:
                await asyncio.sleep(_LOOK_S)

    async def _look(self, job_id: str) -> int:
        self._looks += 1
        job: Json = (await self.consumer.call("GET", _STATUS, params={"jobId": job_id}))[0]
        number = int(job["status"])
        assert number == 70 or number not in TERMINAL, job
        return number

    async def figures(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """What the service shows of itself, by name and labels."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.service.url + "/metrics") as response,
        ):
            assert response.status == 200, await response.text()
            text = await response.text()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


_STATUS = "/api/services/compute"


async def _start(consumer: Consumer, bodies: list[Json]) -> list[str]:
    found = [await consumer.call("POST", _STATUS, json=body) for body in bodies]
    return [str(jobs[0]["jobId"]) for jobs in found]


def _shares(jobs: int) -> list[int]:
    return [jobs // WALLETS + (number < jobs % WALLETS) for number in range(WALLETS)]


def _even(lists: list[list[str]]) -> list[list[str]]:
    """Lists of one length: the shorter ones are filled with nothing."""
    longest = max(map(len, lists))
    return [each + [""] * (longest - len(each)) for each in lists]


def _phases(before: Any, after: Any, environment: str, jobs: int) -> dict[str, float]:
    name = PREFIX + "job_phase_duration_seconds_sum"
    found = {}
    for key, value in after.items():
        labels = dict(key[1])
        if key[0] == name and labels["environment"] == environment and value > before[key]:
            found[labels["phase"]] = (value - before[key]) / jobs
    return found


def _units(before: Any, after: Any, jobs: int) -> float:
    key = (PREFIX + "store_commit_units_sum", frozenset[tuple[str, str]]())
    return float(after[key] - before[key]) / jobs

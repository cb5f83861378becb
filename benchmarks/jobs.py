"""What a job costs beside its container: trivial jobs, one and many.

A trivial job runs ``true`` on a small dataset: all that remains is signature, queue, staging,
the bounded output space, the hardened container, log, results and the durable moves between.
"""

from __future__ import annotations

import asyncio
import functools
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

import docker
from support.consumer import TERMINAL, Consumer, raw
from support.service import DATASET, Service, image_id

from benchmarks.containers import Twin
from benchmarks.figures import Figure, alternate
from benchmarks.load import cpu_seconds
from compute.engines.base import OPERATOR_LABEL

Json = dict[str, Any]

MANY = 200
AT_ONCE = 4
MANY_ROUNDS = 3
"""A round of many takes half a minute and has its own average."""

POLL_S = 0.002
END_GOAL_MS = 50.0


async def figures(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        service = Service(Path(folder) / "service")
        service.environments({"maxJobs": AT_ONCE, "maxQueue": 1000, "maxQueuePerConsumer": 1000})
        await service.start(LOG_LEVEL="warning")
        try:
            async with (
                Consumer(service.url) as consumer,
                await Twin.of(service, consumer, Path(folder) / "twin") as twin,
            ):
                return [
                    await trivial_job(consumer, twin, rounds),
                    *await ends(service, consumer, rounds),
                    *await many_jobs(service, consumer, twin, min(rounds, MANY_ROUNDS)),
                ]
        finally:
            service.stop()


async def trivial_job(consumer: Consumer, twin: Twin, rounds: int) -> Figure:
    """POST until the status says finished, against ``docker run`` with the same flags."""

    async def ours() -> float:
        began = time.perf_counter()
        await _finished(consumer)
        return time.perf_counter() - began

    await ours(), await twin.by_command()
    figure, other, ratio = await alternate(rounds, ours, twin.by_command)
    return Figure("trivial job / docker run", figure, other, "s", ratio, 1.0, True)


async def ends(service: Service, consumer: Consumer, rounds: int) -> list[Figure]:
    """From the engine's word that a container has died until the job's row says that all is
    over, and until a client that asks without pause is told."""
    stored, told = [], []
    with Deaths(service.operator_id()) as deaths:
        for _ in range(rounds):
            job = await _finished(consumer)
            answered = time.time()
            died = await asyncio.to_thread(deaths.of, f"ocean-compute-{job['jobId']}")
            stored.append(1000 * (float(job["dateFinished"]) - died))
            told.append(1000 * (answered - died))
    return [
        Figure("engine's exit event to ended row", statistics.median(stored), None, *_END),
        Figure("engine's exit event to client told", statistics.median(told), None, *_END),
    ]


_END = ("ms", None, END_GOAL_MS, True)


async def many_jobs(service: Service, consumer: Consumer, twin: Twin, rounds: int) -> list[Figure]:
    """Jobs a second from the first POST until the last has ended, against the engine driven by
    its API with nothing in between; and the processor time of the service that a job takes.

    The engine is driven twice: with the very settings of our containers, and with the network
    sandbox that ``docker run --network none`` makes and ours do without."""
    cpu: list[float] = []

    async def ours() -> float:
        before, began = cpu_seconds(service.pid), time.perf_counter()
        # One after the other: a nonce that comes late is refused.
        jobs = [await _started(consumer) for _ in range(MANY)]
        for job in jobs:
            await consumer.follow(job["jobId"], within=300)
        elapsed = time.perf_counter() - began
        cpu.append(1000 * (cpu_seconds(service.pid) - before) / MANY)
        return MANY / elapsed

    async def reference() -> float:
        return MANY / await twin.many(MANY, AT_ONCE)

    async def with_sandbox() -> float:
        return MANY / await twin.many(MANY, AT_ONCE, NetworkDisabled=False)

    await twin.many(AT_ONCE, AT_ONCE)
    figure, other, ratio = await alternate(rounds, ours, reference)
    again = await alternate(rounds, ours, with_sandbox)
    name = f"{MANY} trivial jobs, {AT_ONCE} at once / engine directly"
    return [
        Figure(name, figure, other, "jobs/s", ratio, 0.9, False),
        Figure(f"{name}, --network none", *again[:2], "jobs/s", again[2], 0.9, False),
        Figure(
            "service's processor time a job", statistics.median(cpu), None, "ms", None, None, True
        ),
    ]


class Deaths:
    """When containers of an operator died, by the engine's events."""

    def __init__(self, operator_id: str) -> None:
        self._label = f"{OPERATOR_LABEL}={operator_id}"
        self._client = docker.APIClient(version="auto")
        self._seen: dict[str, float] = {}
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        filters = {"type": "container", "event": "die", "label": self._label}
        self._events = self._client.events(decode=True, filters=filters)
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._events.close()

    def _listen(self) -> None:
        for event in self._events:
            with self._news:
                self._seen[event["Actor"]["Attributes"]["name"]] = event["timeNano"] / 1e9
                self._news.notify_all()

    def of(self, name: str) -> float:
        """Seconds of the epoch. Waits for the event."""
        with self._news:
            assert self._news.wait_for(lambda: name in self._seen, 30), name
            return self._seen[name]


@functools.cache
def _algorithm() -> Json:
    return raw("true", checksum=image_id())


async def _started(consumer: Consumer) -> Json:
    return await consumer.start(_algorithm(), [DATASET])


async def _finished(consumer: Consumer) -> Json:
    job = await _started(consumer)
    while (seen := await consumer.status(job["jobId"]))["status"] not in TERMINAL:
        await asyncio.sleep(POLL_S)
    assert seen["status"] == 70, seen
    return seen

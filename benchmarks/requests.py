"""Signed requests to the full application, against a bare aiohttp handler.

Two of them, each with a signature of its own, which nothing remembers:

- a status, whose nonce is checked and not used up: the requests that clients poll with;
- a token, whose nonce is used up. That is written with its record in the audit log, in one
  transaction that is flushed to the disk (SQLite, ``synchronous=FULL``) before the answer. Of
  the requests that use up a nonce it has the least else to do, and any wallet may make it, so
  that each of the 64 clients has its own. At the end the last ones are sent once more, and
  each has to be refused.

The bare handler answers the JSON of a job, does not look at the request, and runs on the same
kind of event loop. Beside requests a second stands the processor time of a request, which the
load generator and other programs on the machine distort less.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from support.consumer import Consumer, raw
from support.service import DATASET, Service, image_id

from benchmarks.figures import Figure, alternate
from benchmarks.load import Load, drive
from benchmarks.reference import Bare, port_of

REQUESTS = 4000
POLLING_CLIENTS = 16
WITHIN_LIMITS = "1000000"
WRITING_CLIENTS = 64


@dataclass(frozen=True)
class Desk:
    """The service with a job that has finished, and the reference."""

    service: Service
    bare: Bare
    owner: Consumer
    job_id: str


async def figures(rounds: int) -> list[Figure]:
    async with _desk() as desk:
        return [*await signed_status(desk, rounds), *await nonce_used_up(desk, rounds)]


async def signed_status(desk: Desk, rounds: int) -> list[Figure]:
    def batch() -> list[bytes]:
        return [_status(desk.owner, desk.job_id) for _ in range(REQUESTS)]

    return await _compared("signed status requests", 0.30, desk, batch, POLLING_CLIENTS, rounds)


async def nonce_used_up(desk: Desk, rounds: int) -> list[Figure]:
    wallets = [Consumer(desk.service.url) for _ in range(WRITING_CLIENTS)]
    latest: list[bytes] = []

    def batch() -> list[bytes]:
        latest[:] = [_token(wallets[index % len(wallets)]) for index in range(REQUESTS)]
        return latest

    found = await _compared("signed, nonce used up", 0.25, desk, batch, WRITING_CLIENTS, rounds)
    again = await drive(port_of(desk.service), desk.service.pid, latest, WRITING_CLIENTS)
    assert again.refused == len(latest)
    return found


async def _compared(
    name: str,
    goal: float,
    desk: Desk,
    batch: Callable[[], Sequence[bytes]],
    clients: int,
    rounds: int,
) -> list[Figure]:
    loads: dict[str, list[Load]] = {"ours": [], "reference": []}
    bare = b"GET /status HTTP/1.1\r\nHost: bench\r\n\r\n"

    async def ours() -> float:
        load = await drive(port_of(desk.service), desk.service.pid, batch(), clients)
        assert not load.refused
        loads["ours"].append(load)
        return load.per_second

    async def reference() -> float:
        load = await drive(desk.bare.port, desk.bare.pid, [bare] * REQUESTS, clients)
        assert not load.refused
        loads["reference"].append(load)
        return load.per_second

    await ours(), await reference()
    figure, other, ratio = await alternate(rounds, ours, reference)
    return [Figure(name, figure, other, "/s", ratio, goal, False), _processor(name, loads)]


def _processor(name: str, loads: dict[str, list[Load]]) -> Figure:
    """What a request costs the server, over all rounds."""
    ours, reference = (
        sum(load.cpu_s for load in each) / len(each) * 1e6 for each in loads.values()
    )
    name = f"{name}: processor time"
    return Figure(name, ours, reference, "µs", ours / reference, None, True)


@asynccontextmanager
async def _desk() -> AsyncIterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        service = Service(Path(folder) / "service")
        # One owner asks for all statuses: above its limit a request takes another way.
        await service.start(LOG_LEVEL="warning", REQUESTS_PER_WALLET=WITHIN_LIMITS)
        bare: Bare | None = None
        try:
            async with Consumer(service.url) as owner:
                job = await owner.start(raw("true", checksum=image_id()), [DATASET])
                job = await owner.follow(job["jobId"])
                bare = Bare(Path(folder), json.dumps([job]).encode())
                await bare.ready()
                yield Desk(service, bare, owner, job["jobId"])
        finally:
            service.stop()
            if bare:
                bare.end()


def _status(owner: Consumer, job_id: str) -> bytes:
    nonce = owner.nonce()
    query = {
        "consumerAddress": owner.address,
        "jobId": job_id,
        "nonce": nonce,
        "signature": owner.sign(owner.address, job_id, nonce),
    }
    return _get("/api/services/compute", query)


def _token(wallet: Consumer) -> bytes:
    nonce = wallet.nonce()
    query = {
        "address": wallet.address,
        "nonce": nonce,
        "expiration": str(int(time.time()) + 3600),
        "signature": wallet.sign(wallet.address, nonce),
    }
    return _get("/api/services/createAuthToken", query)


def _get(path: str, query: dict[str, str]) -> bytes:
    return f"GET {path}?{urlencode(query)} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()

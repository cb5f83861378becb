"""Signed requests to the full application, against a bare aiohttp handler."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from support.consumer import Consumer, raw
from support.service import DATASET, Service, image_id

from benchmarks.figures import Figure, alternate
from benchmarks.load import drive
from benchmarks.reference import Bare, port_of

REQUESTS = 4000
CLIENTS = 16


async def figures(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        service = Service(Path(folder) / "service")
        await service.start(LOG_LEVEL="warning")
        bare: Bare | None = None
        try:
            async with Consumer(service.url) as consumer:
                job = await consumer.start(raw("true", checksum=image_id()), [DATASET])
                job = await consumer.follow(job["jobId"])
                bare = Bare(Path(folder), json.dumps([job]).encode())
                await bare.ready()
                return [await signed_status(consumer, service, bare, rounds, job["jobId"])]
        finally:
            service.stop()
            if bare:
                bare.end()


async def signed_status(
    consumer: Consumer, service: Service, bare: Bare, rounds: int, job_id: str
) -> Figure:
    """Status requests a second, each with a signature of its own, against a handler that only
    answers the same JSON."""

    def signed() -> bytes:
        nonce = consumer.nonce()
        query = urlencode(
            {
                "consumerAddress": consumer.address,
                "jobId": job_id,
                "nonce": nonce,
                "signature": consumer.sign(consumer.address, job_id, nonce),
            }
        )
        return f"GET /api/services/compute?{query} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()

    async def ours() -> float:
        batch = [signed() for _ in range(REQUESTS)]
        load = await drive(port_of(service), service.pid, batch, CLIENTS)
        assert not load.refused
        return load.per_second

    async def reference() -> float:
        request = b"GET /status HTTP/1.1\r\nHost: bench\r\n\r\n"
        load = await drive(bare.port, bare.pid, [request] * REQUESTS, CLIENTS)
        assert not load.refused
        return load.per_second

    await ours(), await reference()
    figure, other, ratio = await alternate(rounds, ours, reference)
    return Figure("signed status requests", figure, other, "/s", ratio, 0.30, False)

"""Requests, downloads and staging: what they cost the service's process."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

from support.consumer import Consumer, raw
from support.service import DATASET, dataset_document, image_id

from benchmarks.load import cpu_seconds, drive, fetch
from benchmarks.model.inputs import Transfer
from benchmarks.model.jobs import NONE, WALLETS, Bench
from benchmarks.nginx import Nginx
from benchmarks.reference import port_of
from provider.auth.signatures import personal_digest, recover

SIGNATURES = 2000
STATUSES = 2000
STARTS = 200
RESULTS = 600
DOWNLOADS, RESULT_MIB = 3, 512
STAGED, STAGED_MIB = 4, 256
FEW = 60


def signature(consumer: Consumer) -> float:
    """Processor seconds from a request's text and signature to the address."""
    signed = [(text, consumer.sign(text)) for text in map(str, range(SIGNATURES // 10))]
    began = time.process_time()
    for text, each in signed * 10:
        assert recover(personal_digest(text), each) == consumer.address.lower()
    return (time.process_time() - began) / SIGNATURES


async def statuses(bench: Bench) -> float:
    job = await bench.done(bench.algorithm)
    consumer = bench.consumer

    def requests(number: int) -> Iterator[bytes]:
        for _ in range(number):
            nonce = consumer.nonce()
            yield _get(
                "compute",
                {
                    "consumerAddress": consumer.address,
                    "jobId": job["jobId"],
                    "nonce": nonce,
                    "signature": consumer.sign(consumer.address, job["jobId"], nonce),
                },
            )

    await _cpu(bench, [*requests(FEW)], 16)
    return await _cpu(bench, [*requests(STATUSES)], 16)


async def starts(bench: Bench) -> float:
    """Accepting a job, while none can start."""
    sleeper = raw("sleep 3600", checksum=image_id())
    running = await bench.consumer.start(sleeper, [DATASET], NONE)
    await bench.consumer.follow(running["jobId"], until={40})

    def requests(number: int) -> list[bytes]:
        """Each wallet's come in order on a connection of its own."""
        return [
            _post(consumer, bench) for _ in range(number // WALLETS) for consumer in bench.consumers
        ]

    await _cpu(bench, requests(FEW), WALLETS)
    cost = await _cpu(bench, requests(STARTS), WALLETS)
    await bench.consumer.stop(running["jobId"], DATASET)
    return cost


async def results(bench: Bench) -> float:
    """A download of next to nothing."""
    job = await bench.done(raw("echo 1 > /data/outputs/one", checksum=image_id()))
    consumer = bench.consumer

    def requests(number: int) -> list[bytes]:
        return [
            _get("computeResult", consumer.result_params(job["jobId"], 0)) for _ in range(number)
        ]

    # One at a time: nonces of one wallet are used in their order.
    await _cpu(bench, requests(FEW), 1)
    return await _cpu(bench, requests(RESULTS), 1)


async def egress(bench: Bench) -> Transfer:
    code = f"dd if=/dev/zero of=/data/outputs/big bs=1M count={RESULT_MIB}"
    job = await bench.done(raw(code, checksum=image_id()), "wide")

    async def download() -> float:
        query = urlencode(bench.consumer.result_params(job["jobId"], 0))
        target = f"/api/services/computeResult?{query}"
        return 1e6 * await fetch(port_of(bench.service), target)

    await download()
    before = cpu_seconds(bench.service.pid)
    rates = [await download() for _ in range(DOWNLOADS)]
    after = cpu_seconds(bench.service.pid)
    return Transfer(max(rates), (after - before) / DOWNLOADS / (RESULT_MIB << 20))


def publish(bench: Bench, nginx: Nginx, served: Path) -> None:
    """Datasets over HTTP, all of one file. Before the service starts."""
    with (served / "large").open("wb") as large:
        for _ in range(STAGED_MIB):
            large.write(bytes(1 << 20))
    for number in range(STAGED):
        url = f"{nginx.url}/large?{number}"
        file = {"type": "url", "url": url, "method": "GET"}
        bench.service.publish(dataset_document(_did(number), [file]))


async def staging(bench: Bench, job_cpu_s: float, provisioning_s: float) -> Transfer:
    """Datasets that were never fetched before; ``job_cpu_s`` and ``provisioning_s`` are the
    service's processor seconds of a job without one, and its time for inputs."""
    costs = [await _staged(bench, number) for number in range(STAGED)][1:]
    size = STAGED_MIB << 20
    wall = min(wall for wall, _ in costs) - provisioning_s
    cpu = statistics.median(cpu for _, cpu in costs) - job_cpu_s
    return Transfer(size / wall, cpu / size)


async def _staged(bench: Bench, number: int) -> tuple[float, float]:
    before, cpu = await bench.figures(), cpu_seconds(bench.service.pid)
    await bench.done(bench.algorithm, did=_did(number))
    after, used = await bench.figures(), cpu_seconds(bench.service.pid)
    labels = frozenset({("environment", "test"), ("phase", "configuring_volumes")})
    key = ("ocean_compute_job_phase_duration_seconds_sum", labels)
    return after[key] - before[key], used - cpu


def _did(number: int) -> str:
    return "did:op:" + f"{number:x}" * 64


async def _cpu(bench: Bench, requests: Sequence[bytes], clients: int) -> float:
    before = cpu_seconds(bench.service.pid)
    load = await drive(port_of(bench.service), bench.service.pid, requests, clients)
    after = cpu_seconds(bench.service.pid)
    assert not load.refused
    return (after - before) / len(requests)


def _get(route: str, query: dict[str, str]) -> bytes:
    target = f"/api/services/{route}?{urlencode(query)}"
    return f"GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def _post(consumer: Consumer, bench: Bench) -> bytes:
    body = json.dumps(consumer.start_body(bench.algorithm, [DATASET], NONE))
    head = (
        "POST /api/services/compute HTTP/1.1\r\nHost: bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()

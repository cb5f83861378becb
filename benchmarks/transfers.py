"""Large results and large inputs, against the same bytes without the service.

One nginx is the reference for downloads and the origin of inputs. Each file is read once
before it counts, so that all find it in the page cache.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlencode

from support.consumer import TERMINAL, Consumer, raw
from support.service import DATASET, Service, dataset_document, image_id

from benchmarks.figures import Figure, alternate
from benchmarks.load import cpu_seconds
from benchmarks.nginx import Nginx
from benchmarks.reference import port_of

FILE_BYTES = 1 << 30
LARGE, TINY = "did:op:" + "d2" * 32, "did:op:" + "d3" * 32
ENVIRONMENT = {"id": "wide", "diskGB": 1.2, "maxJobDuration": 300}
PIECE_BYTES = 1 << 20
IN_A_ROW = 3


async def figures(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as name:
        folder = Path(name)
        served, service = folder / "served", Service(folder / "service")
        served.mkdir()
        nginx = Nginx(folder / "nginx", served)
        service.environments({}, ENVIRONMENT)
        for did, file in ((LARGE, "large"), (TINY, "tiny")):
            origin = {"type": "url", "url": f"{nginx.url}/{file}", "method": "GET"}
            service.publish(dataset_document(did, [origin]))
        await service.start(LOG_LEVEL="warning", ALLOWED_PRIVATE_NETWORKS="127.0.0.0/8")
        try:
            await nginx.ready()
            async with Consumer(service.url) as consumer:
                found = await downloads(consumer, service, nginx, served, rounds)
                found += await staging(nginx, folder, rounds)
                return [*found, await staged_before(consumer, served, rounds)]
        finally:
            service.stop()
            nginx.end()


async def downloads(
    consumer: Consumer, service: Service, nginx: Nginx, served: Path, rounds: int
) -> list[Figure]:
    """A large result, signature and nonce included; nginx sends the very same file."""
    code = f"dd if=/dev/zero of=/data/outputs/big bs=1M count={FILE_BYTES >> 20}"
    job = await consumer.start(raw(code, checksum=image_id()), [DATASET], "wide")
    job = await consumer.follow(job["jobId"])
    assert job["status"] == 70, job
    (served / "large").hardlink_to(service.data / "results" / job["jobId"] / "0")

    async def ours() -> float:
        query = urlencode(consumer.result_params(job["jobId"], 0))
        return await _rate(port_of(service), f"/api/services/computeResult?{query}")

    async def reference() -> float:
        return await _rate(nginx.port, "/large")

    async def our_cpu() -> float:
        return await _cpu(service.pid, ours)

    async def reference_cpu() -> float:
        return await _cpu(nginx.pid, reference)

    await ours(), await reference()
    rate = await alternate(rounds, ours, reference)
    cpu = await alternate(rounds, our_cpu, reference_cpu)
    return [
        Figure("result download, 1 GiB", rate[0], rate[1], "MB/s", rate[2], 0.9, False),
        Figure("result download, server CPU of 1 GiB", cpu[0], cpu[1], "s", cpu[2], 1.3, True),
    ]


async def staging(nginx: Nginx, folder: Path, rounds: int) -> list[Figure]:
    """The first time an input is had; see :mod:`benchmarks.staging`."""

    async def take(kind: str) -> float:
        place = folder / kind
        arguments = ("-m", "benchmarks.staging", kind, f"{nginx.url}/large", str(place))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
        )
        told, _ = await process.communicate()
        assert process.returncode == 0
        await asyncio.to_thread(shutil.rmtree, place)
        return FILE_BYTES / float(told.split()[0]) / 1e6

    async def ours() -> float:
        return await take("hashed")

    async def reference() -> float:
        return await take("plain")

    figure, other, ratio = await alternate(rounds, ours, reference)
    name = "first staging of 1 GiB over HTTP, with SHA-256"
    return [Figure(name, figure, other, "MB/s", ratio, 0.45, False)]


async def staged_before(consumer: Consumer, served: Path, rounds: int) -> Figure:
    """A further job on a large dataset against one on a tiny one, both from the same origin,
    which is asked each time whether they are still the same."""
    (served / "tiny").write_text("a,b\n1,2\n")
    algorithm = raw("true", checksum=image_id())

    async def large() -> float:
        return await _finished(consumer, algorithm, LARGE)

    async def tiny() -> float:
        return await _finished(consumer, algorithm, TINY)

    await large(), await tiny()
    figure, other, ratio = await alternate(max(rounds, 5) * 2, large, tiny)
    return Figure("second job on the same 1 GiB dataset", figure, other, "s", ratio, 1.05, True)


async def _finished(consumer: Consumer, algorithm: dict[str, object], did: str) -> float:
    began = time.perf_counter()
    job = await consumer.start(algorithm, [did])
    while (seen := await consumer.status(job["jobId"]))["status"] not in TERMINAL:
        await asyncio.sleep(0.005)
    elapsed = time.perf_counter() - began
    assert seen["status"] == 70, seen
    return elapsed


async def _cpu(pid: int, transfer: Callable[[], Awaitable[float]]) -> float:
    """Of one in a row, for the clock of processor time goes in steps."""
    before = cpu_seconds(pid)
    for _ in range(IN_A_ROW):
        await transfer()
    return (cpu_seconds(pid) - before) / IN_A_ROW


async def _rate(port: int, target: str) -> float:
    return await asyncio.to_thread(_receive, port, target)


def _receive(port: int, target: str) -> float:
    """Download one answer into one buffer; megabytes a second."""
    place = memoryview(bytearray(PIECE_BYTES))
    with socket.create_connection(("127.0.0.1", port)) as client:
        began = time.perf_counter()
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 200"), head
        size = left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while left:
            got = client.recv_into(place)
            assert got, "the answer broke off"
            left -= got
        return size / (time.perf_counter() - began) / 1e6

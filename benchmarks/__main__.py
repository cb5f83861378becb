"""Figures, each against a reference measured in the same run, printed as ratios.

Rounds alternate between the figure and its reference, medians are compared, so that a
machine that is slow for a while is slow for both. Run it with ``make bench``; ``--json FILE``
keeps the figures, ``--only`` measures those of a bare service (``base``), of one with much in
its store (``scale``) or of one with a chain (``chain``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlencode

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.consumer import TERMINAL, Consumer, raw
from support.service import DATASET, IMAGE, Service, free_port, image_id

from benchmarks.figures import Figure, alternate
from benchmarks.footprint import idle_memory, import_time
from benchmarks.load import drive, fetch
from benchmarks.market import open_market
from benchmarks.orders import order_checks
from benchmarks.paid_jobs import paid_jobs
from benchmarks.scale import scale

REQUESTS = 4000
CLIENTS = 16
FILE_MIB = 512


async def trivial_job(consumer: Consumer, rounds: int) -> Figure:
    """POST until the status says finished, against ``docker run`` with the same flags."""
    algorithm = raw("true", checksum=image_id())

    async def ours() -> float:
        began = time.perf_counter()
        job = await consumer.start(algorithm, [DATASET])
        while (await consumer.status(job["jobId"]))["status"] not in TERMINAL:
            await asyncio.sleep(0.005)
        elapsed = time.perf_counter() - began
        assert (await consumer.status(job["jobId"]))["status"] == 70
        return elapsed

    flags = (
        "--rm --network none --cap-drop ALL --security-opt no-new-privileges --read-only"
        " --tmpfs /tmp:size=64m --user 65534:65534 --memory 256m --memory-swap 256m --cpus 1"
        " --pids-limit 256 --ipc private --ulimit core=0 --log-opt max-size=8m"
    )

    async def reference() -> float:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            mounts = f"-v {folder}:/data/inputs:ro -v {folder}:/data/outputs"
            command = f"docker run {flags} {mounts} {IMAGE}:1 true"
            process = await asyncio.create_subprocess_exec(*command.split())
            assert await process.wait() == 0
        return time.perf_counter() - began

    await ours(), await reference()
    figure, other, ratio = await alternate(rounds, ours, reference)
    return Figure("trivial job, POST to finished", figure, other, "s", ratio, 1.5, True)


async def signed_status(consumer: Consumer, service: Service, bare: Bare, rounds: int) -> Figure:
    """Status requests a second, each with a signature of its own, against a handler that only
    answers the same JSON."""
    job = await consumer.start(raw("true", checksum=image_id()), [DATASET])
    await consumer.follow(job["jobId"])

    def signed() -> bytes:
        nonce = consumer.nonce()
        query = urlencode(
            {
                "consumerAddress": consumer.address,
                "jobId": job["jobId"],
                "nonce": nonce,
                "signature": consumer.sign(consumer.address, job["jobId"], nonce),
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
    return Figure("signed status requests", figure, other, "/s", ratio, 0.25, False)


async def result_download(consumer: Consumer, service: Service, bare: Bare, rounds: int) -> Figure:
    """A large result, signature and nonce included, against a bare file response."""
    code = f"dd if=/dev/zero of=/data/outputs/big bs=1M count={FILE_MIB}"
    job = await consumer.start(raw(code, checksum=image_id()), [DATASET], "wide")
    job = await consumer.follow(job["jobId"])
    assert job["status"] == 70, job

    async def ours() -> float:
        query = urlencode(consumer.result_params(job["jobId"], 0))
        return await fetch(port_of(service), f"/api/services/computeResult?{query}")

    async def reference() -> float:
        return await fetch(bare.port, "/file")

    await ours(), await reference()
    figure, other, ratio = await alternate(rounds, ours, reference)
    return Figure("result download", figure, other, "MB/s", ratio, 0.9, False)


class Bare:
    """The reference server as a process of its own."""

    def __init__(self, folder: Path, body: bytes) -> None:
        self.port = free_port()
        (folder / "body").write_bytes(body)
        with (folder / "big").open("wb") as big:
            for _ in range(FILE_MIB):
                big.write(bytes(1 << 20))
        script = str(Path(__file__).with_name("bare.py"))
        arguments = [script, str(self.port), str(folder / "body"), str(folder / "big")]
        self._process = subprocess.Popen([sys.executable, *arguments])
        self.pid = self._process.pid

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def port_of(service: Service) -> int:
    return int(service.url.rpartition(":")[2])


async def measure_base(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        service = Service(Path(folder) / "service")
        service.environments({}, {"id": "wide", "diskGB": 1.0, "maxJobDuration": 300})
        await service.start(LOG_LEVEL="warning")
        bare: Bare | None = None
        try:
            async with Consumer(service.url) as consumer:
                figures = [await trivial_job(consumer, rounds)]
                body = json.dumps([await consumer.status((await _any(consumer))["jobId"])])
                bare = Bare(Path(folder), body.encode())
                await bare.ready()
                figures.append(await signed_status(consumer, service, bare, rounds))
                figures.append(await result_download(consumer, service, bare, rounds))
        finally:
            service.stop()
            if bare:
                bare.end()
    return figures


async def measure_chain(rounds: int) -> list[Figure]:
    """What a chain adds: order checks, paid jobs, memory."""
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        async with open_market(Path(folder) / "market") as market:
            return [
                *await order_checks(market, rounds),
                *await paid_jobs(market, rounds),
                await idle_memory(market, Path(folder)),
                await import_time(rounds),
            ]


async def measure(rounds: int, only: str | None) -> list[Figure]:
    figures: list[Figure] = []
    if only in {None, "base"}:
        figures += await measure_base(rounds)
    if only in {None, "scale"}:
        figures += await scale(rounds)
    if only in {None, "chain"}:
        figures += await measure_chain(rounds)
    return figures


async def _any(consumer: Consumer) -> dict[str, str]:
    jobs = await consumer.call("GET", f"/api/services/compute?consumerAddress={consumer.address}")
    job: dict[str, str] = jobs[0]
    return job


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=["base", "chain", "scale"])
    options = parser.parse_args()
    figures = asyncio.run(measure(options.rounds, options.only))
    table = Table("figure", "ours", "reference", "ratio", "goal", "")
    for figure in figures:
        values = [f"{value:,.3g} {figure.unit}" for value in (figure.figure, figure.reference)]
        table.add_row(figure.name, *values, f"{figure.ratio:.2f}", figure.wanted, figure.verdict)
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2))
    return 0 if all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

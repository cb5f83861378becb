"""How long a trivial job takes, against Docker's own command line."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from support.consumer import TERMINAL, Consumer, raw
from support.service import DATASET, IMAGE, Service, image_id

from benchmarks.figures import Figure, alternate


async def figures(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        service = Service(Path(folder) / "service")
        await service.start(LOG_LEVEL="warning")
        try:
            async with Consumer(service.url) as consumer:
                return [await trivial_job(consumer, rounds)]
        finally:
            service.stop()


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

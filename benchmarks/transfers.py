"""Large results and large inputs, against the same bytes without the service."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urlencode

from support.consumer import Consumer, raw
from support.service import DATASET, Service, image_id

from benchmarks.figures import Figure, alternate
from benchmarks.load import fetch
from benchmarks.reference import Bare, port_of

FILE_MIB = 512


async def figures(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        service = Service(Path(folder) / "service")
        service.environments({}, {"id": "wide", "diskGB": 1.0, "maxJobDuration": 300})
        await service.start(LOG_LEVEL="warning")
        bare = Bare(Path(folder), file_mib=FILE_MIB)
        try:
            await bare.ready()
            async with Consumer(service.url) as consumer:
                return [await result_download(consumer, service, bare, rounds)]
        finally:
            service.stop()
            bare.end()


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

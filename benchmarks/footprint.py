"""What a chain costs a service that has one, and one that has none: memory, time to import."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from support.service import Service

from benchmarks.figures import Figure, alternate
from benchmarks.market import Market, chain_settings

SETTLES_S = 3.0
WITHOUT_CHAIN = "import provider.app, sys; sys.exit('web3' in sys.modules)"
WITH_CHAIN = "import provider.app, provider.chain.client"


async def idle_memory(market: Market, folder: Path) -> Figure:
    """Resident memory of services that nobody has asked anything, with a chain and without."""
    with_chain = await _idle(folder / "with", **chain_settings(market.chain))
    without = await _idle(folder / "without")
    return Figure(
        "idle memory, with a chain / without",
        *(with_chain, without, "MiB", with_chain / without, None, True),
    )


async def import_time(rounds: int) -> Figure:
    """A Python process that imports the service, and one that imports a chain's client too.

    Fails when the first has imported web3.
    """

    async def lean() -> float:
        return await _process(WITHOUT_CHAIN)

    async def full() -> float:
        return await _process(WITH_CHAIN)

    await full(), await lean()
    own, reference, ratio = await alternate(rounds, lean, full)
    return Figure("import without a chain / with one", own, reference, "s", ratio, None, True)


async def _idle(root: Path, **environ: str) -> float:
    service = Service(root)
    await service.start(LOG_LEVEL="warning", **environ)
    try:
        await asyncio.sleep(SETTLES_S)
        return _resident_mib(service.pid)
    finally:
        service.stop()


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no resident memory")


async def _process(code: str) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
    return time.perf_counter() - began

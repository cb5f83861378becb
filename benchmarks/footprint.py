"""What a service without a chain costs before anybody asks, and what 10,000 jobs leave.

Starting, memory when idle, memory after jobs; and, for the group ``chain``, what a chain
adds to memory and to the time to import.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from support.service import Service

from benchmarks.coldstart import cold_starts
from benchmarks.figures import Figure, alternate
from benchmarks.growth import growth, growth_of_real_jobs
from benchmarks.load import resident_mib
from benchmarks.market import Market, chain_settings

SETTLES_S = 3.0
IDLE_MIB = 90
IDLE_STARTS = 3
WITHOUT_CHAIN = "import provider.app, sys; sys.exit('web3' in sys.modules)"
WITH_CHAIN = "import provider.app, provider.chain.client"


async def figures(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as name:
        folder = Path(name)
        return [
            *await cold_starts(folder / "cold", rounds),
            await _idle_without_chain(folder / "idle"),
            *await growth(folder / "growth"),
            await growth_of_real_jobs(folder / "real"),
        ]


async def _idle_without_chain(folder: Path) -> Figure:
    found = [await _idle(folder / str(index)) for index in range(IDLE_STARTS)]
    name = "memory of the idle service, no chain"
    return Figure(name, statistics.median(found), None, "MiB", None, IDLE_MIB, True)


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
        return resident_mib(service.pid)
    finally:
        service.stop()


async def _process(code: str) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
    return time.perf_counter() - began

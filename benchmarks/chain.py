"""What a chain adds: order checks, paid jobs, memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.footprint import idle_memory, import_time
from benchmarks.market import open_market
from benchmarks.orders import order_checks
from benchmarks.paid_jobs import paid_jobs


async def figures(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        async with open_market(Path(folder) / "market") as market:
            return [
                *await order_checks(market, rounds),
                *await paid_jobs(market, rounds),
                await idle_memory(market, Path(folder)),
                await import_time(rounds),
            ]

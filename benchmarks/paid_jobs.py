"""A paid job against an unpaid one, from its POST until its status says finished.

Both run in environments that differ by the price alone, on the same image and the same
bytes from the same web server. The paid one's dataset and algorithm are published on the
chain with sealed files, and its two orders are looked at; the unpaid one's lie in the
operator's folder. The unpaid one runs in the same service, and for comparison in one that
knows no chain. Ordering is the consumer's doing and takes as long as the chain does: it is
over before the clock starts.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from support.consumer import TERMINAL, Consumer

from benchmarks.figures import Figure, alternate
from benchmarks.market import Market

GOAL = 1.2


async def paid_jobs(market: Market, rounds: int) -> list[Figure]:
    """One paid with orders that the service has never seen, one with orders that carried a
    job before, and the first again beside a service without a chain."""
    async with (
        Consumer(market.service.url, market.buyer) as buyer,
        Consumer(market.service.url) as other,
        Consumer(market.plain.url) as elsewhere,
    ):

        async def unpaid() -> float:
            return await _finished(other, market.unpaid_body(other))

        async def unpaid_without_chain() -> float:
            return await _finished(elsewhere, market.unpaid_body(elsewhere))

        async def newly_paid() -> float:
            ordered = await market.order()
            return await _finished(buyer, market.paid_body(buyer, ordered))

        standing = await market.order()

        async def paid_before() -> float:
            return await _finished(buyer, market.paid_body(buyer, standing))

        await unpaid(), await unpaid_without_chain(), await paid_before()
        new = await alternate(rounds, newly_paid, unpaid)
        again = await alternate(rounds, paid_before, unpaid)
        whole = await alternate(rounds, newly_paid, unpaid_without_chain)
    return [
        Figure("paid job, new orders / unpaid job", *_row(new), GOAL, True),
        Figure("paid job, orders used again / unpaid job", *_row(again), GOAL, True),
        Figure("paid job, new orders / unpaid job, no chain", *_row(whole), GOAL, True),
    ]


async def _finished(consumer: Consumer, body: dict[str, Any]) -> float:
    began = time.perf_counter()
    (job,) = await consumer.call("POST", "/api/services/compute", json=body)
    while (seen := await consumer.status(job["jobId"]))["status"] not in TERMINAL:
        await asyncio.sleep(0.005)
    elapsed = time.perf_counter() - began
    assert seen["status"] == 70, seen
    return elapsed


def _row(measured: tuple[float, float, float]) -> tuple[float, float, str, float]:
    figure, reference, ratio = measured
    return figure, reference, "s", ratio

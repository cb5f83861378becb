"""Waiting for a task's end, for callers whose request is to last as long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from compute.models import Job


class Ends:
    """Who waits for which job. A job has one waiter: the request that started it."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Event] = {}

    def ended(self, job: Job) -> None:
        """To be called with each job that ends."""
        if job.id in self._waiting:
            self._waiting[job.id].set()

    @contextlib.contextmanager
    def of(self, job_id: str) -> Iterator[asyncio.Event]:
        """Set when the job ends while one is inside. Enter before it starts, or its end may
        come first."""
        event = self._waiting[job_id] = asyncio.Event()
        try:
            yield event
        finally:
            del self._waiting[job_id]


async def first_of(*events: asyncio.Event, within_s: float | None = None) -> bool:
    """Wait until one of them is set; False when that takes longer than so many seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=within_s)
        return bool(done)
    finally:
        for wait in waits:
            wait.cancel()

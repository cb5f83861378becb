"""A queue of keys: each is waiting once, being worked on once, or neither.

Putting a key that is being worked on makes it due again as soon as that ends, so no wish
is lost and no two workers ever hold the same key. Knows nothing of jobs.
"""

from __future__ import annotations

import asyncio
from collections import deque


class WorkQueue:
    """Deduplicating, with delays. For one event loop."""

    def __init__(self) -> None:
        self._ready: deque[str] = deque()
        self._waiting: set[str] = set()
        self._working: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._wanted: asyncio.Semaphore = asyncio.Semaphore(0)

    def put(self, key: str) -> None:
        """Make the key due now; a later date set before is dropped."""
        self._drop_timer(key)
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._release(key)

    def put_in(self, key: str, delay_s: float) -> None:
        """Make the key due in ``delay_s`` seconds unless it is due earlier anyway."""
        if key in self._waiting:
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + delay_s:
            return
        self._drop_timer(key)
        self._timers[key] = loop.call_later(max(delay_s, 0.0), self.put, key)

    async def take(self) -> str:
        """The next due key; it stays with the caller until ``done``."""
        await self._wanted.acquire()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: str) -> None:
        """Give the key back; it is due at once if it was put meanwhile."""
        self._working.discard(key)
        if key in self._waiting:
            self._release(key)

    def close(self) -> None:
        """Forget all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _release(self, key: str) -> None:
        self._ready.append(key)
        self._wanted.release()

    def _drop_timer(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()


def backoff_s(attempt: int, *, first_s: float = 0.5, most_s: float = 30.0) -> float:
    """Seconds to wait before try number ``attempt`` + 1: doubling, capped."""
    return min(first_s * 2.0 ** min(attempt, 16), most_s)

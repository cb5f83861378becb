"""Taking turns: so many at a time, of each kind fewer, and no endless queue.

What one origin or one contract may keep waiting must not be everybody's place, so who waits
for others of his kind holds no place meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

LOOK_S = 0.5
"""How often is looked whether somebody still waits for an answer."""

Gone = Callable[[], bool]
"""Whether nobody waits for the answer any more."""


def waits() -> bool:
    """For who waits however long it takes."""
    return False


class Crowded(Exception):
    """Too many are waiting already."""


@dataclass(slots=True)
class _Share:
    places: asyncio.Semaphore
    users: int = 0


class Turns:
    """``at_once`` turns at a time, ``share`` of one kind or what ``shares`` says for it."""

    def __init__(self, at_once: int, share: int, shares: Mapping[str, int] | None = None) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._share = share
        self._sizes = shares or {}
        self._shares: dict[str, _Share] = {}

    @asynccontextmanager
    async def turn(self, kind: str) -> AsyncIterator[None]:
        """Wait for a place; the empty kind has no share."""
        with self._of(kind) as share:
            async with share, self._places:
                yield

    @contextmanager
    def _of(self, kind: str) -> Iterator[asyncio.Semaphore]:
        if not kind:
            yield asyncio.Semaphore(1)
            return
        size = self._sizes.get(kind, self._share)
        share = self._shares.setdefault(kind, _Share(asyncio.Semaphore(size)))
        share.users += 1
        try:
            yield share.places
        finally:
            share.users -= 1
            if not share.users:
                del self._shares[kind]


class Crowd:
    """Who is being served or waits for it: ``most`` at the same time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Raises Crowded."""
        if self._inside >= self._most:
            raise Crowded
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


@asynccontextmanager
async def within(seconds: float, gone: Gone) -> AsyncIterator[None]:
    """Raises TimeoutError after so many seconds, or when nobody waits any more."""
    loop = asyncio.get_running_loop()
    looking: asyncio.TimerHandle
    async with asyncio.timeout(seconds) as limit:

        def look() -> None:
            nonlocal looking
            if limit.expired():
                return
            if gone():
                limit.reschedule(loop.time())
            else:
                looking = loop.call_later(LOOK_S, look)

        looking = loop.call_later(LOOK_S, look)
        try:
            yield
        finally:
            looking.cancel()

"""How long the client waits, and how often it tries again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from provider.client.errors import ProviderUnreachableError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """``attempts`` tries of a call that may be repeated, waiting ``first_s`` after the first
    and ``factor`` times longer each time, at most ``last_s``. Polls wait likewise.

    ``sleep`` takes seconds; another clock can be put in its place.
    """

    attempts: int = 6
    first_s: float = 0.2
    last_s: float = 2.0
    factor: float = 1.6
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def pauses(self) -> Iterator[float]:
        """Seconds to wait, without end."""
        pause = self.first_s
        while True:
            yield pause
            pause = min(self.last_s, pause * self.factor)

    async def persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Call ``attempt`` until the provider can be reached, or give up with its error."""
        pauses = self.pauses()
        for _ in range(self.attempts - 1):
            try:
                return await attempt()
            except ProviderUnreachableError:
                await self.sleep(next(pauses))
        return await attempt()

"""Answers kept for a while, and one question for all who ask the same at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from compute.store.recent import Recent

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

FOR_EVER = float("inf")
Load = Callable[[], Coroutine[Any, Any, V]]


@dataclass(slots=True)
class _Flight(Generic[V]):
    """A question on its way, and how many wait for it."""

    task: asyncio.Task[V]
    waiting: int = 0


class Shared(Generic[K, V]):
    """Who asks for what is being asked already gets that answer, or that error.

    A question goes on until nobody waits for it any more: one caller who gives up does not
    spoil it for the others.
    """

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[V]] = {}

    async def run(self, key: K, load: Load[V]) -> V:
        """What ``load`` answers, or one that runs for the same ``key``."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(load()))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if self._flights.get(key) is flight and (flight.task.done() or not flight.waiting):
                del self._flights[key]
            if not flight.waiting:
                flight.task.cancel()


class Memo(Generic[K, V]):
    """The ``size`` answers used last, each for as long as its question says."""

    def __init__(self, size: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: Recent[K, tuple[float, V]] = Recent(size)
        self._shared: Shared[K, V] = Shared()

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: K, load: Load[V], keep_s: Callable[[V], float]) -> V:
        """The kept answer, or a new one, which is kept for ``keep_s(answer)`` seconds.

        Errors are not kept.
        """
        kept = self._kept.get(key)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]

        async def loaded() -> V:
            asked_at = self._clock()
            value = await load()
            self._kept.put(key, (asked_at + keep_s(value), value))
            return value

        return await self._shared.run(key, loaded)

    def drop(self, key: K) -> None:
        """Forget an answer."""
        self._kept.drop(key)

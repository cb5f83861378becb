"""A bounded memory of what was used last, in front of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps the ``size`` entries used last, and of these no more than weigh ``budget``.

    Changed and read on the event loop only; ``peek`` alone may be called from any thread.
    """

    def __init__(
        self, size: int, *, budget: int = 0, weigh: Callable[[V], int] | None = None
    ) -> None:
        self._size = size
        self._budget = budget
        self._weigh = weigh
        self._weight = 0
        self._entries: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        value = self._entries.pop(key, None)
        if value is not None:
            self._entries[key] = value
        return value

    def peek(self, key: K) -> V | None:
        """Like ``get``, without counting as a use."""
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        self.drop(key)
        self._entries[key] = value
        if self._weigh is not None:
            self._weight += self._weigh(value)
        while len(self._entries) > self._size or self._weight > self._budget > 0:
            self.drop(next(iter(self._entries)))

    def items(self) -> list[tuple[K, V]]:
        """All entries, those used longest ago first."""
        return list(self._entries.items())

    def drop(self, key: K) -> None:
        value = self._entries.pop(key, None)
        if value is not None and self._weigh is not None:
            self._weight -= self._weigh(value)

"""A bounded memory of what was used last, in front of a table."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps the ``size`` entries used last.

    Changed and read on the event loop only; ``peek`` alone may be called from any thread.
    """

    def __init__(self, size: int) -> None:
        self._size = size
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
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]

    def items(self) -> list[tuple[K, V]]:
        """All entries, those used longest ago first."""
        return list(self._entries.items())

    def drop(self, key: K) -> None:
        self._entries.pop(key, None)

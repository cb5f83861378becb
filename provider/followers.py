"""Who reads logs as they grow: so many at a time, of one wallet fewer.

Each takes a connection and, while the job runs, a thread. A client that comes again after a
break may find its old place still taken for a moment, so a wallet has some in reserve.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from provider.errors import TooManyFollowers

MOST = 64
MOST_OF_ONE = 8


class Followers:
    """The places of one process."""

    def __init__(self, most: int = MOST, most_of_one: int = MOST_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._inside: Counter[str] = Counter()

    def inside(self) -> int:
        """How many there are."""
        return self._inside.total()

    @contextmanager
    def enter(self, wallet: str) -> Iterator[None]:
        """Have a place while inside. Raises TooManyFollowers."""
        if self._inside[wallet] >= self._most_of_one:
            raise TooManyFollowers(self._most_of_one, "by this wallet")
        if self._inside.total() >= self._most:
            raise TooManyFollowers(self._most, "here")
        self._inside[wallet] += 1
        try:
            yield
        finally:
            self._inside[wallet] -= 1
            self._inside += Counter()

"""Who reads logs as they grow: so many at a time, of one wallet fewer.

Each takes a connection and, while the job runs, a thread. A client that comes again after a
break may find its old place still taken for a moment, so a wallet has some in reserve.

Wallets cost nothing, and a job that waits may be followed for a day. So that nobody shuts the
others out with a few of them, places are shared out when all are taken: a newcomer gets one
of the address that has most of them, or of the wallet that has most at his own address, unless
that would leave them fewer than him. Who loses a place has his connection cut, and goes on where
he was once there is room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from provider.addresses import region
from provider.errors import TooManyFollowers

MOST = 64
MOST_OF_ONE = 8


@dataclass(slots=True, eq=False)
class Place:
    """One reader's. ``lost`` once somebody else has it."""

    wallet: str
    near: str
    lost: bool = False


class Followers:
    """The places of one process."""

    def __init__(self, most: int = MOST, most_of_one: int = MOST_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._inside: list[Place] = []

    def inside(self) -> int:
        """How many there are."""
        return len(self._inside)

    @contextmanager
    def enter(self, wallet: str, address: str = "") -> Iterator[Place]:
        """Have a place while inside, or until it is lost. Raises TooManyFollowers."""
        place = Place(wallet, region(address))
        if self._number(wallet=wallet) >= self._most_of_one:
            raise TooManyFollowers(self._most_of_one, "by this wallet")
        if len(self._inside) >= self._most:
            self._make_room(place)
        self._inside.append(place)
        try:
            yield place
        finally:
            if not place.lost:
                self._inside.remove(place)

    def _make_room(self, newcomer: Place) -> None:
        by_address = Counter(each.near for each in self._inside)
        [(near, number)] = by_address.most_common(1)
        if number <= by_address[newcomer.near] + 1:
            near = newcomer.near
        there = [each for each in self._inside if each.near == near]
        by_wallet = Counter(each.wallet for each in there)
        fair = self._number(wallet=newcomer.wallet) + 1 if near == newcomer.near else 0
        wallet, number = max(by_wallet.items(), key=lambda each: each[1], default=("", 0))
        if number <= fair:
            raise TooManyFollowers(self._most, "here")
        loser = next(each for each in reversed(there) if each.wallet == wallet)
        loser.lost = True
        self._inside.remove(loser)

    def _number(self, *, wallet: str) -> int:
        return sum(each.wallet == wallet for each in self._inside)

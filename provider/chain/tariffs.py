"""Which of a job's orders carries the fee for its time, and which one has paid it. Pure.

Time is sold once a job, on the chain of the first item that is sold here. A quote asks for it
on one item, a start looks for an order that paid it. Amounts are in base units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from provider.chain.fees import cost, pays
from provider.chain.order_rules import Order

START_S = 60
"""How long a client may take from a quote to the start: a fee that ends sooner is renewed."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """What an environment costs on one chain, in base units of ``token`` a minute."""

    chain_id: int
    token: str
    per_minute: Decimal = Decimal(0)

    @property
    def is_free(self) -> bool:
        return self.per_minute == 0

    def price(self, seconds: int) -> int:
        return cost(seconds, self.per_minute)

    def is_paid_by(self, order: Order) -> bool:
        """Whether the fee of an order pays for all the time that it names."""
        if order.fee is None or order.fee_terms is None or order.fee_fault:
            return False
        return pays(
            order.fee,
            order.fee_terms,
            order.fee_at,
            token=self.token,
            per_minute=self.per_minute,
        )


@dataclass(frozen=True, slots=True)
class Seat:
    """An item of a job as fees see it: its order as far as it is good or can be renewed, and
    whether its fee may be the one that pays."""

    order: Order | None
    may_carry: bool


def lasts(order: Order | None, valid_until: int, now: float) -> bool:
    """Whether a start in a moment will take an order as it is: nothing has to be renewed."""
    if order is None or order.fee_fault:
        return False
    return _fee_ends(order) >= min(valid_until, now + START_S)


def carrier(tariff: Tariff, seats: Sequence[Seat], valid_until: int, now: float) -> int | None:
    """Index of the item that is to carry the fee for the time until ``valid_until``: the first
    that has to be ordered or renewed anyway. None when that time is paid already."""
    able = [index for index, seat in enumerate(seats) if seat.may_carry]
    if not able or any(_covers(tariff, seats[index].order, valid_until, now) for index in able):
        return None
    lacking = (index for index in able if not lasts(seats[index].order, valid_until, now))
    return next(lacking, able[0])


def payer(tariff: Tariff, seats: Sequence[Seat]) -> Order | None:
    """The order that paid for the longest time, None when none paid."""
    paid = [
        seat.order
        for seat in seats
        if seat.may_carry and seat.order is not None and tariff.is_paid_by(seat.order)
    ]
    return max(paid, key=_fee_ends, default=None)


def paid_until(tariff: Tariff, order: Order) -> float | None:
    """When the time is over that an order paid for, None where time is not sold."""
    return None if tariff.is_free else float(_fee_ends(order))


def each_once(orders: Sequence[Order | None]) -> list[Order | None]:
    """The orders without those that came before, for one order is for one item."""
    seen: set[str] = set()
    kept: list[Order | None] = []
    for order in orders:
        again = order is not None and order.name in seen
        kept.append(None if again else order)
        if order is not None:
            seen.add(order.name)
    return kept


def _covers(tariff: Tariff, order: Order | None, valid_until: int, now: float) -> bool:
    if order is None or not lasts(order, valid_until, now) or not tariff.is_paid_by(order):
        return False
    return tariff.is_free or _fee_ends(order) >= valid_until


def _fee_ends(order: Order) -> int:
    return order.fee.valid_until if order.fee else 0

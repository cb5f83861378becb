"""Which item of a job carries the fee, and which order paid. Tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from order_samples import (
    CHAIN_ID,
    HOUR,
    HOUR_PRICE,
    NOW,
    OTHER_TOKEN,
    TOKEN,
    order_terms,
    paid_fee,
    quote,
    receipt,
    started,
)

from provider.chain.order_rules import Order, judge
from provider.chain.tariffs import (
    START_S,
    Seat,
    Tariff,
    carrier,
    each_once,
    lasts,
    paid_until,
    payer,
)

PAID = Tariff(CHAIN_ID, TOKEN, Decimal(1_500_000))
FREE = Tariff(CHAIN_ID, TOKEN)
UNTIL = NOW + HOUR


def order(amount: int = 0, valid_until: int = UNTIL, *, tx: str = "1", **fee: Any) -> Order:
    """An order as a quote sees it, with this fee."""
    logs = [started(), paid_fee(fee=quote(amount=amount, valid_until=valid_until, **fee))]
    terms = order_terms(renewable=True)
    return judge(terms, receipt(*logs, tx="0x" + tx.zfill(64)), None)


WHOLE = order(HOUR_PRICE)
UNPAID = order()
ENDED = order(HOUR_PRICE, NOW - 1)
ENDING = order(HOUR_PRICE, NOW + START_S - 1)
SHORT = order(HOUR_PRICE, UNTIL - 1)
FOREIGN = order(HOUR_PRICE, token=OTHER_TOKEN)
ELSEWHERE = order(HOUR_PRICE, environment="cheap")


@pytest.mark.parametrize(
    ("given", "until", "good"),
    [
        (None, UNTIL, False),
        (WHOLE, UNTIL, True),
        (UNPAID, UNTIL, True),
        (ENDED, UNTIL, False),
        (ENDING, UNTIL, False),
        (ENDING, NOW + 30, True),
        (SHORT, UNTIL, True),
        (ELSEWHERE, UNTIL, False),
    ],
)
def test_lasts(given: Order | None, until: int, good: bool) -> None:
    assert lasts(given, until, NOW) is good


@pytest.mark.parametrize(
    ("orders", "tariff", "index"),
    [
        ([None], PAID, 0),
        ([None, None, None], PAID, 0),
        ([UNPAID, None], PAID, 1),
        ([UNPAID, ENDED, None], PAID, 1),
        ([UNPAID, UNPAID], PAID, 0),
        ([WHOLE], PAID, None),
        ([WHOLE, None], PAID, None),
        ([None, WHOLE], PAID, None),
        ([SHORT, None], PAID, 1),
        ([SHORT], PAID, 0),
        ([ENDING, None], PAID, 0),
        ([FOREIGN, None], PAID, 1),
        ([ELSEWHERE, UNPAID], PAID, 0),
        ([None], FREE, 0),
        ([UNPAID], FREE, None),
        ([SHORT], FREE, None),
        ([UNPAID, ENDED], FREE, None),
        ([], PAID, None),
    ],
)
def test_carrier(orders: list[Order | None], tariff: Tariff, index: int | None) -> None:
    assert carrier(tariff, [Seat(each, True) for each in orders], UNTIL, NOW) == index


def test_carrier_is_one_that_may() -> None:
    seats = [Seat(None, False), Seat(UNPAID, True), Seat(None, True)]
    assert carrier(PAID, seats, UNTIL, NOW) == 2
    assert carrier(PAID, seats[:1], UNTIL, NOW) is None


def test_what_is_paid_where_it_may_not_be_is_not_paid() -> None:
    seats = [Seat(WHOLE, False), Seat(UNPAID, True)]
    assert carrier(PAID, seats, UNTIL, NOW) == 1
    assert payer(PAID, seats) is None


@pytest.mark.parametrize(
    "orders",
    [[], [None], [UNPAID], [UNPAID, UNPAID, UNPAID], [FOREIGN], [ELSEWHERE], [ENDED],
     [order(HOUR_PRICE - 1)], [order(HOUR_PRICE, UNTIL + 1)], [order(HOUR_PRICE // 2)] * 2],
)  # fmt: skip
def test_not_paid(orders: list[Order | None]) -> None:
    """Neither by many quotes of nothing nor by two halves: one fee pays for its own time."""
    assert payer(PAID, [Seat(each, True) for each in orders]) is None


def test_the_longest_time_paid_counts() -> None:
    longer = order(2 * HOUR_PRICE, NOW + 2 * HOUR)
    seats = [Seat(each, True) for each in (UNPAID, WHOLE, longer, WHOLE)]
    paid = payer(PAID, seats)
    assert paid is longer
    assert paid_until(PAID, paid) == NOW + 2 * HOUR


def test_free_time_has_no_end() -> None:
    assert payer(FREE, [Seat(UNPAID, True)]) is UNPAID
    assert paid_until(FREE, UNPAID) is None


def test_each_order_once() -> None:
    first, second = order(tx="1"), order(tx="2")
    assert each_once([first, None, second, first, None]) == [first, None, second, None, None]


def test_price() -> None:
    assert PAID.price(HOUR) == HOUR_PRICE
    assert PAID.price(1) == 25_000
    assert FREE.price(HOUR) == 0

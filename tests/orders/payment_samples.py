"""Jobs as clients of the shop ask for them, order them and start them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from order_samples import (
    ALGORITHM_TOKEN,
    HOUR,
    NOW,
    POD,
    USER,
    Shop,
    algorithm,
    dataset,
    environment,
    item,
)

from compute.environments import Environment
from provider.chain.fees import FeeQuote, FeeTerms
from provider.errors import (
    KeyedRefusal,
)
from provider.payments import ItemQuote, PaidItem, Payable, Payment

UNTIL = NOW + HOUR
PAID = environment()
FREE = environment("paid", price=None)
GRATIS = environment("paid", price=Decimal(0))
LOOK_ALIKE = "0x" + "1a" * 20


def both(first: str = "", second: str = "") -> list[PaidItem]:
    """A job on the dataset with the published algorithm, paid by these transactions."""
    return [
        item(dataset(), order=first),
        item(algorithm(), "algo", second, resource="algorithm"),
    ]


async def quoted(
    shop: Shop,
    items: Sequence[Payable],
    where: Environment = PAID,
    *,
    until: int = UNTIL,
    consumer: str = USER,
) -> list[ItemQuote]:
    return await shop.payments.quote_job(
        items, where, consumer_address=POD, consumer=consumer, valid_until=until
    )


async def bought(shop: Shop, where: Environment = PAID, *, until: int = UNTIL) -> list[PaidItem]:
    """A job as an honest client orders it."""
    first, second = await quoted(shop, both(), where, until=until)
    return both(shop.order(first.fee), shop.order(second.fee, ALGORITHM_TOKEN))


async def checked(
    shop: Shop, items: Sequence[Payable], where: Environment = PAID, consumer: str = USER
) -> Payment:
    return await shop.payments.check_job(items, where, consumer)


async def refusal(
    shop: Shop, items: Sequence[Payable], where: Environment = PAID, consumer: str = USER
) -> tuple[str, str]:
    with pytest.raises(KeyedRefusal) as caught:
        await checked(shop, items, where, consumer)
    return caught.value.resource, caught.value.code


def fee_of(quoted: ItemQuote) -> FeeQuote:
    assert quoted.fee is not None
    return quoted.fee


def terms_of(quoted: ItemQuote) -> FeeTerms:
    terms = FeeTerms.parse(fee_of(quoted).data)
    assert terms is not None
    return terms

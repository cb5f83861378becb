"""What one request may cost: orders looked up together, and other providers asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from order_samples import (
    ALGORITHM_TOKEN,
    DATATOKEN,
    HOUR_PRICE,
    KEY,
    POD,
    USER,
    Shop,
    algorithm,
    dataset,
    item,
    quote,
)
from payment_samples import PAID, both, bought, checked, fee_of, quoted, refusal

from compute.errors import InputUnavailable
from provider.chain.fake import FakeChain
from provider.chain.models import Receipt
from provider.elsewhere import OtherProviders
from provider.errors import (
    OtherProviderUnavailable,
    ProviderError,
    TransactionPending,
)
from provider.payments import AT_ONCE, ItemQuote, PaidItem, Payable, Payments


class SlowChain(FakeChain):
    """Counts how many receipts are asked for at the same time. ``fat`` are too large."""

    def __init__(self) -> None:
        super().__init__()
        self.running = self.most = 0
        self.fat: set[str] = set()

    async def receipt(self, tx: str, *, patient: bool = True) -> Receipt:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0.001)
            if tx in self.fat:
                raise ProviderError("The transaction is too large.")
            return await super().receipt(tx, patient=patient)
        finally:
            self.running -= 1


@pytest.fixture
def chain() -> SlowChain:
    return SlowChain()


@pytest.fixture
def shop(chain: SlowChain) -> Shop:
    return Shop(chain=chain)


def invented(count: int) -> list[PaidItem]:
    return [
        item(dataset(), order=f"0x{number:064x}", resource=f"datasets[{number}]")
        for number in range(count)
    ]


class TestOrders:
    async def test_a_quote_looks_up_few_at_once(self, shop: Shop, chain: SlowChain) -> None:
        assert len(await quoted(shop, invented(30))) == 30
        assert chain.most == AT_ONCE

    async def test_a_quote_waits_for_none(self, shop: Shop, chain: SlowChain) -> None:
        await quoted(shop, invented(5))
        await shop.payments.quote_access(invented(1)[0], USER)
        assert chain.asked["hasty receipt"] == chain.asked["receipt"] == 6

    async def test_starts_and_downloads_wait(self, shop: Shop, chain: SlowChain) -> None:
        items = await bought(shop)
        await checked(shop, items)
        download = shop.order(quote(environment=None, valid_until=0))
        assert await shop.payments.check_access(item(dataset(), order=download), USER)
        assert chain.asked["receipt"] == 3
        assert not chain.asked["hasty receipt"]

    async def test_renewed_orders_are_not_waited_for_either(
        self, shop: Shop, chain: SlowChain
    ) -> None:
        renewed = shop.renew("0x" + "99" * 32, quote(amount=HOUR_PRICE))
        [first] = await quoted(shop, both(renewed)[:1])
        assert first.valid_order == ""
        assert chain.asked["hasty receipt"] == 2

    async def test_a_start_ends_with_its_first_bad_order(
        self, shop: Shop, chain: SlowChain
    ) -> None:
        assert await refusal(shop, invented(60)) == ("datasets[0].serviceId", "order_invalid")
        assert chain.asked["receipt"] <= 2 * AT_ONCE

    async def test_the_first_in_order_is_told_though_a_later_one_came_sooner(
        self, shop: Shop
    ) -> None:
        items = [*invented(1), item(dataset(), order="nonsense", resource="datasets[1]")]
        assert await refusal(shop, items) == ("datasets[0].serviceId", "order_invalid")

    async def test_all_are_judged_however_many(self, shop: Shop) -> None:
        orders = [shop.order(quote(amount=HOUR_PRICE)) for _ in range(3 * AT_ONCE)]
        items = [item(dataset(), order=order) for order in orders]
        assert [each.valid_order for each in await quoted(shop, items)] == orders
        names = (await checked(shop, items)).orders
        assert [name.split(":")[1] for name in names[:-1]] == orders

    async def test_too_large_a_receipt(self, shop: Shop, chain: SlowChain) -> None:
        items = await bought(shop)
        chain.fat.add(items[0].order)
        first, second = await quoted(shop, items)
        assert (first.valid_order, second.valid_order) == ("", items[1].order)
        assert fee_of(first).amount == HOUR_PRICE
        with pytest.raises(ProviderError, match="too large"):
            await checked(shop, items)

    async def test_pending_is_told_though_others_are_unknown(self, shop: Shop) -> None:
        waiting = shop.order(quote(amount=HOUR_PRICE), mined=False)
        with pytest.raises(TransactionPending):
            await quoted(shop, [*invented(9), item(dataset(), order=waiting)])

    async def test_an_order_moved_to_another_service_is_none(self, shop: Shop) -> None:
        """Ordered as ``access`` when that was first; its publisher has it second now."""
        order = shop.order(quote(amount=HOUR_PRICE))
        kinds = {"type": "access", "datatokenAddress": DATATOKEN, "timeout": 0}
        moved = dataset(services=[{"id": name, **kinds} for name in ("compute", "access")])
        [found] = await quoted(shop, [item(moved, "compute", order)])
        assert found.valid_order == ""
        renewed = shop.renew(order, quote(service_id="compute", amount=HOUR_PRICE))
        told = await refusal(shop, [item(moved, "compute", renewed)])
        assert told == ("dataset.serviceId", "order_invalid")


class Others:
    """Other providers, each answering as ``act`` does."""

    def __init__(self, act: Callable[[], Awaitable[None]]) -> None:
        self.act = act
        self.running = self.most = self.asked = 0

    async def initialize(self, asked: Payable, consumer: str) -> Mapping[str, Any]:
        self.asked += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.act()
        finally:
            self.running -= 1
        return {"datatoken": asked.service.datatoken_address, "of": asked.resource}


async def shortly() -> None:
    await asyncio.sleep(0.001)


async def never() -> None:
    await asyncio.Event().wait()


def away(count: int) -> list[PaidItem]:
    return [item(dataset(), remote=True, resource=f"datasets[{number}]") for number in range(count)]


class TestOtherProviders:
    async def quotes(
        self, shop: Shop, others: Others, items: list[PaidItem], others_s: float = 60.0
    ) -> list[ItemQuote]:
        payments = Payments(
            shop.chains, KEY, now=lambda: shop.clock, elsewhere=others, others_s=others_s
        )
        shop.payments = payments
        return await quoted(shop, items)

    async def test_few_are_asked_at_once_and_keep_their_order(self, shop: Shop) -> None:
        others = Others(shortly)
        ours = item(algorithm(), "algo", resource="algorithm")
        items = [*away(9), ours, *away(3)]
        found = await self.quotes(shop, others, items)
        told = [each.verbatim["of"] if each.verbatim else "ours" for each in found]
        assert told == [each.resource if each.remote else "ours" for each in items]
        assert fee_of(found[9]).amount == HOUR_PRICE
        assert (others.most, others.asked) == (AT_ONCE, 12)

    async def test_all_together_have_one_deadline(self, shop: Shop) -> None:
        others = Others(never)
        began = asyncio.get_running_loop().time()
        with pytest.raises(OtherProviderUnavailable) as caught:
            await self.quotes(shop, others, [*away(60 * AT_ONCE), both()[1]], 0.5)
        assert asyncio.get_running_loop().time() - began < 20, "one after the other: 30 s"
        assert caught.value.status == 503
        assert others.running == 0

    async def test_nobody_else_is_asked_after_an_error(self, shop: Shop) -> None:
        async def fails() -> None:
            raise OtherProviderUnavailable

        others = Others(fails)
        with pytest.raises(OtherProviderUnavailable):
            await self.quotes(shop, others, [*away(20), both()[1]])
        assert others.asked <= AT_ONCE

    async def test_a_fault_of_ours_comes_out_as_it_is(self, shop: Shop) -> None:
        async def breaks() -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await self.quotes(shop, Others(breaks), [*away(3), both()[1]])


class Remote:
    """In the place of another provider."""

    def __init__(self, failure: InputUnavailable) -> None:
        self._failure = failure

    def at(self, _: str) -> Remote:
        return self

    async def initialize(self, *_: str, **__: str) -> Mapping[str, Any]:
        raise self._failure


async def asked_of(failure: InputUnavailable) -> ProviderError:
    others = OtherProviders(Remote(failure))  # type: ignore[arg-type]
    with pytest.raises(ProviderError) as caught:
        await others.initialize(item(dataset(), remote=True), POD)
    return caught.value


async def test_a_dead_provider_is_told_as_such() -> None:
    told = await asked_of(InputUnavailable("node.example:8030 refuses", temporary=True))
    assert isinstance(told, OtherProviderUnavailable)
    assert (told.status, told.public) == (
        503,
        "Another provider that one of the assets needs does not answer; try again.",
    )


async def test_another_providers_refusal_is_told() -> None:
    told = await asked_of(InputUnavailable("It says no."))
    assert (told.status, told.public) == (400, "It says no.")


async def test_paid_by_what_is_ours(shop: Shop) -> None:
    """An order elsewhere holds no fee of ours."""
    theirs = item(dataset(), order=shop.order(quote(environment=None)), remote=True)
    fee = quote(datatoken=ALGORITHM_TOKEN, service_id="algo", amount=HOUR_PRICE)
    paid = item(algorithm(), "algo", shop.order(fee, ALGORITHM_TOKEN), resource="algorithm")
    payment = await checked(shop, [theirs, paid], PAID)
    assert payment.orders[2].split(":")[2] == paid.order

"""Downloads, assets that are not sold, and services of other providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from order_samples import (
    ALGORITHM_TOKEN,
    CHAIN_ID,
    DATATOKEN,
    FACTORY,
    HOUR,
    HOUR_PRICE,
    KEY,
    NFT,
    NOW,
    OTHER_KEY,
    POD,
    STRANGER,
    TOKEN,
    USER,
    Shop,
    algorithm,
    dataset,
    item,
    quote,
)
from payment_samples import (
    LOOK_ALIKE,
    PAID,
    UNTIL,
    both,
    checked,
    fee_of,
    quoted,
    refusal,
    terms_of,
)

from provider.assets.ddo import Ddo
from provider.chain.chains import Chains
from provider.errors import (
    OrderRefused,
    ProviderError,
    UnsupportedChain,
)
from provider.payments import ItemQuote, PaidItem, Payable, Payment, Payments


class TestDownloads:
    def access(self, order: str = "", **changed: Any) -> PaidItem:
        return item(dataset(**changed), order=order)

    async def test_quote(self, shop: Shop) -> None:
        found = await shop.payments.quote_access(self.access(), USER)
        fee = fee_of(found)
        assert (fee.amount, fee.valid_until, fee.token) == (0, 0, TOKEN)
        assert terms_of(found).environment is None
        assert terms_of(found).chain_id == CHAIN_ID
        assert found.valid_order == ""

    async def test_order_and_use(self, shop: Shop) -> None:
        found = await shop.payments.quote_access(self.access(), USER)
        order = shop.order(found.fee, consumer=USER)
        shop.pass_time(365 * 24 * HOUR)
        used = await shop.payments.check_access(self.access(order), USER)
        assert used is not None
        assert used.tx == order
        again = await shop.payments.quote_access(self.access(order), USER)
        assert (again.fee, again.valid_order) == (None, order)

    async def test_order_for_compute_gives_no_files(self, shop: Shop) -> None:
        order = shop.order(quote(), consumer=USER)
        with pytest.raises(OrderRefused, match="Mismatch"):
            await shop.payments.check_access(self.access(order), USER)
        again = await shop.payments.quote_access(self.access(order), USER)
        assert again.valid_order == order
        assert terms_of(again).environment is None

    async def test_timed_out(self, shop: Shop) -> None:
        found = await shop.payments.quote_access(self.access(timeout=60), USER)
        order = shop.order(found.fee)
        assert await shop.payments.check_access(self.access(order, timeout=60), USER)
        shop.pass_time(61)
        with pytest.raises(OrderRefused, match="expired"):
            await shop.payments.check_access(self.access(order, timeout=60), USER)
        again = await shop.payments.quote_access(self.access(order, timeout=60), USER)
        assert again.valid_order == ""
        renewed = shop.renew(order, fee_of(again))
        with pytest.raises(OrderRefused, match="expired"):
            await shop.payments.check_access(self.access(renewed, timeout=60), USER)

    async def test_somebody_elses(self, shop: Shop) -> None:
        found = await shop.payments.quote_access(self.access(), USER)
        order = shop.order(found.fee)
        with pytest.raises(OrderRefused, match="sender of order"):
            await shop.payments.check_access(self.access(order), STRANGER)

    async def test_none(self, shop: Shop) -> None:
        with pytest.raises(OrderRefused, match="not a transaction id"):
            await shop.payments.check_access(self.access(), USER)

    async def test_revoked(self, shop: Shop) -> None:
        shop.chain.publish(FACTORY, NFT, [DATATOKEN], state=3)
        for act in (shop.payments.check_access, shop.payments.quote_access):
            with pytest.raises(ProviderError, match=r"^Asset is not consumable\.$"):
                await act(self.access("0x" + "11" * 32), USER)

    async def test_nft_that_is_no_address(self, shop: Shop) -> None:
        with pytest.raises(ProviderError, match="not consumable"):
            await shop.payments.check_access(self.access(nftAddress="nonsense"), USER)


class TestWhatIsSold:
    @pytest.mark.parametrize(
        ("ddo", "sold"),
        [
            (dataset(), True),
            (dataset(local=True), True),
            (dataset(local=True, chainId=None), False),
            (dataset(local=True, chainId=1), False),
            (dataset(chainId=1), True),
            (dataset(chainId=None), True),
            (dataset(local=True, services=[{"id": "access", "type": "access"}]), False),
            (dataset(services=[{"id": "access", "type": "access"}]), True),
        ],
    )
    async def test_needs_order(self, shop: Shop, ddo: Ddo, sold: bool) -> None:
        """What came from a chain is never given away for a gap in its document."""
        assert shop.payments.needs_order(ddo, ddo.services[0]) is sold

    async def test_no_chain_no_sale(self) -> None:
        payments = Payments(Chains([]), KEY, now=lambda: NOW)
        shown = item(dataset())
        assert not payments.needs_order(shown.ddo, shown.service)
        assert await payments.check_access(shown, USER) is None
        assert await payments.quote_access(shown, USER) == ItemQuote(DATATOKEN)
        assert await payments.check_job([shown], PAID, USER) == Payment()
        quotes = await payments.quote_job(
            [shown], PAID, consumer_address=POD, consumer=USER, valid_until=UNTIL
        )
        assert quotes == [ItemQuote(DATATOKEN)]

    async def test_chain_that_is_not_followed(self, shop: Shop) -> None:
        with pytest.raises(UnsupportedChain):
            await quoted(shop, [item(dataset(chainId=1))])

    async def test_folder_beside_chain(self, shop: Shop) -> None:
        """The algorithm is sold, the dataset is the operator's own: one carries the fee."""
        folder = item(dataset(local=True, chainId=None))
        sold = item(algorithm(), "algo", resource="algorithm")
        first, second = await quoted(shop, [folder, sold])
        assert first == ItemQuote(DATATOKEN)
        assert fee_of(second).amount == HOUR_PRICE
        order = shop.order(second.fee, ALGORITHM_TOKEN)
        payment = await checked(
            shop, [folder, item(algorithm(), "algo", order, resource="algorithm")]
        )
        assert payment.ends_by == UNTIL
        assert payment.orders == (f"{CHAIN_ID}:{order}:0", f"fee:{CHAIN_ID}:{order}:1")


class OtherProvider:
    """Answers for a service of its own."""

    async def initialize(self, asked: Payable, consumer: str) -> Mapping[str, Any]:
        return {"datatoken": asked.service.datatoken_address, "for": consumer}


class TestElsewhere:
    async def test_its_own_words(self, shop: Shop) -> None:
        shop.payments = Payments(
            shop.chains, KEY, now=lambda: shop.clock, elsewhere=OtherProvider()
        )
        items = [item(dataset(), remote=True), both()[1]]
        first, second = await quoted(shop, items)
        assert first.verbatim == {"datatoken": DATATOKEN, "for": POD}
        assert first.fee is None
        assert fee_of(second).amount == HOUR_PRICE

    async def test_its_order_is_checked_its_fee_is_not(self, shop: Shop) -> None:
        _, second = await quoted(shop, [item(dataset(), remote=True), both()[1]])
        paid = item(
            algorithm(), "algo", shop.order(second.fee, ALGORITHM_TOKEN), resource="algorithm"
        )
        theirs = shop.order(quote(key=OTHER_KEY, environment=None, valid_until=0))
        payment = await checked(shop, [item(dataset(), order=theirs, remote=True), paid])
        assert len(payment.orders) == 3
        assert payment.agreement_id == paid.order
        spoofed = shop.order(quote(key=OTHER_KEY), emitter=LOOK_ALIKE)
        items = [item(dataset(), order=spoofed, remote=True), paid]
        assert await refusal(shop, items) == ("dataset.serviceId", "order_invalid")

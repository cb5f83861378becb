"""Quotes for jobs, over a chain in memory: what is asked for, and what is not."""

from __future__ import annotations

from decimal import Decimal

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
    POD,
    STRANGER,
    TOKEN,
    USER,
    Shop,
    dataset,
    environment,
    item,
    quote,
)
from payment_samples import (
    FREE,
    GRATIS,
    LOOK_ALIKE,
    UNTIL,
    both,
    bought,
    checked,
    fee_of,
    quoted,
    terms_of,
)

from compute.environments import Environment
from provider.chain.chains import ChainAccess, Chains
from provider.chain.fees import ZERO_ADDRESS, FeeTerms, fee_signer
from provider.chain.networks import ChainSettings
from provider.errors import (
    AssetMalformed,
    ChainUnavailable,
    KeyedRefusal,
    OrderRefused,
    ProviderError,
    TransactionPending,
)
from provider.payments import MAX_WINDOW_S, Payments


class TestQuotes:
    async def test_first_item_carries_the_fee(self, shop: Shop) -> None:
        first, second = await quoted(shop, both())
        assert (fee_of(first).amount, fee_of(second).amount) == (HOUR_PRICE, 0)
        assert (first.datatoken, second.datatoken) == (DATATOKEN, ALGORITHM_TOKEN)
        assert (first.valid_order, second.valid_order) == ("", "")
        for each in (first, second):
            assert fee_of(each).token == TOKEN
            assert fee_of(each).valid_until == UNTIL
            assert fee_signer(fee_of(each)) == KEY.address.lower()

    async def test_what_is_signed_along(self, shop: Shop) -> None:
        first, second = await quoted(shop, both())
        assert terms_of(first) == FeeTerms(
            "paid", NOW, DATATOKEN, "access", CHAIN_ID, Decimal(1_500_000)
        )
        assert terms_of(second).service_id == "algo"

    async def test_whole_seconds(self, shop: Shop) -> None:
        shop.clock += 0.75
        [first] = await quoted(shop, both()[:1], until=NOW + 1)
        assert fee_of(first).amount == 25_000

    async def test_datatoken_as_the_document_spells_it(self, shop: Shop) -> None:
        ddo = dataset()
        spelt = "0x" + DATATOKEN[2:].upper()
        service = ddo.services[0].model_copy(update={"datatoken_address": spelt})
        ddo = ddo.model_copy(update={"services": [service]})
        [first] = await quoted(shop, [item(ddo)])
        assert terms_of(first).datatoken == first.datatoken == spelt

    @pytest.mark.parametrize("where", [FREE, GRATIS])
    async def test_free_environment(self, shop: Shop, where: Environment) -> None:
        first, second = await quoted(shop, both(), where)
        assert (fee_of(first).amount, fee_of(second).amount) == (0, 0)
        assert fee_of(first).token == TOKEN
        assert terms_of(first).per_minute is None

    async def test_chain_without_a_token_for_fees(self, shop: Shop) -> None:
        settings = ChainSettings(CHAIN_ID, "development", FACTORY, "", ())
        bare = ChainAccess(settings, shop.chain, shop.access.contracts)
        shop.payments = Payments(Chains([bare]), KEY, now=lambda: shop.clock)
        first, _ = await quoted(shop, both(), FREE)
        assert fee_of(first).token == ZERO_ADDRESS

    async def test_order_that_will_do(self, shop: Shop) -> None:
        items = await bought(shop)
        first, second = await quoted(shop, items)
        assert (first.fee, first.valid_order) == (None, items[0].order)
        assert (second.fee, second.valid_order) == (None, items[1].order)
        await checked(shop, items)

    async def test_fee_that_ended(self, shop: Shop) -> None:
        items = await bought(shop)
        shop.pass_time(HOUR)
        first, second = await quoted(shop, items, until=UNTIL + HOUR)
        assert (first.valid_order, second.valid_order) == (items[0].order, items[1].order)
        assert (fee_of(first).amount, fee_of(second).amount) == (HOUR_PRICE, 0)

    async def test_after_a_renewal(self, shop: Shop) -> None:
        """The renewal will do while its fee lasts; what is renewed again is the order itself."""
        items = await bought(shop)
        shop.pass_time(HOUR)
        first, second = await quoted(shop, items, until=UNTIL + HOUR)
        again = both(
            shop.renew(items[0].order, fee_of(first)),
            shop.renew(items[1].order, fee_of(second), ALGORITHM_TOKEN),
        )
        await checked(shop, again)
        third, _ = await quoted(shop, again, until=UNTIL + HOUR)
        assert (third.fee, third.valid_order) == (None, again[0].order)
        shop.pass_time(HOUR)
        last, _ = await quoted(shop, again, until=UNTIL + 2 * HOUR)
        assert last.valid_order == items[0].order
        assert fee_of(last).amount == HOUR_PRICE

    async def test_only_what_is_lacking_is_asked_for(self, shop: Shop) -> None:
        """The dataset is paid for the whole time, so a new algorithm costs no time."""
        items = await bought(shop)
        first, second = await quoted(shop, both(items[0].order))
        assert (first.fee, first.valid_order) == (None, items[0].order)
        assert (fee_of(second).amount, second.valid_order) == (0, "")

    async def test_more_time_is_asked_of_what_has_to_be_ordered_anyway(self, shop: Shop) -> None:
        items = await bought(shop)
        first, second = await quoted(shop, both(items[0].order), until=UNTIL + HOUR)
        assert (first.fee, first.valid_order) == (None, items[0].order)
        assert fee_of(second).amount == 2 * HOUR_PRICE

    async def test_more_time_when_nothing_has_to_be(self, shop: Shop) -> None:
        items = await bought(shop)
        first, second = await quoted(shop, items, until=UNTIL + HOUR)
        assert first.valid_order == items[0].order
        assert fee_of(first).amount == 2 * HOUR_PRICE
        assert (second.fee, second.valid_order) == (None, items[1].order)

    async def test_order_of_another_environment_is_renewed(self, shop: Shop) -> None:
        """The data is bought already, only the time is not."""
        order = shop.order(quote(environment="cheap", amount=HOUR_PRICE))
        first, _ = await quoted(shop, both(order))
        assert first.valid_order == order
        assert fee_of(first).amount == HOUR_PRICE

    async def test_a_download_can_become_a_job(self, shop: Shop) -> None:
        order = shop.order(quote(environment=None, valid_until=0))
        first, _ = await quoted(shop, both(order), FREE)
        assert first.valid_order == order
        assert terms_of(first).environment == "paid"

    @pytest.mark.parametrize("unusable", ["unknown", "malformed", "reverted", "strangers", "spoof"])
    async def test_unusable_order_is_none(self, shop: Shop, unusable: str) -> None:
        fee = quote(amount=HOUR_PRICE)
        order = {
            "unknown": "0x" + "77" * 32,
            "malformed": "0x77",
            "reverted": shop.order(fee, succeeded=False),
            "strangers": shop.order(fee, payer=STRANGER, sender=STRANGER),
            "spoof": shop.order(fee, emitter=LOOK_ALIKE),
        }[unusable]
        first, _ = await quoted(shop, both(order))
        assert first.valid_order == ""
        assert fee_of(first).amount == HOUR_PRICE

    async def test_order_that_timed_out(self, shop: Shop) -> None:
        timed = item(dataset(timeout=HOUR), order=shop.order(quote(amount=HOUR_PRICE)))
        shop.pass_time(HOUR + 1)
        [first] = await quoted(shop, [timed], until=NOW + 2 * HOUR)
        assert first.valid_order == ""

    async def test_pending_order_is_not_sold_twice(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE), mined=False)
        with pytest.raises(TransactionPending):
            await quoted(shop, both(order))

    async def test_one_order_for_two_items(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE))
        items = [item(dataset(), order=order), item(dataset(), order=order, resource="datasets[1]")]
        first, second = await quoted(shop, items)
        assert first.valid_order == order
        assert second.valid_order == ""
        assert fee_of(second).amount == 0

    async def test_ordered_by_the_environments_address(self, shop: Shop) -> None:
        """Old clients name that as the consumer."""
        items = await bought(shop)
        first, _ = await quoted(shop, items, consumer=POD)
        assert first.valid_order == items[0].order

    @pytest.mark.parametrize("until", [0, NOW, NOW - 1, NOW + MAX_WINDOW_S + 1, 1 << 300])
    async def test_time_that_is_not_sold(self, shop: Shop, until: int) -> None:
        with pytest.raises(ProviderError, match="validUntil") as caught:
            await quoted(shop, both(), until=until)
        assert caught.value.field == "compute.validUntil"

    async def test_a_long_time_has_its_price(self, shop: Shop) -> None:
        first, _ = await quoted(shop, both(), until=NOW + MAX_WINDOW_S)
        assert fee_of(first).amount == HOUR_PRICE * MAX_WINDOW_S // HOUR

    async def test_very_long_jobs_can_be_bought(self, shop: Shop) -> None:
        months = environment().model_copy(update={"maxJobDuration": 3 * MAX_WINDOW_S})
        first, _ = await quoted(shop, both(), months, until=NOW + 3 * MAX_WINDOW_S)
        assert fee_of(first).valid_until == NOW + 3 * MAX_WINDOW_S

    async def test_amount_beyond_any_number_of_a_contract(self, shop: Shop) -> None:
        shop.chain.token(TOKEN, 77)
        with pytest.raises(AssetMalformed):
            await quoted(shop, both(), environment(price=Decimal(10**6)))

    async def test_environment_not_offered_there(self, shop: Shop) -> None:
        elsewhere = Environment.model_validate(
            {"id": "paid", "prices": {137: {"token": TOKEN, "perMinute": "1"}}}
        )
        with pytest.raises(ProviderError, match="not offered on chain 8996"):
            await quoted(shop, both(), elsewhere)
        with pytest.raises(ProviderError, match="not offered on chain 8996"):
            await checked(shop, both("0x" + "11" * 32), elsewhere)

    @pytest.mark.parametrize("state", [1, 2, 3, 4, None])
    async def test_asset_not_in_use(self, shop: Shop, state: int | None) -> None:
        shop.chain.publish(FACTORY, NFT, [DATATOKEN], state=state)
        with pytest.raises(KeyedRefusal) as caught:
            await quoted(shop, both())
        assert (caught.value.resource, caught.value.code) == (
            "dataset",
            "Asset is not consumable.",
        )

    async def test_unlisted_asset(self, shop: Shop) -> None:
        shop.chain.publish(FACTORY, NFT, [DATATOKEN], state=5)
        assert await quoted(shop, both())

    async def test_asset_not_from_the_factory(self, shop: Shop) -> None:
        other = "0x" + "1b" * 20
        shop.chain.publish(STRANGER, other, [DATATOKEN])
        with pytest.raises(OrderRefused, match="not from this chain's factory"):
            await quoted(shop, [item(dataset(nftAddress=other))])
        with pytest.raises(OrderRefused, match="not from this chain's factory"):
            await shop.payments.quote_access(item(dataset(nftAddress=other)), USER)

    @pytest.mark.parametrize("datatoken", ["", "0x12", ALGORITHM_TOKEN])
    async def test_datatoken_not_of_the_asset(self, shop: Shop, datatoken: str) -> None:
        services = [{"id": "access", "type": "access", "datatokenAddress": datatoken}]
        with pytest.raises(OrderRefused, match="is not deployed by NFT"):
            await quoted(shop, [item(dataset(services=services))])

    async def test_service_id_that_fits_no_fee(self, shop: Shop) -> None:
        name = "x" * 5000
        services = [{"id": name, "type": "access", "datatokenAddress": DATATOKEN}]
        with pytest.raises(AssetMalformed) as caught:
            await quoted(shop, [item(dataset(services=services), name)])
        assert name not in caught.value.public

    async def test_chain_down(self, shop: Shop) -> None:
        shop.chain.unreachable = True
        with pytest.raises(ChainUnavailable):
            await quoted(shop, both())

"""Whether a job was paid, over a chain in memory: the honest ways and the tricks."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from order_samples import (
    ALGORITHM_NFT,
    ALGORITHM_TOKEN,
    CHAIN_ID,
    DATATOKEN,
    FACTORY,
    HOUR,
    HOUR_PRICE,
    KEY,
    NOW,
    OTHER_KEY,
    OTHER_TOKEN,
    PRICE,
    STRANGER,
    TOKEN,
    USER,
    Shop,
    algorithm,
    dataset,
    environment,
    item,
    paid_fee,
    quote,
    started,
)
from payment_samples import (
    FREE,
    GRATIS,
    LOOK_ALIKE,
    PAID,
    UNTIL,
    both,
    bought,
    checked,
    fee_of,
    quoted,
    refusal,
)

from compute.environments import Environment
from provider.chain.chains import Chains
from provider.errors import (
    ChainUnavailable,
    KeyedRefusal,
    TransactionPending,
)
from provider.payments import Payment, Payments


class TestChecks:
    async def test_paid_job(self, shop: Shop) -> None:
        items = await bought(shop)
        assert await checked(shop, items) == Payment(
            orders=(
                f"{CHAIN_ID}:{items[0].order}:0",
                f"{CHAIN_ID}:{items[1].order}:0",
                f"fee:{CHAIN_ID}:{items[0].order}:1",
            ),
            agreement_id=items[0].order,
            chain_id=CHAIN_ID,
            ends_by=UNTIL,
        )

    async def test_end_stays_what_was_paid(self, shop: Shop) -> None:
        items = await bought(shop)
        shop.pass_time(HOUR - 1)
        assert (await checked(shop, items)).ends_by == UNTIL

    @pytest.mark.parametrize("where", [FREE, GRATIS])
    async def test_free_job(self, shop: Shop, where: Environment) -> None:
        items = await bought(shop, where)
        payment = await checked(shop, items, where)
        assert payment.ends_by is None
        assert len(payment.orders) == 2
        assert payment.agreement_id == items[0].order

    async def test_free_in_a_token_that_is_none(self, shop: Shop) -> None:
        """Where nothing is charged nobody has to know how."""
        where = Environment.model_validate(
            {"id": "paid", "prices": {CHAIN_ID: {"token": STRANGER, "perMinute": "0"}}}
        )
        assert (await checked(shop, await bought(shop, where), where)).ends_by is None

    async def test_the_same_order_renewed_is_the_same_order(self, shop: Shop) -> None:
        """So a renewal does not let a second job in beside the first."""
        items = await bought(shop)
        before = await checked(shop, items)
        renewed = shop.renew(items[0].order, quote(amount=HOUR_PRICE))
        after = await checked(shop, both(renewed, items[1].order))
        assert after.orders[:2] == before.orders[:2]
        assert after.orders[2] == f"fee:{CHAIN_ID}:{renewed}:1"
        assert after.agreement_id == renewed

    async def test_raw_algorithm(self, shop: Shop) -> None:
        [first] = await quoted(shop, both()[:1])
        order = shop.order(first.fee)
        assert (await checked(shop, [item(dataset(), order=order)])).ends_by == UNTIL

    async def test_fee_on_the_algorithm(self, shop: Shop) -> None:
        items = await bought(shop)
        shop.pass_time(HOUR / 2)
        _, second = await quoted(shop, both(items[0].order), until=UNTIL + HOUR)
        later = both(items[0].order, shop.order(second.fee, ALGORITHM_TOKEN))
        payment = await checked(shop, later)
        assert payment.ends_by == UNTIL + HOUR
        assert payment.agreement_id == later[1].order

    async def test_two_datatokens_in_one_transaction(self, shop: Shop) -> None:
        first, second = await quoted(shop, both())
        tx = shop.chain.transact(
            started(payer=FACTORY),
            paid_fee(fee=first.fee),
            started(ALGORITHM_TOKEN, payer=FACTORY),
            paid_fee(ALGORITHM_TOKEN, second.fee),
            sender=USER,
        )
        payment = await checked(shop, both(tx, tx))
        assert len(set(payment.orders)) == 3

    async def test_price_raised_in_between(self, shop: Shop) -> None:
        items = await bought(shop)
        assert await checked(shop, items, environment(price=PRICE * 10))

    async def test_service_of_second_place(self, shop: Shop) -> None:
        order = shop.order(quote(service_id="compute", amount=HOUR_PRICE), service_index=1)
        payment = await checked(shop, [item(dataset(), "compute", order)])
        assert payment.orders == (f"{CHAIN_ID}:{order}:0", f"fee:{CHAIN_ID}:{order}:1")

    async def test_one_fee_carries_one_job(self, shop: Shop) -> None:
        """His own asset, ordered for three places at once, and moved from one to the next."""
        batch = [
            event
            for index in range(3)
            for event in (started(service_index=index), paid_fee(data=b""))
        ]
        renewed = shop.renew(shop.chain.transact(*batch), quote(amount=HOUR_PRICE))
        found = []
        for place in range(3):
            ids = [f"x{index}" for index in range(place)] + ["access"]
            kinds = {"type": "access", "datatokenAddress": DATATOKEN, "timeout": 0}
            moved = dataset(services=[{"id": name, **kinds} for name in ids])
            found.append((await checked(shop, [item(moved, order=renewed)])).orders)
        assert set.intersection(*map(set, found)) == {f"fee:{CHAIN_ID}:{renewed}:1"}

    async def test_free_time_has_no_fee_to_hold(self, shop: Shop) -> None:
        """A renewal of nothing would else let a second job in, or keep it out."""
        payment = await checked(shop, await bought(shop, GRATIS), GRATIS)
        assert not [name for name in payment.orders if name.startswith("fee:")]


class TestNotPaid:
    UNPAID = ("order", "fees_not_paid")

    async def test_quotes_of_nothing_collected(self, shop: Shop) -> None:
        """Each item's quote from a question in which another item carried the fee."""
        whole = await bought(shop)
        _, for_algorithm = await quoted(shop, both())
        first = item(algorithm(), "algo")
        _, for_dataset = await quoted(shop, [first, item(dataset(), resource="datasets[1]")])
        assert (fee_of(for_dataset).amount, fee_of(for_algorithm).amount) == (0, 0)
        items = both(shop.order(for_dataset.fee), shop.order(for_algorithm.fee, ALGORITHM_TOKEN))
        assert await refusal(shop, items) == self.UNPAID
        assert await checked(shop, both(whole[0].order, items[1].order))

    async def test_one_unit_too_little(self, shop: Shop) -> None:
        items = both()[:1]
        order = shop.order(quote(amount=HOUR_PRICE - 1))
        assert await refusal(shop, [item(items[0].ddo, order=order)]) == self.UNPAID

    async def test_quote_of_a_free_environment_made_dear(self, shop: Shop) -> None:
        items = await bought(shop, FREE)
        assert await refusal(shop, items, PAID) == self.UNPAID

    async def test_quote_of_a_price_of_nothing_made_dear(self, shop: Shop) -> None:
        items = await bought(shop, GRATIS)
        assert await refusal(shop, items, PAID) == self.UNPAID

    async def test_another_token(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE, token=OTHER_TOKEN))
        assert await refusal(shop, [item(dataset(), order=order)]) == self.UNPAID

    async def test_the_token_of_then(self, shop: Shop) -> None:
        """The operator takes another one now."""
        items = await bought(shop)
        changed = Environment.model_validate(
            {"id": "paid", "prices": {CHAIN_ID: {"token": OTHER_TOKEN, "perMinute": "0.1"}}}
        )
        shop.chain.token(OTHER_TOKEN)
        assert await refusal(shop, items, changed) == self.UNPAID

    async def test_old_quote_ordered_late(self, shop: Shop) -> None:
        """Prices rose since; who hoards quotes pays those of today."""
        first, _ = await quoted(shop, both(), until=NOW + 10 * HOUR)
        shop.pass_time(HOUR + 1)
        order = shop.order(first.fee)
        items = [item(dataset(), order=order)]
        assert await checked(shop, items)
        assert await refusal(shop, items, environment(price=PRICE * 2)) == self.UNPAID

    @pytest.mark.parametrize(("price", "amount"), [("0", 0), ("1.5", HOUR_PRICE)])
    async def test_another_chains_money(self, shop: Shop, price: str, amount: int) -> None:
        """What is nothing there, or paid in a token of the same address, pays nothing here."""
        other = Shop(chain_id=137)
        chains = Chains([shop.access, other.access])
        shop.payments = Payments(chains, KEY, now=lambda: shop.clock)
        prices = {
            CHAIN_ID: {"token": TOKEN, "perMinute": str(PRICE)},
            137: {"token": TOKEN, "perMinute": price},
        }
        where = Environment.model_validate({"id": "paid", "prices": prices})
        away = algorithm(chainId=137)
        items = [item(dataset()), item(away, "algo", resource="algorithm")]
        first, second = await quoted(shop, items, where)
        assert (fee_of(first).amount, fee_of(second).amount) == (HOUR_PRICE, 0)
        fee = quote(datatoken=ALGORITHM_TOKEN, service_id="algo", chain_id=137, amount=amount)
        ordered = item(away, "algo", other.order(fee, ALGORITHM_TOKEN), resource="algorithm")
        unpaid = item(dataset(), order=shop.order(quote()))
        assert await refusal(shop, [unpaid, ordered], where) == self.UNPAID
        paid = item(dataset(), order=shop.order(first.fee))
        assert (await checked(shop, [paid, ordered], where)).chain_id == CHAIN_ID

    async def test_nothing_to_order_in_a_priced_environment(self, shop: Shop) -> None:
        """An asset of the operator's folder with a raw algorithm: nobody would pay."""
        folder = item(dataset(local=True, chainId=None))
        assert await refusal(shop, [folder]) == self.UNPAID
        with pytest.raises(KeyedRefusal):
            await quoted(shop, [folder])
        assert await checked(shop, [folder], FREE) == Payment()

    async def test_another_providers_order_pays_nothing(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE))
        away = item(dataset(), order=order, remote=True)
        assert await refusal(shop, [away]) == self.UNPAID


class TestBadOrders:
    INVALID = ("dataset.serviceId", "order_invalid")
    ALGORITHM = ("algorithm", "in_use_or_not_on_chain")

    async def judged(self, shop: Shop, order: str, consumer: str = USER) -> tuple[str, str]:
        return await refusal(shop, [item(dataset(), order=order)], PAID, consumer)

    @pytest.mark.parametrize(
        "fee",
        [
            {"environment": "cheap"},
            {"environment": None, "valid_until": 0},
            {"service_id": "compute"},
            {"datatoken": ALGORITHM_TOKEN},
            {"chain_id": 1},
            {"key": OTHER_KEY},
            {"valid_until": NOW},
        ],
    )
    async def test_fee_for_something_else(self, shop: Shop, fee: dict[str, Any]) -> None:
        order = shop.order(quote(**({"amount": HOUR_PRICE} | fee)))
        assert await self.judged(shop, order) == self.INVALID

    async def test_look_alike(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE), emitter=LOOK_ALIKE)
        assert await self.judged(shop, order) == self.INVALID

    async def test_other_index(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE), service_index=1)
        assert await self.judged(shop, order) == self.INVALID

    async def test_other_user(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE))
        assert await self.judged(shop, order, STRANGER) == self.INVALID

    async def test_reverted(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE), succeeded=False)
        assert await self.judged(shop, order) == self.INVALID

    async def test_unknown(self, shop: Shop) -> None:
        assert await self.judged(shop, "0x" + "77" * 32) == self.INVALID

    async def test_reorganised(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE))
        shop.chain.reorganise(1)
        assert await self.judged(shop, order) == self.INVALID

    async def test_timed_out(self, shop: Shop) -> None:
        order = shop.order(quote(amount=2 * HOUR_PRICE, valid_until=NOW + 2 * HOUR))
        items = [item(dataset(timeout=HOUR), order=order)]
        assert await checked(shop, items)
        shop.pass_time(HOUR + 1)
        assert await refusal(shop, items) == self.INVALID
        renewed = shop.renew(order, quote(amount=HOUR_PRICE, valid_until=NOW + 3 * HOUR))
        assert await refusal(shop, [item(dataset(timeout=HOUR), order=renewed)]) == self.INVALID

    async def test_paid_time_over(self, shop: Shop) -> None:
        items = await bought(shop)
        shop.pass_time(HOUR)
        assert await refusal(shop, items) == self.INVALID

    async def test_algorithms_fee_over(self, shop: Shop) -> None:
        items = await bought(shop)
        stale = shop.order(
            quote(datatoken=ALGORITHM_TOKEN, service_id="algo", valid_until=NOW),
            ALGORITHM_TOKEN,
        )
        assert await refusal(shop, both(items[0].order, stale)) == self.ALGORITHM

    async def test_algorithm_ordered_for_another_environment(self, shop: Shop) -> None:
        items = await bought(shop)
        fee = quote(datatoken=ALGORITHM_TOKEN, service_id="algo", environment="cheap")
        other = shop.order(fee, ALGORITHM_TOKEN)
        assert await refusal(shop, both(items[0].order, other)) == self.ALGORITHM

    async def test_missing(self, shop: Shop) -> None:
        assert await refusal(shop, both()) == ("dataset.transferTxId", "missing")
        second = item(dataset(), "compute", resource="datasets[1]")
        order = "0x" + "77" * 32
        items = [item(dataset(), order=order), second]
        assert await refusal(shop, items) == ("datasets[1].transferTxId", "missing")
        assert await refusal(shop, both(order)) == self.ALGORITHM
        assert not shop.chain.asked["receipt"]

    async def test_one_order_for_two_items(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE))
        renewed = shop.renew(order, quote(amount=HOUR_PRICE))
        for second in (order, renewed):
            items = [
                item(dataset(), order=order),
                item(dataset(), order=second, resource="datasets[1]"),
            ]
            assert await refusal(shop, items) == ("datasets[1].serviceId", "order_invalid")

    async def test_first_fault_in_order_is_told(self, shop: Shop) -> None:
        tx = "0x" + "77" * 32
        assert await refusal(shop, both(tx, tx)) == self.INVALID

    async def test_pending_may_come(self, shop: Shop) -> None:
        order = shop.order(quote(amount=HOUR_PRICE), mined=False)
        with pytest.raises(TransactionPending):
            await checked(shop, [item(dataset(), order=order)])

    async def test_chain_down_is_no_fault_of_the_order(self, shop: Shop) -> None:
        items = await bought(shop)
        shop.chain.unreachable = True
        shop.pass_time(1)
        with pytest.raises(ChainUnavailable):
            await checked(shop, items)

    @pytest.mark.parametrize("state", [1, 2, 3, 4])
    async def test_revoked_since(self, shop: Shop, state: int) -> None:
        items = await bought(shop)
        shop.chain.publish(FACTORY, ALGORITHM_NFT, [ALGORITHM_TOKEN], state=state)
        shop.pass_time(60)
        assert await refusal(shop, items) == ("algorithm.credentials", "Asset is not consumable.")

    async def test_reason_is_logged_without_what_a_stranger_wrote(
        self, shop: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        await refusal(shop, [item(dataset(), order="0x\nforged line")])
        assert "order_refused at=dataset why=The order is not a transaction id" in caplog.text
        assert "forged" not in caplog.text

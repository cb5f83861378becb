"""Ordering on the real contracts, with fees that our own key signs.

What the contracts accept is what the provider promises; with any part of a fee changed
they refuse, so nobody but the provider can make one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from devchain_parts import logs_of
from eth_account import Account
from support.devchain import DevChain

from provider.chain import fees
from provider.chain.events import order_reused, order_started, provider_fee
from provider.chain.fees import FeeTerms
from provider.client.errors import AnswerNotUnderstoodError, ClientUsageError
from provider.client.onchain import ETHER, ChainRefusedError, OnChain
from provider.keys import ProviderKey

HOUR = 3600
OTHER = "0x" + "22" * 20
NOBODY = "0x" + "00" * 20
ENVIRONMENT = "0x" + "e1" * 20


@dataclass(frozen=True)
class Market:
    """A datatoken that the consumer has, and a provider who signs fees in OCEAN."""

    chain: DevChain
    publisher: OnChain
    consumer: OnChain
    nft: str
    datatoken: str
    key: ProviderKey

    @property
    def ocean(self) -> str:
        return str(self.chain.addresses["Ocean"])

    def fee(self, amount: int = 0, *, token: str = "", **changes: Any) -> dict[str, Any]:
        """A fee as the provider's answers spell it."""
        now = int(time.time())
        terms = FeeTerms("paid", now, self.datatoken.lower(), "0", 8996, None)
        signed = fees.sign(
            self.key,
            token=(token or self.ocean).lower(),
            amount=amount,
            terms=terms,
            valid_until=now + HOUR,
        )
        return {
            "providerFeeAddress": self.key.address,
            "providerFeeToken": signed.token,
            "providerFeeAmount": str(amount),
            "providerData": "0x" + signed.data.hex(),
            "v": signed.v,
            "r": "0x" + signed.r.hex(),
            "s": "0x" + signed.s.hex(),
            "validUntil": signed.valid_until,
            **changes,
        }

    async def order(self, fee: Mapping[str, Any], index: int = 0) -> str:
        return await self.consumer.start_order(self.datatoken, ENVIRONMENT, index, fee)

    async def earned(self, token: str = "") -> int:
        return await self.consumer.balance_of(token or self.ocean, self.key.address)


@pytest.fixture
async def market(devchain: DevChain) -> Market:
    publisher = OnChain(devchain.url, devchain.accounts[3], address_file=devchain.address_file)
    consumer = OnChain(devchain.url, devchain.accounts[4], address_file=devchain.address_file)
    nft = await publisher.publish_nft("Rows", "ROW")
    datatoken = await publisher.create_datatoken(nft, "Rows 0", "ROW0")
    await publisher.transfer(datatoken, consumer.address, 5 * ETHER)
    return Market(devchain, publisher, consumer, nft, datatoken, ProviderKey.generate())


async def test_an_order_is_noted_and_paid(market: Market) -> None:
    fee = market.fee(1234)

    tx = await market.order(fee, index=2)

    logs = logs_of(market.chain, tx)
    (started,) = filter(None, map(order_started, logs))
    assert started.log.address == market.datatoken.lower()
    assert (started.consumer, started.payer) == (ENVIRONMENT, market.consumer.address.lower())
    assert (started.amount, started.service_index) == (ETHER, 2)
    (paid,) = filter(None, map(provider_fee, logs))
    assert (paid.fee_address, paid.amount) == (market.key.address.lower(), 1234)
    assert paid.token == market.ocean.lower()
    assert paid.data == bytes.fromhex(fee["providerData"][2:])
    assert fees.fee_signer(paid) == market.key.address.lower()
    assert await market.earned() == 1234
    assert await market.consumer.balance_of(market.datatoken) == 4 * ETHER


async def test_a_fee_of_nothing_needs_no_money(market: Market) -> None:
    tx = await market.order(market.fee(0))

    assert market.chain.receipt(tx)
    assert await market.earned() == 0
    assert await market.consumer.allowance(market.ocean, market.datatoken) == 0


async def test_a_fee_in_no_token(market: Market) -> None:
    assert await market.order(market.fee(0, token=NOBODY))


@pytest.mark.parametrize(("price", "seconds"), [("0.7", 90), ("1", 1), ("3.000001", HOUR)])
async def test_what_is_due_is_what_is_taken(market: Market, price: str, seconds: int) -> None:
    usdc = market.chain.addresses["MockUSDC"]
    amount = fees.due(seconds, Decimal(price), 6)

    await market.order(market.fee(amount, token=usdc))

    assert await market.earned(usdc) == amount > 0


async def test_an_order_is_renewed(market: Market) -> None:
    first = await market.order(market.fee(10))

    second = await market.consumer.reuse_order(market.datatoken, first, market.fee(7))

    logs = logs_of(market.chain, second)
    (reused,) = filter(None, map(order_reused, logs))
    assert (reused.order_tx, reused.caller) == (first, market.consumer.address.lower())
    assert not [log for log in logs if order_started(log)]
    assert await market.earned() == 17
    assert await market.consumer.balance_of(market.datatoken) == 4 * ETHER, "costs no datatoken"


INVALID = r"execution reverted: (Invalid provider fee|ECDSA)"
CHANGES: dict[str, Any] = {
    "providerFeeAmount": "9",
    "providerFeeAddress": OTHER,
    "validUntil": 2**40,
    "v": None,
    "providerFeeToken": "MockDAI",
}


def changed(market: Market, fee: dict[str, Any], name: str) -> dict[str, Any]:
    """The fee with one of its fields, or one byte of it, changed."""
    if name in ("r", "s", "providerData"):
        raw = bytearray(bytes.fromhex(fee[name][2:]))
        raw[-1] ^= 1
        return {**fee, name: "0x" + raw.hex()}
    if name == "v":
        return {**fee, "v": 55 - fee["v"]}
    value = CHANGES[name]
    return {**fee, name: market.chain.addresses.get(value, value)}


@pytest.mark.parametrize("name", ["r", "s", "providerData", *CHANGES])
async def test_a_changed_fee_is_refused(market: Market, name: str) -> None:
    fee = market.fee(10)
    order = await market.order(fee)
    earned = await market.earned()

    with pytest.raises(ChainRefusedError, match=INVALID):
        await market.order(changed(market, fee, name))
    with pytest.raises(ChainRefusedError, match=INVALID):
        await market.consumer.reuse_order(market.datatoken, order, changed(market, fee, name))

    assert await market.earned() == earned
    assert await market.consumer.balance_of(market.datatoken) == 4 * ETHER


async def test_a_fee_that_another_signed_is_refused(market: Market) -> None:
    forged = Market(
        market.chain,
        market.publisher,
        market.consumer,
        market.nft,
        market.datatoken,
        ProviderKey.generate(),
    ).fee(10)
    with pytest.raises(ChainRefusedError, match="execution reverted"):
        await market.order({**forged, "providerFeeAddress": market.key.address})


async def test_who_has_no_datatoken_cannot_order(market: Market) -> None:
    await market.consumer.transfer(market.datatoken, market.publisher.address, 5 * ETHER)
    with pytest.raises(ChainRefusedError, match="execution reverted") as caught:
        await market.order(market.fee(0))
    assert caught.value.tx == ""


async def test_who_cannot_pay_the_fee_is_told_before(market: Market) -> None:
    sent = market.chain.nonce(market.consumer.address)
    has = await market.consumer.balance_of(market.ocean)

    with pytest.raises(ChainRefusedError, match=f"costs {has + 1} base units .* has {has}"):
        await market.order(market.fee(has + 1))

    assert market.chain.nonce(market.consumer.address) == sent


async def test_an_allowance_that_is_there_is_used(market: Market) -> None:
    await market.consumer.approve(market.ocean, market.datatoken, 100)
    sent = market.chain.nonce(market.consumer.address)

    await market.order(market.fee(60))

    assert market.chain.nonce(market.consumer.address) == sent + 1
    assert await market.consumer.allowance(market.ocean, market.datatoken) == 40


async def test_an_allowance_that_is_too_small_is_replaced_over_nought(market: Market) -> None:
    await market.consumer.approve(market.ocean, market.datatoken, 10)
    sent = market.chain.nonce(market.consumer.address)

    await market.order(market.fee(60))

    assert market.chain.nonce(market.consumer.address) == sent + 3
    assert await market.consumer.allowance(market.ocean, market.datatoken) == 0
    assert await market.earned() == 60


@pytest.mark.parametrize("token", ["Ocean", "MockDAI"])
async def test_the_fee_of_a_market_is_paid_too(market: Market, token: str) -> None:
    address = market.chain.addresses[token]
    shop = Account.create().address
    datatoken = await market.publisher.create_datatoken(
        market.nft, "d", "D", market=shop, market_token=address, market_fee=40
    )
    await market.publisher.transfer(datatoken, market.consumer.address, ETHER)

    await market.consumer.start_order(datatoken, ENVIRONMENT, 0, market.fee(2))

    assert await market.consumer.balance_of(address, shop) == 40
    assert await market.earned() == 2


@pytest.mark.parametrize(
    "change",
    [
        {"v": "x"},
        {"v": None},
        {"r": "0x12"},
        {"s": 5},
        {"providerData": "7b7d"},
        {"providerData": "0x7"},
        {"providerFeeAddress": "0x1"},
        {"providerFeeToken": None},
        {"providerFeeAmount": "1.5"},
        {"providerFeeAmount": -1},
        {"providerFeeAmount": True},
        {"providerFeeAmount": "9" * 100},
        {"validUntil": "soon"},
    ],
)
async def test_a_fee_that_is_none_is_not_sent(market: Market, change: dict[str, Any]) -> None:
    sent = market.chain.nonce(market.consumer.address)
    with pytest.raises((AnswerNotUnderstoodError, ClientUsageError)):
        await market.order(market.fee(1, **change))
    assert market.chain.nonce(market.consumer.address) == sent


@pytest.mark.parametrize("missing", ["v", "providerData", "validUntil", "providerFeeToken"])
async def test_a_fee_with_a_gap_is_not_sent(market: Market, missing: str) -> None:
    fee = market.fee(1)
    del fee[missing]
    with pytest.raises(AnswerNotUnderstoodError):
        await market.order(fee)


@pytest.mark.parametrize("tx", ["", "0x", "0x" + "ab" * 31, "order", None])
async def test_an_order_that_is_none_is_not_renewed(market: Market, tx: Any) -> None:
    with pytest.raises(ClientUsageError):
        await market.consumer.reuse_order(market.datatoken, tx, market.fee(0))

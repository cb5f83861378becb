"""Our fees before the real contracts, and their real receipts before our rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from order_desk import Desk, Reverted
from order_samples import KEY, POD
from support.devchain import DevChain
from support.lookalike import Lookalike, order_reused, order_started, provider_fee

from compute.environments import Environment
from provider.assets.ddo import Ddo
from provider.chain import order_rules
from provider.chain.chains import ChainAccess, Chains
from provider.chain.client import Web3Chain
from provider.chain.contracts import Contracts
from provider.chain.fees import FeeQuote, FeeTerms, sign
from provider.chain.networks import ChainSettings
from provider.chain.order_rules import Order, OrderTerms
from provider.chain.orders import verify
from provider.errors import KeyedRefusal, OrderRefused, TransactionUnknown
from provider.payments import ItemQuote, PaidItem, Payment, Payments

PER_MINUTE = 2 * 10**18
MINUTES = 10
AMOUNT = MINUTES * PER_MINUTE


@dataclass(frozen=True)
class Market:
    """Two published assets, and a customer who let their datatokens take fees."""

    desk: Desk
    dataset: tuple[str, str]
    algorithm: tuple[str, str]
    enterprise: tuple[str, str]
    lookalike: Lookalike

    @property
    def customer(self) -> str:
        return self.desk.customer.address


@pytest.fixture(scope="module")
def market(devchain: DevChain) -> Iterator[Market]:
    with devchain.undone():
        desk = Desk(devchain, devchain.accounts[2], devchain.accounts[3])
        assets = desk.publish(), desk.publish(), desk.publish(template=2)
        for _, datatoken in assets:
            desk.approve(datatoken, 1000 * AMOUNT)
        yield Market(desk, *assets, Lookalike(devchain, devchain.accounts[4]))


class Ticking:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
async def access(devchain: DevChain, clock: Ticking) -> AsyncIterator[ChainAccess]:
    settings = ChainSettings(
        chain_id=devchain.chain_id,
        name="development",
        factory=devchain.addresses["ERC721Factory"].lower(),
        fee_token=devchain.addresses["Ocean"].lower(),
        rpc_urls=(devchain.url,),
    )
    async with Web3Chain(settings, clock=clock, sleep=clock.sleep) as chain:
        yield ChainAccess(settings, chain, Contracts(chain, settings.factory))


def quote(market: Market, *, datatoken: str = "", amount: int = AMOUNT, **changed: Any) -> FeeQuote:
    now = market.desk.chain.now
    chain_id = market.desk.chain.chain_id
    terms = FeeTerms("paid", now + 0.25, datatoken or market.dataset[1], "main", chain_id)
    return sign(
        KEY,
        token=market.desk.fee_token,
        amount=amount,
        terms=replace(terms, **changed),
        valid_until=now + MINUTES * 60,
    )


def order_terms(market: Market, tx: str, **changed: Any) -> OrderTerms:
    usual = OrderTerms(
        tx=tx,
        chain_id=market.desk.chain.chain_id,
        datatoken=market.dataset[1],
        service_id="main",
        service_index=0,
        timeout_s=3600,
        requester=market.customer,
        environment="paid",
        fee_address=KEY.address,
        now=float(market.desk.chain.now),
    )
    return replace(usual, **changed)


async def verified(access: ChainAccess, market: Market, tx: str, **changed: Any) -> Order:
    return await verify(access, order_terms(market, tx, **changed), market.dataset[0])


async def refusal(access: ChainAccess, market: Market, tx: str, **changed: Any) -> str:
    with pytest.raises(OrderRefused) as caught:
        await verified(access, market, tx, **changed)
    return caught.value.public


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def changed_fees(fee: FeeQuote) -> dict[str, FeeQuote]:
    """A fee with one byte changed, once in each of its parts."""
    address = "0x" + _flipped(bytes.fromhex(fee.address[2:]), 19).hex()
    token = "0x" + _flipped(bytes.fromhex(fee.token[2:]), 0).hex()
    return {
        "address": replace(fee, address=address),
        "token": replace(fee, token=token),
        "amount": replace(fee, amount=fee.amount ^ 1),
        "less": replace(fee, amount=0),
        "validUntil": replace(fee, valid_until=fee.valid_until ^ 1),
        "data, first": replace(fee, data=_flipped(fee.data, 0)),
        "data, last": replace(fee, data=_flipped(fee.data, len(fee.data) - 1)),
        "v": replace(fee, v=55 - fee.v),
        "r": replace(fee, r=_flipped(fee.r, 31)),
        "s": replace(fee, s=_flipped(fee.s, 31)),
    }


NO_FEE = FeeQuote("0x" + "11" * 20, "0x" + "22" * 20, 9, b"{}", 27, bytes(32), bytes(32), 8)
PARTS = pytest.mark.parametrize("part", changed_fees(NO_FEE))


class TestContracts:
    async def test_start(self, access: ChainAccess, market: Market) -> None:
        before = market.desk.balance(market.customer)
        tx = market.desk.start(market.dataset[1], quote(market), consumer=POD)
        assert before - market.desk.balance(market.customer) == AMOUNT
        order = await verified(access, market, tx)
        assert (order.tx, order.original_tx) == (tx, tx)
        assert (order.consumer, order.payer) == (POD, market.customer.lower())
        assert order.fee is not None
        assert order.fee.amount == AMOUNT
        assert order.fee_terms is not None
        assert order.fee_terms.chain_id == market.desk.chain.chain_id
        assert order.expires_at == order.ordered_at + 3600
        assert abs(order.ordered_at - market.desk.chain.now) < 60

    async def test_reuse(self, access: ChainAccess, market: Market) -> None:
        tokens = market.desk.balance(market.customer, market.dataset[1])
        first = market.desk.start(market.dataset[1], quote(market, amount=0))
        before = market.desk.balance(market.customer)
        tx = market.desk.reuse(market.dataset[1], first, quote(market))
        assert before - market.desk.balance(market.customer) == AMOUNT
        assert tokens - market.desk.balance(market.customer, market.dataset[1]) == 10**18
        order = await verified(access, market, tx)
        assert (order.tx, order.original_tx) == (tx, first)
        assert order.fee is not None
        assert order.fee.amount == AMOUNT
        assert order.fee_at >= order.ordered_at
        assert order.name == (await verified(access, market, first)).name

    @PARTS
    async def test_start_with_a_byte_changed(
        self, access: ChainAccess, market: Market, part: str
    ) -> None:
        fee = changed_fees(quote(market))[part]
        with pytest.raises(Reverted) as caught:
            market.desk.start(market.dataset[1], fee)
        assert await refusal(access, market, caught.value.tx) == order_rules.FAILED

    @PARTS
    async def test_reuse_with_a_byte_changed(self, market: Market, part: str) -> None:
        first = market.desk.start(market.dataset[1], quote(market, amount=0))
        fee = changed_fees(quote(market))[part]
        with pytest.raises(Reverted):
            market.desk.reuse(market.dataset[1], first, fee)

    async def test_two_datatokens_at_once(self, access: ChainAccess, market: Market) -> None:
        """The factory pays, so only the transaction's sender tells whose order it is."""
        desk, (_, first), (nft, second) = market.desk, market.dataset, market.algorithm
        for datatoken in (first, second):
            desk.approve(desk.factory, 10**18, token=datatoken)
        desk.approve(desk.factory, AMOUNT)
        fees = quote(market), quote(market, datatoken=second, amount=0)
        tx = desk.start_many([(first, fees[0]), (second, fees[1])], consumer=POD)
        one = await verified(access, market, tx)
        other = await verify(access, order_terms(market, tx, datatoken=second), nft)
        assert one.payer == desk.factory.lower()
        assert one.fee is not None
        assert other.fee is not None
        assert (one.fee.amount, other.fee.amount) == (AMOUNT, 0)
        assert one.name != other.name
        assert await refusal(access, market, tx, requester=desk.publisher.address) == (
            order_rules.NOT_THEIRS
        )

    async def test_enterprise_datatoken(self, access: ChainAccess, market: Market) -> None:
        nft, datatoken = market.enterprise
        fee = quote(market, datatoken=datatoken)
        tx = market.desk.start(datatoken, fee)
        again = market.desk.reuse(datatoken, tx, fee)
        for each in (tx, again):
            order = await verify(access, order_terms(market, each, datatoken=datatoken), nft)
            assert order.original_tx == tx


class TestSpoofed:
    """The look-alike says what a datatoken would, with a genuine quote that cost nothing."""

    def fee(self, market: Market) -> Any:
        fee = quote(market)
        return provider_fee(
            fee.address,
            fee.token,
            amount=fee.amount,
            data=fee.data,
            v=fee.v,
            r=fee.r,
            s=fee.s,
            valid_until=fee.valid_until,
        )

    async def test_order(self, access: ChainAccess, market: Market) -> None:
        who, now = market.customer, market.desk.chain.now
        events = order_started(who, who, timestamp=now), self.fee(market)
        tx = market.lookalike.emit(*events, account=market.desk.customer)
        assert await refusal(access, market, tx) == order_rules.NO_FEE.format(tx)
        renewable = await refusal(access, market, tx, renewable=True)
        assert renewable == order_rules.NO_FEE.format(tx)
        elsewhere = await refusal(access, market, tx, fee_address=None)
        assert elsewhere == order_rules.NO_ORDER.format(tx)

    async def test_renewal(self, access: ChainAccess, market: Market) -> None:
        who, now = market.customer, market.desk.chain.now
        order = market.desk.start(market.dataset[1], quote(market, amount=0))
        event = order_reused(bytes.fromhex(order[2:]), who, timestamp=now)
        tx = market.lookalike.emit(event, self.fee(market), account=market.desk.customer)
        assert await refusal(access, market, tx) == order_rules.NO_FEE.format(tx)

    async def test_genuine_renewal_of_it(self, access: ChainAccess, market: Market) -> None:
        who, now = market.customer, market.desk.chain.now
        event = order_started(who, who, timestamp=now)
        spoofed = market.lookalike.emit(event, account=market.desk.customer)
        tx = market.desk.reuse(market.dataset[1], spoofed, quote(market))
        assert await refusal(access, market, tx) == order_rules.NO_ORDER.format(spoofed)

    async def test_look_alike_as_datatoken(self, access: ChainAccess, market: Market) -> None:
        """It answers yes to everything, but is asked of an NFT that the factory made."""
        who, now = market.customer, market.desk.chain.now
        events = order_started(who, who, timestamp=now), self.fee(market)
        tx = market.lookalike.emit(*events, account=market.desk.customer)
        text = await refusal(access, market, tx, datatoken=market.lookalike.address)
        assert "is not deployed by NFT" in text

    async def test_look_alike_as_nft(self, access: ChainAccess, market: Market) -> None:
        who, now = market.customer, market.desk.chain.now
        events = order_started(who, who, timestamp=now), self.fee(market)
        tx = market.lookalike.emit(*events, account=market.desk.customer)
        terms = order_terms(market, tx, datatoken=market.lookalike.address)
        with pytest.raises(OrderRefused, match="is not from this chain's factory"):
            await verify(access, terms, market.lookalike.address)


async def test_order_gone_with_its_block(
    access: ChainAccess, market: Market, clock: Ticking
) -> None:
    with market.desk.chain.undone():
        tx = market.desk.start(market.dataset[1], quote(market))
        assert await verified(access, market, tx)
    await clock.sleep(60)
    market.desk.chain.mine(2)
    with pytest.raises(TransactionUnknown):
        await verified(access, market, tx)


class TestJob:
    """Quote, order, start, renew: all of it on the chain."""

    @pytest.fixture
    def payments(self, access: ChainAccess, market: Market) -> Payments:
        self.clock = float(market.desk.chain.now)
        return Payments(Chains([access]), KEY, now=lambda: self.clock)

    def environment(self, market: Market) -> Environment:
        price = {"token": market.desk.fee_token, "perMinute": "2"}
        return Environment.model_validate(
            {"id": "paid", "prices": {market.desk.chain.chain_id: price}}
        )

    def items(self, market: Market, first: str = "", second: str = "") -> list[PaidItem]:
        made = []
        for kind, (nft, datatoken), order in (
            ("dataset", market.dataset, first),
            ("algorithm", market.algorithm, second),
        ):
            service = {"id": "main", "type": "access", "datatokenAddress": datatoken}
            document = {
                "id": f"did:op:{kind}",
                "chainId": market.desk.chain.chain_id,
                "nftAddress": nft,
                "metadata": {"type": kind},
                "services": [service],
            }
            ddo = Ddo.parse(document)
            made.append(PaidItem(ddo, ddo.services[0], order, resource=kind))
        return made

    async def quoted(
        self, payments: Payments, market: Market, items: list[PaidItem], until: int
    ) -> list[ItemQuote]:
        return await payments.quote_job(
            items,
            self.environment(market),
            consumer_address=POD,
            consumer=market.customer,
            valid_until=until,
        )

    async def checked(self, payments: Payments, market: Market, items: list[PaidItem]) -> Payment:
        return await payments.check_job(items, self.environment(market), market.customer)

    async def test_paid_then_renewed(self, payments: Payments, market: Market) -> None:
        until = int(self.clock) + MINUTES * 60
        first, second = await self.quoted(payments, market, self.items(market), until)
        assert first.fee is not None
        assert second.fee is not None
        assert (first.fee.amount, second.fee.amount) == (AMOUNT, 0)
        orders = [
            market.desk.start(market.dataset[1], first.fee, consumer=POD),
            market.desk.start(market.algorithm[1], second.fee, consumer=POD),
        ]
        payment = await self.checked(payments, market, self.items(market, *orders))
        assert payment.ends_by == until
        self.clock = until
        with pytest.raises(KeyedRefusal, match="order_invalid"):
            await self.checked(payments, market, self.items(market, *orders))
        quotes = await self.quoted(
            payments, market, self.items(market, *orders), until + MINUTES * 60
        )
        renewed = []
        for quote, (_, datatoken) in zip(quotes, (market.dataset, market.algorithm), strict=True):
            assert quote.fee is not None
            renewed.append(market.desk.reuse(datatoken, quote.valid_order, quote.fee))
        again = await self.checked(payments, market, self.items(market, *renewed))
        assert again.orders[:2] == payment.orders[:2]
        assert again.orders[2] != payment.orders[2]
        assert again.agreement_id == renewed[0]
        assert again.ends_by == until + MINUTES * 60

    async def test_not_paid(self, payments: Payments, market: Market) -> None:
        """Both orders are genuine, with genuine quotes: those that ask for nothing."""
        nothing = quote(market, amount=0)
        also = quote(market, datatoken=market.algorithm[1], amount=0)
        orders = [
            market.desk.start(market.dataset[1], nothing),
            market.desk.start(market.algorithm[1], also),
        ]
        with pytest.raises(KeyedRefusal, match="fees_not_paid"):
            await self.checked(payments, market, self.items(market, *orders))

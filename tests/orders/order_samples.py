"""A shop for the tests of orders: one asset with two services, its chain, its customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from compute.environments import Environment
from provider.assets.ddo import Ddo
from provider.chain.chains import ChainAccess, Chains
from provider.chain.contracts import Contracts
from provider.chain.fake import FakeChain
from provider.chain.fake_events import Emitted, order_reused, order_started, provider_fee
from provider.chain.fees import FeeQuote, FeeTerms, sign
from provider.chain.models import Log, Receipt
from provider.chain.networks import ChainSettings
from provider.chain.order_rules import Order, OrderTerms, judge
from provider.errors import OrderRefused
from provider.keys import ProviderKey
from provider.payments import PaidItem, Payments

KEY = ProviderKey(bytes([0x11]) * 32)
OTHER_KEY = ProviderKey(bytes([0x33]) * 32)
USER = "0x1563915e194d8cfba1943570603f7606a3115508"
STRANGER = "0x" + "57" * 20
POD = "0x" + "c2" * 20
"""The environment's address, on whose behalf compute is ordered."""

FACTORY = "0x" + "fa" * 20
NFT = "0x" + "aa" * 20
DATATOKEN = "0x" + "d1" * 20
TOKEN = "0x" + "fe" * 20
OTHER_TOKEN = "0x" + "0e" * 20
ALGORITHM_NFT = "0x" + "ab" * 20
ALGORITHM_TOKEN = "0x" + "d2" * 20

CHAIN_ID = 8996
NOW = 1_800_001_000
HOUR = 3600
PRICE = Decimal("1.5")
DECIMALS = 6
HOUR_PRICE = 90 * 10**DECIMALS
TX = "0x" + "71" * 32
EARLIER_TX = "0x" + "72" * 32


def fee_terms(**changed: Any) -> FeeTerms:
    """What a quote for the dataset in environment ``paid`` says, made now."""
    usual = FeeTerms("paid", float(NOW), DATATOKEN, "access", CHAIN_ID)
    return replace(usual, **changed)


def quote(
    *,
    key: ProviderKey = KEY,
    token: str = TOKEN,
    amount: int = 0,
    valid_until: int = NOW + HOUR,
    **terms: Any,
) -> FeeQuote:
    return sign(key, token=token, amount=amount, terms=fee_terms(**terms), valid_until=valid_until)


def started(
    datatoken: str = DATATOKEN, *, payer: str = USER, consumer: str = POD, **changed: Any
) -> Emitted:
    usual: dict[str, Any] = {"payer": payer, "consumer": consumer, "timestamp": NOW}
    return order_started(datatoken, **(usual | changed))


def reused(datatoken: str = DATATOKEN, *, order_tx: str = EARLIER_TX, **changed: Any) -> Emitted:
    usual: dict[str, Any] = {"order_tx": order_tx, "caller": USER, "timestamp": NOW}
    return order_reused(datatoken, **(usual | changed))


def paid_fee(datatoken: str = DATATOKEN, fee: FeeQuote | None = None, **changed: Any) -> Emitted:
    """The event of a fee; ``changed`` after it was signed."""
    fee = fee or quote()
    fields: dict[str, Any] = {
        "fee_address": fee.address,
        "token": fee.token,
        "amount": fee.amount,
        "data": fee.data,
        "v": fee.v,
        "r": fee.r,
        "s": fee.s,
        "valid_until": fee.valid_until,
    }
    return provider_fee(datatoken, **(fields | changed))


def receipt(*emitted: Emitted, tx: str = TX, sender: str = USER, succeeded: bool = True) -> Receipt:
    logs = tuple(
        Log(each.address, each.topics, each.data, 5, "0x" + "b5" * 32, tx, index)
        for index, each in enumerate(emitted)
    )
    return Receipt(tx, succeeded, 5, "0x" + "b5" * 32, sender, DATATOKEN, logs)


def order_terms(**changed: Any) -> OrderTerms:
    """What a start wants of the dataset's order."""
    usual = OrderTerms(
        tx=TX,
        chain_id=CHAIN_ID,
        datatoken=DATATOKEN,
        service_id="access",
        service_index=0,
        timeout_s=0,
        requester=USER,
        environment="paid",
        fee_address=KEY.address,
        now=float(NOW),
    )
    return replace(usual, **changed)


def judged(
    *emitted: Emitted,
    terms: OrderTerms | None = None,
    original: Sequence[Emitted] | None = None,
    sender: str = USER,
    original_sender: str = USER,
) -> Order:
    earlier = (
        None if original is None else receipt(*original, tx=EARLIER_TX, sender=original_sender)
    )
    return judge(terms or order_terms(), receipt(*emitted, sender=sender), earlier)


def refused(*emitted: Emitted, **given: Any) -> str:
    with pytest.raises(OrderRefused) as caught:
        judged(*emitted, **given)
    return caught.value.public


def environment(environment_id: str = "paid", *, price: Decimal | None = PRICE) -> Environment:
    """One with a price per minute on the chain of the tests, or without any."""
    prices = {} if price is None else {CHAIN_ID: {"token": TOKEN, "perMinute": str(price)}}
    return Environment.model_validate({"id": environment_id, "prices": prices})


def dataset(*, local: bool = False, **changed: Any) -> Ddo:
    """An asset whose services ``access`` and ``compute`` share one datatoken."""
    return _asset("dataset", NFT, DATATOKEN, ["access", "compute"], local, changed)


def algorithm(*, local: bool = False, **changed: Any) -> Ddo:
    return _asset("algorithm", ALGORITHM_NFT, ALGORITHM_TOKEN, ["algo"], local, changed)


def _asset(
    kind: str,
    nft: str,
    datatoken: str,
    services: Sequence[str],
    local: bool,
    changed: dict[str, Any],
) -> Ddo:
    timeout = changed.pop("timeout", 0)
    document = {
        "id": "did:op:" + nft[2:] + nft[2:4],
        "chainId": CHAIN_ID,
        "nftAddress": nft,
        "metadata": {"type": kind},
        "services": [
            {
                "id": name,
                "type": "compute" if name == "compute" else "access",
                "datatokenAddress": datatoken,
                "timeout": timeout,
            }
            for name in services
        ],
    }
    return Ddo.parse(document | changed, local=local)


def item(
    ddo: Ddo,
    service_id: str = "access",
    order: str = "",
    *,
    resource: str = "dataset",
    remote: bool = False,
) -> PaidItem:
    service = ddo.service(service_id)
    assert service is not None
    return PaidItem(ddo, service, order, remote, resource)


class Shop:
    """The asset and an algorithm on a chain in memory, a clock, and payments over it.

    ``clock`` is in seconds since the epoch; the chain's events say the same.
    """

    def __init__(
        self,
        *,
        chain_id: int = CHAIN_ID,
        confirmations: int = 1,
        chain: FakeChain | None = None,
    ) -> None:
        self.clock = float(NOW)
        self.chain = chain or FakeChain(chain_id, confirmations=confirmations)
        self.chain.publish(FACTORY, NFT, [DATATOKEN])
        self.chain.publish(FACTORY, ALGORITHM_NFT, [ALGORITHM_TOKEN])
        self.chain.token(TOKEN, DECIMALS)
        self.monotonic = 0.0
        self.access = ChainAccess(
            ChainSettings(chain_id, "development", FACTORY, TOKEN, ()),
            self.chain,
            Contracts(self.chain, FACTORY, clock=lambda: self.monotonic),
        )
        self.chains = Chains([self.access])
        self.payments = Payments(self.chains, KEY, now=lambda: self.clock)

    def pass_time(self, seconds: float) -> None:
        self.clock += seconds
        self.monotonic += seconds

    def order(
        self,
        fee: FeeQuote | None,
        datatoken: str = DATATOKEN,
        *,
        emitter: str = "",
        sender: str = USER,
        succeeded: bool = True,
        mined: bool = True,
        **changed: Any,
    ) -> str:
        """Start an order with a fee; ``emitter`` is who claims it, if not the datatoken."""
        at = {"timestamp": int(self.clock)} | changed
        events = [started(emitter or datatoken, **at)]
        if fee is not None:
            events.append(paid_fee(emitter or datatoken, fee))
        return self.chain.transact(*events, sender=sender, succeeded=succeeded, mined=mined)

    def renew(self, tx: str, fee: FeeQuote, datatoken: str = DATATOKEN, **changed: Any) -> str:
        at = {"timestamp": int(self.clock)} | changed
        return self.chain.transact(
            reused(datatoken, order_tx=tx, **at), paid_fee(datatoken, fee), sender=USER
        )

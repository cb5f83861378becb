"""What makes a transaction an order of a service. Pure: facts in, an order or a refusal out.

An event is a claim by the contract that emitted it, and anybody can deploy a contract that
claims anything. So events count only when the service's own datatoken emitted them. Each
call of a datatoken that orders emits one order event and one fee event, and cannot be
entered twice, so the n-th of one kind belongs to the n-th of the other; in a transaction
that orders several datatokens each is judged by its own events alone. Among several acts
for one service that of the requester counts: others may have ordered in the same transaction.

A publisher may put other services in the place of those that were ordered. What the fee of
an order was quoted for is signed, so where that can be read it must be this service.

A renewal (``reuseOrder``) names an earlier order in an argument that the contract does not
check. It is followed one step, to a transaction in which the same datatoken emitted the order
itself. What a datatoken buys is time from that order on: a renewal, which costs no
datatoken, brings a new provider fee and no new time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeGuard

from provider.chain import events
from provider.chain.events import OrderReused, OrderStarted, ProviderFee
from provider.chain.fees import FeeTerms, fee_signer
from provider.chain.models import Log, Receipt
from provider.errors import OrderRefused

ONE_DATATOKEN = 10**18

FAILED = "order transaction failed."
NO_FEE = "Cannot find the event for the provider fee in tx id {}."
NO_ORDER = "Cannot find the event for the order transaction with tx id {}."
OTHER_ENVIRONMENT = "Mismatch between ordered c2d environment and selected one."
OTHER_CHAIN = "The provider fee was signed for another chain."
OTHER_PROVIDER = "The providerFeeAddress {} in the event does not match the provider address {}."
NOT_SIGNED = "Provider was not able to check the signed message in ProviderFees event."
FEE_EXPIRED = "Ordered c2d time was exceeded, check validUntil."
ORIGINAL_FAILED = "order referenced in OrderReused failed."
TOO_LITTLE = "The amount in the event is less than the amount requested."
EXPIRED = "The order has expired. Its service was bought for {} seconds."
NOT_THEIRS = "sender of order transaction is not the consumer/payer."


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What an order must give. Addresses may be in any case.

    ``timeout_s`` is 0 for ever. ``environment`` is None for a download. ``fee_address`` is
    this provider's, or None for another provider's service, whose fee is not ours to judge.
    With ``renewable`` a fee that does not do is told in ``Order.fee_fault`` instead of
    refused, for a renewal can replace it.
    """

    tx: str
    chain_id: int
    datatoken: str
    service_id: str
    service_index: int
    timeout_s: int
    requester: str
    environment: str | None
    fee_address: str | None
    now: float
    renewable: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """An order that gives what was asked. Moments are in seconds since the epoch.

    ``tx`` is the transaction judged, ``original_tx`` the one in which the datatoken was
    spent. ``name`` is the same for an order and all its renewals, and no other order's;
    ``fee_name`` is the fee's own, empty without one. ``fee_at`` is when the fee got on the
    chain, ``fee_fault`` why it does not do, empty when it does.
    """

    tx: str
    original_tx: str
    name: str
    consumer: str
    payer: str
    ordered_at: int
    expires_at: int | None
    fee_at: int
    fee: ProviderFee | None
    fee_terms: FeeTerms | None
    fee_name: str = ""
    fee_fault: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """One call of the datatoken, as it logged it: an order or a renewal, with its fee."""

    event: OrderStarted | OrderReused
    fee: ProviderFee | None
    terms: FeeTerms | None


def judge(terms: OrderTerms, receipt: Receipt, original: Receipt | None) -> Order:
    """The order in a transaction. ``original`` is the receipt that :func:`renewed_order` asks
    for. Raises OrderRefused, whose text is that of the first rule broken."""
    act = _act(terms, receipt)
    fault = _fee_fault(terms, act) if terms.fee_address else ""
    if fault and not terms.renewable:
        raise OrderRefused(fault)
    started, spent_in = _started(terms, act, receipt, original)
    if started.amount < ONE_DATATOKEN:
        raise OrderRefused(TOO_LITTLE)
    expires_at = started.timestamp + terms.timeout_s if terms.timeout_s else None
    if expires_at is not None and terms.now > expires_at:
        raise OrderRefused(EXPIRED.format(terms.timeout_s))
    if not _is_theirs(terms, started, spent_in):
        raise OrderRefused(NOT_THEIRS)
    return Order(
        tx=receipt.tx,
        original_tx=spent_in.tx,
        name=_name(terms, spent_in, started.log),
        consumer=started.consumer,
        payer=started.payer,
        ordered_at=started.timestamp,
        expires_at=expires_at,
        fee_at=act.event.timestamp,
        fee=act.fee,
        fee_terms=act.terms,
        fee_name=f"fee:{_name(terms, receipt, act.fee.log)}" if act.fee else "",
        fee_fault=fault,
    )


def renewed_order(terms: OrderTerms, receipt: Receipt) -> str | None:
    """The transaction that a renewal refers to, None when the order is in the receipt itself.

    Raises OrderRefused.
    """
    event = _act(terms, receipt).event
    return event.order_tx if isinstance(event, OrderReused) else None


def _act(terms: OrderTerms, receipt: Receipt) -> Act:
    """The requester's last act for this service; of any terms where the fee is not what
    counts. Failing that one whose order may be theirs, or anybody's, to be refused."""
    if not receipt.succeeded:
        raise OrderRefused(FAILED)
    acts = list(_acts(terms.datatoken.lower(), receipt))
    found = [act for act in acts if terms.fee_address and _is_for(terms, act)]
    if not found and (terms.renewable or not terms.fee_address):
        found = [act for act in acts if _may_concern(terms, act)]
    if not found:
        text = NO_FEE if terms.fee_address else NO_ORDER
        raise OrderRefused(text.format(receipt.tx))
    own = [act for act in found if _is_theirs(terms, act.event, receipt)]
    renewals = [act for act in found if isinstance(act.event, OrderReused)]
    return (own or renewals or found)[-1]


def _is_theirs(terms: OrderTerms, event: OrderStarted | OrderReused, receipt: Receipt) -> bool:
    """Whether the requester ordered, was ordered for, or sent the transaction."""
    named = {event.caller} if isinstance(event, OrderReused) else {event.consumer, event.payer}
    return terms.requester.lower() in named | {receipt.sender}


def _acts(datatoken: str, receipt: Receipt) -> Iterator[Act]:
    """What one datatoken logged, in order. A fee without an order is no act."""
    own = [log for log in _in_order(receipt) if log.address == datatoken]
    calls = [event for log in own if (event := _order_event(log)) is not None]
    fees = [fee for log in own if (fee := events.provider_fee(log)) is not None]
    for event, fee in zip_longest(calls, fees[: len(calls)]):
        yield Act(event, fee, FeeTerms.parse(fee.data) if fee else None)


def _in_order(receipt: Receipt) -> list[Log]:
    return sorted(receipt.logs, key=lambda log: log.index)


def _order_event(log: Log) -> OrderStarted | OrderReused | None:
    return events.order_started(log) or events.order_reused(log)


def _is_for(terms: OrderTerms, act: Act) -> bool:
    return _is_of(act.terms, terms.datatoken) and act.terms.service_id == terms.service_id


def _is_of(signed: FeeTerms | None, datatoken: str) -> TypeGuard[FeeTerms]:
    return signed is not None and signed.datatoken.lower() == datatoken.lower()


def _is_for_another(terms: OrderTerms, act: Act) -> bool:
    """Whether what was quoted is known, and is another service of the datatoken."""
    return (
        terms.fee_address is not None
        and _is_of(act.terms, terms.datatoken)
        and act.terms.service_id != terms.service_id
    )


def _may_concern(terms: OrderTerms, act: Act) -> bool:
    """A renewal does not tell which service it is for."""
    return isinstance(act.event, OrderReused) or _has_started(terms, act)


def _has_started(terms: OrderTerms, act: Act) -> bool:
    event = act.event
    if isinstance(event, OrderReused) or _is_for_another(terms, act):
        return False
    return event.service_index == terms.service_index


def _fee_fault(terms: OrderTerms, act: Act) -> str:
    """Why the fee does not do, empty when it does."""
    fee, signed = act.fee, act.terms
    assert terms.fee_address is not None
    if fee is None or signed is None or not _is_for(terms, act):
        return NO_FEE.format(terms.tx)
    if signed.environment != terms.environment:
        return OTHER_ENVIRONMENT
    if fee.fee_address != terms.fee_address.lower():
        return OTHER_PROVIDER.format(fee.fee_address, terms.fee_address)
    if fee_signer(fee) != fee.fee_address:
        return NOT_SIGNED
    if signed.chain_id not in (None, terms.chain_id):
        return OTHER_CHAIN
    if (fee.valid_until or terms.environment is not None) and terms.now >= fee.valid_until:
        return FEE_EXPIRED
    return ""


def _started(
    terms: OrderTerms, act: Act, receipt: Receipt, original: Receipt | None
) -> tuple[OrderStarted, Receipt]:
    """The event in which the datatoken was spent, and the receipt that has it."""
    if isinstance(act.event, OrderStarted):
        if act.event.service_index != terms.service_index:
            raise OrderRefused(NO_ORDER.format(receipt.tx))
        return act.event, receipt
    if original is None or original.tx != act.event.order_tx or not original.succeeded:
        raise OrderRefused(ORIGINAL_FAILED)
    return _last_start(terms, original), original


def _last_start(terms: OrderTerms, receipt: Receipt) -> OrderStarted:
    found = [
        act.event
        for act in _acts(terms.datatoken.lower(), receipt)
        if isinstance(act.event, OrderStarted) and _has_started(terms, act)
    ]
    if not found:
        raise OrderRefused(NO_ORDER.format(receipt.tx))
    return ([event for event in found if _is_theirs(terms, event, receipt)] or found)[-1]


def _name(terms: OrderTerms, receipt: Receipt, log: Log) -> str:
    """By the event's place in its transaction, which stays the same in another block."""
    place = sum(each.index < log.index for each in receipt.logs)
    return f"{terms.chain_id}:{receipt.tx}:{place}"

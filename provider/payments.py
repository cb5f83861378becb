"""What has to be ordered for a job or a download, and whether it was.

Data is paid for with datatokens, one order a service; the machine with a provider fee that
rides on one of a job's orders. So a quote names one item that carries the fee, the first
that needs a new or a renewed order, and asks nothing on the others; and a start wants every
order good, and one of them to have paid the environment's price for the time that its fee
names. That time is then the job's: ``Payment.ends_by``.

A quote costs nothing and can be asked for at will, so it must be worth nothing until it is
paid: quotes without an amount pay for no priced environment however many there are, a quote
repeated is paid again, and how far ahead it may reach is bounded by ``MAX_WINDOW_S``.

Other people pay for looking things up: a request has but a few of its orders, and of the
other providers that it needs, looked at together; a quote waits for no transaction.

Which orders count is decided in :mod:`provider.chain.order_rules`, which of them pays in
:mod:`provider.chain.tariffs`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from compute.environments import Environment
from provider.assets.credentials import USABLE_STATES
from provider.assets.ddo import Ddo, Service
from provider.auth.signatures import is_address
from provider.chain import tariffs
from provider.chain.chains import ChainAccess, Chains
from provider.chain.fees import ZERO_ADDRESS, FeeQuote, FeeTerms, per_minute_units, sign
from provider.chain.order_rules import Order, OrderTerms
from provider.chain.orders import require_genuine, verify
from provider.chain.tariffs import Seat, Tariff
from provider.errors import (
    AssetMalformed,
    KeyedRefusal,
    OrderRefused,
    OtherProviderUnavailable,
    ProviderError,
    TransactionPending,
    TransactionUnknown,
)
from provider.keys import ProviderKey

log = logging.getLogger(__name__)

MAX_WINDOW_S = 30 * 24 * 3600
"""How far ahead time is sold, or the environment's longest job where that is more."""

AT_ONCE = 4
"""How many orders or other providers one request asks for at the same time."""

OTHERS_S = 20.0
"""How long a quote waits for all the other providers."""

S = TypeVar("S")
T = TypeVar("T")


class Payable(Protocol):
    """What payments read of an item: admission's assets have it, :class:`PaidItem` too."""

    @property
    def resource(self) -> str: ...
    @property
    def ddo(self) -> Ddo: ...
    @property
    def service(self) -> Service: ...
    @property
    def order(self) -> str: ...
    @property
    def remote(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class PaidItem:
    """A service that is to be used. ``order`` is the transaction that paid for it; with
    ``remote`` another provider has its files, and its fees are not ours to judge."""

    ddo: Ddo
    service: Service
    order: str = ""
    remote: bool = False
    resource: str = "dataset"


@dataclass(frozen=True, slots=True)
class ItemQuote:
    """What to order. A fee alone: a new order; ``valid_order`` alone: nothing, for that one
    will do; both: that one, renewed with the fee; neither: nothing, for nothing is sold.

    ``verbatim`` is what another provider says of a service of its own, in place of that.
    """

    datatoken: str
    fee: FeeQuote | None = None
    valid_order: str = ""
    verbatim: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """What a job was paid with. ``orders`` name what one unfinished job at most may have: the
    orders, and where time is sold the fee that paid for it. ``agreement_id`` is the
    transaction of that fee. ``ends_by`` is in seconds since the epoch, None where time is
    not sold."""

    orders: tuple[str, ...] = ()
    agreement_id: str = ""
    chain_id: int | None = None
    ends_by: float | None = None


class Elsewhere(Protocol):
    """Asks another provider what it wants for a service of its own."""

    async def initialize(self, item: Payable, consumer: str) -> Mapping[str, Any]: ...


class Payments:
    """Quotes and checks on the chains that are followed; without any, nothing is sold.

    Without ``elsewhere`` nothing is said about the prices of other providers, which have
    ``others_s`` seconds to tell them.
    """

    def __init__(
        self,
        chains: Chains,
        key: ProviderKey,
        *,
        now: Callable[[], float],
        elsewhere: Elsewhere | None = None,
        others_s: float = OTHERS_S,
    ) -> None:
        self._chains = chains
        self._key = key
        self._now = now
        self._elsewhere = elsewhere
        self._others_s = others_s

    def needs_order(self, ddo: Ddo, service: Service) -> bool:
        """False where nothing is sold: without a chain, and for assets of the operator's own
        folder that name no datatoken on a chain that is followed."""
        if not self._chains:
            return False
        sold = ddo.chain_id in self._chains and bool(service.datatoken_address)
        return sold or not ddo.is_local

    async def require_consumable(self, ddo: Ddo) -> None:
        """Raise ProviderError when the chain says that an asset is not in use (any more)."""
        if not await self._is_consumable(ddo):
            raise ProviderError("Asset is not consumable.", field="documentId")

    async def quote_access(self, item: Payable, consumer: str) -> ItemQuote:
        """What to order for a download. Raises ProviderError."""
        if not self.needs_order(item.ddo, item.service):
            return _not_sold(item)
        await self.require_consumable(item.ddo)
        await self._require_genuine(item)
        order = await self._if_good(item, consumer, None)
        if order is not None and not order.fee_fault:
            return ItemQuote(item.service.datatoken_address, valid_order=order.tx)
        terms = self._terms(item, None, self._now())
        fee = self._sign(item, terms, token="", amount=0, valid_until=0)
        return _with_fee(item, fee, order)

    async def check_access(self, item: Payable, consumer: str) -> Order | None:
        """The order that lets ``consumer`` download; None where none is needed.

        Raises OrderRefused, TransactionUnknown, TransactionPending, ChainUnavailable, and
        ProviderError for an asset that is not in use.
        """
        if not self.needs_order(item.ddo, item.service):
            return None
        await self.require_consumable(item.ddo)
        return await self._verified(item, consumer, None)

    async def quote_job(
        self,
        items: Sequence[Payable],
        environment: Environment,
        *,
        consumer_address: str,
        consumer: str,
        valid_until: int,
    ) -> list[ItemQuote]:
        """What to order for a job, item by item, for time until ``valid_until`` in seconds.

        ``consumer`` is who orders, ``consumer_address`` the environment's, to which other
        providers give their files. Raises ProviderError.
        """
        moment = self._now()
        _require_window(environment, valid_until - moment)
        tariff = await self._tariff(items, environment)
        await self._require_all_consumable(items)
        for item in filter(self._is_ours, items):
            await self._require_genuine(item)
        orders = await _all(lambda item: self._if_good(item, consumer, environment.id), items)
        seats = self._seats(items, tariffs.each_once(orders), tariff)
        carrier = tariffs.carrier(tariff, seats, valid_until, moment) if tariff else None

        def quote(index: int) -> ItemQuote:
            item, order, carries = items[index], seats[index].order, index == carrier
            if not carries and tariffs.lasts(order, valid_until, moment):
                assert order is not None
                return ItemQuote(item.service.datatoken_address, valid_order=order.tx)
            terms = self._terms(item, environment.id, moment, tariff)
            amount = tariff.price(terms.seconds_until(valid_until)) if tariff and carries else 0
            token = tariff.token if tariff and terms.chain_id == tariff.chain_id else ""
            fee = self._sign(item, terms, token=token, amount=amount, valid_until=valid_until)
            return _with_fee(item, fee, order)

        quotes = {index: quote(index) for index, item in enumerate(items) if self._is_ours(item)}
        others = iter(await self._not_ours(items, consumer_address))
        return [quotes.get(index) or next(others) for index in range(len(items))]

    async def check_job(
        self, items: Sequence[Payable], environment: Environment, consumer: str
    ) -> Payment:
        """What a job was paid with. Raises KeyedRefusal with the codes of a start,
        TransactionPending, ChainUnavailable."""
        tariff = await self._tariff(items, environment)
        self._require_named(items)
        await self._require_all_consumable(items)
        orders = await _all(lambda item: self._ordered(item, consumer, environment.id), items)
        _require_distinct(items, orders)
        names = tuple(order.name for order in orders if order is not None)
        if tariff is None:
            return Payment(names, next((order.tx for order in orders if order is not None), ""))
        paid = tariffs.payer(tariff, self._seats(items, orders, tariff))
        if paid is None:
            raise KeyedRefusal("order", "fees_not_paid")
        if not tariff.is_free:
            names = (*names, paid.fee_name)
        return Payment(names, paid.tx, tariff.chain_id, tariffs.paid_until(tariff, paid))

    async def _tariff(self, items: Sequence[Payable], environment: Environment) -> Tariff | None:
        """Prices on the chain of the first item that is sold here, where the fee is to be paid.

        None without such an item: then none but a free environment may be used.
        """
        first = next(filter(self._is_ours, items), None)
        if first is None:
            if self._chains and not environment.free:
                raise KeyedRefusal("order", "fees_not_paid")
            return None
        access = self._access(first.ddo)
        chain_id = access.settings.chain_id
        if not environment.prices:
            return Tariff(chain_id, access.settings.fee_token)
        price = environment.prices.get(chain_id)
        if price is None:
            raise ProviderError(
                f"The environment is not offered on chain {chain_id}.", field="environment"
            )
        if price.perMinute == 0:
            return Tariff(chain_id, price.token)
        decimals = await access.contracts.decimals(price.token)
        return Tariff(chain_id, price.token, per_minute_units(price.perMinute, decimals))

    def _seats(
        self, items: Sequence[Payable], orders: Sequence[Order | None], tariff: Tariff | None
    ) -> list[Seat]:
        chain_id = tariff.chain_id if tariff else None
        return [
            Seat(order, self._is_ours(item) and item.ddo.chain_id == chain_id)
            for item, order in zip(items, orders, strict=True)
        ]

    def _terms(
        self,
        item: Payable,
        environment: str | None,
        moment: float,
        tariff: Tariff | None = None,
    ) -> FeeTerms:
        chain_id = item.ddo.chain_id
        priced = tariff is not None and not tariff.is_free and tariff.chain_id == chain_id
        return FeeTerms(
            environment=environment,
            quoted_at=moment,
            datatoken=item.service.datatoken_address,
            service_id=item.service.id,
            chain_id=chain_id,
            per_minute=tariff.per_minute if tariff and priced else None,
        )

    def _sign(
        self, item: Payable, terms: FeeTerms, *, token: str, amount: int, valid_until: int
    ) -> FeeQuote:
        token = token or self._access(item.ddo).settings.fee_token or ZERO_ADDRESS
        try:
            return sign(self._key, token=token, amount=amount, terms=terms, valid_until=valid_until)
        except ValueError:
            raise AssetMalformed(
                "The service cannot be sold: its id or price is too long."
            ) from None

    async def _not_ours(self, items: Sequence[Payable], consumer: str) -> list[ItemQuote]:
        """Quotes of the items that are not ours, in order."""
        others = [item for item in items if not self._is_ours(item)]
        try:
            async with asyncio.timeout(self._others_s):
                return await _all(lambda item: self._elsewhere_quoted(item, consumer), others)
        except TimeoutError:
            raise OtherProviderUnavailable from None

    async def _elsewhere_quoted(self, item: Payable, consumer: str) -> ItemQuote:
        if not item.remote or self._elsewhere is None:
            return _not_sold(item)
        answer = await self._elsewhere.initialize(item, consumer)
        return ItemQuote(item.service.datatoken_address, verbatim=answer)

    def _is_ours(self, item: Payable) -> bool:
        return not item.remote and self.needs_order(item.ddo, item.service)

    def _require_named(self, items: Sequence[Payable]) -> None:
        for item in items:
            if self.needs_order(item.ddo, item.service) and not item.order:
                raise _refused(item, "transferTxId", "missing")

    async def _require_all_consumable(self, items: Sequence[Payable]) -> None:
        for item in items:
            if self.needs_order(item.ddo, item.service) and not await self._is_consumable(item.ddo):
                resource = "algorithm.credentials" if _is_algorithm(item) else item.resource
                raise KeyedRefusal(resource, "Asset is not consumable.")

    async def _require_genuine(self, item: Payable) -> None:
        access = self._access(item.ddo)
        await require_genuine(access, item.service.datatoken_address, item.ddo.data_nft)

    async def _is_consumable(self, ddo: Ddo) -> bool:
        contracts = self._access(ddo).contracts
        return is_address(ddo.data_nft) and (
            await contracts.metadata_state(ddo.data_nft) in USABLE_STATES
        )

    async def _ordered(self, item: Payable, consumer: str, environment: str) -> Order | None:
        if not self.needs_order(item.ddo, item.service):
            return None
        try:
            return await self._verified(item, consumer, environment)
        except (OrderRefused, TransactionUnknown) as error:
            log.info("order_refused at=%s why=%s", item.resource, error.public)
            raise _refused(item, "serviceId", "order_invalid") from error

    async def _if_good(self, item: Payable, consumer: str, environment: str | None) -> Order | None:
        """The order that an item of ours names, if it is good or will be when renewed."""
        if not item.order or not self._is_ours(item):
            return None
        try:
            return await self._verified(item, consumer, environment, renewable=True)
        except TransactionPending:
            raise
        except ProviderError as error:
            if error.status >= 500:
                raise
            return None

    async def _verified(
        self, item: Payable, consumer: str, environment: str | None, *, renewable: bool = False
    ) -> Order:
        access = self._access(item.ddo)
        terms = OrderTerms(
            tx=item.order,
            chain_id=access.settings.chain_id,
            datatoken=item.service.datatoken_address,
            service_id=item.service.id,
            service_index=_service_index(item),
            timeout_s=item.service.timeout,
            requester=consumer,
            environment=environment,
            fee_address=None if item.remote else self._key.address,
            now=self._now(),
            renewable=renewable,
        )
        return await verify(access, terms, item.ddo.data_nft, patient=not renewable)

    def _access(self, ddo: Ddo) -> ChainAccess:
        return self._chains[ddo.chain_id or 0]


def _require_window(environment: Environment, seconds: float) -> None:
    most = max(MAX_WINDOW_S, environment.maxJobDuration)
    if not 0 < seconds <= most:
        raise ProviderError(
            f"The validUntil value is not correct: it may be {most} seconds ahead at most.",
            field="compute.validUntil",
        )


def _require_distinct(items: Sequence[Payable], orders: Sequence[Order | None]) -> None:
    for item, order, first in zip(items, orders, tariffs.each_once(orders), strict=True):
        if order is not first:
            raise _refused(item, "serviceId", "order_invalid")


def _refused(item: Payable, part: str, code: str) -> KeyedRefusal:
    """Clients know one code for all that is wrong with the order of an algorithm."""
    if _is_algorithm(item):
        return KeyedRefusal("algorithm", "in_use_or_not_on_chain")
    return KeyedRefusal(f"{item.resource}.{part}", code)


def _is_algorithm(item: Payable) -> bool:
    return item.resource == "algorithm"


def _service_index(item: Payable) -> int:
    ids = [service.id for service in item.ddo.services]
    return ids.index(item.service.id)


def _not_sold(item: Payable) -> ItemQuote:
    """Whatever order was named is good, for none is needed."""
    return ItemQuote(item.service.datatoken_address, valid_order=item.order)


def _with_fee(item: Payable, fee: FeeQuote, order: Order | None) -> ItemQuote:
    """The contract renews orders, not renewals."""
    original = order.original_tx if order else ""
    return ItemQuote(item.service.datatoken_address, fee, original)


async def _all(ask: Callable[[S], Awaitable[T]], about: Sequence[S]) -> list[T]:
    """All answers, some asked for at the same time; the first error in their order, after
    which nothing more is asked."""
    answers: dict[int, T] = {}
    errors: dict[int, Exception] = {}
    waiting = iter(enumerate(about))

    async def work() -> None:
        for index, each in waiting:
            try:
                answers[index] = await ask(each)
            except Exception as error:
                errors[index] = error
            if errors:
                return

    async with asyncio.TaskGroup() as group:
        for _ in about[:AT_ONCE]:
            group.create_task(work())
    if errors:
        raise errors[min(errors)]
    return [answers[index] for index in range(len(about))]

"""Buying what a job or a download needs: from a provider's quote to orders on the chain.

A quote says per asset one of four things: the order you named is good; it is good but its
fee must be paid again (``reuseOrder``); order anew (``startOrder``); or nothing is sold
here. Orders are made one after the other, datasets first, since each is a transaction of
the same wallet. Nothing is bought before the whole quote has been read, its fees have been
found within what the buyer allows, and the wallet has been found to have the datatokens and
the fees of all of it. What only turns out while ordering (a market's fee, gas) can still
end it half-way: then the orders that were made are good, and can be used again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self, TypeVar

from provider.client.amounts import in_tokens, shown
from provider.client.chain_node import ChainRefusedError
from provider.client.errors import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    FeeTooHighError,
)
from provider.client.models import Algorithm, Dataset, PublishedAlgorithm

NO_ORDER = "0x" + 64 * "0"
"""What providers name as the order where nothing is sold."""

_NO_ADDRESS = "0x" + 40 * "0"
_FEE_KEYS = frozenset(
    {
        "providerFeeAddress",
        "providerFeeToken",
        "providerFeeAmount",
        "providerData",
        "v",
        "r",
        "s",
        "validUntil",
    }
)
_DATATOKEN_DECIMALS = 18
_ONE_DATATOKEN = 10**_DATATOKEN_DECIMALS
_MOST_UINT256 = (1 << 256) - 1

AnyAsset = Dataset | PublishedAlgorithm
Asset = TypeVar("Asset", Dataset, PublishedAlgorithm)


class Payer(Protocol):
    """What is needed of :class:`provider.client.onchain.OnChain`."""

    @property
    def address(self) -> str: ...

    @property
    def chain_id(self) -> int: ...

    async def start_order(
        self, datatoken: str, consumer: str, service_index: int, provider_fee: Mapping[str, Any]
    ) -> str: ...

    async def reuse_order(
        self, datatoken: str, order_tx: str, provider_fee: Mapping[str, Any]
    ) -> str: ...

    async def balance_of(self, token: str) -> int: ...

    async def decimals_of(self, token: str) -> int | None: ...


@dataclass(frozen=True, slots=True)
class ItemQuote:
    """What a provider asks for one asset. ``fee`` is as sent, for the contract to check;
    ``valid_order`` is empty where there is none, and where none is needed."""

    datatoken: str = ""
    fee: Mapping[str, Any] | None = None
    valid_order: str = ""

    @classmethod
    def from_wire(cls, document: Any) -> Self:
        """Raises AnswerNotUnderstoodError for what is no quote."""
        if not isinstance(document, dict):
            raise AnswerNotUnderstoodError("The provider's quote is incomplete.")
        order = document.get("validOrder") or ""
        fee = document.get("providerFee")
        datatoken = document.get("datatoken") or ""
        if not isinstance(order, str) or not isinstance(datatoken, str):
            raise AnswerNotUnderstoodError("The provider's quote cannot be read.")
        if fee is None:
            return cls(valid_order="" if order == NO_ORDER else order)
        if not isinstance(fee, dict) or not fee.keys() >= _FEE_KEYS or not datatoken:
            raise AnswerNotUnderstoodError("The provider's quote names no complete fee.")
        _whole_amount(fee["providerFeeAmount"])
        return cls(datatoken, fee, order)

    @property
    def amount(self) -> int:
        """What the provider asks, in the base units of its token."""
        return _whole_amount(self.fee["providerFeeAmount"]) if self.fee else 0

    @property
    def token(self) -> str:
        return str(self.fee["providerFeeToken"]) if self.fee else _NO_ADDRESS

    @property
    def takes_datatoken(self) -> bool:
        """Whether a datatoken is spent: on a new order, not on a renewed one."""
        return self.fee is not None and not self.valid_order

    @property
    def due(self) -> int:
        """What the contract will take of ``token``: nothing where nobody is named."""
        named = self.fee and _NO_ADDRESS not in (self.token, str(self.fee["providerFeeAddress"]))
        return self.amount if named else 0


@dataclass(frozen=True, slots=True)
class Purchase:
    """One order made or renewed. ``tx`` is what the provider wants to be told; ``fee`` is
    what the provider got, in base units of ``token``."""

    did: str
    service_id: str
    tx: str
    renewed: bool = False
    fee: int = 0
    token: str = _NO_ADDRESS


Told = Callable[[Purchase], None]


@dataclass(frozen=True, slots=True)
class Ordered:
    """A job's assets with their orders; ``purchases`` are those that were made for it."""

    datasets: tuple[Dataset, ...]
    algorithm: Algorithm
    purchases: tuple[Purchase, ...] = field(default=())


class Buyer:
    """Buys for ``consumer``, who will start the job or download, with the wallet ``pay``.

    ``index_of`` gives the position of a service in its asset's document, which orders name.
    """

    def __init__(
        self,
        pay: Payer,
        consumer: str,
        index_of: Callable[[str, str, int], Awaitable[int]],
        *,
        most_fee: int | None = None,
        told: Told | None = None,
    ) -> None:
        if pay.address.lower() != consumer.lower():
            raise ClientUsageError("The wallet that orders must be the one that signs requests.")
        self._pay = pay
        self._index_of = index_of
        self._most_fee = most_fee
        self._told = told
        self._made: list[Purchase] = []
        self._indexes: dict[tuple[str, str], int] = {}

    async def for_job(
        self,
        answer: Mapping[str, Any],
        datasets: Sequence[Dataset],
        algorithm: Algorithm,
        order_consumer: str,
    ) -> Ordered:
        """Orders as ``initializeCompute`` answered; ``order_consumer`` is the environment's
        address, so that the environment may fetch what it runs on."""
        listed = answer.get("datasets")
        if not isinstance(listed, list) or len(listed) != len(datasets):
            raise AnswerNotUnderstoodError("The provider's quote is for other datasets.")
        quotes = [ItemQuote.from_wire(item) for item in listed]
        published = algorithm if isinstance(algorithm, PublishedAlgorithm) else None
        last = ItemQuote.from_wire(answer.get("algorithm")) if published else ItemQuote()
        everything = [*zip(quotes, datasets, strict=True)]
        await self._require_allowed([*quotes, last])
        await self._require_funds([*everything, *([(last, published)] if published else [])])
        with self._naming_what_was_made():
            bought = [await self._settle(quote, one, order_consumer) for quote, one in everything]
            if published is not None:
                algorithm = await self._settle(last, published, order_consumer)
        return Ordered(tuple(bought), algorithm, tuple(self._made))

    async def for_download(self, answer: Mapping[str, Any], asset: Dataset) -> Dataset:
        """The order of a download, as ``initialize`` answered."""
        quote = ItemQuote.from_wire(answer)
        await self._require_allowed([quote])
        await self._require_funds([(quote, asset)])
        return await self._settle(quote, asset, self._pay.address)

    async def _require_allowed(self, quotes: Sequence[ItemQuote]) -> None:
        tokens = sorted({quote.token.lower() for quote in quotes if quote.amount})
        total, most = sum(quote.amount for quote in quotes), self._most_fee
        if most is None or total <= most:
            return
        decimals = await self._pay.decimals_of(tokens[0]) if len(tokens) == 1 else None
        allowed = "" if decimals is None else f" ({in_tokens(most, decimals)})"
        raise FeeTooHighError(
            f"The provider asks {shown(total, ', '.join(tokens), decimals)} in fees;"
            f" at most {most}{allowed} were allowed. Nothing was ordered."
        )

    async def _require_funds(self, wanted: Sequence[tuple[ItemQuote, AnyAsset]]) -> None:
        """Each service is sold on the wallet's chain, and the wallet has a datatoken for
        each new order and the fees of all.

        Raises ClientUsageError, ChainRefusedError before anything is ordered.
        """
        spent: dict[str, list[AnyAsset]] = {}
        fees: dict[str, int] = {}
        for quote, asset in wanted:
            if quote.takes_datatoken:
                await self._find_service(asset)
                spent.setdefault(quote.datatoken.lower(), []).append(asset)
            if quote.due:
                fees[quote.token.lower()] = fees.get(quote.token.lower(), 0) + quote.due
        for datatoken, assets in spent.items():
            await self._require_datatokens(datatoken, assets)
        for token, amount in fees.items():
            await self._require_fee(token, amount)

    async def _find_service(self, asset: AnyAsset) -> None:
        name = (asset.did, asset.service_id)
        self._indexes[name] = await self._index_of(*name, self._pay.chain_id)

    async def _require_datatokens(self, datatoken: str, assets: Sequence[AnyAsset]) -> None:
        balance = await self._pay.balance_of(datatoken)
        if balance >= len(assets) * _ONE_DATATOKEN:
            return
        named = ", ".join(f"{asset.did}#{asset.service_id}" for asset in assets)
        raise ChainRefusedError(
            f"An order of {named} costs {len(assets)} of the datatoken {datatoken}, the wallet"
            f" has {in_tokens(balance, _DATATOKEN_DECIMALS)}. Nothing was ordered."
        )

    async def _require_fee(self, token: str, amount: int) -> None:
        balance = await self._pay.balance_of(token)
        if balance >= amount:
            return
        decimals = await self._pay.decimals_of(token)
        has = "" if decimals is None else f" ({in_tokens(balance, decimals)})"
        raise ChainRefusedError(
            f"The provider's fee is {shown(amount, token, decimals)}, the wallet has"
            f" {balance}{has}. Nothing was ordered."
        )

    @contextmanager
    def _naming_what_was_made(self) -> Iterator[None]:
        """Notes on what ends a chain of orders half-way which orders are paid for."""
        try:
            yield
        except Exception as error:
            for made in self._made:
                error.add_note(
                    f"Ordered before: {made.did}#{made.service_id}, to be used again with"
                    f" transfer_tx_id={made.tx!r}."
                )
            raise

    async def _settle(self, quote: ItemQuote, asset: Asset, order_consumer: str) -> Asset:
        """The asset with an order that a start accepts."""
        if quote.fee is None:
            return replace(asset, transfer_tx_id=quote.valid_order or asset.transfer_tx_id)
        tx = await self._order(quote, asset, order_consumer)
        made = Purchase(
            asset.did, asset.service_id, tx, bool(quote.valid_order), quote.amount, quote.token
        )
        self._made.append(made)
        if self._told is not None:
            self._told(made)
        return replace(asset, transfer_tx_id=tx)

    async def _order(
        self, quote: ItemQuote, asset: Dataset | PublishedAlgorithm, order_consumer: str
    ) -> str:
        assert quote.fee is not None
        if quote.valid_order:
            return await self._pay.reuse_order(quote.datatoken, quote.valid_order, quote.fee)
        index = self._indexes[asset.did, asset.service_id]
        return await self._pay.start_order(quote.datatoken, order_consumer, index, quote.fee)


def service_index(document: Mapping[str, Any], service_id: str, chain_id: int) -> int:
    """Where a service stands in an asset's document. Raises ClientUsageError."""
    if document.get("chainId") != chain_id:
        raise ClientUsageError(
            f"The asset is sold on chain {document.get('chainId')}, the wallet is on {chain_id}."
        )
    services = document.get("services")
    for index, service in enumerate(services if isinstance(services, list) else []):
        if isinstance(service, dict) and service.get("id") == service_id:
            return index
    raise ClientUsageError(f"The asset has no service {service_id!r}.")


def _whole_amount(value: Any) -> int:
    """An amount of base units: digits, or a whole number."""
    kind: Literal["text", "number", ""] = (
        "text" if isinstance(value, str) else "number" if type(value) is int else ""
    )
    if kind == "text" and not (value.isascii() and value.isdigit() and len(value) <= 78):
        kind = ""
    if not kind or not 0 <= int(value) <= _MOST_UINT256:
        raise AnswerNotUnderstoodError("The provider's quote names a fee that is no amount.")
    return int(value)

"""The events of the Ocean contracts, decoded from logs. Pure.

A log comes from any contract that a stranger may have deployed, so whatever does not decode
exactly as its event's ABI says is no event: the functions answer None instead of raising.
Which contract emitted it is in ``log.address``, for the caller to compare. Addresses and
hashes come out as lower-case ``0x`` texts, amounts as whole numbers of base units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from provider.auth.keccak import keccak256
from provider.chain.encoding import decode
from provider.chain.models import Log

_WORD = 32
_RAW = {"string": "bytes"}


@dataclass(frozen=True, slots=True)
class Event:
    """An event's name, and the types of its parameters as the contract declares them."""

    name: str
    indexed: tuple[str, ...]
    plain: tuple[str, ...]
    order: tuple[str, ...]
    topic: bytes = field(init=False)

    def __post_init__(self) -> None:
        signature = f"{self.name}({','.join(self.order)})"
        object.__setattr__(self, "topic", keccak256(signature.encode()))

    def values(self, log: Log) -> Sequence[Any] | None:
        """The indexed values, then the others; None when ``log`` is not this event.

        Texts come as bytes: contracts do not check that they are UTF-8.
        """
        if len(log.topics) != len(self.indexed) + 1 or log.topics[0] != self.topic:
            return None
        if any(len(topic) != _WORD for topic in log.topics):
            return None
        try:
            head = decode(self.indexed, b"".join(log.topics[1:]))
            return (*head, *decode([_RAW.get(kind, kind) for kind in self.plain], log.data))
        except (ValueError, OverflowError):
            return None


def _event(name: str, indexed: Sequence[str], plain: Sequence[str], order: str = "") -> Event:
    """``order`` when the indexed parameters are not simply the first ones."""
    types = tuple(order.split(",")) if order else (*indexed, *plain)
    return Event(name, tuple(indexed), tuple(plain), types)


_METADATA = ("uint8", "string", "bytes", "bytes", "bytes32", "uint256", "uint256")
_ORDER_STARTED = _event(
    "OrderStarted",
    ["address", "address"],
    ["address", "uint256", "uint256", "uint256", "uint256"],
    "address,address,uint256,uint256,uint256,address,uint256",
)
_ORDER_REUSED = _event("OrderReused", [], ["bytes32", "address", "uint256", "uint256"])
_PROVIDER_FEE = _event(
    "ProviderFee",
    ["address", "address"],
    ["uint256", "bytes", "uint8", "bytes32", "bytes32", "uint256"],
)
_CREATED = _event("MetadataCreated", ["address"], _METADATA)
_UPDATED = _event("MetadataUpdated", ["address"], _METADATA)
_STATE = _event("MetadataState", ["address"], ["uint8", "uint256", "uint256"])

ORDER_STARTED = _ORDER_STARTED.topic
ORDER_REUSED = _ORDER_REUSED.topic
PROVIDER_FEE = _PROVIDER_FEE.topic
METADATA_CREATED = _CREATED.topic
METADATA_UPDATED = _UPDATED.topic
METADATA_STATE = _STATE.topic


@dataclass(frozen=True, slots=True)
class OrderStarted:
    """A datatoken was spent for a service. ``timestamp`` is in seconds since the epoch."""

    log: Log
    consumer: str
    payer: str
    amount: int
    service_index: int
    timestamp: int
    publish_market: str
    block_number: int


@dataclass(frozen=True, slots=True)
class OrderReused:
    """An earlier order got a renewed provider fee. ``order_tx`` is that order's."""

    log: Log
    order_tx: str
    caller: str
    timestamp: int
    number: int


@dataclass(frozen=True, slots=True)
class ProviderFee:
    """A provider's fee was paid. ``data`` is what the provider had signed along."""

    log: Log
    fee_address: str
    token: str
    amount: int
    data: bytes
    v: int
    r: bytes
    s: bytes
    valid_until: int


@dataclass(frozen=True, slots=True)
class MetadataEvent:
    """An asset's document was published or replaced; ``data`` is it, as ``flags`` say."""

    log: Log
    created: bool
    updated_by: str
    state: int
    decryptor_url: str
    flags: bytes
    data: bytes = field(repr=False)
    metadata_hash: str
    timestamp: int
    block_number: int


@dataclass(frozen=True, slots=True)
class MetadataState:
    """An asset's state alone was changed."""

    log: Log
    updated_by: str
    state: int
    timestamp: int
    block_number: int


def order_started(log: Log) -> OrderStarted | None:
    """None for another event or a malformed one."""
    values = _ORDER_STARTED.values(log)
    if values is None:
        return None
    consumer, market, payer, *numbers = values
    amount, index, timestamp, block = numbers
    return OrderStarted(log, consumer, payer, amount, index, timestamp, market, block)


def order_reused(log: Log) -> OrderReused | None:
    """None for another event or a malformed one."""
    values = _ORDER_REUSED.values(log)
    if values is None:
        return None
    order_tx, caller, timestamp, number = values
    return OrderReused(log, _hex(order_tx), caller, timestamp, number)


def provider_fee(log: Log) -> ProviderFee | None:
    """None for another event or a malformed one."""
    values = _PROVIDER_FEE.values(log)
    return None if values is None else ProviderFee(log, *values)


def metadata(log: Log) -> MetadataEvent | None:
    """MetadataCreated and MetadataUpdated; None for another event or a malformed one."""
    created = log.topics[:1] == (METADATA_CREATED,)
    values = (_CREATED if created else _UPDATED).values(log)
    if values is None:
        return None
    updated_by, state, url, flags, data, digest, timestamp, block = values
    return MetadataEvent(
        log=log,
        created=created,
        updated_by=updated_by,
        state=state,
        decryptor_url=url.decode("utf-8", "replace"),
        flags=flags,
        data=data,
        metadata_hash=_hex(digest),
        timestamp=timestamp,
        block_number=block,
    )


def metadata_state(log: Log) -> MetadataState | None:
    """None for another event or a malformed one."""
    values = _STATE.values(log)
    return None if values is None else MetadataState(log, *values)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()

"""Events for the chain in memory, coded as the contracts code them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from eth_abi.abi import encode

from provider.chain import events

NOBODY = "0x" + "00" * 20
ONE_TOKEN = 10**18


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event that a contract emits; not in a block yet."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes = field(repr=False)


def order_started(
    datatoken: str,
    *,
    consumer: str,
    payer: str,
    amount: int = ONE_TOKEN,
    service_index: int = 0,
    timestamp: int,
    market: str = NOBODY,
    block_number: int = 0,
) -> Emitted:
    """``OrderStarted`` as a datatoken emits it."""
    values = [payer, amount, service_index, timestamp, block_number]
    types = ["address", "uint256", "uint256", "uint256", "uint256"]
    return _emitted(datatoken, events.ORDER_STARTED, [consumer, market], types, values)


def order_reused(
    datatoken: str, *, order_tx: str, caller: str, timestamp: int, number: int = 1
) -> Emitted:
    """``OrderReused`` as a datatoken emits it."""
    values = [bytes.fromhex(order_tx[2:]), caller, timestamp, number]
    types = ["bytes32", "address", "uint256", "uint256"]
    return _emitted(datatoken, events.ORDER_REUSED, [], types, values)


def provider_fee(
    datatoken: str,
    *,
    fee_address: str,
    token: str,
    amount: int,
    data: bytes,
    v: int,
    r: bytes,
    s: bytes,
    valid_until: int,
) -> Emitted:
    """``ProviderFee`` as a datatoken emits it."""
    types = ["uint256", "bytes", "uint8", "bytes32", "bytes32", "uint256"]
    values = [amount, data, v, r, s, valid_until]
    return _emitted(datatoken, events.PROVIDER_FEE, [fee_address, token], types, values)


def metadata(
    nft: str,
    *,
    data: bytes,
    metadata_hash: str,
    created: bool = True,
    updated_by: str = NOBODY,
    state: int = 0,
    decryptor_url: str = "",
    flags: bytes = b"\x02",
    timestamp: int = 0,
    block_number: int = 0,
) -> Emitted:
    """``MetadataCreated`` or ``MetadataUpdated`` as an NFT emits it."""
    topic = events.METADATA_CREATED if created else events.METADATA_UPDATED
    types = ["uint8", "string", "bytes", "bytes", "bytes32", "uint256", "uint256"]
    digest = bytes.fromhex(metadata_hash.removeprefix("0x"))
    values = [state, decryptor_url, flags, data, digest, timestamp, block_number]
    return _emitted(nft, topic, [updated_by], types, values)


def metadata_state(
    nft: str, *, state: int, updated_by: str = NOBODY, timestamp: int = 0, block_number: int = 0
) -> Emitted:
    """``MetadataState`` as an NFT emits it."""
    values = [state, timestamp, block_number]
    types = ["uint8", "uint256", "uint256"]
    return _emitted(nft, events.METADATA_STATE, [updated_by], types, values)


def _emitted(
    address: str,
    topic: bytes,
    indexed: Sequence[str],
    types: Sequence[str],
    values: Sequence[object],
) -> Emitted:
    topics = (topic, *(encode(["address"], [each]) for each in indexed))
    return Emitted(address.lower(), topics, encode(types, values))

"""A contract that looks like any other: it emits whatever it is told to.

Its code makes a second contract out of what it is called with and lets that one act in its
name, so one address can emit any events at any time. Whatever is asked of it, it answers
with one word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils import keccak, to_checksum_address

from support.devchain import DevChain

ORDER_STARTED = "OrderStarted(address,address,uint256,uint256,uint256,address,uint256)"
ORDER_REUSED = "OrderReused(bytes32,address,uint256,uint256)"
PROVIDER_FEE = "ProviderFee(address,address,uint256,bytes,uint8,bytes32,bytes32,uint256)"
METADATA_CREATED = "MetadataCreated(address,uint8,string,bytes,bytes,bytes32,uint256,uint256)"
NOBODY = "0x" + "00" * 20


@dataclass(frozen=True)
class Event:
    """Topics of 32 bytes each, the signature's hash first, and data."""

    topics: Sequence[bytes]
    data: bytes = b""


class Lookalike:
    """A deployed one. ``address`` is checksummed."""

    def __init__(self, chain: DevChain, account: LocalAccount, answer: int = 1) -> None:
        self._chain = chain
        self._account = account
        tx = chain.send(account, None, _returning(_act_and_answer(answer)))
        receipt = chain.receipt(tx)
        assert receipt is not None
        assert receipt["status"] == "0x1"
        self.address = to_checksum_address(receipt["contractAddress"])

    def emit(self, *events: Event, account: LocalAccount | None = None) -> str:
        """Emit events in one transaction; its hash."""
        code = b"".join(map(_log, events)) + b"\x00"
        tx = self._chain.send(account or self._account, self.address, _returning(code))
        receipt = self._chain.receipt(tx)
        assert receipt is None or len(receipt["logs"]) == len(events)
        return tx


def order_started(
    consumer: str,
    payer: str,
    *,
    amount: int = 10**18,
    service_index: int = 0,
    timestamp: int,
    block: int = 1,
) -> Event:
    data = encode(
        ["address", "uint256", "uint256", "uint256", "uint256"],
        [payer, amount, service_index, timestamp, block],
    )
    return Event([_topic(ORDER_STARTED), _word(consumer), _word(NOBODY)], data)


def order_reused(order_tx: bytes, caller: str, *, timestamp: int, block: int = 1) -> Event:
    data = encode(
        ["bytes32", "address", "uint256", "uint256"], [order_tx, caller, timestamp, block]
    )
    return Event([_topic(ORDER_REUSED)], data)


def provider_fee(
    address: str,
    token: str,
    *,
    amount: int,
    data: bytes,
    v: int,
    r: bytes,
    s: bytes,
    valid_until: int,
) -> Event:
    content = encode(
        ["uint256", "bytes", "uint8", "bytes32", "bytes32", "uint256"],
        [amount, data, v, r, s, valid_until],
    )
    return Event([_topic(PROVIDER_FEE), _word(address), _word(token)], content)


def metadata_created(
    by: str,
    *,
    state: int = 0,
    url: str = "",
    flags: bytes = b"\x00",
    data: bytes = b"",
    metadata_hash: bytes = bytes(32),
    timestamp: int,
    block: int = 1,
) -> Event:
    content = encode(
        ["uint8", "string", "bytes", "bytes", "bytes32", "uint256", "uint256"],
        [state, url, flags, data, metadata_hash, timestamp, block],
    )
    return Event([_topic(METADATA_CREATED), _word(by)], content)


def _topic(signature: str) -> bytes:
    return bytes(keccak(text=signature))


def _word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\x00")


def _act_and_answer(answer: int) -> bytes:
    """Runtime code: make a contract of the call's data, act as it, return a word."""
    load = bytes([0x36, 0x5F, 0x5F, 0x37])
    make = bytes([0x36, 0x5F, 0x5F, 0xF0])
    act = bytes([0x5F, 0x5F, 0x5F, 0x5F, 0x84, 0x5A, 0xF4])
    give = b"\x7f" + answer.to_bytes(32, "big") + bytes([0x5F, 0x52, 0x60, 32, 0x5F, 0xF3])
    return load + make + act + give


def _returning(runtime: bytes) -> bytes:
    """Code that, run as a constructor, makes a contract with this runtime code."""
    length = len(runtime).to_bytes(3, "big")
    return b"\x62" + length + b"\x80\x60\x0b\x5f\x39\x5f\xf3" + runtime


def _log(event: Event) -> bytes:
    """Code that emits one event: data into memory word by word, topics, LOG."""
    code = b""
    for offset in range(0, len(event.data), 32):
        word = event.data[offset : offset + 32].ljust(32, b"\x00")
        code += b"\x7f" + word + b"\x61" + offset.to_bytes(2, "big") + b"\x52"
    for topic in reversed(event.topics):
        code += b"\x7f" + topic
    code += b"\x61" + len(event.data).to_bytes(2, "big") + b"\x5f"
    return code + bytes([0xA0 + len(event.topics)])

"""The functions of the Ocean contracts that a consumer or a publisher calls. Pure.

Written out here instead of read from the published artifacts, which only the development
chain brings along; the tests compare them with those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.crypto import keccak

from provider.auth.signatures import is_address
from provider.client.errors import AnswerNotUnderstoodError, ClientUsageError

NOBODY = "0x" + "00" * 20
_FEE = "(address,address,uint256,uint8,bytes32,bytes32,uint256,bytes)"
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


@dataclass(frozen=True)
class Function:
    """A function: its name, the types it takes and the types it gives."""

    name: str
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()

    @cached_property
    def selector(self) -> bytes:
        return keccak(text=f"{self.name}({','.join(self.takes)})")[:4]

    def data(self, *values: object) -> bytes:
        """The data of a call. Raises ClientUsageError for values that do not fit."""
        try:
            return self.selector + encode(self.takes, values)
        except (EncodingError, TypeError, ValueError):
            raise ClientUsageError(f"Something given for {self.name} is not of its kind.") from None

    def result(self, output: bytes) -> tuple[Any, ...]:
        """What a call gave. Raises AnswerNotUnderstoodError for what this does not give."""
        try:
            return tuple(decode(self.gives, output))
        except DecodingError:
            raise AnswerNotUnderstoodError(
                f"There is no contract with {self.name} at this address."
            ) from None


DEPLOY_NFT = Function(
    "deployERC721Contract",
    ("string", "string", "uint256", "address", "address", "string", "bool", "address"),
    ("address",),
)
CREATE_DATATOKEN = Function(
    "createERC20", ("uint256", "string[]", "address[]", "uint256[]", "bytes[]"), ("address",)
)
SET_METADATA = Function(
    "setMetaData",
    ("uint8", "string", "string", "bytes", "bytes", "bytes32", "(address,uint8,bytes32,bytes32)[]"),
)
SET_METADATA_STATE = Function("setMetaDataState", ("uint8",))
MINT = Function("mint", ("address", "uint256"))
START_ORDER = Function("startOrder", ("address", "uint256", _FEE, "(address,address,uint256)"))
REUSE_ORDER = Function("reuseOrder", ("bytes32", _FEE))
PUBLISH_MARKET_FEE = Function("getPublishingMarketFee", (), ("address", "address", "uint256"))
APPROVE = Function("approve", ("address", "uint256"), ("bool",))
ALLOWANCE = Function("allowance", ("address", "address"), ("uint256",))
DECIMALS = Function("decimals", (), ("uint8",))
BALANCE_OF = Function("balanceOf", ("address",), ("uint256",))
TRANSFER = Function("transfer", ("address", "uint256"), ("bool",))

NFT_CREATED = keccak(text="NFTCreated(address,address,string,address,string,string,bool,address)")
TOKEN_CREATED = keccak(text="TokenCreated(address,address,string,string,uint256,address)")


@dataclass(frozen=True, slots=True)
class Fee:
    """A provider's fee as the contract takes it. ``amount`` is in base units of ``token``."""

    address: str
    token: str
    amount: int
    v: int
    r: bytes = field(repr=False)
    s: bytes = field(repr=False)
    valid_until: int
    data: bytes

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> Fee:
        """The fee as the provider wrote it. Raises AnswerNotUnderstoodError."""
        try:
            return cls(
                address=_address(document["providerFeeAddress"]),
                token=_address(document["providerFeeToken"]),
                amount=_whole(document["providerFeeAmount"]),
                v=_whole(document["v"]),
                r=_bytes(document["r"], 32),
                s=_bytes(document["s"], 32),
                valid_until=_whole(document["validUntil"]),
                data=_bytes(document["providerData"]),
            )
        except (KeyError, TypeError, ValueError):
            raise AnswerNotUnderstoodError("The provider's fee cannot be read.") from None

    def values(self) -> tuple[object, ...]:
        """In the order of the contract's struct."""
        return (
            self.address,
            self.token,
            self.amount,
            self.v,
            self.r,
            self.s,
            self.valid_until,
            self.data,
        )

    @property
    def due(self) -> dict[str, int]:
        """What the contract will take, by token. It skips what nobody or nothing is named in."""
        named = NOBODY not in (self.address, self.token)
        return {self.token: self.amount} if self.amount and named else {}


def created(logs: Sequence[Any], topic: bytes, emitters: Sequence[str]) -> str | None:
    """The address of the contract that was made, by an event of one of ``emitters``.

    The address is the event's first parameter, indexed or not. None without such an event.
    """
    known = {address.lower() for address in emitters}
    for log in logs:
        if not isinstance(log, dict) or str(log.get("address")).lower() not in known:
            continue
        topics = log.get("topics") or [""]
        if topics[0] == "0x" + topic.hex():
            word = topics[1] if topic == TOKEN_CREATED else str(log.get("data"))[:66]
            return _address("0x" + word[-40:])
    return None


def word_of_tx(tx: str) -> bytes:
    """The 32 bytes of a transaction's hash. Raises ClientUsageError."""
    try:
        return _bytes(tx, 32)
    except (TypeError, ValueError):
        raise ClientUsageError("A transaction is 0x and 64 hexadecimal digits.") from None


def address_of(text: object) -> str:
    """An address in lower case. Raises ClientUsageError."""
    try:
        return _address(text)
    except ValueError:
        raise ClientUsageError("An address is 0x and 40 hexadecimal digits.") from None


def _address(value: object) -> str:
    if not isinstance(value, str) or not is_address(value):
        raise ValueError("no address")
    return value.lower()


def _whole(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 78:
        return int(value)
    if type(value) is not int or value < 0:
        raise ValueError("no whole number")
    return value


def _bytes(value: object, length: int | None = None) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError("not hexadecimal")
    raw = bytes.fromhex(value[2:])
    if length is not None and len(raw) != length:
        raise ValueError("of another length")
    return raw

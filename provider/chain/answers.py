"""What a node's JSON says: read into values, or refused as rubbish. Pure.

A node is configured by the operator but run by somebody else. Only what the chain's models
need is read, so that chains with odd blocks (proof of authority's long ``extraData``, the
extra fields of rollups) are as good as any; and what is read must be exact. RPC errors come
in as many spellings as there are nodes; ``fault_of`` sorts them by what follows from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from provider.chain.models import Block, Log, Receipt

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_MAX_NUMBER = 2**63 - 1
MAX_TOPICS = 4


class Rubbish(ValueError):
    """Not an answer to what was asked."""


class Fault(Enum):
    """What follows from an RPC error."""

    REVERTED = "reverted"
    """The chain's own answer: no other node would answer otherwise."""
    TOO_LARGE = "too large"
    """The node wants to be asked for less."""
    BUSY = "rate-limited"
    NODE = "refused"
    """The node cannot or will not; another one may."""


_REVERTED_CODES = {3, -32015}
_REVERTED = re.compile(
    r"revert|invalid ?(opcode|jump)|bad (instruction|jump)|out ?of ?(gas|offset)|opcode ?not ?found"
    r"|stack (limit|under|over)|stack(under|over)flow|return ?data ?out ?of ?bounds"
    r"|gas uint64 overflow|write protection|static ?call|max call depth|call depth exceeded"
    r"|execution aborted|vm (execution|exception)|evm error|max ?(init)?code ?size"
)
_BUSY_CODES = {-32029, 429}
_BUSY = re.compile(r"rate.?limit|too many requests|request (count|rate)|quota|throttl|capacity")
_TOO_LARGE = re.compile(
    r"range|too (many|large|big|wide)|more than|limit|exceed|response size|results|timed? ?out"
)


def fault_of(error: object, method: str) -> Fault:
    """The meaning of a JSON-RPC error object, in an answer to ``method``.

    A contract writes the reason of its revert itself, so reverts are looked for first.
    """
    fields = error if isinstance(error, Mapping) else {}
    code, message = code_of(fields), fields.get("message")
    text = message[:1000].lower() if isinstance(message, str) else ""
    if method == "eth_call" and (code in _REVERTED_CODES or _REVERTED.search(text)):
        return Fault.REVERTED
    if code in _BUSY_CODES or _BUSY.search(text):
        return Fault.BUSY
    if method == "eth_getLogs" and _TOO_LARGE.search(text):
        return Fault.TOO_LARGE
    return Fault.NODE


def code_of(error: object) -> int | None:
    """The number of a JSON-RPC error object, if it has one."""
    code = error.get("code") if isinstance(error, Mapping) else None
    return code if type(code) is int else None


def read_quantity(value: object) -> int:
    """A number as ``0x`` text, such as a block's. Raises Rubbish, as all here do."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise Rubbish("no quantity")
    return int(value, 16)


def read_data(value: object) -> bytes:
    """Bytes as ``0x`` text."""
    if not isinstance(value, str) or not _DATA.fullmatch(value):
        raise Rubbish("no data")
    return bytes.fromhex(value[2:])


def read_block(value: object, number: int) -> Block | None:
    """A block by its number; None for JSON's null."""
    if value is None:
        return None
    fields = _object(value)
    if read_number(fields.get("number")) != number:
        raise Rubbish("another block")
    return Block(
        number=number,
        hash=_hash(fields.get("hash")),
        parent=_hash(fields.get("parentHash")),
        timestamp=read_number(fields.get("timestamp")),
    )


def read_receipt(value: object, tx: str) -> Receipt | None:
    """The receipt of a transaction (lower-case hash); None for null and while pending."""
    if value is None:
        return None
    fields = _object(value)
    if fields.get("blockHash") is None or fields.get("blockNumber") is None:
        return None
    block, block_hash = read_number(fields["blockNumber"]), _hash(fields["blockHash"])
    logs = tuple(_log(each) for each in _list(fields.get("logs")))
    if _hash(fields.get("transactionHash")) != tx:
        raise Rubbish("another transaction")
    if any((log.tx, log.block, log.block_hash) != (tx, block, block_hash) for log in logs):
        raise Rubbish("logs of another transaction")
    to = fields.get("to")
    return Receipt(
        tx=tx,
        succeeded=_status(fields.get("status")),
        block=block,
        block_hash=block_hash,
        sender=_address(fields.get("from")),
        to=None if to is None else _address(to),
        logs=logs,
    )


def read_transaction(value: object, tx: str) -> bool | None:
    """Whether a transaction is in a block; None for JSON's null."""
    if value is None:
        return None
    fields = _object(value)
    if _hash(fields.get("hash")) != tx:
        raise Rubbish("another transaction")
    return fields.get("blockHash") is not None


def read_logs(value: object) -> list[Log]:
    """Events in the order of the chain, each once, without those a reorganisation removed."""
    listed = [_log(each) for each in _list(value) if _object(each).get("removed") is not True]
    found = {(log.block, log.index): log for log in listed}
    return [found[place] for place in sorted(found)]


def read_number(value: object) -> int:
    """A number as blocks, events and clocks have it, within 63 bits."""
    number = read_quantity(value)
    if number > _MAX_NUMBER:
        raise Rubbish("no such number")
    return number


def _log(value: object) -> Log:
    fields = _object(value)
    topics = tuple(bytes.fromhex(_hash(each)[2:]) for each in _list(fields.get("topics")))
    if len(topics) > MAX_TOPICS:
        raise Rubbish("too many topics")
    return Log(
        address=_address(fields.get("address")),
        topics=topics,
        data=read_data(fields.get("data")),
        block=read_number(fields.get("blockNumber")),
        block_hash=_hash(fields.get("blockHash")),
        tx=_hash(fields.get("transactionHash")),
        index=read_number(fields.get("logIndex")),
    )


def _status(value: object) -> bool:
    status = read_quantity(value)
    if status > 1:
        raise Rubbish("no status")
    return status == 1


def _hash(value: object) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise Rubbish("no hash")
    return value.lower()


def _address(value: object) -> str:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise Rubbish("no address")
    return value.lower()


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Rubbish("no object")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise Rubbish("no list")
    return value

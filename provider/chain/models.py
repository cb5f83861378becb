"""What a chain tells, as values. Addresses and hashes are lower-case ``0x`` texts."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Block:
    """A block's place in its chain. ``timestamp`` is in seconds since the epoch."""

    number: int
    hash: str
    parent: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Log:
    """One event as a contract emitted it. ``index`` is its place in the block; ``topics``
    are 32 bytes each."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes = field(repr=False)
    block: int
    block_hash: str
    tx: str
    index: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction. ``to`` is None when it made a contract."""

    tx: str
    succeeded: bool
    block: int
    block_hash: str
    sender: str
    to: str | None
    logs: tuple[Log, ...] = ()

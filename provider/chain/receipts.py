"""Receipts, asked for once: what became of transactions, and whether it still holds.

A receipt is kept from the configured number of confirmations on. Under ``FINAL_DEPTH`` of
them a reorganisation may still undo it, so before each use the block at its height must
have the same hash as then (looked up at most once a second); if not, the receipt is
forgotten and asked for anew. Beyond that depth it is taken as said for ever.

Clients ask for something the moment their own node has seen the transaction, which ours
may not have yet: a missing receipt is waited for a little. Not where asking costs nothing: who
invents transactions would have each looked for many times. What no node knew is remembered
for a moment, and only so many are looked for at the same time.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from compute.store.recent import Recent
from provider.chain.memo import Memo, Shared
from provider.chain.models import Block, Receipt
from provider.errors import ChainUnavailable, TransactionPending, TransactionUnknown

FINAL_DEPTH = 64
REMEMBERED = 10_000
REMEMBERED_BYTES = 64 << 20
RECHECK_S = 1.0
UNKNOWN_S = 2.0
"""How long it is believed that no node knows a transaction."""

LOOKUPS = 16
"""How many transactions nodes are asked for at the same time."""

WAITS_S = (0.1, 0.2, 0.4, 0.6, 0.7)

_TX = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


class Source(Protocol):
    """Where receipts come from. Every question raises ChainUnavailable."""

    id: int

    async def head(self) -> int: ...

    async def block(self, number: int) -> Block | None: ...

    async def find_receipt(self, tx: str) -> Receipt | None:
        """The receipt as it is now; None when no node has one."""

    async def is_in_block(self, tx: str) -> bool | None:
        """Whether a known transaction is in a block; None for an unknown one."""


@dataclass(slots=True)
class _Kept:
    receipt: Receipt
    is_final: bool


@dataclass(frozen=True, slots=True)
class _Missed:
    """No node knew a transaction. ``waited`` when it was waited for."""

    until: float
    waited: bool


class Receipts:
    """Of one chain. ``sleep`` waits a number of seconds."""

    def __init__(
        self,
        source: Source,
        confirmations: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._needs = confirmations
        self._sleep = sleep
        self._kept: Recent[str, _Kept] = Recent(
            REMEMBERED, budget=REMEMBERED_BYTES, weigh=lambda kept: _weight(kept.receipt)
        )
        self._clock = clock
        self._missed: Recent[str, _Missed] = Recent(REMEMBERED)
        self._lookups = asyncio.Semaphore(LOOKUPS)
        self._shared: Shared[tuple[str, bool], Receipt] = Shared()
        self._heads: Memo[int, int] = Memo(1, clock=clock)
        self._blocks: Memo[int, Block | None] = Memo(1024, clock=clock)

    async def get(self, tx: str, *, patient: bool = True) -> Receipt:
        """As :meth:`provider.chain.base.Chain.receipt`."""
        if not _TX.fullmatch(tx):
            raise TransactionUnknown(tx[:80])
        wanted = tx.lower()
        kept = self._kept.get(wanted)
        if kept is not None and kept.is_final:
            return kept.receipt
        missed = self._missed.peek(wanted)
        if missed and self._clock() < missed.until and (missed.waited or not patient):
            raise TransactionUnknown(wanted)
        return await self._shared.run((wanted, patient), lambda: self._current(wanted, patient))

    async def _current(self, tx: str, patient: bool) -> Receipt:
        kept = self._kept.get(tx)
        if kept is not None and await self._still_holds(kept):
            return kept.receipt
        self._kept.drop(tx)
        receipt = await self._awaited(tx, patient)
        has = await self._confirmations(receipt) if self._needs > 1 else 1
        if has < self._needs:
            raise TransactionPending(tx, has, self._needs)
        self._kept.put(tx, _Kept(receipt, has >= FINAL_DEPTH))
        self._missed.drop(tx)
        return receipt

    async def _still_holds(self, kept: _Kept) -> bool:
        """True while the receipt's block is in the chain; notes when it is deep enough."""
        receipt = kept.receipt
        block, has = await asyncio.gather(
            self._blocks.get(
                receipt.block, lambda: self._source.block(receipt.block), lambda _: RECHECK_S
            ),
            self._confirmations(receipt),
        )
        if block is None or block.hash != receipt.block_hash:
            return False
        kept.is_final = has >= FINAL_DEPTH
        return has >= self._needs

    async def _confirmations(self, receipt: Receipt) -> int:
        """Being in a block is the first; the node that tells the head may be behind."""
        head = await self._heads.get(0, self._source.head, lambda _: RECHECK_S)
        return max(1, head - receipt.block + 1)

    async def _awaited(self, tx: str, patient: bool) -> Receipt:
        for wait_s in (*WAITS_S, None) if patient else (None,):
            async with self._lookups:
                receipt = await self._source.find_receipt(tx)
            if receipt is not None:
                return receipt
            if wait_s is not None:
                await self._sleep(wait_s)
        async with self._lookups:
            mined = await self._source.is_in_block(tx)
        if mined is None:
            self._missed.put(tx, _Missed(self._clock() + UNKNOWN_S, waited=patient))
            raise TransactionUnknown(tx)
        if mined:
            raise ChainUnavailable(self._source.id, "a transaction is mined but has no receipt")
        raise TransactionPending(tx, 0, self._needs)


def _weight(receipt: Receipt) -> int:
    """About how many bytes of memory a receipt takes; its events' data may be megabytes."""
    return 1000 + sum(1000 + len(log.data) for log in receipt.logs)

"""Searches for events at one node: a range, or a single block in whatever way gets it.

A range that a node finds too large can be split, a block cannot. One that somebody filled
with events is asked for within larger bounds, then topic by topic, and last as the receipts
of its transactions, which nodes give out uncounted. A block must never be what an index
stops at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from provider.chain.answers import Rubbish, read_logs
from provider.chain.models import Log
from provider.chain.nodes import BLOCK, NodeFault, RpcRefused
from provider.chain.rpc import Asked

MANY = 500
"""Events from which reading them is done beside the event loop."""
LOGS = "eth_getLogs"


@dataclass(frozen=True, slots=True)
class Search:
    """Blocks ``first`` to ``last``, and the events: any of these topics as the first, of one
    contract (lower-case) or of all."""

    first: int
    last: int
    topics: tuple[bytes, ...]
    address: str | None = None

    def criteria(self, topics: Sequence[bytes]) -> dict[str, object]:
        """The parameter of eth_getLogs for some of the topics."""
        criteria: dict[str, object] = {
            "fromBlock": hex(self.first),
            "toBlock": hex(self.last),
            "topics": [["0x" + topic.hex() for topic in topics]],
        }
        return criteria if self.address is None else criteria | {"address": self.address}

    async def at(self, node: Asked) -> list[Log]:
        """The events as the node has them. Raises RpcRefused when there are too many blocks,
        NodeFault, Rubbish."""
        if self.first == self.last:
            return await self._of_block(node)
        return await self._read(await node(LOGS, self.criteria(self.topics)))

    async def _of_block(self, node: Asked) -> list[Log]:
        together, one_by_one = [self.topics], [(topic,) for topic in self.topics]
        for portions in (together, one_by_one)[: len(self.topics)]:
            with suppress(RpcRefused):
                found: list[Log] = []
                for topics in portions:
                    answer = await node(LOGS, self.criteria(topics), bounds=BLOCK)
                    found += await self._read(answer)
                return sorted(found, key=lambda log: log.index)
        try:
            receipts = await node("eth_getBlockReceipts", hex(self.first), bounds=BLOCK)
        except (RpcRefused, NodeFault):
            raise NodeFault("refuses the events of a single block") from None
        return await asyncio.to_thread(self._in_receipts, receipts)

    async def _read(self, value: object) -> list[Log]:
        if isinstance(value, list) and len(value) > MANY:
            return await asyncio.to_thread(self._wanted, value)
        return self._wanted(value)

    def _wanted(self, value: object) -> list[Log]:
        found, firsts = read_logs(value), self._firsts
        for log in found:
            if not self.first <= log.block <= self.last or log.topics[:1] not in firsts:
                raise Rubbish("events that were not asked for")
            if self.address not in (None, log.address):
                raise Rubbish("events of another contract")
        return found

    def _in_receipts(self, receipts: object) -> list[Log]:
        if not isinstance(receipts, list):
            raise Rubbish("no receipts")
        firsts, found = self._firsts, []
        for receipt in receipts:
            for log in read_logs(receipt.get("logs") if isinstance(receipt, dict) else None):
                if log.block != self.first:
                    raise Rubbish("receipts of another block")
                if log.topics[:1] in firsts and self.address in (None, log.address):
                    found.append(log)
        return found

    @property
    def _firsts(self) -> frozenset[tuple[bytes, ...]]:
        return frozenset((topic,) for topic in self.topics)


def weight(logs: Sequence[Log]) -> int:
    """About how many bytes of memory events take."""
    return 1000 * len(logs) + sum(len(log.data) for log in logs)

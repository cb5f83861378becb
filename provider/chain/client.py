"""A chain as its nodes tell it, over web3's transport. Imported only when one is configured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from provider.chain.answers import (
    Fault,
    read_block,
    read_data,
    read_number,
    read_receipt,
    read_transaction,
)
from provider.chain.base import Chain
from provider.chain.models import Block, Log, Receipt
from provider.chain.networks import ChainSettings
from provider.chain.nodes import Behind, Node, NodeFault, RpcRefused
from provider.chain.receipts import Receipts
from provider.chain.rpc import Asked, FailoverProvider
from provider.chain.searches import Search, weight
from provider.chain.spans import Span
from provider.errors import CallRefused, OrderRefused, RangeTooLarge, SettingsInvalid

MOST_KEPT = 64 << 20
"""Bytes of events that one search collects, unless a single block has more."""


class Web3Chain(Chain):
    """Built without any input or output. Use as an async context manager, or ``aclose``."""

    def __init__(
        self,
        settings: ChainSettings,
        *,
        most_kept: int = MOST_KEPT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.id = settings.chain_id
        self._provider = FailoverProvider(settings, clock=clock, sleep=sleep)
        self._receipts = Receipts(self, settings.confirmations, clock=clock, sleep=sleep)
        self._span = Span()
        self._most_kept = most_kept
        self._slow_s = 0.9 * settings.rpc_timeout_s
        self._clock = clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Drop all connections. May be repeated."""
        await self._provider.disconnect()

    async def check(self) -> list[str]:
        """Ask every node for its chain id now: a sentence for each that cannot be asked.

        Raises SettingsInvalid when one is of another chain.
        """
        found = await asyncio.gather(*map(self._checked, self._provider.nodes))
        return [sentence for sentence in found if sentence]

    async def head(self) -> int:
        async def question(node: Asked) -> int:
            number = read_number(await node("eth_blockNumber"))
            node.has(number)
            return number

        await self._provider.compared()
        return await self._provider.ask(question)

    async def block(self, number: int) -> Block | None:
        async def question(node: Asked) -> Block | None:
            return read_block(await node("eth_getBlockByNumber", hex(number), False), number)

        return await self._provider.search(question) if number >= 0 else None

    async def receipt(self, tx: str, *, patient: bool = True) -> Receipt:
        return await self._receipts.get(tx, patient=patient)

    async def find_receipt(self, tx: str) -> Receipt | None:
        """The receipt as any node has it now, whatever its confirmations; None if none has."""

        async def question(node: Asked) -> Receipt | None:
            answer = await node("eth_getTransactionReceipt", tx)
            return await asyncio.to_thread(read_receipt, answer, tx)

        try:
            return await self._provider.search(question)
        except RpcRefused:
            raise OrderRefused(f"Transaction {tx} has too many events to be read.") from None

    async def is_in_block(self, tx: str) -> bool | None:
        """Whether a known transaction is in a block; None for one that no node knows."""

        async def question(node: Asked) -> bool | None:
            return read_transaction(await node("eth_getTransactionByHash", tx), tx)

        return await self._provider.search(question)

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        found: list[Log] = []
        start, kept, whose = first, 0, address and address.lower()
        while start <= last:
            end = min(last, start + self._span.size - 1)
            try:
                more = await self._logs(Search(start, end, tuple(topics), whose))
            except RpcRefused:
                self._span.refused(end - start + 1)
                continue
            self._span.fitted(end - start + 1)
            kept += weight(more)
            if kept > self._most_kept and (first, last) != (start, end):
                raise RangeTooLarge(self.id, start - 1 if start > first else end)
            found += more
            start = end + 1
        return found

    async def call(self, to: str, data: bytes) -> bytes:
        async def question(node: Asked) -> bytes:
            request = {"to": to, "data": "0x" + data.hex()}
            return read_data(await node("eth_call", request, "latest"))

        try:
            answer = await self._provider.ask(question)
        except RpcRefused as refused:
            if refused.fault is Fault.TOO_LARGE:
                raise CallRefused("The contract's answer is too large.") from None
            raise CallRefused("The contract refused the call.") from None
        if not answer:
            raise CallRefused("There is no such contract, or it answers nothing.")
        return answer

    async def _logs(self, search: Search) -> list[Log]:
        """One search. Raises RpcRefused when the range is too large.

        A node that needed all its time for it is asked for less later.
        """

        async def question(node: Asked) -> list[Log]:
            await _require_has(node, search.last)
            asked_at = self._clock()
            try:
                return await search.at(node)
            except NodeFault:
                if self._clock() - asked_at >= self._slow_s:
                    self._span.refused(search.last - search.first + 1)
                raise

        return await self._provider.ask(question)

    async def _checked(self, node: Node) -> str:
        try:
            answered = await self._provider.chain_id_of(node)
        except NodeFault as fault:
            return f"NETWORK_URL: node {node.number} for chain {self.id} {fault.kind}."
        if answered != self.id:
            raise SettingsInvalid(
                f"NETWORK_URL: node {node.number} for chain {self.id} is of chain {answered};"
                " correct its address or the chain id"
            )
        return ""


async def _require_has(node: Asked, block: int) -> None:
    """Raise Behind for a node that has not come so far: it would keep silent about events."""
    if node.highest_seen < block:
        node.has(read_number(await node("eth_blockNumber")))
    if node.highest_seen < block:
        raise Behind

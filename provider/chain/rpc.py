"""One JSON-RPC transport over several nodes of a chain, which are trusted as little as need be.

A question goes to the first node, in the order of the configuration, that does not rest;
a node that is slow, gone, busy, on another chain or not making sense rests and the next
one is asked. When all rest, a question waits a moment for the first to come back, and then
fails. What a node answered is read before it counts as an answer, so that rubbish moves on
to the next node as well. A question may take several requests, which then all go to the
same node: two nodes may be on two forks.

A node whose head stands still answers as before, so every few seconds in which something
is asked the heads of all well nodes are compared, and nodes that are far behind are asked
last. What a contract answers is a stranger's: a fault of ``eth_call`` counts as the node's
only if the node cannot tell its chain id either.

It is also a provider of web3, for whatever wants to talk to these nodes through that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar, cast

import aiohttp
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from provider.chain.answers import Rubbish, read_number
from provider.chain.networks import ChainSettings
from provider.chain.nodes import CALL, PROBE_S, Bounds, Excused, Node, NodeFault, RpcRefused
from provider.errors import ChainUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_S = 2.0
CONNECTIONS_PER_NODE = 64
COMPARE_EVERY_S = 3.0
COMPARED_WITHIN_S = 0.5
"""For how long a comparison that is going on is waited for."""
MOST_BEHIND = 8
"""Blocks by which a node may lag: some seconds of the fastest chains, where nodes differ by
as much, and a minute and a half of the slowest, which is sooner than anybody is missed."""


class Asked:
    """One node during one question."""

    def __init__(self, provider: FailoverProvider, node: Node) -> None:
        self._provider = provider
        self._node = node

    async def __call__(self, method: str, *params: object, bounds: Bounds | None = None) -> object:
        """The result of a request. Raises NodeFault, RpcRefused."""
        return await self._provider.post(self._node, method, params, bounds)

    @property
    def highest_seen(self) -> int:
        """The highest block that the node is known to have; -1 before it said."""
        return self._node.highest_seen

    def has(self, block: int) -> None:
        """Note that the node has a block of this number."""
        self._node.highest_seen = max(self._node.highest_seen, block)


Question = Callable[[Asked], Awaitable[T]]


class FailoverProvider(AsyncJSONBaseProvider):
    """Connects at the first question; ``disconnect`` ends it."""

    def __init__(
        self,
        settings: ChainSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self.nodes = tuple(
            Node(settings.chain_id, number, url, settings.rpc_timeout_s, clock=clock)
            for number, url in enumerate(settings.rpc_urls, 1)
        )
        self._chain_id = settings.chain_id
        self._clock = clock
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self._compare_at = clock() + COMPARE_EVERY_S
        self._comparing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"FailoverProvider(chain={self._chain_id}, nodes={len(self.nodes)})"

    async def ask(self, question: Question[T]) -> T:
        """What the first able node answers. Raises RpcRefused, ChainUnavailable.

        ``question`` may raise NodeFault or Rubbish to have another node asked.
        """
        return await self._asked(question, lambda _: True)

    async def search(self, question: Question[T | None]) -> T | None:
        """The first answer that is not None; None only when every node says so.

        A node may have pruned what it is asked for, or be behind. Raises as ``ask``.
        """
        return await self._asked(question, lambda answer: answer is not None)

    async def chain_id_of(self, node: Node) -> int:
        """What a node says its chain is, whether it rests or not. Raises NodeFault."""
        return await node.chain_id(self._connected())

    async def compared(self) -> None:
        """Wait a moment for the comparison of heads, where one is due or going on."""
        self._compare_in_time()
        if self._comparing is not None:
            await asyncio.wait([self._comparing], timeout=COMPARED_WITHIN_S)

    async def make_request(self, method: RPCEndpoint, params: object) -> RPCResponse:
        """One request of web3's. An RPC error that is an answer is returned as such."""

        async def question(node: Asked) -> object:
            return await node(method, *cast(Sequence[object], params or ()))

        try:
            result = await self.ask(question)
        except RpcRefused as refused:
            return cast(RPCResponse, {"jsonrpc": "2.0", "id": 0, "error": refused.error})
        return cast(RPCResponse, {"jsonrpc": "2.0", "id": 0, "result": result})

    async def is_connected(self, show_traceback: bool = False) -> bool:
        """True when a node of the right chain answers."""
        with suppress(ChainUnavailable):
            await self.make_request(RPCEndpoint("eth_chainId"), ())
            return True
        return False

    async def disconnect(self) -> None:
        """Drop all connections. May be repeated, and a later question connects again."""
        comparing, self._comparing = self._comparing, None
        if comparing is not None:
            comparing.cancel()
            await asyncio.wait([comparing])
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(
        self, node: Node, method: str, params: Sequence[object], bounds: Bounds | None = None
    ) -> object:
        """One request to one node, which must be of the right chain."""
        session = self._connected()
        await node.verify(session)
        request = self.form_request(RPCEndpoint(method), list(params))
        try:
            return await node.post(session, self.encode_rpc_dict(request), request, bounds)
        except NodeFault as fault:
            if method != CALL or fault.rest_s:
                raise
            await node.chain_id(session)
            raise Excused(fault.kind) from None

    async def _asked(self, question: Question[T], is_final: Callable[[T], bool]) -> T:
        self._compare_in_time()
        patience_ends = self._clock() + PATIENCE_S
        faults: dict[int, NodeFault] = {}
        left = list(self.nodes)
        while True:
            node = await self._rested(left, faults, patience_ends)
            try:
                with node.asking():
                    answer = await question(Asked(self, node))
            except NodeFault as fault:
                faults[node.number] = fault
                if isinstance(fault, Excused):
                    left.remove(node)
                continue
            left.remove(node)
            if is_final(answer) or not left:
                return answer

    async def _rested(
        self, left: Sequence[Node], faults: Mapping[int, NodeFault], patience_ends: float
    ) -> Node:
        """The first node that may be asked, perhaps after a moment's wait.

        One that failed at this question already is asked again only while patience lasts.
        """
        now = self._clock()
        nodes = [node for node in left if now < patience_ends or node.number not in faults]
        ready = [node for node in nodes if node.rests_until <= now]
        ready = [node for node in ready if not node.is_behind] or ready
        if ready:
            return next((node for node in ready if not node.is_tried_out), ready[0])
        soonest = min(nodes, key=lambda node: node.rests_until, default=None)
        if soonest is None or soonest.rests_until > patience_ends:
            raise ChainUnavailable(self._chain_id, _cause(faults))
        await self._sleep(soonest.rests_until - now)
        return soonest

    def _compare_in_time(self) -> None:
        """See to it that heads are compared, beside whatever is being asked."""
        well = [node for node in self.nodes if node.is_well]
        if len(well) < 2 or self._clock() < self._compare_at:
            return
        if self._comparing is None or self._comparing.done():
            self._compare_at = self._clock() + COMPARE_EVERY_S
            self._comparing = asyncio.create_task(self._compare(well))

    async def _compare(self, nodes: Sequence[Node]) -> None:
        await asyncio.gather(*map(self._look_at_head, nodes))
        best = max(node.head for node in self.nodes)
        for node in self.nodes:
            lag = best - node.head if node.head >= 0 else 0
            if (lag > MOST_BEHIND) != node.is_behind:
                node.is_behind = lag > MOST_BEHIND
                say = log.warning if node.is_behind else log.info
                say("chain node lags chain=%d node=%d blocks=%d", self._chain_id, node.number, lag)

    async def _look_at_head(self, node: Node) -> None:
        node.head = -1
        with suppress(NodeFault), node.asking():
            try:
                async with asyncio.timeout(PROBE_S):
                    node.head = read_number(await self.post(node, "eth_blockNumber", ()))
            except TimeoutError:
                raise NodeFault("takes too long") from None
            except RpcRefused:
                raise Rubbish from None

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_NODE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            )
        return self._session


def _cause(faults: Mapping[int, NodeFault]) -> str:
    known = [f"node {number} {fault.kind}" for number, fault in sorted(faults.items())]
    return "; ".join(known) or "all nodes rest after failures"

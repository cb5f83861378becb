"""How long the check of an order takes, against one raw question for a transaction receipt.

Measured where it happens, below HTTP: ``Payments.check_job`` for one dataset in a priced
environment, which asks for the asset's state, factory, datatoken and receipt, and verifies
the signature of the fee. The reference is ``eth_getTransactionReceipt`` over a connection
that is kept alive, by aiohttp and nothing else, at the same node. A contract's view, which
the node must compute, takes longer than a receipt: a raw one is measured too. Four kinds of
check, by what the service knows already:

- of an asset never asked for: four views and the receipt, one after the other;
- of a new order: the asset is known, its state (a view) is asked again, then the receipt;
- of an order seen before: its state, then whether the receipt's block is still there;
- within seconds, of an order 64 blocks deep: nothing is asked.

Nodes are connected as they are after the start of a service. What the service takes for
true only for seconds is old at each check but the last kind's: the clock is moved on.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from support.service import KEY

from benchmarks.figures import Figure, Measurement, alternate
from benchmarks.market import Market, chain_settings
from compute.environments import Environment, load
from provider.assets.ddo import Ddo
from provider.auth.keccak import keccak256
from provider.chain.chains import ChainAccess, Chains
from provider.chain.client import Web3Chain
from provider.chain.configured import chains_from
from provider.chain.contracts import Contracts
from provider.chain.receipts import FINAL_DEPTH
from provider.client import Ordered
from provider.keys import ProviderKey
from provider.payments import PaidItem, Payments

CHECKS_A_ROUND = 10
LONG_S = 10.0
"""More than anything is kept that may change."""


class Desk:
    """Checks orders on the market's chain, with what two kinds of memory hold."""

    def __init__(self, market: Market, environment: Environment) -> None:
        self._market = market
        self._environment = environment
        (self._settings,) = chains_from(chain_settings(market.chain))
        self._late = 0.0

    def clock(self) -> float:
        return time.monotonic() + self._late

    def later(self) -> None:
        """Let what may change be asked again."""
        self._late += LONG_S

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Web3Chain]:
        """A chain client without memories, its node verified."""
        async with Web3Chain(self._settings, clock=self.clock) as chain:
            await chain.head()
            yield chain

    def contracts(self, chain: Web3Chain) -> Contracts:
        return Contracts(chain, self._settings.factory, clock=self.clock)

    async def check(self, chain: Web3Chain, contracts: Contracts, ordered: Ordered) -> float:
        """Seconds that one check took."""
        access = ChainAccess(self._settings, chain, contracts)
        payments = Payments(Chains([access]), ProviderKey.from_text(KEY), now=time.time)
        ddo = Ddo.parse(self._market.dataset.document)
        item = PaidItem(ddo, ddo.services[0], ordered.datasets[0].transfer_tx_id or "")
        began = time.perf_counter()
        paid = await payments.check_job([item], self._environment, self._market.buyer.address)
        elapsed = time.perf_counter() - began
        assert paid.ends_by is not None
        return elapsed


async def order_checks(market: Market, rounds: int) -> list[Figure]:
    """Four kinds of checks, each against a raw question."""
    desk = Desk(market, load(market.service.root / "environments.yaml")["paid"])
    deep = await market.order()
    market.chain.mine(FINAL_DEPTH + 2)
    shallow = await market.order()
    async with AsyncExitStack() as stack:
        tx, nft = shallow.datasets[0].transfer_tx_id, market.dataset.nft
        session = await stack.enter_async_context(aiohttp.ClientSession())
        raw = _raw(session, market.chain.url, "eth_getTransactionReceipt", tx)
        view = {"to": nft, "data": "0x" + keccak256(b"getMetaData()")[:4].hex()}
        raw_view = _raw(session, market.chain.url, "eth_call", view, "latest")
        chain = await stack.enter_async_context(desk.connected())
        contracts = desk.contracts(chain)

        async def of_unknown_asset() -> float:
            async with desk.connected() as fresh:
                return await desk.check(fresh, desk.contracts(fresh), shallow)

        async def of_new_order() -> float:
            desk.later()
            async with desk.connected() as fresh:
                return await desk.check(fresh, contracts, shallow)

        async def of_known_order() -> float:
            desk.later()
            return await desk.check(chain, contracts, shallow)

        async def of_deep_order() -> float:
            return await desk.check(chain, contracts, deep)

        kinds = {
            "one view of a contract": raw_view,
            "order check, nothing known": of_unknown_asset,
            "order check, new order of a known asset": of_new_order,
            "order check, receipt cached": of_known_order,
            "order check, receipt cached and final": of_deep_order,
        }
        return [await _against(raw, name, kind, rounds) for name, kind in kinds.items()]


async def _against(raw: Measurement, name: str, kind: Measurement, rounds: int) -> Figure:
    """One check before those that count: it fills the memory that the kind speaks of."""
    await kind()
    own, reference, ratio = await alternate(rounds * CHECKS_A_ROUND, kind, raw)
    return Figure(f"{name} / one RPC call", own * 1e3, reference * 1e3, "ms", ratio, None, True)


def _raw(session: aiohttp.ClientSession, url: str, method: str, *params: object) -> Measurement:
    """Seconds that a bare question takes."""
    question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}

    async def ask() -> float:
        began = time.perf_counter()
        async with session.post(url, json=question) as response:
            answer = await response.json()
        elapsed = time.perf_counter() - began
        assert answer["result"], answer
        return elapsed

    return ask

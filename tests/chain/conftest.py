"""What tests about chains share: a chain in memory, nodes over it, the development chain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from stand_in_node import ManualClock, StandInNode
from support.devchain import devchain

from provider.chain.client import MOST_KEPT, Web3Chain
from provider.chain.fake import FakeChain
from provider.chain.networks import ChainSettings

__all__ = ["devchain"]


@pytest.fixture
def fake() -> FakeChain:
    return FakeChain()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def node(fake: FakeChain) -> AsyncIterator[StandInNode]:
    async with StandInNode(fake) as opened:
        yield opened


@pytest.fixture
async def spare(fake: FakeChain) -> AsyncIterator[StandInNode]:
    """A second node of the same chain."""
    async with StandInNode(fake) as opened:
        yield opened


@pytest.fixture
async def connect(clock: ManualClock) -> AsyncIterator[Callable[..., Web3Chain]]:
    """Make a client of nodes or URLs; what is named besides are its settings."""
    async with AsyncExitStack() as stack:

        def make(*nodes: StandInNode | str, **settings: Any) -> Web3Chain:
            urls = tuple(node if isinstance(node, str) else node.url for node in nodes)
            most_kept = settings.pop("most_kept", MOST_KEPT)
            given = {"rpc_timeout_s": 30.0, **settings}
            chain = Web3Chain(
                ChainSettings(8996, "dev", "0x", "0x", urls, **given),
                most_kept=most_kept,
                clock=clock,
                sleep=clock.sleep,
            )
            stack.push_async_callback(chain.aclose)
            return chain

        yield make

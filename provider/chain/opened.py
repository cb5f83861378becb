"""Opening the configured chains. Here web3 is imported, and only when there is a chain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from provider.chain.chains import ChainAccess, Chains
from provider.chain.contracts import Contracts
from provider.chain.networks import ChainSettings

if TYPE_CHECKING:
    from provider.chain.client import Web3Chain

log = logging.getLogger(__name__)

CHECK_S = 3.0
"""How long the start waits for nodes to say which chain they are of."""


async def open_chains(configured: Sequence[ChainSettings], stack: AsyncExitStack) -> Chains:
    """The chains, closed with ``stack``. A node that is down is told in the log and no
    hindrance: it is asked for its chain id before it is used.

    Raises SettingsInvalid when a node is of another chain.
    """
    if not configured:
        return Chains()
    from provider.chain.client import Web3Chain

    opened = [await stack.enter_async_context(Web3Chain(settings)) for settings in configured]
    for problems in await asyncio.gather(*map(_problems, opened)):
        for problem in problems:
            log.warning("chain_node_silent problem=%r", problem)
    return Chains(
        ChainAccess(settings, chain, Contracts(chain, settings.factory))
        for settings, chain in zip(configured, opened, strict=True)
    )


async def _problems(chain: Web3Chain) -> list[str]:
    try:
        async with asyncio.timeout(CHECK_S):
            return await chain.check()
    except TimeoutError:
        return [f"the nodes of chain {chain.id} did not answer within {CHECK_S:.0f} s"]

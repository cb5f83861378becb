"""Opening the configured chains. Here web3 is imported, and only when there is a chain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from provider.auth.keccak import keccak256
from provider.chain.base import Chain
from provider.chain.chains import ChainAccess, Chains
from provider.chain.contracts import Contracts
from provider.chain.networks import ChainSettings
from provider.errors import CallRefused, ChainUnavailable

if TYPE_CHECKING:
    from provider.chain.client import Web3Chain

log = logging.getLogger(__name__)

_LIST = keccak256(b"erc721List(address)")[:4]
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
    await asyncio.gather(*map(_note_factory, opened, configured))
    return Chains(
        ChainAccess(settings, chain, Contracts(chain, settings.factory))
        for settings, chain in zip(configured, opened, strict=True)
    )


async def _note_factory(chain: Chain, settings: ChainSettings) -> None:
    """Say so when there is no factory where the address file has one: no asset will count."""
    try:
        async with asyncio.timeout(CHECK_S):
            await chain.call(settings.factory, _LIST + bytes(32))
    except CallRefused:
        log.warning(
            "factory_missing chain=%s factory=%s fix=%r",
            chain.id,
            settings.factory,
            "check ERC721Factory in ADDRESS_FILE",
        )
    except (ChainUnavailable, TimeoutError):
        pass


async def _problems(chain: Web3Chain) -> list[str]:
    try:
        async with asyncio.timeout(CHECK_S):
            return await chain.check()
    except TimeoutError:
        return [f"the nodes of chain {chain.id} did not answer within {CHECK_S:.0f} s"]

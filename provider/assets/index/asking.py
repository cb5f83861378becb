"""Having other providers open what they sealed: several at once, each one document at a time.

Who publishes names the provider to ask, so one that never answers costs nothing. It holds up
no more than one of the places, and its documents wait for each other, not the rest for them.
"""

from __future__ import annotations

import asyncio

from provider.assets.index.models import Version
from provider.assets.index.opening import Opener
from provider.assets.index.store import IndexStore

HOSTS_AT_ONCE = 16
LOOK_S = 1.0
"""How soon what came meanwhile is seen, while there are free places."""


async def ask_due(chain_id: int, store: IndexStore, opener: Opener) -> None:
    """Ask for the documents that are due, until none is."""
    asking: dict[asyncio.Task[None], str] = {}
    try:
        while True:
            free = HOSTS_AT_ONCE - len(asking)
            if free:
                due = await store.due(chain_id, opener.time(), free, apart_from=asking.values())
                for version in due:
                    task = asyncio.create_task(_ask(version, store, opener))
                    asking[task] = version.decryptor_host
            if not asking:
                return
            done, _ = await asyncio.wait(
                asking, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                del asking[task]
                task.result()
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _ask(version: Version, store: IndexStore, opener: Opener) -> None:
    await store.settle(await opener.ask_again(version))

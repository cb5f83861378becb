"""One chain's follower where several processes could follow it: one does at a time.

Who has the turn follows; the others read what he writes down, and wait for the turn. When he
ends, is killed or cannot reach the database, another goes on where the index stands. What he
would still write after that is refused by the database (:meth:`Leases.require`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from compute.errors import ComputeError
from compute.store.base import MISSED
from provider.assets.index.follower import AssetFollower
from provider.assets.index.store import PASSED, WANTED, IndexStore
from provider.chain.chains import ChainAccess
from provider.errors import ChainUnavailable
from provider.sharing.leases import Leases, wait_until

log = logging.getLogger(__name__)

WANT_EVERY_S = 0.25
"""How often one process at most has the follower look at the chain's head."""

LOOK_S = 0.5
"""How long who waits for a block hears nothing before he looks himself."""

Follow = Callable[[], AssetFollower]


class FollowerInTurns:
    """Follows in its turn, while :meth:`run` runs. ``follow`` makes a follower that writes
    only as long as this process has the turn."""

    def __init__(
        self, access: ChainAccess, store: IndexStore, leases: Leases, follow: Follow
    ) -> None:
        self.chain_id = access.settings.chain_id
        self._access = access
        self._store = store
        self._leases = leases
        self._follow = follow
        self._turn = turn_at(self.chain_id)
        self._mine: AssetFollower | None = None
        self._block: int | None = None
        self._problem = ""
        self._passed = asyncio.Event()
        self._wanted_at = float("-inf")

    @property
    def following(self) -> bool:
        """Whether this process has the turn."""
        return self._mine is not None

    @property
    def block(self) -> int | None:
        """All up to this block is in the index; None as long as no block was looked at."""
        return self._block if self._mine is None else self._mine.block

    @property
    def problem(self) -> str:
        """Why the last round failed, or this process could not ask for the chain's head where
        another one follows; empty when it did not."""
        return self._problem if self._mine is None else self._mine.problem

    async def run(self) -> None:
        """Follow, or wait for the turn to, until cancelled."""
        end_hearing = self._store.hear(self._hear)
        try:
            with self._leases.news(self._turn) as given_back:
                while True:
                    await self._guarded(given_back)
        finally:
            end_hearing()

    async def catch_up(self, within_s: float = 5.0) -> bool:
        """As :meth:`AssetFollower.catch_up`, whoever follows. Raises ChainUnavailable."""
        if self._mine is not None:
            return await self._mine.catch_up(within_s)
        until = time.monotonic() + within_s
        try:
            async with asyncio.timeout(within_s):
                head = await self._head()
                while not await self._stands_at(head):
                    await self._want()
                    await wait_until(self._passed, min(LOOK_S, until - time.monotonic()))
        except TimeoutError:
            return False
        return True

    async def _head(self) -> int:
        try:
            head = await self._access.chain.head()
        except ChainUnavailable as error:
            self._problem = error.cause or error.public
            raise
        self._problem = ""
        return head

    async def _stands_at(self, block: int) -> bool:
        self._block = await self._store.block(self.chain_id)
        return self._block is not None and self._block >= block

    async def _want(self) -> None:
        now = time.monotonic()
        if now - self._wanted_at >= WANT_EVERY_S:
            self._wanted_at = now
            await self._store.want(self.chain_id)

    async def _guarded(self, given_back: asyncio.Event) -> None:
        try:
            if await self._leases.take(self._turn) is not None:
                await self._follow_while_mine()
            else:
                self._block = await self._store.block(self.chain_id)
        except ComputeError as error:
            log.warning("index_turn_unknown chain=%s cause=%s", self.chain_id, error.public)
        await wait_until(given_back, self._leases.renewed_every_s)

    async def _follow_while_mine(self) -> None:
        log.info("index_followed_here chain=%s", self.chain_id)
        self._mine = self._follow()
        following = asyncio.create_task(self._mine.run(), name=f"following {self.chain_id}")
        try:
            while not following.done():
                await asyncio.wait({following}, timeout=self._leases.renewed_every_s)
                if await self._leases.take(self._turn) is None:
                    log.warning("index_turn_lost chain=%s", self.chain_id)
                    break
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            self._block, self._mine = self._mine.block, None
            with contextlib.suppress(ComputeError):
                await self._leases.give_back(self._turn)

    def _hear(self, text: str) -> None:
        topic, _, rest = text.partition(":")
        chain = rest.partition(":")[0]
        if text == MISSED:
            self._passed.set()
        elif chain != str(self.chain_id):
            return
        elif topic == PASSED:
            self._passed.set()
        elif topic == WANTED and self._mine is not None:
            self._mine.wake()


def turn_at(chain_id: int) -> str:
    """The name of the turn at following a chain."""
    return f"index:{chain_id}"

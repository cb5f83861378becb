"""The asset index: assets that were published on the configured chains, by DID or by query.

It answers from the database, and asks the chain for what the events do not tell. Names
of contracts are asked once for each version and kept. The owner of an NFT decides whom a
publisher trusts, so :meth:`AssetIndex.find` asks for it each time (the answer is shared for
some seconds) and would rather fail than tell an old one; queries and whoever says
``current=False`` get the last owner known, or none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

from compute.store.base import Database
from compute.store.recent import Recent
from provider.assets.index.follower import AssetFollower, Pace
from provider.assets.index.indexed import IndexedAsset, addresses_of, published, tell
from provider.assets.index.models import ContractFacts, Entry, Query
from provider.assets.index.opening import AskProvider, Opener
from provider.assets.index.store import IndexStore
from provider.assets.index.turns import FollowerInTurns, turn_at
from provider.chain.chains import ChainAccess, Chains
from provider.errors import CallRefused, ChainUnavailable
from provider.keys import ProviderKey
from provider.sharing.leases import Leases

T = TypeVar("T")

MAX_FOUND = 100
OWNERS_REMEMBERED = 4096
OWNERS_AGREE_S = 30.0
"""How long an owner is told without asking where several processes answer."""
MAX_TOKEN_URI = 65536
AT_ONCE = 8

_TOKEN_URI = {
    "type": "function",
    "name": "tokenURI",
    "stateMutability": "view",
    "inputs": [{"name": "tokenId", "type": "uint256"}],
    "outputs": [{"name": "", "type": "string"}],
}


@dataclass(frozen=True, slots=True)
class Found:
    """``total`` assets meet the conditions; these are those that were asked for, or the first
    of them where all would be too much for one answer."""

    total: int
    assets: tuple[IndexedAsset, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a chain is indexed (None: not looked at yet) and what is in the way, if
    anything is."""

    chain_id: int
    block: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class _Owner:
    address: str
    asked_at: float


class Follower(Protocol):
    """What the index needs of who follows a chain."""

    chain_id: int

    @property
    def block(self) -> int | None: ...
    @property
    def problem(self) -> str: ...
    async def run(self) -> None: ...
    async def catch_up(self, within_s: float = 5.0) -> bool: ...


class AssetIndex:
    """Follows its chains between ``__aenter__`` and ``__aexit__``; answers at any time.

    ``ask`` has other providers open what they sealed; without it such assets stay shut.
    ``leases`` decide who follows where other processes could, too.
    """

    def __init__(
        self,
        chains: Chains,
        database: Database,
        key: ProviderKey,
        *,
        ask: AskProvider | None = None,
        pace: Pace | None = None,
        leases: Leases | None = None,
        owners_agree_s: float = OWNERS_AGREE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._chains = {
            chain_id: access
            for chain_id, access in chains.items()
            if access.settings.index_from is not None
        }
        self._store = IndexStore(database)
        self._database = database
        self._opener = Opener(key, ask, now=now)
        self._pace = pace
        self._leases = leases or Leases(database, now=now)
        self._owners_agree_s = owners_agree_s
        self.followers = tuple(map(self._follower, self._chains.values()))
        self._owners: Recent[tuple[int, str], _Owner] = Recent(OWNERS_REMEMBERED)
        self._asking = asyncio.Semaphore(AT_ONCE)
        self._running: list[asyncio.Task[None]] = []

    def _follower(self, access: ChainAccess) -> Follower:
        """In this process, or in whichever has the turn."""
        if not self._database.shared:
            return AssetFollower(access, self._store, self._opener, pace=self._pace)
        may = self._leases.require(turn_at(access.settings.chain_id))
        store = IndexStore(self._database, may)
        return FollowerInTurns(
            access,
            self._store,
            self._leases,
            lambda: AssetFollower(access, store, self._opener, pace=self._pace),
        )

    async def __aenter__(self) -> Self:
        self._running = [asyncio.create_task(each.run()) for each in self.followers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running = []

    @property
    def standing(self) -> tuple[Standing, ...]:
        """Of each chain."""
        return tuple(Standing(each.chain_id, each.block, each.problem) for each in self.followers)

    async def catch_up(self, within_s: float = 5.0) -> bool:
        """True when all chains are indexed up to their heads as of now.

        False when that takes longer or a chain cannot be asked: then an asset that is not
        in the index may yet be on a chain.
        """
        caught = await asyncio.gather(*(_caught_up(each, within_s) for each in self.followers))
        return all(caught)

    async def find(self, did: str, *, current: bool = True) -> IndexedAsset | None:
        """The asset with this DID, None when the index does not hold it.

        With ``current``, raises ChainUnavailable when its owner cannot be told now.
        """
        entry = await self._store.find(did)
        if entry is None or entry.version.chain_id not in self._chains:
            return None
        return await self._told(entry, current=current)

    async def search(self, query: Query) -> Found:
        """The assets that a query wants, at most ``MAX_FOUND``. Never asks for owners
        known already."""
        configured = tuple(self._chains)
        wanted = tuple(each for each in query.chain_ids or configured if each in self._chains)
        if not wanted:
            return Found(0, ())
        bounded = replace(query, chain_ids=wanted, size=min(query.size, MAX_FOUND))
        total, entries = await self._store.search(bounded)
        told = await asyncio.gather(*(self._told(each, current=False) for each in entries))
        return Found(total, tuple(told))

    async def _told(self, entry: Entry, *, current: bool) -> IndexedAsset:
        access = self._chains[entry.version.chain_id]
        owner = await self._owner(access, entry.version.nft, current=current)
        facts = await self._facts(access, entry)
        return await asyncio.to_thread(tell, entry, owner, facts)

    async def _owner(self, access: ChainAccess, nft: str, *, current: bool) -> str:
        place = (access.settings.chain_id, nft)
        last = self._owners.get(place)
        if last is not None and not current and not self._is_old(last):
            return last.address
        try:
            owner = await self._bounded(lambda: access.contracts.owner(nft))
        except CallRefused:
            owner = ""
        except ChainUnavailable:
            if current:
                raise
            return last.address if last is not None and not current else ""
        self._owners.put(place, _Owner(owner, time.monotonic()))
        return owner

    def _is_old(self, owner: _Owner) -> bool:
        """Where others learn of new owners, too, what is told must not depend on who is asked
        for longer than this."""
        age_s = time.monotonic() - owner.asked_at
        return self._database.shared and age_s > self._owners_agree_s

    async def _facts(self, access: ChainAccess, entry: Entry) -> Mapping[str, ContractFacts]:
        """Of NFT and datatokens, as of this version; what cannot be asked now is left out."""
        wanted = await asyncio.to_thread(lambda: addresses_of(entry, published(entry)))
        version = entry.version
        known = dict(await self._store.facts(version.chain_id, wanted))
        missing = [each for each in wanted if _is_older(known.get(each), version.block)]
        if missing:
            fresh = await self._asked(access, entry, missing)
            await self._store.keep_facts(fresh)
            known |= {each.address: each for each in fresh}
        return known

    async def _asked(
        self, access: ChainAccess, entry: Entry, addresses: Sequence[str]
    ) -> list[ContractFacts]:
        answers = await asyncio.gather(
            *(self._naming(access, entry, address) for address in addresses)
        )
        return [each for each in answers if each is not None]

    async def _naming(
        self, access: ChainAccess, entry: Entry, address: str
    ) -> ContractFacts | None:
        version = entry.version
        try:
            name, symbol = await self._bounded(lambda: access.contracts.naming(address))
            uri = await self._token_uri(access, address) if address == version.nft else ""
        except ChainUnavailable:
            return None
        return ContractFacts(
            version.chain_id, address, version.block, _storable(name), _storable(symbol), uri
        )

    async def _token_uri(self, access: ChainAccess, nft: str) -> str:
        with suppress(CallRefused):
            answer = await self._bounded(lambda: access.contracts.read(nft, _TOKEN_URI, [1]))
            return _storable(answer)[:MAX_TOKEN_URI] if isinstance(answer, str) else ""
        return ""

    async def _bounded(self, ask: Callable[[], Awaitable[T]]) -> T:
        """So that one query does not put all its questions to a node at once."""
        async with self._asking:
            return await ask()


async def _caught_up(follower: Follower, within_s: float) -> bool:
    try:
        return await follower.catch_up(within_s)
    except ChainUnavailable:
        return False


def _is_older(facts: ContractFacts | None, block: int) -> bool:
    return facts is None or facts.block < block


def _storable(text: str) -> str:
    return text.encode(errors="ignore").decode().replace("\0", "")

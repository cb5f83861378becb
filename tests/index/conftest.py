"""A database on disk, a chain in memory, and the index of the one in the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from publishing_chain import AT_ONCE, KEY, Follow, PublishingChain
from support.devchain import devchain

from compute.store.base import Database
from compute.store.database import open_database
from provider.assets.index import AssetIndex
from provider.assets.index.follower import AssetFollower
from provider.assets.index.opening import AskProvider, Opener
from provider.assets.index.store import IndexStore
from provider.chain.chains import ChainAccess
from provider.keys import ProviderKey
from provider.migrations import VERSIONS

__all__ = ["devchain"]


@pytest.fixture
def url(both_url: str) -> str:
    return both_url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await open_database(url, migrations=[VERSIONS])
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> IndexStore:
    return IndexStore(database)


@pytest.fixture
def published_on() -> PublishingChain:
    return PublishingChain()


@pytest.fixture
def follow(store: IndexStore, published_on: PublishingChain) -> Follow:
    """A follower, as after a start of the service: it remembers what the database holds."""

    def make(
        access: ChainAccess | None = None,
        *,
        key: ProviderKey = KEY,
        ask: AskProvider | None = None,
        now: Callable[[], float] = lambda: 1000.0,
        **pace: Any,
    ) -> AssetFollower:
        return AssetFollower(
            access or published_on.access,
            store,
            Opener(key, ask, now=now),
            pace=replace(AT_ONCE, **pace),
        )

    return make


@pytest.fixture
def index(database: Database, published_on: PublishingChain) -> AssetIndex:
    return AssetIndex(published_on.chains, database, KEY, pace=AT_ONCE)

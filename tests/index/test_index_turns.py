"""Several processes over one database: one follows a chain, all tell the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

import pytest
from publishing_chain import AT_ONCE, CHAIN_ID, KEY, OWNER, Node, PublishingChain, address
from sqlalchemy import update
from support.sharing import Process

from compute.store.base import Database
from provider.assets.index import AssetIndex
from provider.assets.index.follower import AssetFollower
from provider.assets.index.models import Query
from provider.assets.index.opening import Opener
from provider.assets.index.store import IndexStore
from provider.assets.index.turns import FollowerInTurns, turn_at
from provider.assets.published import did_of
from provider.chain.chains import Chains
from provider.chain.models import Log
from provider.errors import ChainUnavailable
from provider.sharing.leases import LeaseLost, Leases
from provider.sharing.tables import leases

PATIENCE_S = 60.0


class Silent(Node):
    """Answers nothing once it is told to."""

    silent = False

    async def head(self) -> int:
        if self.silent:
            raise ChainUnavailable(CHAIN_ID, "silent")
        return await super().head()


class Reading(Node):
    """Tells whether it was asked for events."""

    read = False

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        self.read = True
        return await super().logs(first, last, topics, address=address)


def hurried() -> float:
    """What is remembered of contracts for seconds is so for milliseconds."""
    return time.monotonic() * 1000


async def long_after(database: Database) -> None:
    """As if a minute had passed since the turn was taken."""
    aged = update(leases).values(ends_at=leases.c.ends_at - 60)
    await database.write(lambda connection: connection.execute(aged))


Start = Callable[..., AssetIndex]


@pytest.fixture
def start(database: Database, published_on: PublishingChain) -> Start:
    """The index as one more process has it."""

    def make(node: Node | None = None) -> AssetIndex:
        process = Process(database)
        seen = published_on.seen_through(node or published_on.chain, clock=hurried)
        turns = Leases(process, now=time.time, renewed_every_s=0.05)
        return AssetIndex(
            Chains([seen]), process, KEY, pace=AT_ONCE, leases=turns, owners_agree_s=0.1
        )

    return make


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with asyncio.timeout(PATIENCE_S * 2), AsyncExitStack() as opened:
        yield opened


async def following(*indexes: AssetIndex) -> list[bool]:
    """Which of them follow, once one does."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            followers = [each.followers[0] for each in indexes]
            found = [isinstance(each, FollowerInTurns) and each.following for each in followers]
            if any(found):
                return found
            await asyncio.sleep(0.01)


async def test_one_follows_and_all_tell_what_was_published(
    start: Start, stack: AsyncExitStack, published_on: PublishingChain
) -> None:
    nodes = [Reading(published_on.chain) for _ in range(3)]
    indexes = [await stack.enter_async_context(start(node)) for node in nodes]
    assert sorted(await following(*indexes)) == [False, False, True]
    for name in ("a", "b"):
        nft = published_on.publish(name)
        for index in indexes:
            assert await index.catch_up(PATIENCE_S)
            found = await index.find(did_of(nft, CHAIN_ID))
            assert found is not None
            assert index.standing[0].block == await published_on.chain.head()
    assert sum(node.read for node in nodes) == 1, "others read no events"


async def test_another_goes_on_when_it_ends(
    start: Start, stack: AsyncExitStack, published_on: PublishingChain
) -> None:
    first = await stack.enter_async_context(AsyncExitStack())
    one = await first.enter_async_context(start())
    assert await following(one) == [True]
    other = await stack.enter_async_context(start())
    published_on.publish("a")
    assert await other.catch_up(PATIENCE_S)
    await first.aclose()
    nft = published_on.publish("b")
    assert await other.catch_up(PATIENCE_S)
    assert await other.find(did_of(nft, CHAIN_ID)) is not None
    assert await following(other) == [True]


async def test_another_goes_on_when_it_is_killed(
    start: Start,
    stack: AsyncExitStack,
    database: Database,
    published_on: PublishingChain,
) -> None:
    killed = Leases(Process(database), now=time.time)
    await killed.take(turn_at(CHAIN_ID))
    nft = published_on.publish("a")
    other = await stack.enter_async_context(start())
    assert not await other.catch_up(0.2)
    assert await other.find(did_of(nft, CHAIN_ID)) is None
    await long_after(database)
    assert await other.catch_up(PATIENCE_S)
    assert await other.find(did_of(nft, CHAIN_ID)) is not None


async def test_who_lost_the_turn_writes_nothing(
    database: Database, published_on: PublishingChain
) -> None:
    frozen, other = (Leases(Process(database), now=time.time) for _ in range(2))
    turn = turn_at(CHAIN_ID)
    follower = AssetFollower(
        published_on.access,
        IndexStore(Process(database), frozen.require(turn)),
        Opener(KEY, None, now=time.time),
        pace=AT_ONCE,
    )
    await frozen.take(turn)
    await follower.sync()
    before = follower.block
    await long_after(database)
    assert await other.take(turn) is not None
    published_on.publish("a")
    with pytest.raises(LeaseLost):
        await follower.sync()
    assert await IndexStore(database).block(CHAIN_ID) == before


async def test_a_chain_that_cannot_be_asked_is_told_by_who_does_not_follow_too(
    start: Start, stack: AsyncExitStack, published_on: PublishingChain
) -> None:
    await following(await stack.enter_async_context(start()))
    node = Silent(published_on.chain)
    waiting = await stack.enter_async_context(start(node))
    assert await waiting.catch_up(PATIENCE_S)
    node.silent = True
    assert not await waiting.catch_up(PATIENCE_S)


async def test_a_new_owner_is_told_by_all_in_the_end(
    start: Start, stack: AsyncExitStack, published_on: PublishingChain
) -> None:
    indexes = [await stack.enter_async_context(start()) for _ in range(2)]
    nft = published_on.publish("a")
    query = Query(dids=(did_of(nft, CHAIN_ID),))

    async def owners() -> set[str]:
        return {(await index.search(query)).assets[0].owner for index in indexes}

    for index in indexes:
        assert await index.catch_up(PATIENCE_S)
    assert await owners() == {OWNER}
    published_on.deploy(nft, owner=address("somebody else"))
    async with asyncio.timeout(PATIENCE_S):
        while await owners() != {address("somebody else")}:
            await asyncio.sleep(0.05)

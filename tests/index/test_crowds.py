"""Blocks that somebody filled: with look-alikes, with documents, with more than a node tells."""

from __future__ import annotations

import json
import logging
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from publishing_chain import (
    CHAIN_ID,
    FACTORY,
    OTHER_KEY,
    CrowdedNode,
    Follow,
    Node,
    PublishingChain,
    WatchedNode,
    address,
    document,
    entry_of,
    shown,
    total,
)
from sqlalchemy import func, select

from compute.store.base import Database
from provider.assets.evidence import newest_event
from provider.assets.index import AssetIndex
from provider.assets.index.models import Query
from provider.assets.index.store import MAX_PAGE_BYTES, IndexStore
from provider.assets.index.tables import asset_versions
from provider.assets.published import MAX_DOCUMENT_BYTES
from provider.chain.fake import FakeChain
from provider.chain.models import Log
from provider.errors import ChainUnavailable, RangeTooLarge

LARGE = 480 * 1024


def large(nft: str, **changes: Any) -> dict[str, Any]:
    """A document that takes a thousand bytes on chain."""
    return document(nft, padding="p" * LARGE, **changes)


def crowd(published_on: PublishingChain, names: Sequence[object], **event: Any) -> list[str]:
    """Assets with large documents, all in one block."""
    nfts = [published_on.deploy(address(name)) for name in names]
    for nft in nfts:
        published_on.emit(nft, large(nft), flags=1, mined=False, **event)
    published_on.chain.mine()
    return nfts


# More events than a node tells.


@pytest.mark.parametrize("tells", [True, False])
async def test_steps_become_as_small_as_a_block(
    follow: Follow, store: IndexStore, published_on: PublishingChain, tells: bool
) -> None:
    published_on.chain.mine(100)
    nfts = [published_on.publish(number) for number in range(20)]
    published_on.chain.mine(100)
    node = CrowdedNode(published_on.chain)
    node.tells = tells
    follower = follow(published_on.seen_through(node))
    await follower.sync()
    assert follower.block == await published_on.chain.head()
    assert await total(store) == len(nfts)


async def test_it_goes_on_to_where_the_node_came(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    for number in range(40):
        published_on.publish(number)
    node = CrowdedNode(published_on.chain)
    node.most, node.tells = 10, True
    await follow(published_on.seen_through(node), overlap=0).sync()
    assert await total(store) == 40
    assert node.spans[:2] == [(0, 40), (0, 10)]


async def test_a_full_block_that_was_passed_is_in_nobodys_way(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    for number in range(8):
        published_on.emit(published_on.deploy(address(number)), b"", mined=False)
    published_on.chain.mine()
    node = CrowdedNode(published_on.chain)
    node.most = 8
    follower = follow(published_on.seen_through(node))
    await follower.sync()
    late = published_on.publish("late")
    await follower.sync()
    assert await entry_of(store, late) is not None
    assert await total(store) == 9


async def test_a_block_that_no_node_tells_is_passed_over(
    follow: Follow,
    store: IndexStore,
    published_on: PublishingChain,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = published_on.publish("before")
    for _ in range(5):
        published_on.emit(address("look-alike"), b"", mined=False)
    published_on.chain.mine()
    after = published_on.publish("after")
    node = CrowdedNode(published_on.chain)
    node.most = 4
    with caplog.at_level(logging.WARNING):
        await follow(published_on.seen_through(node)).sync()
    assert await entry_of(store, before) is not None
    assert await entry_of(store, after) is not None
    assert "index_block_passed_over chain=8996 block=2" in caplog.text


async def test_the_newest_event_is_found_among_many(published_on: PublishingChain) -> None:
    nft = published_on.publish("a")
    for version in ("4.2.0", "4.3.0", "4.4.0"):
        published_on.chain.mine(7)
        tx = published_on.emit(nft, document(nft, version=version))
    published_on.chain.mine(50)
    access = published_on.seen_through(CrowdedNode(published_on.chain))
    for hint in (None, 1, 30, 10**6):
        assert (await newest_event(access, nft, hint)).log.tx == tx


async def test_a_block_full_of_an_nfts_events_is_no_answer(published_on: PublishingChain) -> None:
    nft = published_on.deploy(address("a"))
    for _ in range(2):
        published_on.emit(nft, document(nft), mined=False)
    published_on.chain.mine()
    with pytest.raises(ChainUnavailable):
        await newest_event(published_on.seen_through(CrowdedNode(published_on.chain)), nft, None)


# Look-alikes.


async def test_a_look_alike_is_asked_for_few_times(
    follow: Follow, published_on: PublishingChain
) -> None:
    node = WatchedNode(published_on.chain)
    follower = follow(published_on.seen_through(node))
    published_on.emit(address("look-alike"), b"")
    for _ in range(30):
        await follower.sync()
        published_on.chain.mine()
    assert node.called == [FACTORY] * 5


async def test_a_look_alike_that_goes_on_is_asked_for_once_in_a_while(
    follow: Follow, published_on: PublishingChain
) -> None:
    node = WatchedNode(published_on.chain)
    follower = follow(published_on.seen_through(node))
    for _ in range(160):
        published_on.emit(address("look-alike"), b"")
        await follower.sync()
    assert 160 / 16 <= len(node.called) <= 160 / 16 + 5


@pytest.mark.parametrize("blocks", range(1, 15, 3))
async def test_what_a_node_did_not_know_yet_is_indexed_later(
    follow: Follow, store: IndexStore, published_on: PublishingChain, blocks: int
) -> None:
    nft = address("early")
    published_on.emit(nft, document(nft))
    follower = follow()
    for _ in range(blocks):
        await follower.sync()
        published_on.chain.mine()
    assert await entry_of(store, nft) is None
    published_on.deploy(nft)
    for _ in range(16 - blocks):
        await follower.sync()
        published_on.chain.mine()
    assert await entry_of(store, nft) is not None


async def test_an_nft_made_where_a_look_alike_was_is_indexed(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = address("early")
    follower = follow()
    for _ in range(40):
        published_on.emit(nft, document(nft))
        await follower.sync()
    published_on.deploy(nft)
    published_on.emit(nft, document(nft))
    for _ in range(16):
        await follower.sync()
        published_on.chain.mine()
    assert await entry_of(store, nft) is not None


class FloodedNode(Node):
    """Has each event very many times in its block."""

    times = 20_000

    def __init__(self, chain: FakeChain) -> None:
        super().__init__(chain)
        self.flooding = address("look-alike")

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        found = await super().logs(first, last, topics, address=address)
        return [
            each
            for log in found
            for each in [log] * (self.times if log.address == self.flooding else 1)
        ]


async def test_events_of_look_alikes_are_not_read(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    published_on.emit(address("look-alike"), b"x" * 1000, mined=False)
    real = published_on.publish("real")
    follower = follow(published_on.seen_through(FloodedNode(published_on.chain)))
    tracemalloc.start()
    await follower.sync()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert await entry_of(store, real) is not None
    assert peak < 5_000_000


# Large documents.


def test_a_document_is_no_more_than_half_a_megabyte() -> None:
    assert LARGE < MAX_DOCUMENT_BYTES <= 1 << 19


async def test_a_block_full_of_documents_is_taken_down_bit_by_bit(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nfts = crowd(published_on, range(60))
    follower = follow()
    tracemalloc.start()
    await follower.sync()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 18_000_000
    assert await total(store) == len(nfts)
    assert (await shown(store, nfts[-1])).version.document is not None
    assert follower.block == 1
    assert [tip.number for tip in await store.checkpoints(CHAIN_ID)] == [1]


async def test_rows_of_a_step_that_was_not_finished_are_undone(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    await follow().sync()
    version = (await shown(store, nft)).version
    lost = replace(version, block=2, block_hash="0x" + "bd" * 32, problem="lost")
    await store.record(CHAIN_ID, [lost], None)
    assert (await shown(store, nft)).version.problem == "lost"
    published_on.chain.mine()
    await follow().sync()
    assert (await shown(store, nft)).version == version


async def test_a_page_of_a_query_has_an_end(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    crowd(published_on, range(20))
    async with index:
        assert await index.catch_up()
        seen: set[str] = set()
        pages = 0
        while len(seen) < 20:
            found = await index.search(Query(first=len(seen), size=100))
            assert found.total == 20
            assert len(found.assets) <= MAX_PAGE_BYTES // LARGE + 1
            assert found.assets
            seen |= {asset.did for asset in found.assets}
            pages += 1
    assert pages == 3


# One document of each asset.


async def _documents(database: Database) -> int:
    query = select(func.count(asset_versions.c.document))
    return await database.read(lambda connection: connection.execute(query).scalar_one())


@pytest.mark.parametrize("at_once", [True, False])
async def test_only_the_newest_document_is_kept(
    follow: Follow,
    store: IndexStore,
    database: Database,
    published_on: PublishingChain,
    at_once: bool,
) -> None:
    nft = published_on.publish("a")
    follower = follow()
    for version in ("4.2.0", "4.3.0", "4.4.0"):
        if not at_once:
            await follower.sync()
        published_on.emit(nft, document(nft, version=version), created=False)
    await follower.sync()
    assert '"4.4.0"' in ((await shown(store, nft)).version.document or "")
    assert await _documents(database) == 1
    assert len(await store.known(CHAIN_ID, 0, 100)) == 4


@pytest.mark.parametrize("restarted", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 100])
async def test_what_is_the_newest_again_is_read_again(
    follow: Follow,
    store: IndexStore,
    database: Database,
    published_on: PublishingChain,
    depth: int,
    restarted: bool,
) -> None:
    nfts = [published_on.publish(number) for number in range(40)]
    follower = follow()
    await follower.sync()
    before = [await shown(store, nft) for nft in nfts]
    for nft in nfts:
        published_on.emit(nft, document(nft, version="4.9.0"), created=False, mined=False)
    published_on.chain.mine(depth)
    await follower.sync()
    published_on.chain.reorganise(depth)
    if restarted:
        follower = follow()
    for _ in range(4):
        await follower.sync()
    assert [await shown(store, nft) for nft in nfts] == before
    assert await _documents(database) == 40
    published_on.chain.asked.clear()
    await follower.sync()
    assert published_on.chain.asked["logs"] == 0


async def test_a_sealed_document_that_is_the_newest_again_is_asked_for_again(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.deploy(address("a"))
    published_on.emit(
        nft, document(nft), flags=2, key=OTHER_KEY, decryptor_url="https://other.example"
    )

    async def ask(**_: object) -> bytes:
        return json.dumps(document(nft)).encode()

    follower = follow(ask=ask)
    await follower.sync()
    published_on.emit(nft, document(nft, version="4.9.0"), created=False)
    await follower.sync()
    assert await store.due(CHAIN_ID, 1e9, 10) == []
    published_on.chain.reorganise(1)
    await follower.sync()
    await follower.reask_due()
    assert json.loads((await shown(store, nft)).version.document or "") == document(nft)


class MuteNode(Node):
    """Refuses to tell the events of one contract, in one way or the other."""

    refuses: Callable[[], list[Log]] | None = None

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        if address is not None and self.refuses is not None:
            return self.refuses()
        return await super().logs(first, last, topics, address=address)


def _too_many() -> list[Log]:
    raise RangeTooLarge(CHAIN_ID, None)


@pytest.mark.parametrize("refuses", [list, _too_many])
async def test_a_node_that_does_not_show_it_is_asked_again(
    follow: Follow,
    store: IndexStore,
    published_on: PublishingChain,
    refuses: Callable[[], list[Log]],
) -> None:
    nft = published_on.publish("a")
    node = MuteNode(published_on.chain)
    follower = follow(published_on.seen_through(node))
    await follower.sync()
    before = await shown(store, nft)
    published_on.emit(nft, document(nft), created=False)
    await follower.sync()
    published_on.chain.reorganise(1)
    node.refuses = refuses
    other = published_on.publish("other")
    await follower.sync()
    assert (await shown(store, nft)).version.document is None
    assert await entry_of(store, other) is not None
    node.refuses = None
    await follower.sync()
    assert await shown(store, nft) == before

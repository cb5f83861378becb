"""Following a chain: from the first block to the head, again after a restart, and while the
chain cannot be asked."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import pytest
from publishing_chain import (
    CHAIN_ID,
    FACTORY,
    KEY,
    OTHER_KEY,
    DeadlyNode,
    Follow,
    NarrowNode,
    Node,
    OddNode,
    PublishingChain,
    RememberingNode,
    WatchedNode,
    address,
    document,
    entry_of,
    shown,
    total,
)

from compute.store.database import open_database
from provider.assets.index.follower import TOPICS, AssetFollower, Pace
from provider.assets.index.opening import Opener
from provider.assets.index.store import IndexStore
from provider.chain.fake_events import Emitted
from provider.errors import ChainUnavailable
from provider.migrations import VERSIONS


async def test_what_is_published_is_indexed(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a", flags=3)
    follower = follow()
    assert follower.block is None
    await follower.sync()
    entry = await shown(store, nft)
    assert entry.state == 0
    assert entry.version.created
    assert entry.version.document is not None
    assert entry.version.problem == ""
    assert entry.version.kind == "dataset"
    assert entry.created_at == entry.version.timestamp
    assert follower.block == await published_on.chain.head()


async def test_a_chain_without_assets_is_followed(follow: Follow, store: IndexStore) -> None:
    follower = follow()
    await follower.sync()
    assert follower.block == 0
    assert await total(store) == 0


async def test_an_update_replaces_the_document(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    follower = follow()
    await follower.sync()
    before = await shown(store, nft)
    published_on.emit(nft, document(nft, version="4.3.0"), created=False)
    await follower.sync()
    after = await shown(store, nft)
    assert after.version.document is not None
    assert '"4.3.0"' in after.version.document
    assert not after.version.created
    assert (after.created_at, after.did) == (before.created_at, before.did)
    assert await total(store) == 1


async def test_two_updates_in_one_block_count_in_their_order(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.deploy(address("a"))
    for version in ("4.1.0", "4.2.0", "4.3.0"):
        published_on.emit(nft, document(nft, version=version), mined=False)
    published_on.chain.mine()
    await follow().sync()
    assert '"4.3.0"' in ((await shown(store, nft)).version.document or "")


async def test_an_update_that_cannot_be_read_hides_what_was_before(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    published_on.emit(nft, b"not JSON", created=False)
    await follow().sync()
    entry = await shown(store, nft)
    assert entry.version.document is None
    assert "not a JSON object" in entry.version.problem


@pytest.mark.parametrize("at_once", [True, False], ids=["one round", "two rounds"])
async def test_the_latest_state_counts(
    follow: Follow, store: IndexStore, published_on: PublishingChain, at_once: bool
) -> None:
    nft = published_on.publish("a")
    follower = follow()
    if not at_once:
        await follower.sync()
    for state in (4, 3, 5):
        published_on.set_state(nft, state)
    await follower.sync()
    assert (await shown(store, nft)).state == 5
    published_on.emit(nft, document(nft), created=False, state=0)
    await follower.sync()
    assert (await shown(store, nft)).state == 0


async def test_a_state_without_a_document_is_no_asset(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.deploy(address("a"))
    published_on.set_state(nft, 1)
    follower = follow()
    await follower.sync()
    assert await entry_of(store, nft) is None
    published_on.emit(nft, document(nft), state=2)
    await follower.sync()
    assert (await shown(store, nft)).state == 2


async def test_documents_of_the_first_layout_are_indexed(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a", version="4.0.0", flags=2)
    await follow().sync()
    assert (await shown(store, nft)).version.document is not None


REFUSED = {
    "another hash": ({"metadata_hash": "00" * 32}, 0, "Checksum"),
    "broken stream": ({"data": b"\xfd7zXZ\x00broken"}, 1, "decompress"),
    "another key": ({"key": OTHER_KEY}, 2, "Failed to decrypt"),
    "no seal": ({"data": b"\x04\x05"}, 2, "Failed to decrypt"),
}


@pytest.mark.parametrize(("event", "flags", "problem"), REFUSED.values(), ids=REFUSED)
async def test_what_is_unusable_is_kept_with_its_problem(
    follow: Follow,
    store: IndexStore,
    published_on: PublishingChain,
    event: dict[str, object],
    flags: int,
    problem: str,
) -> None:
    nft = published_on.deploy(address("a"))
    published_on.emit(nft, document(nft), flags=flags, **event)
    good = published_on.publish("b")
    await follow().sync()
    entry = await shown(store, nft)
    assert entry.version.document is None
    assert problem in entry.version.problem
    assert entry.version.retry_at is None
    assert (await shown(store, good)).version.document is not None


async def test_nobody_publishes_for_another(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    victim = published_on.publish("victim")
    thief = published_on.deploy(address("thief"))
    published_on.emit(thief, document(victim))
    await follow().sync()
    assert "another asset" in (await shown(store, thief)).version.problem
    assert (await shown(store, victim)).version.nft == victim


async def test_contracts_that_the_factory_does_not_know_are_passed_over(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    real = published_on.publish("real")
    look_alike = address("look-alike")
    published_on.emit(look_alike, document(look_alike))
    published_on.set_state(look_alike, 0)
    claims = address("claims to be another")
    published_on.chain.answers(claims, "erc721List(address)", ["address"], [claims])
    published_on.emit(claims, document(real))
    await follow().sync()
    assert await total(store) == 1
    assert (await shown(store, real)).version.nft == real


async def test_an_nft_asked_for_before_it_was_made_is_indexed(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    """Somebody may have had the service ask for an address that was to come."""
    nft = address("early")
    assert not await published_on.access.contracts.is_from_factory(nft)
    published_on.publish("early")
    await follow().sync()
    assert await entry_of(store, nft) is not None


async def test_malformed_events_are_passed_over(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    for topic in TOPICS:
        published_on.chain.transact(Emitted(nft, (topic,), b""))
        published_on.chain.transact(Emitted(nft, (topic, bytes(32)), b"\xff" * 500))
    await follow().sync()
    assert (await shown(store, nft)).state == 0


async def test_following_begins_where_it_is_told(store: IndexStore, follow: Follow) -> None:
    late = PublishingChain(index_from=3)
    early = late.publish("early")
    late.chain.mine(5)
    nft = late.publish("late")
    await follow(late.access).sync()
    assert await entry_of(store, early) is None
    assert await entry_of(store, nft) is not None


async def test_a_first_block_beyond_the_head_waits(follow: Follow, store: IndexStore) -> None:
    later = PublishingChain(index_from=10)
    follower = follow(later.access)
    await follower.sync()
    assert follower.block is None
    later.chain.mine(10)
    nft = later.publish("a")
    await follower.sync()
    assert await entry_of(store, nft) is not None


# Restarts.


async def test_a_restart_goes_on_where_the_last_one_was(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    first = published_on.publish("first")
    published_on.chain.mine(200)
    await follow().sync()
    second = published_on.publish("second")
    node = RememberingNode(published_on.chain)
    await follow(published_on.seen_through(node)).sync()
    assert min(node.firsts) > 100
    assert await entry_of(store, first) is not None
    assert await entry_of(store, second) is not None


@pytest.mark.parametrize("questions", range(0, 24, 3))
async def test_a_service_that_ends_at_any_point_goes_on(url: str, questions: int) -> None:
    """Each start has a database handle of its own, as after a crash."""
    published_on = PublishingChain()
    nfts = [published_on.publish(number) for number in range(30)]
    published_on.set_state(nfts[3], 4)
    node = DeadlyNode(published_on.chain)
    for left in (questions, 1_000_000):
        node.left = left
        database = await open_database(url, migrations=[VERSIONS])
        store = IndexStore(database)
        follower = _follower(published_on, node, store, step=7)
        with suppress(asyncio.CancelledError):
            await follower.sync()
        if left == 1_000_000:
            assert await total(store) == 30
            assert (await shown(store, nfts[3])).state == 4
            assert len(await store.known(CHAIN_ID, 0, 100)) == 31
        await database.close()


def _follower(
    published_on: PublishingChain, node: Node, store: IndexStore, *, step: int
) -> AssetFollower:
    pace = Pace(step=step, most_step=step, overlap=2, patience_s=0.0)
    return AssetFollower(published_on.seen_through(node), store, Opener(KEY), pace=pace)


async def test_another_factory_or_key_starts_anew(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("sealed", flags=2)
    await follow(key=OTHER_KEY).sync()
    assert (await shown(store, nft)).version.problem == "Failed to decrypt."
    await follow().sync()
    assert (await shown(store, nft)).version.problem == ""


async def test_an_earlier_first_block_starts_anew(follow: Follow, store: IndexStore) -> None:
    late = PublishingChain(index_from=4)
    nft = late.publish("early")
    late.chain.mine(5)
    await follow(late.access).sync()
    assert await entry_of(store, nft) is None
    early = PublishingChain()
    early.chain = late.chain
    await follow(early.seen_through(late.chain)).sync()
    assert await entry_of(store, nft) is not None


# Many events.


async def test_thousands_of_events_come_in_steps(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nfts = [published_on.deploy(address(number)) for number in range(100)]
    for start in range(0, 2000, 40):
        for number in range(start, start + 40):
            published_on.emit(nfts[number % 100], b"%d" % number, mined=False)
        published_on.chain.mine(20)
    node = RememberingNode(published_on.chain)
    follower = follow(
        published_on.seen_through(node), step=100, few_events=150, many_events=300, overlap=4
    )
    await follower.sync()
    assert await total(store) == 100
    assert len(await store.known(CHAIN_ID, 0, 10_000)) == 2000
    assert len(node.firsts) >= 5
    assert max(node.widths) < 400


async def test_steps_grow_where_there_is_nothing(
    follow: Follow, published_on: PublishingChain
) -> None:
    published_on.chain.mine(3000)
    node = RememberingNode(published_on.chain)
    await follow(published_on.seen_through(node), step=50, most_step=800).sync()
    assert len(node.firsts) < 10
    assert max(node.widths) <= 816


async def test_steps_shrink_until_a_node_can_answer(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    published_on.chain.mine(500)
    follower = follow(
        published_on.seen_through(NarrowNode(published_on.chain)), step=400, most_step=60
    )
    for _ in range(4):
        with suppress(ChainUnavailable):
            await follower.sync()
    assert follower.block == await published_on.chain.head()
    assert await entry_of(store, nft) is not None


# While it runs.


async def test_faults_of_the_chain_do_not_end_it(
    follow: Follow,
    store: IndexStore,
    published_on: PublishingChain,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    published_on.chain.unreachable = True
    nft = published_on.publish("a")
    follower = follow()
    running = asyncio.create_task(follower.run())
    for _ in range(3):
        with pytest.raises(ChainUnavailable):
            await follower.catch_up()
    assert follower.problem
    published_on.chain.unreachable = False
    assert await follower.catch_up()
    assert follower.problem == ""
    assert await entry_of(store, nft) is not None
    await _ended(running)
    assert caplog.text.count("index_stalled") == 1
    assert caplog.text.count("index_resumed") == 1


async def test_what_is_published_is_there_without_being_asked_for(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    running = asyncio.create_task(follow().run())
    nft = published_on.publish("a")
    async with asyncio.timeout(90):
        while await entry_of(store, nft) is None:
            await asyncio.sleep(0.01)
    await _ended(running)


async def test_who_asks_at_the_same_time_shares_a_round(
    follow: Follow, published_on: PublishingChain
) -> None:
    follower = follow(poll_s=60.0)
    running = asyncio.create_task(follower.run())
    await follower.catch_up()
    published_on.publish("a")
    published_on.chain.asked.clear()
    assert all(await asyncio.gather(*(follower.catch_up() for _ in range(50))))
    assert published_on.chain.asked["logs"] <= 2
    assert follower.block == await published_on.chain.head()
    await _ended(running)


async def test_a_chain_that_hangs_is_not_waited_for(
    follow: Follow, published_on: PublishingChain
) -> None:
    node = OddNode(published_on.chain)
    node.hangs = True
    follower = follow(published_on.seen_through(node))
    running = asyncio.create_task(follower.run())
    assert not await follower.catch_up(within_s=0.05)
    await _ended(running)


async def test_who_waits_when_it_ends_is_told(
    follow: Follow, published_on: PublishingChain
) -> None:
    follower = follow(poll_s=60.0, spacing_s=60.0)
    running = asyncio.create_task(follower.run())
    await follower.catch_up()
    waiting = asyncio.create_task(follower.catch_up())
    await asyncio.sleep(0)
    await _ended(running)
    with pytest.raises(ChainUnavailable):
        await waiting


async def test_a_fault_of_ours_does_not_end_it(
    store: IndexStore, published_on: PublishingChain, follow: Follow
) -> None:
    node = OddNode(published_on.chain)
    follower = follow(published_on.seen_through(node))
    running = asyncio.create_task(follower.run())
    with pytest.raises(ChainUnavailable):
        await follower.catch_up()
    assert follower.problem
    node.odd = False
    assert await follower.catch_up()
    await _ended(running)


async def _ended(running: asyncio.Task[None]) -> None:
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


# The factory is the configured one.


async def test_the_factory_is_asked(follow: Follow, published_on: PublishingChain) -> None:
    node = WatchedNode(published_on.chain)
    published_on.publish("a")
    await follow(published_on.seen_through(node)).sync()
    assert node.called == [FACTORY]

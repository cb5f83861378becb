"""What was indexed and is no part of the chain any more is undone, and nothing else is:
reorganisations of every depth, and nodes that only look like one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from publishing_chain import (
    CHAIN_ID,
    Follow,
    ForgetfulNode,
    ForkedNode,
    PublishingChain,
    RememberingNode,
    ShorterNode,
    TurningNode,
    address,
    document,
    entry_of,
    shown,
)

from provider.assets.index.models import ContractFacts, Tip
from provider.assets.index.store import IndexStore
from provider.errors import ChainUnavailable


@pytest.mark.parametrize("depth", [1, 2, 3, 7, 20, 63, 64, 65, 100, 129])
async def test_a_reorganisation_is_undone(
    follow: Follow, store: IndexStore, published_on: PublishingChain, depth: int
) -> None:
    old = published_on.publish("old")
    published_on.chain.mine(150)
    follower = follow()
    await follower.sync()
    lost = []
    for number in range(depth):
        if number % 6 == 0:
            lost.append(published_on.publish(f"lost {number}"))
            await follower.sync()
        else:
            published_on.chain.mine()
    await follower.sync()
    published_on.chain.reorganise(depth)
    new = published_on.publish("new")
    await follower.sync()
    assert [await entry_of(store, nft) for nft in lost] == [None] * len(lost)
    assert await entry_of(store, new) is not None
    assert await entry_of(store, old) is not None
    assert follower.block == await published_on.chain.head()
    assert len(await store.known(CHAIN_ID, 0, 1000)) == 2


async def test_a_reorganisation_brings_back_what_was_before(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    published_on.chain.mine(3)
    follower = follow()
    await follower.sync()
    before = await shown(store, nft)
    published_on.emit(nft, document(nft, version="4.9.0"), created=False)
    published_on.set_state(nft, 3)
    await follower.sync()
    assert (await shown(store, nft)).state == 3
    published_on.chain.reorganise(1)
    await follower.sync()
    between = await shown(store, nft)
    assert between.state == 0
    assert "4.9.0" in (between.version.document or "")
    published_on.chain.reorganise(3)
    await follower.sync()
    assert await shown(store, nft) == before


async def test_the_same_transaction_in_another_block_is_indexed_there(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    follower = follow()
    await follower.sync()
    before = await shown(store, nft)
    published_on.chain.reorganise(1, keep=True)
    published_on.chain.mine()
    await follower.sync()
    after = await shown(store, nft)
    assert after.version.tx == before.version.tx
    assert after.version.block > before.version.block
    assert after.version.block_hash != before.version.block_hash


async def test_a_reorganisation_down_to_the_first_block_starts_anew(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    """As with a development chain that was thrown away and started again."""
    nft = published_on.publish("a")
    published_on.chain.mine(300)
    follower = follow()
    await follower.sync()
    published_on.chain.reorganise(302)
    new = published_on.publish("b")
    await follower.sync()
    assert await entry_of(store, nft) is None
    assert await entry_of(store, new) is not None


async def test_a_deep_reorganisation_costs_few_questions(
    follow: Follow, published_on: PublishingChain
) -> None:
    follower = follow()
    for _ in range(100):
        published_on.chain.mine()
        await follower.sync()
    published_on.chain.reorganise(50)
    published_on.chain.asked.clear()
    await follower.sync()
    assert published_on.chain.asked["block"] < 20
    assert published_on.chain.asked["logs"] == 1


async def test_a_reorganisation_right_after_the_first_round_is_near(
    follow: Follow, published_on: PublishingChain
) -> None:
    published_on.chain.mine(500)
    node = RememberingNode(published_on.chain)
    follower = follow(published_on.seen_through(node))
    await follower.sync()
    published_on.chain.reorganise(3)
    node.firsts.clear()
    await follower.sync()
    assert min(node.firsts) > 400


async def test_a_reorganisation_while_the_service_was_down(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    await follow().sync()
    published_on.chain.reorganise(1)
    await follow().sync()
    assert await entry_of(store, nft) is None


@pytest.mark.parametrize("depth", [1, 2, 5])
async def test_a_reorganisation_in_the_middle_of_a_step(
    follow: Follow, store: IndexStore, published_on: PublishingChain, depth: int
) -> None:
    published_on.chain.mine(4)
    node = TurningNode(published_on.chain)
    node.depth = depth
    follower = follow(published_on.seen_through(node))
    await follower.sync()
    lost = published_on.publish("lost")
    node.turns = 2
    await follower.sync()
    assert await entry_of(store, lost) is None
    assert follower.block == await published_on.chain.head()


@pytest.mark.parametrize("depth", [1, 2, 5])
async def test_a_reorganisation_just_after_the_last_block_was_found_to_stand(
    follow: Follow, store: IndexStore, published_on: PublishingChain, depth: int
) -> None:
    published_on.chain.mine(4)
    node = TurningNode(published_on.chain)
    node.depth = depth
    follower = follow(published_on.seen_through(node))
    lost = published_on.publish("lost")
    await follower.sync()
    node.turns_at_head = 1
    await follower.sync()
    assert await entry_of(store, lost) is None
    assert follower.block == await published_on.chain.head()


async def test_a_chain_that_never_holds_still_is_told_so(
    follow: Follow, published_on: PublishingChain
) -> None:
    node = TurningNode(published_on.chain)
    published_on.chain.mine(3)
    node.turns = 1000
    with pytest.raises(ChainUnavailable):
        await follow(published_on.seen_through(node)).sync()


async def test_names_read_for_what_is_undone_are_read_again(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    await follow().sync()
    for block in (3, 4):
        facts = ContractFacts(CHAIN_ID, address(block), block, "name", "symbol", "uri")
        await store.keep_facts([facts])
    await store.undo(CHAIN_ID, Tip(3, "0x03"))
    known = await store.facts(CHAIN_ID, [address(3), address(4)])
    assert list(known) == [address(3)]


async def test_what_became_of_an_undone_version_is_not_put_to_another(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    await follow().sync()
    version = (await shown(store, nft)).version
    await store.settle(replace(version, block_hash="0x" + "bd" * 32, problem="other"))
    assert (await shown(store, nft)).version == version
    await store.settle(replace(version, problem="this"))
    assert (await shown(store, nft)).version.problem == "this"


async def test_events_of_another_fork_are_not_taken(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    published_on.chain.mine()
    await follow(published_on.seen_through(ForkedNode(published_on.chain))).sync()
    assert (await shown(store, nft)).version.tx != "0x" + "bd" * 32


# Nodes that are behind.


async def test_a_node_that_is_behind_undoes_nothing(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    published_on.chain.mine(5)
    node = ShorterNode(published_on.chain)
    follower = follow(published_on.seen_through(node), patience_s=60.0)
    await follower.sync()
    node.top = 0
    await follower.sync()
    assert await entry_of(store, nft) is not None
    node.top = None
    published_on.chain.mine()
    await follower.sync()
    assert follower.block == await published_on.chain.head()


async def test_a_chain_that_stays_shorter_is_believed(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    """As a development chain that was set back."""
    first = published_on.publish("first")
    node = ShorterNode(published_on.chain)
    follower = follow(published_on.seen_through(node), patience_s=0.0)
    await follower.sync()
    second = published_on.publish("second")
    await follower.sync()
    node.top = 1
    await follower.sync()
    assert await entry_of(store, first) is not None
    assert await entry_of(store, second) is None
    assert follower.block == 1


async def test_events_that_a_node_showed_late_are_found(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    node = ForgetfulNode(published_on.chain)
    follower = follow(published_on.seen_through(node))
    await follower.sync()
    assert await entry_of(store, nft) is None
    node.forgets = False
    published_on.chain.mine()
    await follower.sync()
    assert await entry_of(store, nft) is not None


async def test_a_later_version_is_not_pushed_aside_by_one_found_late(
    follow: Follow, store: IndexStore, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    node = ForgetfulNode(published_on.chain)
    follower = follow(published_on.seen_through(node))
    await follower.sync()
    node.forgets = False
    published_on.emit(nft, document(nft, version="4.9.0"), created=False)
    await follower.sync()
    entry = await shown(store, nft)
    assert "4.9.0" in (entry.version.document or "")
    assert entry.created_at < entry.version.timestamp

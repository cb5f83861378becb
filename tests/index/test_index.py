"""The index as the rest of the service asks it: by DID, by query, now."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from publishing_chain import (
    AT_ONCE,
    CHAIN_ID,
    KEY,
    OTHER_KEY,
    OWNER,
    PublishingChain,
    address,
    document,
)

from compute.store.base import Database
from provider.assets.ddo import Ddo
from provider.assets.index import AssetIndex
from provider.assets.index.indexed import IndexedAsset
from provider.assets.index.models import Query
from provider.assets.published import did_of
from provider.auth.signatures import to_checksum
from provider.chain.chains import Chains
from provider.errors import ChainUnavailable


async def found(index: AssetIndex, nft: str, **options: Any) -> IndexedAsset:
    assert await index.catch_up()
    asset = await index.find(did_of(nft, CHAIN_ID), **options)
    assert asset is not None
    return asset


async def names(index: AssetIndex, **query: Any) -> list[str]:
    """The names of the assets that a query finds."""
    result = await index.search(Query(**query))
    assert result.total >= len(result.assets)
    return [asset.document["metadata"]["name"] for asset in result.assets if asset.document]


def called(name: str, **changes: Any) -> dict[str, Any]:
    return {"metadata": {"type": "dataset", "name": name} | changes}


async def test_a_document_comes_with_the_facts_of_the_chain(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a", flags=3)
    async with index:
        asset = await found(index, nft)
    shown = asset.document
    assert shown is not None
    assert {name: shown[name] for name in document(nft)} == document(nft)
    assert shown["nft"] == {
        "address": to_checksum(nft),
        "name": "Rivers",
        "symbol": "RIV",
        "state": 0,
        "tokenURI": "data:,river",
        "owner": to_checksum(OWNER),
        "created": "2027-01-15T08:00:00",
    }
    assert shown["datatokens"] == [
        {
            "address": to_checksum(address(f"token of {nft}")),
            "name": "Access to rivers",
            "symbol": "ARIV",
            "serviceId": "compute",
        }
    ]
    assert shown["event"] == {
        "tx": asset.tx,
        "txid": asset.tx,
        "block": 1,
        "from": to_checksum(OWNER),
        "contract": to_checksum(nft),
        "datetime": "2027-01-15T08:00:00",
    }
    assert shown["stats"] == {"orders": 0, "price": {"value": 0}}
    assert shown["purgatory"] == {"state": False, "reason": ""}
    assert asset.reduced == {
        name: shown[name] for name in ("id", "chainId", "nftAddress", "nft", "event")
    }
    assert Ddo.parse(shown).owner == to_checksum(OWNER)


async def test_a_document_cannot_claim_what_the_chain_knows(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    claims = {
        "nft": {"owner": address("thief"), "state": 0, "name": "Mona Lisa"},
        "event": {"tx": "0x1"},
        "datatokens": [{"address": address("thief")}],
        "stats": {"orders": 10**6},
        "purgatory": {"state": True},
    }
    nft = published_on.publish("a", **claims)
    published_on.set_state(nft, 5)
    async with index:
        shown = (await found(index, nft)).document
    assert shown is not None
    assert shown["nft"]["owner"] == to_checksum(OWNER)
    assert shown["nft"]["state"] == 5
    assert not {"Mona Lisa", "0x1", address("thief"), str(10**6)} & set(_leaves(shown))
    assert shown["purgatory"]["state"] is False


def _leaves(part: Any) -> list[str]:
    if isinstance(part, dict):
        part = list(part.values())
    return (
        [leaf for each in part for leaf in _leaves(each)] if isinstance(part, list) else [str(part)]
    )


async def test_what_a_document_leaves_out_is_there(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    nft = published_on.deploy(address("bare"))
    published_on.emit(nft, {"id": did_of(nft, CHAIN_ID), "services": "odd"})
    async with index:
        shown = (await found(index, nft)).document
    assert shown is not None
    assert (shown["chainId"], shown["nftAddress"]) == (CHAIN_ID, to_checksum(nft))
    assert shown["datatokens"] == []


async def test_an_asset_that_cannot_be_read_says_why(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    nft = published_on.deploy(address("sealed"))
    published_on.emit(nft, document(nft), flags=2, key=OTHER_KEY)
    async with index:
        asset = await found(index, nft)
    assert asset.document is None
    assert asset.problem == "Failed to decrypt."
    assert asset.reduced["nft"]["owner"] == to_checksum(OWNER)


async def test_the_owner_is_the_present_one(
    database: Database, published_on: PublishingChain
) -> None:
    now = [0.0]
    nft = published_on.publish("a")
    access = published_on.seen_through(published_on.chain, clock=lambda: now[0])
    async with AssetIndex(Chains([access]), database, KEY, pace=AT_ONCE) as index:
        assert (await found(index, nft)).owner == OWNER
        published_on.deploy(nft, owner=address("buyer"))
        now[0] += 6
        assert (await found(index, nft)).owner == address("buyer")
        asset = await found(index, nft, current=False)
        assert asset.reduced["nft"]["owner"] == to_checksum(address("buyer"))


async def test_no_owner_is_told_that_may_be_an_old_one(
    database: Database, published_on: PublishingChain
) -> None:
    now = [0.0]
    nft = published_on.publish("a")
    did = did_of(nft, CHAIN_ID)
    access = published_on.seen_through(published_on.chain, clock=lambda: now[0])
    async with AssetIndex(Chains([access]), database, KEY, pace=AT_ONCE) as index:
        await found(index, nft)
        published_on.chain.unreachable = True
        now[0] += 6
        with pytest.raises(ChainUnavailable):
            await index.find(did)
        asset = await index.find(did, current=False)
        assert asset is not None
        assert asset.owner == OWNER
        assert asset.document is not None


async def test_after_a_restart_without_the_chain_assets_are_still_told(
    database: Database, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    async with AssetIndex(published_on.chains, database, KEY, pace=AT_ONCE) as index:
        await found(index, nft)
    published_on.chain.unreachable = True
    again = PublishingChain()
    again.access = published_on.seen_through(published_on.chain)
    async with AssetIndex(again.chains, database, KEY, pace=AT_ONCE) as index:
        asset = await index.find(did_of(nft, CHAIN_ID), current=False)
    assert asset is not None
    assert asset.reduced["nft"]["name"] == "Rivers"
    assert asset.reduced["nft"]["owner"] == ""


async def test_names_are_asked_once_for_each_version(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    async with index:
        await found(index, nft)
        published_on.chain.asked.clear()
        await index.find(did_of(nft, CHAIN_ID))
        assert published_on.chain.asked["call"] == 0
        published_on.chain.answers(nft, "tokenURI(uint256)", ["string"], ["data:,sea"])
        published_on.emit(nft, document(nft), created=False)
        assert (await found(index, nft)).reduced["nft"]["tokenURI"] == "data:,sea"


async def test_names_that_could_not_be_asked_are_asked_again(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    did = did_of(nft, CHAIN_ID)
    async with index:
        await index.catch_up()
        published_on.chain.unreachable = True
        before = await index.find(did, current=False)
        published_on.chain.unreachable = False
        after = await index.find(did)
    assert before is not None
    assert before.reduced["nft"]["name"] == ""
    assert after is not None
    assert after.reduced["nft"]["name"] == "Rivers"


async def test_contracts_without_names_have_none(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    nft = address("bare")
    published_on.chain.answers(
        published_on.settings.factory, "erc721List(address)", ["address"], lambda asked: [asked]
    )
    published_on.emit(nft, document(nft))
    async with index:
        asset = await found(index, nft)
    assert asset.owner == ""
    assert asset.reduced["nft"]["name"] == asset.reduced["nft"]["tokenURI"] == ""


async def test_an_unknown_did_is_none(index: AssetIndex) -> None:
    async with index:
        assert await index.catch_up()
        assert await index.find("did:op:" + "0" * 64) is None
        assert await index.find("") is None


async def test_catching_up_tells_when_a_chain_cannot_be_asked(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    published_on.chain.unreachable = True
    async with index:
        assert not await index.catch_up()
        (standing,) = index.standing
        assert standing.block is None
        assert standing.problem
        published_on.chain.unreachable = False
        assert await index.catch_up()
        (standing,) = index.standing
        assert (standing.block, standing.problem) == (0, "")


async def test_a_chain_without_an_index_is_left_alone(database: Database) -> None:
    unfollowed = PublishingChain(index_from=None)
    nft = unfollowed.publish("a")
    async with AssetIndex(unfollowed.chains, database, KEY, pace=AT_ONCE) as index:
        assert index.standing == ()
        assert await index.catch_up()
        assert await index.find(did_of(nft, CHAIN_ID)) is None
        assert await names(index) == []
    assert not unfollowed.chain.asked


async def test_assets_of_a_chain_that_is_configured_no_more_are_hidden(
    index: AssetIndex, database: Database, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a")
    async with index:
        await found(index, nft)
    nothing = AssetIndex(Chains(), database, KEY)
    assert await nothing.find(did_of(nft, CHAIN_ID)) is None
    assert (await nothing.search(Query())).total == 0


async def test_a_query_shows_the_newest_first_page_by_page(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    for number in range(7):
        published_on.publish(number, **called(f"n{number}"))
    async with index:
        assert await index.catch_up()
        assert await names(index, size=3) == ["n6", "n5", "n4"]
        assert await names(index, first=3, size=3) == ["n3", "n2", "n1"]
        assert await names(index, first=6, size=3) == ["n0"]
        assert await names(index, size=2, oldest_first=True) == ["n0", "n1"]
        result = await index.search(Query(size=0))
        assert (result.total, result.assets) == (7, ())


async def test_a_query_never_shows_more_than_a_hundred(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    for number in range(103):
        nft = published_on.deploy(address(number))
        published_on.emit(nft, document(nft), mined=False)
    published_on.chain.mine()
    async with index:
        assert await index.catch_up()
        result = await index.search(Query(size=10**9))
    assert (result.total, len(result.assets)) == (103, 100)


async def test_the_conditions_of_a_query(index: AssetIndex, published_on: PublishingChain) -> None:
    rivers = published_on.publish("r", **called("Rivers of the North", tags=["water"]))
    published_on.publish("l", **called("Lakes", description="100% of_them"))
    model = published_on.publish("m", **called("Flood model", type="algorithm"))
    token = address(f"token of {rivers}")
    async with index:
        assert await index.catch_up()
        assert await names(index, text="NORTH river") == ["Rivers of the North"]
        assert await names(index, text="water") == ["Rivers of the North"]
        assert await names(index, text="0% of_t") == ["Lakes"]
        assert await names(index, text="r%r") == []
        assert await names(index, text="_") == ["Lakes"]
        assert await names(index, kinds=("Algorithm",)) == ["Flood model"]
        assert await names(index, nfts=(to_checksum(model),)) == ["Flood model"]
        assert await names(index, dids=(did_of(model, CHAIN_ID),)) == ["Flood model"]
        assert await names(index, tokens=(to_checksum(token),)) == ["Rivers of the North"]
        assert await names(index, tokens=(token, "%")) == ["Rivers of the North"]
        assert await names(index, tokens=("0x",)) == []
        assert await names(index, chain_ids=(1,)) == []
        assert len(await names(index, chain_ids=(CHAIN_ID, 1))) == 3
        assert await names(index, text="rivers", kinds=("algorithm",)) == []
        assert await names(index, text="' OR 1=1 --") == []


async def test_a_query_lists_what_is_offered(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    for state in range(6):
        nft = published_on.publish(state, **called(f"state {state}"))
        published_on.set_state(nft, state)
    async with index:
        assert await index.catch_up()
        assert sorted(await names(index)) == ["state 0", "state 4"]
        assert await names(index, states=(5,)) == ["state 5"]
        assert len(await names(index, states=())) == 6


async def test_a_query_sees_the_newest_version_only(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    nft = published_on.publish("a", **called("before"))
    published_on.emit(nft, document(nft, **called("after")), created=False)
    async with index:
        assert await index.catch_up()
        assert await names(index, text="before") == []
        assert await names(index, text="after") == ["after"]


async def test_nothing_of_it_outlives_it(index: AssetIndex) -> None:
    before = asyncio.all_tasks()
    async with index:
        await index.catch_up()
    assert asyncio.all_tasks() == before


async def test_odd_texts_of_publishers_are_told_as_they_are(
    index: AssetIndex, published_on: PublishingChain
) -> None:
    nft = published_on.deploy(address("odd"))
    odd = document(nft, **called("a\ud800b\0c \u202e ' \" \\ ${x}"))
    published_on.emit(nft, json.dumps(odd).encode())
    published_on.chain.answers(nft, "name()", ["string"], ["zero\0 name"])
    async with index:
        asset = await found(index, nft)
    assert asset.document is not None
    assert asset.document["metadata"] == odd["metadata"]
    assert asset.reduced["nft"]["name"] == "zero name"

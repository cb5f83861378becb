"""Assets from a metadata cache: what is believed, and what the chain must bear out."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from aiohttp import web
from aquarius_documents import (
    CHAIN,
    DATATOKEN,
    KEY,
    NFT,
    OTHER_KEY,
    OTHER_NFT,
    OWNER,
    World,
    compact,
    document,
)
from standin_cache import StandinCache

from provider.assets.credentials import why_denied
from provider.assets.evidence import DIFFERS, NOT_FROM_FACTORY, OF_ANOTHER_ASSET
from provider.assets.metadata_cache import CacheCatalogue, MetadataCache
from provider.assets.published import MAX_DOCUMENT_BYTES, did_of
from provider.chain import fake_events
from provider.errors import AssetMalformed, AssetsUnavailable, UnknownAsset, UnsupportedChain

DID = did_of(NFT, CHAIN)
STRANGER = "0x" + "66" * 20


def kept(whole: dict[str, Any], **added: Any) -> dict[str, Any]:
    """A document as caches keep it: with fields of their own in between."""
    own = {
        "nft": {"address": STRANGER, "owner": STRANGER, "state": 0},
        "datatokens": [{"address": DATATOKEN}],
        "event": {"tx": "0x1", "block": 1},
        "stats": {"orders": 7},
        "purgatory": {"state": False, "reason": ""},
        "_hash_ok": True,
    }
    return {"@context": whole["@context"], **own, **whole, **added}


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
@pytest.mark.parametrize("escaped", [True, False])
async def test_a_document_with_the_chains_hash_is_believed(
    world: World, cache: StandinCache, cached: CacheCatalogue, flags: int, escaped: bool
) -> None:
    whole = document(note="Fließgewässer, 水")
    world.publish(compact(whole, escaped=escaped), flags=flags, key=OTHER_KEY)
    cache.documents[DID] = kept(whole)
    ddo = await cached.resolve(DID)
    assert ddo.id == DID
    assert [service.id for service in ddo.services] == ["0", "1"]
    assert not ddo.is_local


async def test_owner_and_state_are_the_chains(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    world.publish(compact(document()))
    cache.documents[DID] = kept(document())
    ddo = await cached.resolve(DID)
    assert (ddo.owner, ddo.nft.state, ddo.nft.address) == (OWNER, 0, NFT)
    assert why_denied(ddo, STRANGER) is None


@pytest.mark.parametrize("state", [1, 2, 3, 4])
async def test_what_was_withdrawn_on_chain_is_denied(
    world: World, cache: StandinCache, cached: CacheCatalogue, state: int
) -> None:
    world.publish(compact(document()), state=state)
    cache.documents[DID] = kept(document())
    assert "ASSET_DISABLED" in str(why_denied(await cached.resolve(DID), STRANGER))


@pytest.mark.parametrize("purgatory", [{"state": True}, {"state": "true"}, {"state": 1}, "yes", []])
async def test_what_is_in_purgatory_is_denied(
    world: World, cache: StandinCache, cached: CacheCatalogue, purgatory: Any
) -> None:
    world.publish(compact(document()))
    cache.documents[DID] = kept(document(), purgatory=purgatory)
    assert "ASSET_DISABLED" in str(why_denied(await cached.resolve(DID), STRANGER))


async def test_fields_that_the_publisher_sent_along_belong_to_the_document(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    whole = document(nft={"owner": STRANGER}, stats={"orders": 1})
    world.publish(compact(whole), flags=2, key=OTHER_KEY)
    cache.documents[DID] = whole
    assert (await cached.resolve(DID)).owner == OWNER


async def test_a_changed_document_is_refused(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    world.publish(compact(document(credentials={"deny": []})), flags=2, key=OTHER_KEY)
    cache.documents[DID] = kept(document(credentials={"allow": [STRANGER]}))
    with pytest.raises(AssetMalformed, match=DIFFERS):
        await cached.resolve(DID)


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
async def test_where_we_can_open_the_chains_document_it_counts(
    world: World, cache: StandinCache, cached: CacheCatalogue, flags: int
) -> None:
    world.publish(json.dumps(document(services=[]), indent=1).encode(), flags=flags)
    cache.documents[DID] = kept(document())
    assert (await cached.resolve(DID)).services == []


async def test_an_event_whose_hash_is_not_its_datas_is_refused(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    world.publish(compact(document()), metadata_hash="0x" + "00" * 32)
    cache.documents[DID] = kept(document())
    with pytest.raises(AssetMalformed, match=DIFFERS):
        await cached.resolve(DID)


async def test_an_nft_of_another_factory_is_refused(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    world.publish(compact(document(OTHER_NFT)), OTHER_NFT)
    world.publish(compact(document()), from_factory=False)
    cache.documents[DID] = kept(document())
    with pytest.raises(AssetMalformed, match=NOT_FROM_FACTORY):
        await cached.resolve(DID)


async def test_an_event_of_a_look_alike_counts_for_nothing(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    """It names the same hash in the same shape, but another contract emitted it."""
    theirs = compact(document(services=[]))
    world.publish(compact(document()))
    world.chain.transact(fake_events.metadata(STRANGER, data=theirs, metadata_hash="0" * 64))
    cache.documents[DID] = kept(document(services=[]))
    assert len((await cached.resolve(DID)).services) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"nftAddress": OTHER_NFT},
        {"nftAddress": "0x12"},
        {"nftAddress": None},
        {"nftAddress": {"a": 1}},
        {"chainId": 1},
        {"chainId": "8996"},
        {"chainId": True},
        {"chainId": None},
    ],
)
async def test_an_answer_about_another_asset_is_refused(
    world: World, cache: StandinCache, cached: CacheCatalogue, changes: dict[str, Any]
) -> None:
    world.publish(compact(document(OTHER_NFT)), OTHER_NFT)
    cache.documents[DID] = kept(document(**changes))
    with pytest.raises(AssetMalformed, match=OF_ANOTHER_ASSET):
        await cached.resolve(DID)
    assert world.chain.asked["call"] == 0


async def test_an_asset_of_a_chain_that_is_not_followed_is_refused(
    cache: StandinCache, cached: CacheCatalogue
) -> None:
    did = did_of(NFT, 137)
    cache.documents[did] = document(id=did, chainId=137)
    with pytest.raises(UnsupportedChain):
        await cached.resolve(did)


async def test_without_metadata_on_chain_there_is_no_asset(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    world.publish(compact(document()), state=None)
    cache.documents[DID] = kept(document())
    with pytest.raises(AssetMalformed, match=DIFFERS):
        await cached.resolve(DID)


async def test_an_nft_that_never_published_anything_is_refused(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    world.chain.publish("0x" + "fa" * 20, NFT)
    cache.documents[DID] = kept(document())
    with pytest.raises(AssetMalformed, match=DIFFERS):
        await cached.resolve(DID)


@pytest.mark.parametrize("hint", [0, 1, 2, 3, 5, 10**9, -1, "2", None])
async def test_the_newest_event_counts_wherever_the_cache_says_it_is(
    world: World, cache: StandinCache, cached: CacheCatalogue, hint: Any
) -> None:
    """The old document has the hash of an old event, which is not enough."""
    old, new = document(), document(services=[])
    world.publish(compact(old), flags=2, key=OTHER_KEY)
    world.publish(compact(new), flags=2, key=OTHER_KEY, created=False)
    world.chain.mine(3)
    cache.documents[DID] = kept(old, event={"block": hint})
    with pytest.raises(AssetMalformed, match=DIFFERS):
        await cached.resolve(DID)
    cache.documents[DID] = kept(new, event={"block": hint})
    assert (await cached.resolve(DID)).services == []


async def test_a_right_hint_saves_searching_the_whole_chain(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    world.chain.mine(20)
    world.publish(compact(document()))
    cache.documents[DID] = kept(document(), event={"block": 21})
    await cached.resolve(DID)
    assert world.chain.asked["logs"] == 1
    cache.documents[DID] = kept(document(), event="nonsense")
    world.now += 10
    await cached.resolve(DID)


async def test_what_the_cache_does_not_have_is_unknown_for_a_second(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    for _ in range(3):
        with pytest.raises(UnknownAsset):
            await cached.resolve(DID)
    assert cache.asked[DID] == 1
    world.publish(compact(document()))
    cache.documents[DID] = kept(document())
    world.now += 1
    assert (await cached.resolve(DID)).id == DID


async def test_an_asset_is_asked_for_once_in_five_seconds(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    world.publish(compact(document()))
    cache.documents[DID] = kept(document())
    found = await asyncio.gather(*(cached.resolve(DID) for _ in range(20)))
    assert all(each is found[0] for each in found)
    world.now += 4.9
    await cached.resolve(DID)
    assert cache.asked[DID] == 1
    world.now += 0.1
    await cached.resolve(DID)
    assert cache.asked[DID] == 2


@pytest.mark.parametrize("did", ["", "did:op:../../x", "did:op:a/b", "x" * 10_000, "did:op:\n", 5])
async def test_what_is_no_did_is_never_sent(
    cache: StandinCache, cached: CacheCatalogue, did: Any
) -> None:
    with pytest.raises(UnknownAsset) as caught:
        await cached.resolve(did)
    assert len(caught.value.public) < 200
    assert caught.value.public.isprintable()
    assert not cache.asked


def _answers() -> list[Any]:
    return [
        lambda: web.Response(status=500),
        lambda: web.Response(status=429),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        lambda: web.Response(body=b"<html>"),
        lambda: web.Response(body=b"[]"),
        lambda: web.Response(body=b"null"),
        lambda: web.Response(body=b"\xff"),
        lambda: web.Response(body=b"[" * 100_000),
        lambda: web.Response(body=b'{"a":' * 5_000 + b"1" + b"}" * 5_000),
        lambda: web.Response(body=b'{"a":[' + b"0," * 300_000 + b"0]}"),
        lambda: web.Response(body=b" " * (MAX_DOCUMENT_BYTES + 1)),
        lambda: web.Response(
            body=gzip.compress(b" " * 50_000_000), headers={"Content-Encoding": "gzip"}
        ),
    ]


@pytest.mark.parametrize("number", range(len(_answers())))
async def test_what_is_no_answer_says_nothing_about_the_asset(
    world: World, cache: StandinCache, cached: CacheCatalogue, number: int
) -> None:
    world.publish(compact(document()))
    cache.documents[DID] = kept(document())
    cache.broken = _answers()[number]()
    with pytest.raises(AssetsUnavailable) as caught:
        await cached.resolve(DID)
    assert caught.value.status == 503
    assert (await cached.resolve(DID)).id == DID


async def test_a_cache_that_hangs_is_given_up(world: World, cache: StandinCache) -> None:
    cache.hangs = True
    client = MetadataCache(await cache.start(), timeout_s=0.5)
    async with CacheCatalogue(client, world.chains, KEY) as catalogue:
        with pytest.raises(AssetsUnavailable):
            await catalogue.resolve(DID)


async def test_a_cache_that_is_down_is_said_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = MetadataCache("http://127.0.0.1:1/secret-path")
    async with CacheCatalogue(client, world.chains, KEY) as catalogue:
        for _ in range(3):
            with pytest.raises(AssetsUnavailable):
                await catalogue.resolve(DID)
    assert len(caplog.records) == 1
    assert "secret-path" not in caplog.text


async def test_a_silent_chain_bears_nothing_out(
    world: World, cache: StandinCache, cached: CacheCatalogue
) -> None:
    world.publish(compact(document()))
    cache.documents[DID] = kept(document())
    world.chain.unreachable = True
    with pytest.raises(AssetsUnavailable):
        await cached.resolve(DID)
    world.chain.unreachable = False
    assert (await cached.resolve(DID)).id == DID


async def test_nothing_of_ours_is_sent_but_the_did(
    cache: StandinCache, cached: CacheCatalogue
) -> None:
    with pytest.raises(UnknownAsset):
        await cached.resolve(DID)
    assert set(cache.headers) <= {"Host", "Accept", "Accept-Encoding", "User-Agent"}

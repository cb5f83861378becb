"""Assets straight from the chain, by way of the index."""

from __future__ import annotations

from typing import Any

import pytest
from aquarius_documents import (
    CHAIN,
    FACTORY,
    NFT,
    OTHER_KEY,
    OWNER,
    World,
    changed,
    compact,
    document,
)

from provider.assets.chain_catalogue import IndexCatalogue
from provider.assets.credentials import why_denied
from provider.assets.index import AssetIndex
from provider.assets.published import did_of
from provider.chain import fake_events
from provider.errors import AssetMalformed, AssetsUnavailable, UnknownAsset

DID = did_of(NFT, CHAIN)
WALLET = "0x" + "66" * 20


@pytest.fixture
def assets(index: AssetIndex) -> IndexCatalogue:
    return IndexCatalogue(index, patience_s=60.0)


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
async def test_an_asset_is_found_the_moment_it_is_published(
    world: World, assets: IndexCatalogue, flags: int
) -> None:
    with pytest.raises(UnknownAsset):
        await assets.resolve(DID)
    world.publish(compact(document(nft={"owner": WALLET, "state": 3})), flags=flags)
    ddo = await assets.resolve(DID)
    assert (ddo.id, ddo.owner, ddo.nft.state, ddo.is_local) == (DID, OWNER, 0, False)
    assert why_denied(ddo, WALLET) is None


async def test_documents_of_the_older_layout_are_read(world: World, assets: IndexCatalogue) -> None:
    world.publish(compact(document(version="4.0.0")))
    assert not (await assets.resolve(DID)).binds_files


@pytest.mark.parametrize("state", [1, 2, 3, 4])
async def test_a_withdrawn_asset_is_denied(
    world: World, index: AssetIndex, assets: IndexCatalogue, state: int
) -> None:
    world.publish(compact(document()))
    await assets.resolve(DID)
    world.chain.transact(fake_events.metadata_state(NFT, state=state))
    assert await index.catch_up()
    assert "ASSET_DISABLED" in str(why_denied(await assets.resolve(DID), WALLET))


@pytest.mark.parametrize(
    ("content", "changes"),
    [
        (compact(document()), {"metadata_hash": "00" * 32}),
        (compact(document()), {"flags": 2, "key": OTHER_KEY}),
        (b"not json", {}),
        (b"[1]", {}),
        (compact(document(id="did:op:" + "1" * 64)), {}),
        (compact(changed(document(), "services.1.id", "0")), {}),
        (compact(document(version="5.0.0")), {}),
    ],
)
async def test_what_cannot_be_read_is_refused(
    world: World, assets: IndexCatalogue, content: bytes, changes: dict[str, Any]
) -> None:
    world.publish(content, **changes)
    with pytest.raises(AssetMalformed):
        await assets.resolve(DID)


async def test_an_nft_of_another_factory_is_unknown(world: World, assets: IndexCatalogue) -> None:
    world.publish(compact(document()), from_factory=False)
    world.chain.publish(FACTORY, "0x" + "77" * 20)
    with pytest.raises(UnknownAsset):
        await assets.resolve(DID)


async def test_with_a_silent_chain_nothing_unknown_is_certain(
    world: World, index: AssetIndex, assets: IndexCatalogue
) -> None:
    world.chain.unreachable = True
    with pytest.raises(AssetsUnavailable):
        await assets.resolve(DID)
    world.chain.unreachable = False
    assert await index.catch_up()
    with pytest.raises(UnknownAsset):
        await assets.resolve(DID)


async def test_an_old_owner_is_never_told(world: World, assets: IndexCatalogue) -> None:
    world.publish(compact(document()))
    await assets.resolve(DID)
    world.chain.unreachable = True
    world.now += 60
    with pytest.raises(AssetsUnavailable):
        await assets.resolve(DID)


@pytest.mark.parametrize(
    "did", ["did:op:local-table", "did:op:" + "A1" * 32, "did:op:" + "0" * 65, "", "x\n" * 9999, 7]
)
async def test_what_is_no_hash_is_not_looked_for_on_any_chain(
    world: World, assets: IndexCatalogue, did: Any
) -> None:
    world.chain.unreachable = True
    with pytest.raises(UnknownAsset) as caught:
        await assets.resolve(did)
    assert len(caught.value.public) < 200
    assert caught.value.public.isprintable()

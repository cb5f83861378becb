"""The index on a development chain with the real contracts."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest
from publishing_chain import KEY, wrapped
from support.devchain import DevChain
from support.lookalike import Lookalike, metadata_created

from compute.store.base import Database
from provider.assets.index import AssetIndex
from provider.assets.index.follower import Pace
from provider.assets.index.models import Query
from provider.assets.published import did_of
from provider.auth.signatures import to_checksum
from provider.chain.chains import ChainAccess, Chains
from provider.chain.client import Web3Chain
from provider.chain.contracts import Contracts
from provider.chain.networks import ChainSettings
from provider.devchain.ocean import contract

NOBODY = "0x" + "00" * 20
PACE = Pace(poll_s=0.05, spacing_s=0.01, patience_s=0.0)


class Publisher:
    """A wallet that publishes on the real contracts."""

    def __init__(self, chain: DevChain) -> None:
        self.chain = chain
        self.wallet = chain.accounts[-2]
        self.factory = chain.addresses["ERC721Factory"]

    def create(self, name: str) -> str:
        """A new data NFT; its lower-case address."""
        arguments = (name, "SYM", 1, NOBODY, NOBODY, "data:,uri", True, self.wallet.address)
        tx = self._call("ERC721Factory", self.factory, "deployERC721Contract", *arguments)
        receipt = self.chain.receipt(tx)
        assert receipt is not None
        made = next(
            log for log in receipt["logs"] if log["address"].lower() == self.factory.lower()
        )
        return "0x" + made["data"][2 + 24 : 2 + 64]

    def publish(self, nft: str, name: str, *, flags: int = 3, state: int = 0) -> str:
        document = {
            "id": did_of(nft, self.chain.chain_id),
            "version": "4.1.0",
            "chainId": self.chain.chain_id,
            "nftAddress": to_checksum(nft),
            "metadata": {"type": "dataset", "name": name},
            "services": [],
        }
        plain = json.dumps(document).encode()
        content = (bytes([flags]), wrapped(plain, flags), sha256(plain).digest(), [])
        url = "http://127.0.0.1"
        return self._call("ERC721Template", nft, "setMetaData", state, url, NOBODY, *content)

    def set_state(self, nft: str, state: int) -> str:
        return self._call("ERC721Template", nft, "setMetaDataState", state)

    def transfer(self, nft: str, to: str) -> str:
        sender = self.wallet.address
        return self._call("ERC721Template", nft, "transferFrom", sender, to, 1)

    def _call(self, name: str, address: str, function: str, *arguments: object) -> str:
        data = contract(name).call(function, *arguments)
        tx = self.chain.send(self.wallet, to_checksum(address), data)
        receipt = self.chain.receipt(tx)
        assert receipt is not None
        assert receipt["status"] == "0x1", function
        return tx


@pytest.fixture
def publisher(devchain: DevChain) -> Publisher:
    return Publisher(devchain)


@pytest.fixture
async def real_index(devchain: DevChain, database: Database) -> AsyncIterator[AssetIndex]:
    settings = ChainSettings(
        chain_id=devchain.chain_id,
        name="development",
        factory=devchain.addresses["ERC721Factory"].lower(),
        fee_token=devchain.addresses["Ocean"].lower(),
        rpc_urls=(devchain.url,),
        index_from=devchain.addresses["startBlock"],
    )
    async with Web3Chain(settings) as chain:
        access = ChainAccess(settings, chain, Contracts(chain, settings.factory))
        async with AssetIndex(Chains([access]), database, KEY, pace=PACE) as index:
            yield index


async def test_publishing_updating_revoking_and_selling(
    devchain: DevChain, publisher: Publisher, real_index: AssetIndex
) -> None:
    nft = publisher.create("Real rivers")
    did = did_of(nft, devchain.chain_id)
    created = publisher.publish(nft, "first")
    assert await real_index.catch_up()
    asset = await real_index.find(did)
    assert asset is not None
    assert asset.document is not None
    assert asset.document["metadata"]["name"] == "first"
    assert asset.document["event"]["tx"] == created
    nft_facts = asset.document["nft"]
    assert (nft_facts["name"], nft_facts["symbol"]) == ("Real rivers", "SYM")
    assert nft_facts["tokenURI"] == "data:,uri"
    assert nft_facts["owner"] == publisher.wallet.address

    updated = publisher.publish(nft, "second", flags=2)
    publisher.set_state(nft, 3)
    assert await real_index.catch_up()
    asset = await real_index.find(did)
    assert asset is not None
    assert asset.document is not None
    assert (asset.document["metadata"]["name"], asset.tx) == ("second", updated)
    assert asset.state == asset.document["nft"]["state"] == 3


async def test_the_owner_is_the_one_of_the_chain(
    devchain: DevChain, publisher: Publisher, real_index: AssetIndex
) -> None:
    nft = publisher.create("Sold")
    buyer = devchain.accounts[-3].address
    publisher.publish(nft, "sold")
    publisher.transfer(nft, buyer)
    assert await real_index.catch_up()
    asset = await real_index.find(did_of(nft, devchain.chain_id))
    assert asset is not None
    assert asset.reduced["nft"]["owner"] == buyer


async def test_a_look_alike_is_passed_over(
    devchain: DevChain, publisher: Publisher, real_index: AssetIndex
) -> None:
    """It even answers 1 to everything that is asked of it."""
    fake = Lookalike(devchain, publisher.wallet)
    document = json.dumps({"id": did_of(fake.address, devchain.chain_id)}).encode()
    fake.emit(
        metadata_created(
            publisher.wallet.address,
            data=document,
            metadata_hash=sha256(document).digest(),
            timestamp=devchain.now,
        )
    )
    assert await real_index.catch_up()
    assert await real_index.find(did_of(fake.address, devchain.chain_id)) is None


async def test_what_the_chain_takes_back_is_taken_back(
    devchain: DevChain, publisher: Publisher, real_index: AssetIndex
) -> None:
    kept = publisher.create("Kept")
    publisher.publish(kept, "kept")
    with devchain.undone():
        lost = publisher.create("Lost")
        publisher.publish(lost, "lost")
        publisher.publish(kept, "changed")
        assert await real_index.catch_up()
        assert await real_index.find(did_of(lost, devchain.chain_id)) is not None
    devchain.mine()
    assert await real_index.catch_up()
    assert await real_index.find(did_of(lost, devchain.chain_id)) is None
    new = publisher.create("New")
    publisher.publish(new, "new")
    assert await real_index.catch_up()
    for nft, name in ((kept, "kept"), (new, "new")):
        asset = await real_index.find(did_of(nft, devchain.chain_id))
        assert asset is not None
        assert asset.document is not None
        assert asset.document["metadata"]["name"] == name


async def test_a_fresh_database_finds_all_again(
    devchain: DevChain, publisher: Publisher, real_index: AssetIndex
) -> None:
    word = f"again{uuid.uuid4().hex}"
    for number in range(3):
        nft = publisher.create(f"{word} {number}")
        publisher.publish(nft, f"{word} {number}")
    assert await real_index.catch_up()
    assert (await real_index.search(Query(text=word))).total == 3

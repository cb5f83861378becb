"""A service that indexes nothing itself and asks a metadata cache, which tells the truth,
lies, or is silent. The cache is the Aquarius API of another service, meddled with."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import ecies
import pytest
import pytest_asyncio
from aiohttp import web
from live_market import (
    CONSUMER,
    OTHER,
    PUBLISHER,
    ROWS,
    STRANGER,
    Origin,
    files,
    offers,
    serving,
    settings_of,
)
from live_parties import Party, algorithm, code_of, dataset, named, parties, raw, sell, service
from support.consumer import Refused
from support.devchain import DevChain
from support.service import Service, dataset_document

from provider.client import Dataset, Published, RefusedError

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

Json = dict[str, Any]
PRINT = "cat /data/inputs/*/0 > /data/outputs/rows.csv"
DIFFERS = "The asset's document differs from the chain's."
OF_ANOTHER_ASSET = "The metadata cache's document belongs to another asset."


class Meddler:
    """Passes a cache's documents on, some of them changed, some replaced, or none at all."""

    def __init__(self, cache: str) -> None:
        self.changes: dict[str, Callable[[Json], None]] = {}
        self.own: dict[str, Json] = {}
        self.asked: list[str] = []
        self.silent = False
        self.url = ""
        self._cache = cache
        app = web.Application()
        app.router.add_get("/api/aquarius/assets/ddo/{did}", self._document)
        self._runner = web.AppRunner(app)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _document(self, request: web.Request) -> web.Response:
        did = request.match_info["did"]
        self.asked.append(did)
        if self.silent:
            return web.Response(status=502)
        if did in self.own:
            return web.json_response(self.own[did])
        async with (
            aiohttp.ClientSession() as session,
            session.get(self._cache + request.path) as answer,
        ):
            document = await answer.json()
            if did in self.changes:
                self.changes[did](document)
            return web.json_response(document, status=answer.status)


@dataclass
class Shop:
    """``publisher`` sells through the service with an index, ``consumer`` buys and computes
    through the one without."""

    chain: DevChain
    origin: Origin
    cache: Meddler
    publisher: Party
    intruder: Party
    consumer: Party
    trusted: Published

    async def sell(self, name: str, *, wait: bool = True, **compute: Any) -> Published:
        draft = dataset(name, service(self.origin, **compute))
        return await sell(self.publisher, draft, self.consumer, wait=wait)

    async def compute(self, asset: Published, code: Any) -> dict[str, str]:
        """The results of a job that orders what it needs."""
        client = self.consumer.client
        job = await self.consumer.finish(
            await client.start("free", named(asset), code, pay=self.consumer.wallet, duration_s=60)
        )
        assert job.succeeded, job
        return await self.consumer.results(job)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(devchain: DevChain, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    folder = tmp_path_factory.mktemp("cached")
    indexing, asking = Service(folder / "indexing"), Service(folder / "asking")
    for each in (indexing, asking):
        each.environments(*offers(devchain))
    async with files() as origin, serving(indexing, **settings_of(devchain)):
        cache = Meddler(indexing.url)
        await cache.start()
        settings = settings_of(devchain, INDEX_FROM_BLOCK="off", AQUARIUS_URL=cache.url + "/")
        async with (
            serving(asking, **settings),
            parties(devchain, indexing, PUBLISHER, STRANGER) as (publisher, intruder),
            parties(devchain, asking, CONSUMER, metadata_url=indexing.url) as (consumer,),
        ):
            count = algorithm("Count", service(origin, "access", "count.sh"))
            trusted = await sell(publisher, count, consumer)
            yield Shop(devchain, origin, cache, publisher, intruder, consumer, trusted)
        await cache.stop()


async def _quote_refused(shop: Shop, asset: Published, code: Any) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        await shop.consumer.client.initialize_compute("free", named(asset), code, duration_s=60)
    return refused.value


async def test_assets_of_an_honest_cache_are_ordered_and_computed_on(shop: Shop) -> None:
    asset = await shop.sell("Honest", publisherTrustedAlgorithms=[{"did": shop.trusted.did}])
    found = await shop.compute(asset, code_of(shop.trusted))
    assert found["rows.csv"] == ROWS
    assert {asset.did, shop.trusted.did} <= set(shop.cache.asked)


async def test_terms_that_the_cache_loosened_are_the_chains_nevertheless(shop: Shop) -> None:
    """The publisher allows no raw code; the cache says that he does."""
    asset = await shop.sell("Strict", allowRawAlgorithm=False)

    def loosen(document: Json) -> None:
        document["services"][0]["compute"]["allowRawAlgorithm"] = True

    shop.cache.changes[asset.did] = loosen
    refused = await _quote_refused(shop, asset, raw(PRINT))
    assert (refused.status, refused.code) == (400, "no_raw_algo_allowed")
    assert asset.did in shop.cache.asked


async def test_files_that_the_cache_exchanged_are_the_chains_nevertheless(shop: Shop) -> None:
    asset = await shop.sell("Exchanged", allowRawAlgorithm=True)
    other = await shop.sell("Another", allowRawAlgorithm=True, wait=False)

    def exchange(document: Json) -> None:
        document["services"][0]["files"] = other.document["services"][0]["files"]

    shop.cache.changes[asset.did] = exchange
    assert (await shop.compute(asset, raw(PRINT)))["rows.csv"] == ROWS


async def test_an_owner_that_the_cache_made_up_is_not_believed(shop: Shop) -> None:
    """The dataset trusts its publisher's algorithms; an intruder's is told to be one."""
    trusts = [shop.publisher.address]
    asset = await shop.sell("For friends", publisherTrustedAlgorithmPublishers=trusts)
    draft = algorithm("Intruder", service(shop.origin, "access", "count.sh"))
    intruder = await sell(shop.intruder, draft, shop.consumer)

    def adopt(document: Json) -> None:
        document["nft"]["owner"] = shop.publisher.address

    shop.cache.changes[intruder.did] = adopt
    refused = await _quote_refused(shop, asset, code_of(intruder))
    assert (refused.status, refused.code) == (400, "not_trusted_algo_publisher")
    assert (await shop.compute(asset, code_of(shop.trusted)))["rows.csv"] == ROWS


async def test_a_revoked_state_that_the_cache_hides_counts(shop: Shop) -> None:
    asset = await shop.sell("Revoked", allowRawAlgorithm=True)
    await shop.publisher.wallet.set_metadata_state(asset.nft, 3)
    kept = dict(asset.document)
    shop.cache.own[asset.did] = {**kept, "nft": {"state": 0, "owner": shop.publisher.address}}
    refused = await _quote_refused(shop, asset, raw(PRINT))
    assert refused.status == 400
    assert refused.code == "ASSET_DISABLED"


async def test_an_asset_in_purgatory_is_disabled(shop: Shop) -> None:
    """That is the one thing which no chain knows."""
    asset = await shop.sell("Banned", allowRawAlgorithm=True)

    def ban(document: Json) -> None:
        document["purgatory"] = {"state": True, "reason": "stolen"}

    shop.cache.changes[asset.did] = ban
    refused = await _quote_refused(shop, asset, raw(PRINT))
    assert (refused.status, refused.code) == (400, "ASSET_DISABLED")


async def test_the_document_of_another_asset_is_refused(shop: Shop) -> None:
    asset = await shop.sell("Mistaken", allowRawAlgorithm=True, wait=False)
    shop.cache.own[asset.did] = dict(shop.trusted.document)
    refused = await _quote_refused(shop, asset, raw(PRINT))
    assert refused.status == 400
    assert OF_ANOTHER_ASSET in str(refused)


async def test_a_changed_document_that_our_key_does_not_open_is_refused(shop: Shop) -> None:
    """Sealed to another provider, only the hash on the chain can tell. It does."""
    told, true = await _sealed_elsewhere(shop)
    shop.cache.own[told] = {**true, "metadata": {**true["metadata"], "author": "somebody else"}}
    with pytest.raises(Refused) as refused:
        await _described(shop, told)
    assert (refused.value.status, refused.value.body) == (400, {"error": DIFFERS})
    shop.cache.own[told] = true
    [info] = await _described(shop, told)
    assert info["valid"] is True


async def _described(shop: Shop, did: str) -> Any:
    body = {"did": did, "serviceId": "compute"}
    return await shop.consumer.plain.call("POST", "/api/services/fileinfo", json=body)


async def _sealed_elsewhere(shop: Shop) -> tuple[str, Json]:
    """An asset whose document only another provider opens, with files that are for all."""
    wallet = shop.publisher.wallet
    nft = await wallet.publish_nft("Sealed", "DATA")
    datatoken = await wallet.create_datatoken(nft, "Sealed", "DT")
    did = wallet.did_of(nft, shop.chain.chain_id)
    plain = [{"type": "url", "url": f"{shop.origin.url}/rows.csv", "method": "GET"}]
    document = dataset_document(did, plain) | {"nftAddress": nft, "version": "4.1.0"}
    document["services"][0]["datatokenAddress"] = datatoken
    content = json.dumps(document, separators=(",", ":")).encode()
    key = shop.chain.accounts[OTHER]._key_obj.public_key.to_bytes()
    await wallet.set_metadata(
        nft,
        state=0,
        decryptor_url="http://127.0.0.1:9",
        decryptor_address=shop.chain.accounts[OTHER].address,
        flags=b"\x03",
        data=ecies.encrypt(key, lzma.compress(content)),
        metadata_hash=hashlib.sha256(content).digest(),
    )
    return did, document


async def test_a_cache_that_is_silent_is_a_passing_fault(shop: Shop) -> None:
    asset = await shop.sell("Unseen", allowRawAlgorithm=True, wait=False)
    shop.cache.silent = True
    body = shop.consumer.start_body("free", Dataset(asset.did))
    with pytest.raises(Refused) as refused:
        await shop.consumer.plain.call("POST", "/api/services/compute", json=body)
    assert refused.value.status == 503
    shop.cache.silent = False
    assert (await shop.compute(asset, raw(PRINT)))["rows.csv"] == ROWS

"""The endpoints over a real index: what real clients read of them, and hostile callers."""

from __future__ import annotations

import asyncio
import io
import json
from hashlib import sha256
from typing import Any

import pytest
from aquarius_documents import (
    CHAIN,
    KEY,
    NFT,
    OTHER_NFT,
    OWNER,
    World,
    algorithm,
    changed,
    compact,
    document,
)
from standin_cache import Client, Serve

from provider.assets.index import AssetIndex
from provider.assets.published import did_of
from provider.auth.keccak import keccak256
from provider.auth.signatures import recover, to_checksum
from provider.chain import fake_events

DID, OTHER = did_of(NFT, CHAIN), did_of(OTHER_NFT, CHAIN)
ASSETS = "/api/aquarius/assets"
OCTETS = {"Content-Type": "application/octet-stream"}


async def get(client: Client, path: str) -> tuple[int, Any]:
    async with client.get(path) as answer:
        assert answer.content_type == "application/json"
        return answer.status, await answer.json()


async def post(client: Client, path: str, body: Any) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client.post(ASSETS + path, data=io.BytesIO(content), headers=OCTETS) as answer:
        assert answer.content_type == "application/json"
        return answer.status, await answer.json()


async def found(client: Client, body: dict[str, Any]) -> list[str]:
    status, answer = await post(client, "/query", body)
    assert status == 200, answer
    hits = answer["hits"]
    assert hits["total"]["value"] >= len(hits["hits"])
    assert all(hit["_id"] == hit["_source"]["id"] for hit in hits["hits"])
    return [hit["_id"] for hit in hits["hits"]]


async def test_an_unknown_asset_is_told_in_the_text_that_ocean_py_looks_for(
    client: Client,
) -> None:
    status, answer = await get(client, f"{ASSETS}/ddo/{DID}")
    assert status == 404
    assert answer == {"error": f"Asset DID {DID} not found in Elasticsearch"}


async def test_an_asset_is_served_the_moment_it_is_published(world: World, client: Client) -> None:
    await get(client, f"{ASSETS}/ddo/{DID}")
    tx = world.publish(compact(document()), flags=3)
    status, answer = await get(client, f"{ASSETS}/ddo/{DID}")
    assert status == 200
    assert {name: answer[name] for name in document()} == document()
    assert answer["nft"]["owner"] == OWNER
    assert answer["nft"]["address"] == NFT
    assert answer["nft"]["state"] == 0
    assert answer["event"]["tx"] == answer["event"]["txid"] == tx
    assert [each["serviceId"] for each in answer["datatokens"]] == ["0", "1"]
    assert answer["purgatory"]["state"] is False


async def test_the_metadata_alone(world: World, client: Client) -> None:
    world.publish(compact(document()))
    assert await get(client, f"{ASSETS}/metadata/{DID}") == (200, document()["metadata"])
    status, answer = await get(client, f"{ASSETS}/metadata/{OTHER}")
    assert (status, OTHER in answer["error"]) == (404, True)


@pytest.mark.parametrize("state", [1, 2, 3])
async def test_of_a_withdrawn_asset_only_its_place_is_shown(
    world: World, index: AssetIndex, client: Client, state: int
) -> None:
    world.publish(compact(document()))
    await get(client, f"{ASSETS}/ddo/{DID}")
    world.chain.transact(fake_events.metadata_state(NFT, state=state))
    assert await index.catch_up()
    status, answer = await get(client, f"{ASSETS}/ddo/{DID}")
    assert (status, answer["id"], answer["nft"]["state"]) == (200, DID, state)
    assert "event" in answer
    assert "services" not in answer
    assert "metadata" not in answer
    assert (await get(client, f"{ASSETS}/metadata/{DID}"))[0] == 404


async def test_what_cannot_be_read_is_not_found_and_says_why(world: World, client: Client) -> None:
    world.publish(compact(document()), metadata_hash="00" * 32)
    status, answer = await get(client, f"{ASSETS}/ddo/{DID}")
    assert status == 404
    assert answer["error"] == f"Asset DID {DID} not found in Elasticsearch"
    assert answer["problem"] == "Checksum doesn't match."


async def test_files_that_a_publisher_forgot_to_seal_are_not_shown(
    world: World, client: Client
) -> None:
    files = [{"type": "url", "url": "https://secret.example.com/x", "method": "GET"}]
    whole = changed(document(), "services.0.files", files)
    world.publish(compact(whole), flags=2)
    _, answer = await get(client, f"{ASSETS}/ddo/{DID}")
    assert "secret" not in json.dumps(answer)
    assert answer["services"][1]["files"] == document()["services"][1]["files"]


@pytest.mark.parametrize(
    "did", ["x", "did:op:", "%00", "%ff", "a" * 5000, "did:op:%0a", "%7Bdid%7D", "%2e%2e"]
)
async def test_what_is_no_did_is_not_found_shortly(client: Client, did: str) -> None:
    async with client.get(f"{ASSETS}/ddo/{did}") as answer:
        assert answer.status == 404
        assert len(await answer.read()) < 1000


async def test_characters_that_no_utf8_can_carry_get_through(world: World, client: Client) -> None:
    content = compact(document()).replace(b"Rainfall", b"Rain\\ud800fall \\u0000 \xe6\xb0\xb4")
    world.publish(content)
    status, answer = await get(client, f"{ASSETS}/ddo/{DID}")
    assert (status, answer["metadata"]["name"]) == (200, "Rain\ud800fall \0 水")


async def test_two_slashes_in_front_count_as_one(world: World, client: Client) -> None:
    world.publish(compact(document()))
    base = str(client.make_url("/"))
    for path, status in ((f"/ddo/{DID}", 200), (f"/ddo/{OTHER}", 404), ("/other", 404)):
        async with client.session.get(base + ASSETS + path) as answer:
            assert answer.status == status


async def test_no_other_methods(client: Client) -> None:
    for method in ("POST", "PUT", "DELETE"):
        async with client.request(method, f"{ASSETS}/ddo/{DID}") as answer:
            assert answer.status == 405
    async with client.get(f"{ASSETS}/query") as answer:
        assert answer.status == 405


async def test_without_a_look_at_any_chain_nothing_is_called_unknown(
    world: World, client: Client
) -> None:
    world.chain.unreachable = True
    status, answer = await get(client, f"{ASSETS}/ddo/{DID}")
    assert status == 503
    assert "not found in Elasticsearch" not in answer["error"]


async def test_a_chain_that_falls_silent_later_leaves_what_is_indexed(
    world: World, client: Client
) -> None:
    world.publish(compact(document()))
    assert (await get(client, f"{ASSETS}/ddo/{DID}"))[0] == 200
    world.chain.unreachable = True
    world.now += 3600
    assert (await get(client, f"{ASSETS}/ddo/{DID}"))[0] == 200
    assert (await get(client, f"{ASSETS}/ddo/{OTHER}"))[0] == 404


@pytest.mark.parametrize("content", [compact(document()), compact(algorithm(), escaped=False)])
async def test_a_fit_document_gets_a_proof_over_its_very_bytes(
    client: Client, content: bytes
) -> None:
    status, answer = await post(client, "/ddo/validate", content)
    assert status == 200
    assert set(answer) == {"hash", "publicKey", "v", "r", "s"}
    assert answer["hash"] == "0x" + sha256(content).hexdigest()
    assert answer["publicKey"] == KEY.address
    digest = keccak256(b"\x19Ethereum Signed Message:\n32" + sha256(content).digest())
    signature = answer["r"][0] + answer["s"][0][2:] + f"{answer['v']:02x}"
    assert to_checksum(recover(digest, signature)) == KEY.address


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b'{"services":[' + b"{}," * 300_000 + b"{}]}",
        compact(document()).replace(b"3600", b"NaN"),
        compact(document(chainId=1)),
        compact(changed(document(), "services.0.files", "")),
    ],
)
async def test_an_unfit_document_gets_faults_and_no_proof(client: Client, content: bytes) -> None:
    status, answer = await post(client, "/ddo/validate", content)
    assert status == 400
    assert answer["errors"]
    assert all(set(fault) == {"path", "message"} for fault in answer["errors"])
    assert "hash" not in answer


async def test_a_document_beyond_the_limit_of_requests_is_refused(client: Client) -> None:
    status, answer = await post(client, "/ddo/validate", b" " * (1 << 20) + b"{}")
    assert (status, answer["error"]) == (413, "The request is too large.")


@pytest.fixture
async def stocked(world: World, client: Client) -> Client:
    world.publish(compact(document()))
    world.publish(compact(algorithm()), OTHER_NFT)
    async with asyncio.timeout(30):
        while set(await found(client, {})) != {DID, OTHER}:
            await get(client, f"{ASSETS}/ddo/{OTHER}")
    return client


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {DID, OTHER}),
        ({"query": {"match_all": {}}}, {DID, OTHER}),
        ({"query": {"term": {"metadata.type": "algorithm"}}}, {OTHER}),
        ({"query": {"bool": {"filter": [{"term": {"chainId": CHAIN}}]}}}, {DID, OTHER}),
        ({"query": {"term": {"chainId": 137}}}, set()),
        ({"query": {"terms": {"_id": [DID]}}}, {DID}),
        ({"query": {"query_string": {"query": DID.replace(":", "\\:")}}}, {DID}),
        ({"query": {"query_string": {"query": "rainfall"}}}, {DID}),
        ({"text": "Mean"}, {OTHER}),
        ({"text": "100%_"}, set()),
        ({"query": {"term": {"nft.state": 3}}}, set()),
        ({"query": {"terms": {"_id": []}}}, set()),
        ({"from": 2}, set()),
        ({"size": 0}, set()),
    ],
)
async def test_queries(stocked: Client, body: dict[str, Any], expected: set[str]) -> None:
    assert set(await found(stocked, body)) == expected


async def test_pages_of_a_query_come_in_order(stocked: Client) -> None:
    oldest = {"sort": {"nft.created": "asc"}, "size": 1}
    pages = [await found(stocked, {**oldest, "from": number}) for number in range(3)]
    assert [len(page) for page in pages] == [1, 1, 0]
    assert pages[0] != pages[1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"query":' * 40 + b"1" + b"}" * 40,
        b'{"a":[' + b"1," * 60_000 + b"1]}",
        {"price": [0, 10]},
        {"query": {"bool": {"must": [{"match_all": {}}] * 1000}}},
        {"query": {"script": "x"}},
        {"size": -1},
    ],
)
async def test_queries_that_are_none_are_refused(stocked: Client, body: Any) -> None:
    status, answer = await post(stocked, "/query", body)
    assert status == 400
    assert isinstance(answer["error"], str)


async def test_an_index_that_is_not_running_answers_too(
    serve: Serve, world: World, database: Any
) -> None:
    resting = AssetIndex(world.chains, database, KEY)
    client = await serve(resting)
    assert await found(client, {}) == []

"""Opening documents for those who keep indexes, and sealing them."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
from typing import Any

import pytest
from access_world import (
    ALICE,
    BOB,
    CHAIN_ID,
    DATATOKEN,
    MALLORY,
    NFT,
    PROVIDER,
    MakeWorld,
    World,
    document,
    sealed,
    service,
    sign,
    token,
)

from provider.assets.encryption import decrypt, encrypt
from provider.assets.published import MAX_DOCUMENT_BYTES, MAX_PUBLISHED_BYTES, did_of
from provider.auth.signatures import to_checksum
from provider.chain import fake_events
from provider.keys import ProviderKey

OTHER_NFT = to_checksum("0x" + "b1" * 20)
DOCUMENT = json.dumps(document(service(sealed([])))).encode()
PLAIN, PACKED, SEALED, BOTH = 0, 1, 2, 3


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def treated(content: bytes, flags: int) -> bytes:
    """Content as publishers put it on chain."""
    if flags & PACKED:
        content = lzma.compress(content)
    if flags & SEALED:
        content = bytes.fromhex(encrypt(PROVIDER.public_key, content)[2:])
    return content


def publish(
    world: World, content: bytes = DOCUMENT, flags: int = BOTH, nft: str = NFT, **changes: Any
) -> str:
    facts: dict[str, Any] = {
        "data": treated(content, flags),
        "metadata_hash": digest(content),
        "flags": bytes([flags]),
        **changes,
    }
    return world.chain.transact(fake_events.metadata(nft, **facts))


def body(
    world: World, key: ProviderKey = ALICE, tx: str = "", nft: str = NFT, **changes: Any
) -> dict[str, Any]:
    """A signed request; by transaction, or with the document in ``changes``."""
    nonce = changes.pop("nonce", None) or world.nonce(key)
    chain_id = changes.get("chainId", CHAIN_ID)
    fields: dict[str, Any] = {
        "decrypterAddress": key.address,
        "chainId": chain_id,
        "dataNftAddress": nft,
        "nonce": str(nonce),
        "signature": sign(key, f"{tx or nft}{key.address}{chain_id}{nonce}"),
        **({"transactionId": tx} if tx else {}),
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def given(content: bytes, flags: int = BOTH) -> dict[str, Any]:
    return {
        "encryptedDocument": "0x" + treated(content, flags).hex(),
        "flags": flags,
        "documentHash": "0x" + digest(content),
    }


@pytest.mark.parametrize("flags", [PLAIN, PACKED, SEALED, BOTH])
async def test_the_document_of_a_transaction_comes_out_byte_by_byte(
    world: World, flags: int
) -> None:
    tx = publish(world, flags=flags)
    answer = await world.client.post("/api/services/decrypt", json=body(world, tx=tx))
    assert answer.status == 201
    assert answer.content_type == "text/plain"
    assert await answer.read() == DOCUMENT


@pytest.mark.parametrize("flags", [PLAIN, PACKED, SEALED, BOTH])
async def test_a_document_that_is_sent_along_comes_out(world: World, flags: int) -> None:
    request = body(world, **given(DOCUMENT, flags))
    assert await world.call("POST", "decrypt", json=request) == (201, DOCUMENT)


async def test_of_two_documents_in_one_transaction_the_created_one_counts(world: World) -> None:
    update = json.dumps(document(version="4.5.0")).encode()
    events = [
        fake_events.metadata(
            NFT, data=content, metadata_hash=digest(content), created=created, flags=b"\0"
        )
        for content, created in ((update, False), (DOCUMENT, True))
    ]
    request = body(world, tx=world.chain.transact(*events))
    assert await world.call("POST", "decrypt", json=request) == (201, DOCUMENT)


async def test_an_update_is_opened_where_there_is_no_creation(world: World) -> None:
    tx = publish(world, created=False)
    assert (await world.call("POST", "decrypt", json=body(world, tx=tx)))[0] == 201


async def test_only_listed_wallets_may_ask_in_any_casing(make_world: MakeWorld) -> None:
    world = await make_world(decrypters=(ALICE.address.lower(),))
    tx = publish(world)
    status, answer = await world.call("POST", "decrypt", json=body(world, MALLORY, tx))
    assert (status, answer) == (403, {"error": "Decrypter not authorized"})
    assert (await world.call("POST", "decrypt", json=body(world, ALICE, tx)))[0] == 201


async def test_nobody_asks_in_the_name_of_a_listed_wallet(make_world: MakeWorld) -> None:
    world = await make_world(decrypters=(ALICE.address.lower(),))
    request = body(world, MALLORY, publish(world), decrypterAddress=ALICE.address)
    status, answer = await world.call("POST", "decrypt", json=request)
    assert status == 400
    assert "signature" in answer["errors"]


async def test_a_request_is_good_once(world: World) -> None:
    request = body(world, tx=publish(world))
    assert (await world.call("POST", "decrypt", json=request))[0] == 201
    status, answer = await world.call("POST", "decrypt", json=request)
    assert status == 400
    assert "current nonce" in answer["errors"]["signature"]


async def test_the_nonce_of_a_refused_request_is_good_for_the_next(world: World) -> None:
    world.chain.unreachable = True
    request = body(world, tx=publish(world))
    status, answer = await world.call("POST", "decrypt", json=request)
    assert status == 503
    assert "try again" in answer["error"]
    world.chain.unreachable = False
    assert (await world.call("POST", "decrypt", json=request))[0] == 201


async def test_an_nft_of_somebody_elses_factory(world: World) -> None:
    status, answer = await world.call(
        "POST", "decrypt", json=body(world, tx=publish(world, nft=OTHER_NFT), nft=OTHER_NFT)
    )
    assert (status, answer) == (400, {"error": "Asset not deployed by the data NFT factory."})


async def test_a_chain_that_is_not_followed(world: World) -> None:
    request = body(world, tx=publish(world), chainId=137)
    status, answer = await world.call("POST", "decrypt", json=request)
    assert (status, answer) == (400, {"error": "Unsupported chain ID 137"})


@pytest.mark.parametrize(
    ("state", "status", "text"),
    [
        (1, 403, "Asset end of life"),
        (2, 403, "Asset deprecated"),
        (3, 403, "Asset revoked"),
        (6, 400, "Invalid MetadataState"),
        (None, 400, "Invalid MetadataState"),
    ],
)
async def test_states_that_close_an_asset(
    world: World, state: int | None, status: int, text: str
) -> None:
    world.chain.publish("0x" + "fa" * 20, NFT, state=state)
    request = body(world, tx=publish(world))
    assert await world.call("POST", "decrypt", json=request) == (status, {"error": text})


@pytest.mark.parametrize("state", [0, 4, 5])
async def test_states_whose_documents_may_be_read(world: World, state: int) -> None:
    world.chain.publish("0x" + "fa" * 20, NFT, state=state)
    assert (await world.call("POST", "decrypt", json=body(world, tx=publish(world))))[0] == 201


async def test_transactions_that_published_nothing_here(world: World) -> None:
    foreign = publish(world, nft=OTHER_NFT)
    reverted = world.chain.transact(succeeded=False, to=NFT)
    for tx in (foreign, reverted, "0x" + "77" * 32):
        status, answer = await world.call("POST", "decrypt", json=body(world, tx=tx))
        assert (status, answer) == (400, {"error": "Failed to process transaction id."})


async def test_a_transaction_that_is_not_in_a_block_yet(world: World) -> None:
    event = fake_events.metadata(NFT, data=DOCUMENT, metadata_hash=digest(DOCUMENT), flags=b"\0")
    tx = world.chain.transact(event, mined=False)
    status, answer = await world.call("POST", "decrypt", json=body(world, tx=tx))
    assert status == 400
    assert "confirmations" in answer["error"]


async def test_a_document_that_is_not_the_one_of_the_hash(world: World) -> None:
    tx = publish(world, metadata_hash="00" * 32)
    status, answer = await world.call("POST", "decrypt", json=body(world, tx=tx))
    assert (status, answer) == (400, {"error": "Checksum doesn't match."})


async def test_a_document_of_another_asset(world: World) -> None:
    stolen = json.dumps(document(did=did_of(OTHER_NFT, CHAIN_ID), nftAddress=OTHER_NFT)).encode()
    for request in (body(world, tx=publish(world, stolen)), body(world, **given(stolen))):
        status, answer = await world.call("POST", "decrypt", json=request)
        assert status == 400
        assert "another asset" in answer["error"]


async def test_sealed_files_never_come_out(world: World) -> None:
    """Not even for one who knows their hash, and not under an asset of his own."""
    secret = "http://origin.example/secret"
    listed = [{"type": "url", "url": secret}]
    bound = {"nftAddress": NFT, "datatokenAddress": DATATOKEN, "files": listed}
    for content in (json.dumps(listed).encode(), json.dumps(bound).encode()):
        for request in (
            body(world, tx=publish(world, content, SEALED)),
            body(world, **given(content, SEALED)),
        ):
            status, answer = await world.call("POST", "decrypt", json=request)
            assert status == 400
            assert secret not in json.dumps(answer)


async def test_sealed_files_under_the_hash_of_the_document(world: World) -> None:
    blob = sealed([{"type": "url", "url": "http://origin.example/"}])
    told: dict[str, Any] = {
        "encryptedDocument": blob,
        "flags": SEALED,
        "documentHash": digest(DOCUMENT),
    }
    status, answer = await world.call("POST", "decrypt", json=body(world, **told))
    assert (status, answer) == (400, {"error": "Checksum doesn't match."})


async def test_a_bomb_is_not_unpacked(world: World) -> None:
    bomb = bytes(MAX_DOCUMENT_BYTES * 16)
    request = body(world, **given(bomb, PACKED))
    status, answer = await world.call("POST", "decrypt", json=request)
    assert (status, answer) == (400, {"error": "Failed to decompress"})


async def test_what_cannot_be_opened(world: World) -> None:
    rubbish: dict[str, Any] = {"encryptedDocument": "0x" + "ab" * 200, "documentHash": "00" * 32}
    for flags, text in ((SEALED, "Failed to decrypt."), (PACKED, "Failed to decompress")):
        request = body(world, flags=flags, **rubbish)
        assert await world.call("POST", "decrypt", json=request) == (400, {"error": text})
    another = encrypt(BOB.public_key, DOCUMENT)
    request = body(world, encryptedDocument=another, flags=SEALED, documentHash=digest(DOCUMENT))
    status, answer = await world.call("POST", "decrypt", json=request)
    assert (status, answer) == (400, {"error": "Failed to decrypt."})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"decrypterAddress": None}, "decrypterAddress"),
        ({"chainId": "mainnet"}, "chainId"),
        ({"dataNftAddress": None}, "dataNftAddress"),
        ({"dataNftAddress": "0x12"}, "dataNftAddress"),
        ({"transactionId": "0x12"}, "transactionId"),
        ({"nonce": "soon"}, "nonce"),
        ({"signature": None}, "signature"),
        ({"signature": "0x12"}, "signature"),
        ({"transactionId": None}, "encryptedDocument"),
    ],
)
async def test_malformed_requests_name_the_field(
    world: World, changes: dict[str, Any], field: str
) -> None:
    request = body(world, tx=publish(world)) | changes
    request = {name: value for name, value in request.items() if value is not None}
    status, answer = await world.call("POST", "decrypt", json=request)
    assert status == 400
    assert field in answer["errors"]


async def test_flags_that_nobody_sets(world: World) -> None:
    request = body(world, **given(DOCUMENT)) | {"flags": 256}
    status, answer = await world.call("POST", "decrypt", json=request)
    assert (status, list(answer["errors"])) == (400, ["flags"])


async def test_a_token_stands_for_a_signature(world: World) -> None:
    request = body(world, tx=publish(world))
    del request["signature"]
    headers = {"AuthToken": token(ALICE)}
    assert (await world.call("POST", "decrypt", json=request, headers=headers))[0] == 201
    request["nonce"] = str(world.nonce(ALICE))
    headers = {"AuthToken": token(MALLORY)}
    assert (await world.call("POST", "decrypt", json=request, headers=headers))[0] == 400


@pytest.mark.parametrize("changes", [{"documentHash": "0xzz"}, {"encryptedDocument": "0xabc"}])
async def test_what_is_not_hexadecimal(world: World, changes: dict[str, Any]) -> None:
    request = body(world, **(given(DOCUMENT) | changes))
    status, answer = await world.call("POST", "decrypt", json=request)
    assert (status, answer) == (400, {"error": "Failed to convert input args to bytes."})


OCTETS = {"Content-Type": "application/octet-stream"}


async def test_what_is_sealed_opens_again(world: World) -> None:
    async with world.client.post(
        "/api/services/encrypt", params={"chainId": "8996"}, data=DOCUMENT, headers=OCTETS
    ) as answer:
        assert (answer.status, answer.content_type) == (201, "text/plain")
        blob = await answer.text()
    assert blob.startswith("0x04")
    assert decrypt(PROVIDER, blob) == DOCUMENT


async def test_26_megabytes_are_too_many_to_seal(world: World) -> None:
    status, answer = await world.call(
        "POST",
        "encrypt",
        params={"chainId": "8996"},
        data=io.BytesIO(bytes(26 << 20)),
        headers=OCTETS,
    )
    assert (status, answer) == (413, {"error": "The request is too large."})


async def test_more_than_a_document_is_not_sealed_whatever_requests_may_hold(
    make_world: MakeWorld,
) -> None:
    world = await make_world(max_body=32 << 20)
    content = io.BytesIO(bytes(MAX_PUBLISHED_BYTES + 1))
    status, _ = await world.call(
        "POST", "encrypt", params={"chainId": "8996"}, data=content, headers=OCTETS
    )
    assert status == 413


@pytest.mark.parametrize("chain_id", ["137", "8996.0", "mainnet", "9" * 5000])
async def test_sealing_for_a_chain_that_is_not_followed(world: World, chain_id: str) -> None:
    status, answer = await world.call(
        "POST", "encrypt", params={"chainId": chain_id}, data=b"{}", headers=OCTETS
    )
    assert status == 400
    assert answer["error"].startswith("Unsupported chain ID")
    assert len(answer["error"]) < 100


async def test_without_chains_any_may_be_named(make_world: MakeWorld) -> None:
    world = await make_world(with_chain=False)
    status, _ = await world.call(
        "POST", "encrypt", params={"chainId": "137"}, data=b"{}", headers=OCTETS
    )
    assert status == 201


async def test_how_sealing_is_asked_for(world: World) -> None:
    status, answer = await world.call("POST", "encrypt", data=b"{}", headers=OCTETS)
    assert (status, answer) == (400, {"error": "Missing chainId query parameter."})
    typed = {"Content-Type": "application/octet-stream; charset=utf-8"}
    status, answer = await world.call(
        "POST", "encrypt", params={"chainId": "8996"}, data=b"{}", headers=typed
    )
    assert status == 400
    assert answer["error"].startswith("Invalid request content type")

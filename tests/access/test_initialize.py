"""What has to be ordered for a download, and who is offered it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from access_world import (
    ALICE,
    BOB,
    CONSORTIUM,
    CONTENT,
    DATATOKEN,
    DID,
    DOWNLOADER,
    FACTORY,
    FEE_TOKEN,
    MALLORY,
    NFT,
    NO_ORDER,
    PROVIDER,
    World,
    document,
    sealed,
    service,
)

from provider.auth.signatures import to_checksum


@pytest.fixture
def published(world: World) -> World:
    world.add_url(world.origin.serve("/data.csv", CONTENT))
    return world


async def test_a_new_order(published: World) -> None:
    status, answer = await published.initialize()
    assert status == 200
    assert set(answer) == {"datatoken", "nonce", "providerFee"}
    assert (answer["datatoken"], answer["nonce"]) == (DATATOKEN, "1")
    fee = answer["providerFee"]
    assert fee["providerFeeAddress"] == PROVIDER.address
    assert fee["providerFeeToken"] == to_checksum(FEE_TOKEN)
    assert (fee["providerFeeAmount"], fee["validUntil"]) == ("0", 0)
    terms = json.loads(bytes.fromhex(fee["providerData"][2:]))
    assert list(terms)[:4] == ["environment", "timestamp", "dt", "id"]
    assert (terms["environment"], terms["dt"], terms["id"]) == (None, DATATOKEN, "0")


async def test_an_order_that_still_gives_access(published: World) -> None:
    tx = await published.order()
    assert await published.initialize(transferTxId=tx) == (200, {"validOrder": tx})


async def test_an_order_that_has_run_out_needs_a_new_one(published: World) -> None:
    tx = await published.order()
    published.now[0] += 3601
    status, answer = await published.initialize(transferTxId=tx)
    assert status == 200
    assert set(answer) == {"datatoken", "nonce", "providerFee"}


async def test_somebody_elses_order_is_no_order(published: World) -> None:
    tx = await published.order(BOB)
    status, answer = await published.initialize(ALICE, transferTxId=tx)
    assert status == 200
    assert "validOrder" not in answer


async def test_an_unknown_transaction_is_no_order(published: World) -> None:
    status, answer = await published.initialize(transferTxId="0x" + "77" * 32)
    assert status == 200
    assert "providerFee" in answer


async def test_the_nonce_is_the_last_one_used(published: World) -> None:
    query = published.download_query(ALICE, await published.order(), nonce=41)
    assert (await published.download(query))[0] == 200
    assert (await published.initialize())[1]["nonce"] == "41"


async def test_what_is_not_sold_needs_no_order(world: World) -> None:
    (world.folder / "files" / "data.bin").write_bytes(b"1")
    world.add_consortium({"type": "localfile", "path": "data.bin"})
    status, answer = await world.initialize(documentId=CONSORTIUM)
    assert (status, answer) == (200, {"validOrder": NO_ORDER})


async def test_a_wallet_that_is_not_on_the_list(world: World) -> None:
    world.add_consortium({"type": "localfile", "path": "data.bin"})
    status, answer = await world.initialize(MALLORY, documentId=CONSORTIUM)
    assert (status, answer) == (
        400,
        {
            "error": f"Provider Unknown: Error: Access to asset {CONSORTIUM} was denied with code:"
            " ConsumableCodes.CREDENTIAL_NOT_IN_ALLOW_LIST."
        },
    )


async def test_states_that_end_the_sale(published: World) -> None:
    published.chain.publish(FACTORY, NFT, [DATATOKEN], state=3)
    status, answer = await published.initialize()
    assert (status, answer) == (400, {"error": "Provider Ganache: Asset is not consumable."})


async def test_a_document_that_says_it_is_disabled(world: World) -> None:
    nft = {"address": NFT, "owner": BOB.address, "state": 4}
    world.add_url(world.origin.serve("/data.csv", CONTENT), nft=nft)
    status, answer = await world.initialize()
    assert status == 400
    assert "ConsumableCodes.ASSET_DISABLED" in answer["error"]


async def test_a_document_without_its_nft(world: World) -> None:
    world.add_url(world.origin.serve("/d", CONTENT), nftAddress="", nft={"state": 0})
    status, answer = await world.initialize()
    assert (status, answer) == (400, {"error": "Provider Ganache: Asset malformed or disabled."})


async def test_assets_and_services_that_are_not_there(published: World) -> None:
    status, answer = await published.initialize(documentId="did:op:none")
    assert (status, answer) == (400, {"error": "Cannot resolve DID did:op:none"})
    status, answer = await published.initialize(serviceId="7")
    assert (status, answer) == (400, {"error": "Provider Ganache: Invalid serviceId."})


async def test_compute_is_ordered_elsewhere(world: World) -> None:
    url = world.origin.serve("/data.csv", CONTENT)
    world.add(document(service(sealed([{"type": "url", "url": url}]), "compute")))
    status, answer = await world.initialize()
    assert (status, answer) == (
        400,
        {
            "error": "Provider Ganache: Use the initializeCompute endpoint to initialize"
            " compute jobs."
        },
    )
    assert (await world.initialize(DOWNLOADER))[0] == 200


async def test_files_that_cannot_be_opened_are_not_sold(world: World) -> None:
    world.add(document(service("0x04" + "ab" * 300)))
    status, answer = await world.initialize()
    assert (status, answer) == (
        400,
        {"error": "Provider Ganache: cannot decrypt files for this service."},
    )


async def test_a_file_that_is_there(published: World) -> None:
    assert (await published.initialize(fileIndex="0"))[0] == 200
    assert published.origin.requests


async def test_a_file_is_not_looked_at_unasked(published: World) -> None:
    assert (await published.initialize())[0] == 200
    assert not published.origin.requests


async def test_a_file_that_is_gone(world: World) -> None:
    world.add_url(world.origin.url("/gone?key=secret"))
    status, answer = await world.initialize(fileIndex="0", userdata='{"pin":"1234"}')
    assert status == 400
    assert answer["error"].startswith(
        "Provider Ganache: Asset URL not found, not available or invalid. Payload was: "
    )
    assert "secret" not in answer["error"]
    assert "1234" not in answer["error"]


async def test_an_origin_in_trouble(world: World) -> None:
    world.add_url(world.origin.serve("/data.csv", b"", status=502))
    status, answer = await world.initialize(fileIndex="0")
    assert status == 503
    assert answer["error"].startswith("Asset URL not found, not available or invalid.")


async def test_a_file_that_is_not_in_the_list(published: World) -> None:
    status, answer = await published.initialize(fileIndex="1")
    assert (status, answer) == (400, {"error": "Provider Ganache: No such fileIndex 1"})


async def test_a_chain_that_is_down(published: World) -> None:
    published.chain.unreachable = True
    status, answer = await published.initialize()
    assert status == 503
    assert answer == {"error": "Chain 8996 cannot be asked at the moment; try again."}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"documentId": ""}, "documentId"),
        ({"serviceId": ""}, "serviceId"),
        ({"consumerAddress": ""}, "consumerAddress"),
        ({"consumerAddress": "alice"}, "consumerAddress"),
        ({"fileIndex": "-1"}, "fileIndex"),
        ({"fileIndex": "first"}, "fileIndex"),
        ({"fileIndex": "9" * 40}, "fileIndex"),
        ({"transferTxId": "0x12"}, "transferTxId"),
        ({"userdata": '"' + "x" * 70_000 + '"'}, "userdata"),
    ],
)
async def test_malformed_questions_name_the_field(
    published: World, changes: dict[str, str], field: str
) -> None:
    body: dict[str, Any] = {
        "documentId": DID,
        "serviceId": "0",
        "consumerAddress": ALICE.address,
        **changes,
    }
    status, answer = await published.call("GET", "initialize", json=body)
    assert status == 400
    assert list(answer["errors"]) == [field]


async def test_parameters_that_a_service_wants(world: World) -> None:
    asked = [{"name": "year", "type": "number", "required": True}]
    files = sealed([{"type": "url", "url": world.origin.serve("/data.csv", CONTENT)}])
    world.add(document(service(files, consumerParameters=asked)))
    assert (await world.initialize())[0] == 200
    status, answer = await world.initialize(fileIndex="0")
    assert status == 400
    assert list(answer["errors"]) == ["userdata.year"]
    assert (await world.initialize(fileIndex="0", userdata='{"year": 2024}'))[0] == 200
    assert world.origin.requests[-1].query == {"year": "2024"}

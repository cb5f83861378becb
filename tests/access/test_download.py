"""Handing out files: who gets which, for which order, and how often."""

from __future__ import annotations

import asyncio
import hashlib
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
    LOCAL,
    MALLORY,
    NFT,
    NO_ORDER,
    OTHER_DATATOKEN,
    World,
    document,
    paid_fee,
    ranged,
    sealed,
    service,
    sign,
    token,
)
from aiohttp import web

from provider.chain import fake_events

PREFIX = "Provider Ganache: "


def refusal(tx: str, reason: str) -> dict[str, str]:
    return {"error": f"{PREFIX}Order with tx_id {tx} could not be validated due to error: {reason}"}


@pytest.fixture
def published(world: World) -> World:
    world.add_url(world.origin.serve("/data.csv", CONTENT, Content_Type="text/csv"))
    return world


@pytest.fixture
def consortium(world: World) -> World:
    (world.folder / "files" / "data.bin").write_bytes(LOCAL)
    world.add_consortium({"type": "localfile", "path": "data.bin"})
    return world


async def test_an_ordered_file(published: World) -> None:
    query = published.download_query(ALICE, await published.order())
    async with published.client.get("/api/services/download", params=query) as answer:
        assert answer.status == 200
        assert await answer.read() == CONTENT
        headers = answer.headers
    assert headers["Content-Type"] == "text/csv"
    assert headers["Content-Length"] == str(len(CONTENT))
    assert headers["Content-Disposition"] == "attachment;filename=data.csv"
    assert "Content-Disposition" in headers["Access-Control-Expose-Headers"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox"
    assert len(published.origin.requests) == 1


async def test_an_order_gives_access_again_and_again(published: World) -> None:
    tx = await published.order()
    for _ in range(3):
        assert await published.download(published.download_query(ALICE, tx)) == (200, CONTENT)


async def test_a_request_is_good_once(published: World) -> None:
    query = published.download_query(ALICE, await published.order())
    assert (await published.download(query))[0] == 200
    status, answer = await published.download(query)
    assert status == 400
    assert "current nonce" in answer["errors"]["signature"]
    assert len(published.origin.requests) == 1


async def test_of_many_at_once_one_is_served(published: World) -> None:
    query = published.download_query(ALICE, await published.order())
    answers = await asyncio.gather(*(published.download(query) for _ in range(10)))
    assert sorted(status for status, _ in answers) == [200, *[400] * 9]


async def test_a_nonce_is_used_up_before_the_first_byte(published: World) -> None:
    """A client that leaves in the middle has had its download."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def halting(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        begun.set()
        await go_on.wait()
        return response

    published.add_url(published.origin.on("/halting", halting))
    query = published.download_query(ALICE, await published.order())
    async with published.client.get("/api/services/download", params=query) as answer:
        assert answer.status == 200
        await begun.wait()
        status, again = await published.download(query)
        assert status == 400
        assert "current nonce" in again["errors"]["signature"]
        go_on.set()


async def test_what_cannot_be_had_costs_no_nonce(published: World) -> None:
    published.add_url(published.origin.serve("/data.csv", b"", status=503))
    query = published.download_query(ALICE, await published.order())
    status, answer = await published.download(query)
    assert (status, answer) == (503, {"error": "The origin of this input answered 503."})
    published.origin.serve("/data.csv", CONTENT)
    assert await published.download(query) == (200, CONTENT)


async def test_headers_alone_leave_the_nonce_for_the_download(published: World) -> None:
    query = published.download_query(ALICE, await published.order())
    async with published.client.head("/api/services/download", params=query) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Length"] == str(len(CONTENT))
        assert answer.headers["Content-Disposition"] == "attachment;filename=data.csv"
        assert await answer.read() == b""
    assert await published.download(query) == (200, CONTENT)
    async with published.client.head("/api/services/download", params=query) as answer:
        assert answer.status == 400


async def test_headers_alone_are_not_for_everybody(published: World) -> None:
    query = published.download_query(MALLORY, await published.order())
    async with published.client.head("/api/services/download", params=query) as answer:
        assert answer.status == 400
    assert not published.origin.requests


async def test_a_file_that_is_gone(world: World) -> None:
    world.add_url(world.origin.url("/gone?key=secret"))
    query = world.download_query(ALICE, await world.order())
    status, answer = await world.download(query)
    assert status == 400
    assert answer["error"].startswith(PREFIX + "This input is not there any more")
    assert "secret" not in json.dumps(answer)


@pytest.mark.parametrize("index", ["1", "2", "17"])
async def test_a_file_that_is_not_in_the_list(published: World, index: str) -> None:
    query = published.download_query(ALICE, await published.order(), fileIndex=index)
    status, answer = await published.download(query)
    assert (status, answer) == (400, {"error": f"{PREFIX}No such fileIndex {index}"})


async def test_files_by_their_index(world: World) -> None:
    urls = [world.origin.serve(f"/{name}.txt", name.encode()) for name in "abc"]
    world.add(document(service(sealed([{"type": "url", "url": url} for url in urls]))))
    tx = await world.order()
    for index, name in enumerate("abc"):
        query = world.download_query(ALICE, tx, fileIndex=index)
        assert await world.download(query) == (200, name.encode())


async def test_assets_and_services_that_are_not_there(published: World) -> None:
    tx = await published.order()
    query = published.download_query(ALICE, tx, documentId="did:op:none")
    assert await published.download(query) == (400, {"error": "Cannot resolve DID did:op:none"})
    query = published.download_query(ALICE, tx, serviceId="7")
    status, answer = await published.download(query)
    assert (status, answer) == (400, {"error": f"{PREFIX}Invalid serviceId."})


async def test_userdata_reaches_the_origin(world: World) -> None:
    asked = [{"name": "year", "type": "number", "required": True}]
    files = sealed([{"type": "url", "url": world.origin.serve("/data.csv", CONTENT)}])
    world.add(document(service(files, consumerParameters=asked)))
    tx = await world.order()
    query = world.download_query(ALICE, tx, userdata='{"year": "2024"}')
    assert await world.download(query) == (200, CONTENT)
    assert world.origin.requests[-1].query == {"year": "2024"}
    status, answer = await world.download(world.download_query(ALICE, tx))
    assert status == 400
    assert list(answer["errors"]) == ["userdata.year"]


# Orders.


async def test_no_order_is_named(published: World) -> None:
    for order in (None, ""):
        query = published.download_query(ALICE, transferTxId=order)
        status, answer = await published.download(query)
        assert status == 400
        assert answer["errors"] == {"transferTxId": ["The transferTxId field is required."]}
    assert not published.origin.requests


@pytest.mark.parametrize("order", ["0x12", "order", "0x" + "zz" * 32])
async def test_what_is_no_transaction(published: World, order: str) -> None:
    status, answer = await published.download(published.download_query(ALICE, order))
    assert status == 400
    assert answer["error"].startswith(f"{PREFIX}Order with tx_id {order} could not be validated")


async def test_a_transaction_that_nobody_knows(published: World) -> None:
    status, answer = await published.download(published.download_query(ALICE, NO_ORDER))
    assert status == 400
    assert answer == refusal(NO_ORDER, f"Transaction {NO_ORDER} is not known on this chain.")


async def test_a_transaction_that_is_not_in_a_block_yet(published: World) -> None:
    _, quote = await published.initialize()
    tx = published.start_order(quote["providerFee"])
    published.chain.reorganise(1, keep=True)
    query = published.download_query(ALICE, tx)
    status, answer = await published.download(query)
    assert status == 400
    assert "confirmations" in answer["error"]
    published.chain.mine()
    assert await published.download(query) == (200, CONTENT)


async def test_an_order_lost_in_a_reorganisation(published: World) -> None:
    tx = await published.order()
    published.chain.reorganise(1)
    status, answer = await published.download(published.download_query(ALICE, tx))
    assert status == 400
    assert answer == refusal(tx, f"Transaction {tx} is not known on this chain.")


async def test_a_spoofed_order(published: World) -> None:
    """The right events from a contract that is not the service's datatoken."""
    tx = await published.order(datatoken="0x" + "66" * 20)
    status, answer = await published.download(published.download_query(ALICE, tx))
    assert status == 400
    assert answer["error"].startswith(f"{PREFIX}Order with tx_id {tx}")
    assert not published.origin.requests


async def test_an_order_of_another_service(published: World) -> None:
    tx = await published.order(datatoken=OTHER_DATATOKEN)
    status, _ = await published.download(published.download_query(ALICE, tx))
    assert status == 400


async def test_an_order_of_another_index(published: World) -> None:
    tx = await published.order(service_index=1)
    status, _ = await published.download(published.download_query(ALICE, tx))
    assert status == 400


async def test_an_order_of_somebody_else(published: World) -> None:
    tx = await published.order(BOB)
    query = published.download_query(ALICE, tx)
    status, answer = await published.download(query)
    assert (status, answer) == (
        400,
        refusal(tx, "sender of order transaction is not the consumer/payer."),
    )


async def test_an_order_paid_by_somebody_else_for_the_consumer(published: World) -> None:
    tx = await published.order(BOB, consumer=ALICE.address)
    assert (await published.download(published.download_query(ALICE, tx)))[0] == 200


async def test_an_order_that_ran_out_is_good_again_once_it_is_new(published: World) -> None:
    tx = await published.order()
    published.now[0] += 3601
    status, answer = await published.download(published.download_query(ALICE, tx))
    assert status == 400
    assert "The order has expired." in answer["error"]
    tx = await published.order()
    assert (await published.download(published.download_query(ALICE, tx)))[0] == 200


async def test_a_renewed_order_gives_access_by_its_own_transaction(published: World) -> None:
    first = await published.order()
    _, quote = await published.initialize()
    again = published.chain.transact(
        fake_events.order_reused(
            DATATOKEN, order_tx=first, caller=ALICE.address, timestamp=int(published.now[0])
        ),
        paid_fee(DATATOKEN, quote["providerFee"]),
        sender=ALICE.address,
    )
    assert await published.download(published.download_query(ALICE, again)) == (200, CONTENT)


async def test_a_reverted_order(published: World) -> None:
    tx = published.chain.transact(succeeded=False, to=DATATOKEN, sender=ALICE.address)
    status, answer = await published.download(published.download_query(ALICE, tx))
    assert (status, answer) == (400, refusal(tx, "order transaction failed."))


async def test_a_chain_that_is_down(published: World) -> None:
    tx = await published.order()
    published.chain.unreachable = True
    published.now[0] += 60
    query = published.download_query(ALICE, tx)
    status, answer = await published.download(query)
    assert (status, answer) == (
        503,
        {"error": "Chain 8996 cannot be asked at the moment; try again."},
    )
    published.chain.unreachable = False
    assert (await published.download(query))[0] == 200


# Who may.


async def test_states_that_end_access(published: World) -> None:
    tx = await published.order()
    published.chain.publish(FACTORY, NFT, [DATATOKEN], state=3)
    published.now[0] += 60
    status, answer = await published.download(published.download_query(ALICE, tx))
    assert (status, answer) == (400, {"error": f"{PREFIX}Asset is not consumable."})


async def test_an_order_does_not_help_a_wallet_that_was_shut_out(published: World) -> None:
    tx = await published.order()
    deny = [{"type": "address", "values": [ALICE.address.lower()]}]
    published.add_url(published.origin.url("/data.csv"), credentials={"deny": deny})
    status, answer = await published.download(published.download_query(ALICE, tx))
    assert (status, answer) == (
        400,
        {
            "error": f"{PREFIX}Error: Access to asset {DID} was denied with code:"
            " ConsumableCodes.CREDENTIAL_IN_DENY_LIST."
        },
    )


async def test_somebody_else_signed(published: World) -> None:
    tx = await published.order()
    query = published.download_query(ALICE, tx)
    query["signature"] = sign(MALLORY, f"{DID}{query['nonce']}")
    status, answer = await published.download(query)
    assert status == 400
    assert answer["message"] == "Validation error"
    assert "signature" in answer["errors"]
    assert not published.origin.requests


async def test_a_token_stands_for_a_signature(published: World) -> None:
    query = published.download_query(ALICE, await published.order(), signature=None)
    assert (await published.download(query, AuthToken=token(MALLORY)))[0] == 400
    assert await published.download(query, AuthToken=token(ALICE)) == (200, CONTENT)
    assert (await published.download(query, AuthToken=token(ALICE)))[0] == 400


async def test_compute_data_does_not_leave(world: World) -> None:
    url = world.origin.serve("/data.csv", CONTENT)
    world.add(document(service(sealed([{"type": "url", "url": url}]), "compute")))
    tx = await world.order(DOWNLOADER, consumer=DOWNLOADER.address, payer=ALICE.address)
    status, answer = await world.download(world.download_query(ALICE, tx))
    assert (status, answer) == (
        400,
        {"error": f"{PREFIX}Service with index=0 is not an access service."},
    )
    assert not world.origin.requests
    query = world.download_query(DOWNLOADER, tx)
    assert await world.download(query) == (200, CONTENT)


async def test_services_of_no_known_kind(world: World) -> None:
    world.add(document(service(sealed([]), "market")))
    status, answer = await world.download(world.download_query(ALICE))
    assert status == 400
    assert "is not an access service" in answer["error"]


# What is not sold.


@pytest.mark.parametrize("order", [None, "", NO_ORDER, "free"])
async def test_a_listed_wallet_needs_no_order(consortium: World, order: str | None) -> None:
    query = consortium.download_query(ALICE, documentId=CONSORTIUM, transferTxId=order)
    assert await consortium.download(query) == (200, LOCAL)
    assert consortium.chain.asked.total() == 0


async def test_a_listed_wallet_needs_a_signature_and_a_nonce(consortium: World) -> None:
    for name in ("signature", "nonce"):
        query = consortium.download_query(ALICE, documentId=CONSORTIUM)
        del query[name]
        status, answer = await consortium.download(query)
        assert status == 400
        assert list(answer["errors"]) == [name]
    query = consortium.download_query(ALICE, documentId=CONSORTIUM)
    assert (await consortium.download(query))[0] == 200
    assert (await consortium.download(query))[0] == 400


async def test_a_wallet_that_is_not_listed(consortium: World) -> None:
    query = consortium.download_query(MALLORY, documentId=CONSORTIUM)
    status, answer = await consortium.download(query)
    assert status == 400
    assert "CREDENTIAL_NOT_IN_ALLOW_LIST" in answer["error"]
    assert answer["error"].startswith("Provider Unknown: ")


async def test_a_chain_that_is_down_stops_nobody_here(consortium: World) -> None:
    consortium.chain.unreachable = True
    query = consortium.download_query(ALICE, documentId=CONSORTIUM)
    assert (await consortium.download(query))[0] == 200


async def test_a_piece_of_a_file_of_this_machine(consortium: World) -> None:
    query = consortium.download_query(ALICE, documentId=CONSORTIUM)
    async with consortium.client.get(
        "/api/services/download", params=query, headers={"Range": "bytes=10-19"}
    ) as answer:
        assert answer.status == 206
        assert await answer.read() == LOCAL[10:20]
        assert answer.headers["Content-Range"] == f"bytes 10-19/{len(LOCAL)}"
        etag = answer.headers["ETag"]
    (consortium.folder / "files" / "data.bin").write_bytes(LOCAL + b"more")
    query = consortium.download_query(ALICE, documentId=CONSORTIUM)
    status, whole = await consortium.download(query, Range="bytes=20-", If_Range=etag)
    assert (status, whole) == (200, LOCAL + b"more")


async def test_headers_of_a_file_of_this_machine(consortium: World) -> None:
    query = consortium.download_query(ALICE, documentId=CONSORTIUM)
    async with consortium.client.head("/api/services/download", params=query) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Length"] == str(len(LOCAL))
        assert answer.headers["Accept-Ranges"] == "bytes"
    assert await consortium.download(query) == (200, LOCAL)


async def test_a_file_of_this_machine_that_is_gone(consortium: World) -> None:
    (consortium.folder / "files" / "data.bin").unlink()
    query = consortium.download_query(ALICE, documentId=CONSORTIUM)
    status, answer = await consortium.download(query)
    assert status == 400
    assert str(consortium.folder) not in json.dumps(answer)


# Pieces.


async def test_a_piece_and_then_the_rest(published: World) -> None:
    body = bytes(range(256)) * 64
    published.add_url(published.origin.on("/big.bin", ranged(body)))
    tx = await published.order()
    query = published.download_query(ALICE, tx)
    async with published.client.get(
        "/api/services/download", params=query, headers={"Range": "bytes=0-99"}
    ) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes 0-99/{len(body)}"
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Length"] == "100"
        first, etag = await answer.read(), answer.headers["ETag"]
    query = published.download_query(ALICE, tx)
    status, rest = await published.download(query, Range="bytes=100-", If_Range=etag)
    assert status == 206
    assert first + rest == body


async def test_a_piece_of_what_has_changed_is_the_whole(published: World) -> None:
    published.add_url(published.origin.on("/big.bin", ranged(b"new content", '"v2"')))
    query = published.download_query(ALICE, await published.order())
    assert await published.download(query, Range="bytes=4-", If_Range='"v1"') == (
        200,
        b"new content",
    )


async def test_a_piece_beyond_the_end(published: World) -> None:
    published.add_url(published.origin.on("/big.bin", ranged(b"short")))
    query = published.download_query(ALICE, await published.order())
    async with published.client.get(
        "/api/services/download", params=query, headers={"Range": "bytes=100-"}
    ) as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"] == "bytes */5"
        assert await answer.read() == b""


async def test_an_origin_without_pieces_gives_the_whole(published: World) -> None:
    query = published.download_query(ALICE, await published.order())
    assert await published.download(query, Range="bytes=0-1") == (200, CONTENT)


async def test_the_publishers_own_range_goes_first(world: World) -> None:
    url = world.origin.on("/big.bin", ranged(b"0123456789"))
    file = {"type": "url", "url": url, "headers": {"Range": "bytes=2-5"}}
    world.add(document(service(sealed([file]))))
    query = world.download_query(ALICE, await world.order())
    assert await world.download(query, Range="bytes=0-9") == (200, b"2345")


# Malformed.


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"documentId": ""}, ["documentId"]),
        ({"serviceId": ""}, ["serviceId"]),
        ({"consumerAddress": ""}, ["consumerAddress"]),
        ({"consumerAddress": "alice"}, ["consumerAddress"]),
        ({"fileIndex": ""}, ["fileIndex"]),
        ({"fileIndex": "-1"}, ["fileIndex"]),
        ({"fileIndex": "1e3"}, ["fileIndex"]),
        ({"nonce": ""}, ["nonce"]),
        ({"nonce": "soon"}, ["nonce"]),
        ({"nonce": "1" * 30}, ["nonce"]),
        ({"signature": ""}, ["signature"]),
        ({"signature": "0x12"}, ["signature"]),
        ({"userdata": "[1]"}, ["userdata"]),
        ({"transferTxId": "x" * 300}, ["transferTxId"]),
        ({"documentId": "x" * 300}, ["documentId"]),
    ],
)
async def test_malformed_requests_name_the_field(
    published: World, changes: dict[str, str], fields: list[str]
) -> None:
    query = published.download_query(ALICE, await published.order()) | changes
    if "userdata" not in changes:
        query["signature"] = changes.get("signature", query["signature"])
    status, answer = await published.download(query)
    assert status == 400
    assert list(answer["errors"]) == fields


async def test_parameters_may_come_as_json(published: World) -> None:
    query: dict[str, Any] = dict(published.download_query(ALICE, await published.order()))
    query |= {"fileIndex": 0, "nonce": int(query["nonce"]), "userdata": {"a": 1}}
    assert await published.call("GET", "download", json=query) == (200, CONTENT)


async def test_64_megabytes_come_through_whole(published: World) -> None:
    body = hashlib.sha512(b"seed").digest() * (1 << 20)
    published.add_url(published.origin.serve("/large.bin", body))
    query = published.download_query(ALICE, await published.order())
    status, received = await published.download(query)
    assert status == 200
    assert hashlib.sha256(received).digest() == hashlib.sha256(body).digest()

"""Describing files: of services, and of file objects that anybody may ask about."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from access_world import (
    BOB,
    CONSORTIUM,
    CONTENT,
    DID,
    LOCAL,
    World,
    document,
    sealed,
    service,
)
from aiohttp import web


def url_file(url: str, **fields: Any) -> dict[str, Any]:
    return {"type": "url", "url": url, **fields}


async def info(world: World, **body: Any) -> tuple[int, Any]:
    return await world.call("POST", "fileinfo", json=body)


async def of_asset(world: World, **more: Any) -> tuple[int, Any]:
    return await info(world, did=DID, serviceId="0", **more)


async def test_a_file_behind_a_url(world: World) -> None:
    world.add_url(world.origin.serve("/data.csv", CONTENT, Content_Type="text/csv; charset=utf-8"))
    assert await of_asset(world) == (
        200,
        [
            {
                "index": 0,
                "valid": True,
                "type": "url",
                "contentLength": str(len(CONTENT)),
                "contentType": "text/csv",
                "filename": "data.csv",
            }
        ],
    )


async def test_files_come_in_their_order_and_a_dead_one_is_told(world: World) -> None:
    urls = [world.origin.serve("/a.txt", b"a"), world.origin.url("/none"), "http://[::1]/x"]
    urls.append(world.origin.serve("/d.txt", b"dddd"))
    world.add(document(service(sealed([url_file(url) for url in urls]))))
    status, files = await of_asset(world)
    assert status == 200
    assert [file["valid"] for file in files] == [True, False, False, True]
    assert files[1] == {"index": 1, "valid": False, "type": "url"}
    assert [file.get("contentLength") for file in files] == ["1", None, None, "4"]


@pytest.mark.parametrize("wanted", [True, 1, "1", "yes"])
async def test_a_checksum_where_it_is_asked_for(world: World, wanted: object) -> None:
    world.add_url(world.origin.serve("/data.csv", CONTENT))
    status, [file] = await of_asset(world, checksum=wanted)
    assert status == 200
    assert file["checksum"] == hashlib.sha256(CONTENT).hexdigest()
    assert file["checksumType"] == "sha256"


@pytest.mark.parametrize("unwanted", [False, 0, None, "", "false", "0"])
async def test_no_checksum_where_none_is_asked_for(world: World, unwanted: object) -> None:
    world.add_url(world.origin.serve("/data.csv", CONTENT))
    _, [file] = await of_asset(world, checksum=unwanted)
    assert "checksum" not in file


async def test_what_did_not_change_is_not_read_again(world: World) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        return web.Response(body=CONTENT, headers={"ETag": '"1"'})

    world.add_url(world.origin.on("/data.csv", answer))
    answers = [await of_asset(world, checksum=True) for _ in range(2)]
    assert answers[0] == answers[1]
    assert "checksum" in answers[0][1][0]
    assert "If-None-Match" in world.origin.requests[-1].headers


async def test_a_large_file_is_not_read_for_its_checksum(world: World) -> None:
    world.add_url(world.origin.serve("/large", bytes((1 << 20) + 1)))
    _, [file] = await of_asset(world, checksum=True)
    assert file["contentLength"] == str((1 << 20) + 1)
    assert "checksum" not in file


async def test_a_file_of_unknown_size_is_read_up_to_the_bound(world: World) -> None:
    def endless(pieces: int) -> Any:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(pieces):
                await response.write(bytes(1 << 16))
            return response

        return answer

    for pieces, is_told in ((2, True), (40, False)):
        world.add_url(world.origin.on(f"/{pieces}", endless(pieces)))
        _, [file] = await of_asset(world, checksum=True)
        assert file["contentLength"] == ""
        assert ("checksum" in file) is is_told


async def test_an_origin_that_breaks_off_gives_no_checksum(world: World) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"begun")
        assert request.transport is not None
        request.transport.close()
        return response

    world.add_url(world.origin.on("/broken", broken))
    status, [file] = await of_asset(world, checksum=True)
    assert status == 200
    assert "checksum" not in file


async def test_a_silent_origin_does_not_keep_the_asker(world: World) -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        raise AssertionError

    world.add_url(world.origin.on("/silent", silent))
    async with asyncio.timeout(25):
        assert await of_asset(world) == (200, [{"index": 0, "valid": False, "type": "url"}])


async def test_files_of_a_private_asset_are_not_described_to_everybody(world: World) -> None:
    (world.folder / "files" / "data.bin").write_bytes(LOCAL)
    world.add_consortium({"type": "localfile", "path": "data.bin"})
    status, answer = await info(world, did=CONSORTIUM, serviceId="0", checksum=True)
    assert status == 403
    assert "data.bin" not in str(answer)


async def test_userdata_reaches_the_origin(world: World) -> None:
    asked = [{"name": "year", "type": "number", "required": True}]
    url = world.origin.serve("/data.csv", CONTENT)
    world.add(document(service(sealed([url_file(url)]), consumerParameters=asked)))
    assert (await of_asset(world, userdata={"year": 2024}))[0] == 200
    assert world.origin.requests[-1].query == {"year": "2024"}
    assert (await of_asset(world))[0] == 200
    status, answer = await of_asset(world, userdata={"year": "soon"})
    assert status == 400
    assert "userdata.year" in answer["errors"]


async def test_a_file_of_this_machine(world: World) -> None:
    (world.folder / "files" / "data.bin").write_bytes(LOCAL)
    open_to_all = {"allow": [], "deny": []}
    world.add_consortium({"type": "localfile", "path": "data.bin"}, credentials=open_to_all)
    status, [file] = await info(world, did=CONSORTIUM, serviceId="0", checksum=True)
    assert status == 200
    assert (file["contentLength"], file["filename"]) == (str(len(LOCAL)), "data.bin")
    assert file["checksum"] == hashlib.sha256(LOCAL).hexdigest()


async def test_assets_and_services_that_are_not_there(world: World) -> None:
    world.add_url(world.origin.serve("/data.csv", CONTENT))
    status, answer = await info(world, did="did:op:none", serviceId="0")
    assert (status, answer) == (400, {"error": "Cannot resolve DID did:op:none"})
    status, answer = await info(world, did=DID, serviceId="7")
    assert (status, answer) == (400, {"error": "Provider Ganache: Invalid serviceId."})


async def test_files_that_are_not_sealed_to_this_provider(world: World) -> None:
    other = "0x04" + "ab" * 300
    bound_elsewhere = sealed([], nft=BOB.address)
    for files in (other, bound_elsewhere):
        world.add(document(service(files)))
        status, answer = await of_asset(world)
        assert (status, answer) == (
            400,
            {"error": "Provider Ganache: Unable to get dataset files"},
        )


async def test_a_file_object_by_itself(world: World) -> None:
    url = world.origin.serve("/pictures/cat.png", b"meow", Content_Type="image/png")
    status, [file] = await info(world, type="url", url=url, method="GET", checksum=False)
    assert status == 200
    assert (file["valid"], file["filename"], file["contentType"]) == (True, "cat.png", "image/png")


async def test_a_file_object_with_headers(world: World) -> None:
    url = world.origin.serve("/data.csv", CONTENT)
    await info(world, type="url", url=url, headers={"X-Key": "k"})
    assert world.origin.requests[-1].headers["X-Key"] == "k"


@pytest.mark.parametrize("kind", ["localfile", "file", "ftp", "s4"])
async def test_files_of_this_machine_are_nobodys_business(world: World, kind: str) -> None:
    (world.folder / "files" / "data.bin").write_bytes(LOCAL)
    status, answer = await info(world, type=kind, path="data.bin")
    assert status == 400
    assert answer["errors"] == {"type": ["The selected type is invalid."]}


@pytest.mark.parametrize(
    "url", ["http://[::1]:9/x", "http://169.254.169.254/meta", "http://10.0.0.1/"]
)
async def test_addresses_that_nobody_may_ask_about(world: World, url: str) -> None:
    assert await info(world, type="url", url=url) == (
        200,
        [{"index": 0, "valid": False, "type": "url"}],
    )


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (
            {},
            {
                "did": ["The did field is required when type is not present."],
                "type": ["The type field is required when did is not present."],
            },
        ),
        ({"did": "did:ocean:1", "serviceId": "0"}, {"did": ["The did format is invalid."]}),
        ({"did": DID}, {"serviceId": ["The serviceId field is required."]}),
        ({"type": "url"}, {"url": ["The url field is required when type is url."]}),
        ({"type": "ipfs"}, {"hash": ["The hash field is required when type is ipfs."]}),
        (
            {"type": "arweave"},
            {"transactionId": ["The transactionId field is required when type is arweave."]},
        ),
    ],
)
async def test_what_a_question_needs(
    world: World, body: dict[str, Any], errors: dict[str, Any]
) -> None:
    status, answer = await info(world, **body)
    assert status == 400
    assert answer["errors"] == errors


async def test_a_method_that_changes_things(world: World) -> None:
    url = world.origin.serve("/data.csv", CONTENT)
    status, answer = await info(world, type="url", url=url, method="DELETE")
    assert (status, answer) == (400, {"error": "Unsafe method DELETE."})
    assert world.origin.requests == []


async def test_more_files_than_are_served_of_one_service(world: World) -> None:
    files = [url_file(world.origin.url("/x"))] * 1001
    for listed in (sealed(files), files):
        world.add(document(service(listed)))
        status, answer = await of_asset(world)
        assert status == 400
        assert "1001 files; at most 1000" in str(answer)
    assert world.origin.requests == []


async def test_no_origin_is_kept_for_who_has_hung_up(world: World) -> None:
    over = asyncio.Event()

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.05)
        finally:
            over.set()

    url = world.origin.on("/trickle", trickle)
    asking = asyncio.create_task(info(world, type="url", url=url, checksum=True))
    while len(world.origin.requests) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.7)
    assert not asking.done()
    over.clear()
    asking.cancel()
    await asyncio.wait_for(over.wait(), 30)

"""Other providers: asked as clients ask, signed with our wallet, and believed in little."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from asset_documents import DATASET
from asset_fetching import LOOPBACK, read
from asset_origins import Origin
from other_provider import ORDER, QUOTE, OtherProvider
from support.sharing import Process

from compute.errors import InputUnavailable
from compute.store.database import open_database
from provider.assets.fetch import Fetcher
from provider.assets.origins.base import SourceFile
from provider.assets.remote import Nonces, RemoteProvider, Remotes, is_own
from provider.assets.remote_answers import RemoteFileInfo
from provider.keys import ProviderKey
from provider.migrations import VERSIONS
from provider.sharing.leases import Leases

KEY = ProviderKey.from_text("11" * 32)
TX = "0x" + "7e" * 32
NFT = "0x" + "aa" * 20


def digest(origin: object, userdata: object) -> str:
    return hashlib.sha256(repr((origin, userdata)).encode()).hexdigest()


@pytest.fixture
def other(origin: Origin) -> OtherProvider:
    return OtherProvider(origin, KEY.address, b"one", b"three")


@pytest.fixture
def remote(fetcher: Fetcher, other: OtherProvider) -> RemoteProvider:
    return RemoteProvider(other.url, fetcher, KEY)


async def files(remote: RemoteProvider, order: str = ORDER, **userdata: Any) -> list[SourceFile]:
    return await remote.files(DATASET, "access-1", order=order, userdata=userdata, identity=digest)


async def content(file: SourceFile, validator: str | None = None) -> bytes:
    async with file.open(validator) as download:
        return await read(download)


async def test_files_are_had_with_our_own_signature(
    remote: RemoteProvider, other: OtherProvider
) -> None:
    listed = await files(remote)
    assert [(file.type, file.name) for file in listed] == [
        ("remote", "0.csv"),
        ("remote", "1.csv"),
    ]
    assert [await content(file) for file in listed] == [b"one", b"three"]
    assert [query["fileIndex"] for query in other.queries] == ["0", "1"]
    assert other.queries[0]["serviceId"] == "access-1"
    assert "userdata" not in other.queries[0]
    assert listed[0].identity != listed[1].identity


async def test_userdata_goes_along(remote: RemoteProvider, other: OtherProvider) -> None:
    (file, _) = await files(remote, year=2024, documentId="x")
    await content(file)
    assert json.loads(other.queries[0]["userdata"]) == {"year": 2024, "documentId": "x"}
    assert other.queries[0]["documentId"] == DATASET
    assert other.questions[0]["userdata"] == {"year": 2024, "documentId": "x"}
    plain = await files(remote)
    assert file.identity != plain[0].identity


async def test_each_download_has_its_own_nonce(
    remote: RemoteProvider, other: OtherProvider
) -> None:
    (file, _) = await files(remote)
    for _ in range(3):
        await content(file)
    nonces = [int(query["nonce"]) for query in other.queries]
    assert nonces == sorted(set(nonces))


async def test_downloads_at_once_keep_the_order_of_nonces(
    remote: RemoteProvider, other: OtherProvider
) -> None:
    listed = await files(remote)
    other.slow_s = 0.1
    got = await asyncio.gather(*(content(file) for file in listed * 4))
    assert got == [b"one", b"three"] * 4


async def test_bodies_are_read_side_by_side(remote: RemoteProvider) -> None:
    one, two = await files(remote)
    async with one.open(None) as first, two.open(None) as second:
        assert await read(second) == b"three"
        assert await read(first) == b"one"


async def test_parts_and_probes(remote: RemoteProvider) -> None:
    file = (await files(remote))[1]
    probe = await file.probe()
    assert (probe.size, probe.name) == (5, "1.csv")
    async with file.part() as part:
        assert (part.status, part.etag) == (200, '"5"')


async def test_an_order_that_it_does_not_take(remote: RemoteProvider) -> None:
    (file, _) = await files(remote, order="0x00")
    with pytest.raises(InputUnavailable) as caught:
        await content(file)
    assert not caught.value.temporary
    assert caught.value.public == (
        "The other provider of this asset refused (400). It said: Order could not be validated"
    )


async def test_what_came_with_one_order_is_not_taken_for_anothers(remote: RemoteProvider) -> None:
    """Else an order that the other provider never saw would do."""
    one, again, other = [
        (await files(remote, order=order))[0].identity for order in (ORDER, ORDER, "0x00")
    ]
    assert one == again != other


async def test_a_refusal_without_end_is_not_read(
    remote: RemoteProvider, origin: Origin, other: OtherProvider
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=403)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"no " * 10_000)
        return response

    (file, _) = await files(remote)
    origin.on("/api/services/download", refuse)
    with pytest.raises(InputUnavailable) as caught:
        await content(file)
    assert caught.value.public == "The other provider of this asset refused (403)."


async def test_another_wallet_gets_nothing(fetcher: Fetcher, other: OtherProvider) -> None:
    stranger = RemoteProvider(other.url, fetcher, ProviderKey.from_text("22" * 32))
    (file, _) = await files(stranger)
    with pytest.raises(InputUnavailable):
        await content(file)


async def test_fileinfo_tells_checksums(remote: RemoteProvider, other: OtherProvider) -> None:
    infos = await remote.fileinfo(DATASET, "access-1")
    assert infos[0] == RemoteFileInfo("0.csv", 3, hashlib.sha256(b"one").hexdigest(), "text/csv")
    assert other.questions[0] == {"did": DATASET, "serviceId": "access-1", "checksum": True}
    unasked = await remote.fileinfo(DATASET, "access-1", checksum=False)
    assert [info.sha256 for info in unasked] == [None, None]


async def test_a_quote_comes_as_it_is(remote: RemoteProvider, other: OtherProvider) -> None:
    answer = await remote.initialize(
        DATASET, "access-1", KEY.address, transferTxId=ORDER, fileIndex=0, environment=None
    )
    assert answer == QUOTE
    assert other.queries == [
        {
            "documentId": DATASET,
            "serviceId": "access-1",
            "consumerAddress": KEY.address,
            "transferTxId": ORDER,
            "fileIndex": "0",
        }
    ]


async def test_documents_are_opened(remote: RemoteProvider, other: OtherProvider) -> None:
    assert json.loads(await remote.decrypt(8996, NFT, TX)) == {"id": DATASET}
    (asked,) = other.questions
    assert (asked["transactionId"], asked["dataNftAddress"], asked["chainId"]) == (TX, NFT, 8996)
    other.customer = "0x0"
    with pytest.raises(InputUnavailable, match="not authorized"):
        await remote.decrypt(8996, NFT, TX)


async def test_the_root_is_asked_once_in_a_while(fetcher: Fetcher, other: OtherProvider) -> None:
    now = [0.0]
    remote = RemoteProvider(other.url, fetcher, KEY, clock=lambda: now[0])
    for then in (0.0, 100.0, 299.0, 500.0):
        now[0] = then
        await remote.fileinfo(DATASET, "access-1")
    paths = [request.path for request in other.origin.requests]
    assert paths.count("/") == 2


async def test_a_provider_below_a_path(fetcher: Fetcher, other: OtherProvider) -> None:
    origin = other.origin
    origin.on("/deep", other._root)
    origin.on("/deep/api/services/initialize", other._initialize)
    remote = RemoteProvider(origin.url("/deep"), fetcher, KEY)
    assert await remote.initialize(DATASET, "access-1", KEY.address) == QUOTE


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/x",
        "@evil.example/x",
        ".evil.example/x",
        "https://evil.example/x",
        "/x y",
        "",
        5,
        None,
    ],
)
async def test_paths_stay_on_the_provider(
    remote: RemoteProvider, other: OtherProvider, path: Any
) -> None:
    other.endpoints["fileinfo"] = ["POST", path]
    with pytest.raises(InputUnavailable, match="does not offer fileinfo"):
        await remote.fileinfo(DATASET, "access-1")
    assert [request.path for request in other.origin.requests] == ["/"]


@pytest.mark.parametrize("endpoints", [None, [], "x", {"fileinfo": "x"}, {"fileinfo": ["GET"]}])
async def test_a_root_without_endpoints(
    remote: RemoteProvider, other: OtherProvider, endpoints: Any
) -> None:
    other.endpoints = endpoints
    with pytest.raises(InputUnavailable, match="does not offer"):
        await remote.fileinfo(DATASET, "access-1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"null",
        b"[" * 100_000,
        b"[" + b"{}," * 2000 + b"{}]",
        b'[{"valid":true}' + b',{"valid":true}' * 1000 + b"]",
        b'[{"valid": false}]',
        b'[{"valid": "true"}]',
        b"[5]",
    ],
)
async def test_rubbish_is_no_answer(
    remote: RemoteProvider, other: OtherProvider, body: bytes
) -> None:
    other.origin.serve("/api/services/fileinfo", body)
    with pytest.raises(InputUnavailable, match="other provider"):
        await remote.fileinfo(DATASET, "access-1")


async def test_answers_are_bounded(other: OtherProvider) -> None:
    other.origin.serve("/api/services/initialize", b'{"a":"' + b"x" * (1 << 20) + b'"}')
    async with Fetcher(allowed_networks=LOOPBACK) as wide:
        remote = RemoteProvider(other.url, wide, KEY)
        with pytest.raises(InputUnavailable, match="larger"):
            await remote.initialize(DATASET, "access-1", KEY.address)


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_provider_in_trouble_may_be_asked_again(
    remote: RemoteProvider, other: OtherProvider, status: int
) -> None:
    other.origin.serve("/api/services/initialize", b"no", status)
    with pytest.raises(InputUnavailable) as caught:
        await remote.initialize(DATASET, "access-1", KEY.address)
    assert caught.value.temporary


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("Order is too old", "It said: Order is too old"),
        ("see https://u:p@in.example/x?key=1 now", "It said: see (address) now"),
        ("a\x1b[31m\nb", "It said: a [31m b"),
        ("x" * 5000, "It said: " + "x" * 200),
        (["x"], None),
        (None, None),
    ],
)
async def test_what_a_refusal_says(
    remote: RemoteProvider, other: OtherProvider, error: Any, told: str | None
) -> None:
    body = json.dumps({"error": error}).encode()
    other.origin.serve("/api/services/initialize", body, 400)
    with pytest.raises(InputUnavailable) as caught:
        await remote.initialize(DATASET, "access-1", KEY.address)
    text = "The other provider of this asset refused (400)."
    assert caught.value.public == (text if told is None else f"{text} {told}")
    assert not caught.value.temporary


@pytest.mark.parametrize(
    ("told", "info"),
    [
        ({"filename": "../x.csv"}, RemoteFileInfo("x.csv", None, None)),
        ({"name": "x.csv", "contentLength": 5}, RemoteFileInfo("x.csv", 5, None)),
        ({"contentLength": "", "filename": ""}, RemoteFileInfo("", None, None)),
        ({"contentLength": "-1", "filename": 5}, RemoteFileInfo("", None, None)),
        ({"contentLength": "9" * 5000}, RemoteFileInfo("", None, None)),
        ({"checksum": "0x" + "AB" * 32}, RemoteFileInfo("", None, "ab" * 32)),
        ({"checksum": "ab" * 31}, RemoteFileInfo("", None, None)),
        ({"checksum": ["ab" * 32]}, RemoteFileInfo("", None, None)),
    ],
)
async def test_facts_of_files_are_checked(
    remote: RemoteProvider, other: OtherProvider, told: dict[str, Any], info: RemoteFileInfo
) -> None:
    body = json.dumps([{"valid": True, **told}]).encode()
    other.origin.serve("/api/services/fileinfo", body)
    assert await remote.fileinfo(DATASET, "access-1") == [info]


async def test_a_file_without_a_name_has_a_stable_one(
    remote: RemoteProvider, other: OtherProvider
) -> None:
    other.origin.serve("/api/services/fileinfo", b'[{"valid": true}]')
    (file,) = await files(remote)
    (again,) = await files(remote)
    assert file.name == again.name == file.identity[:16]


async def test_inner_addresses_are_refused(guarded: Fetcher, other: OtherProvider) -> None:
    remote = RemoteProvider(other.url, guarded, KEY)
    for asking in (remote.fileinfo(DATASET, "a"), remote.decrypt(1, NFT, TX), files(remote)):
        with pytest.raises(InputUnavailable, match="not allowed"):
            await asking
    assert other.origin.requests == []


async def test_nothing_secret_shows(remote: RemoteProvider) -> None:
    (file, _) = await files(remote)
    for text in (repr(file), str(file), repr(remote)):
        assert "127.0.0.1" not in text
        assert ORDER not in text


def test_nonces_only_rise() -> None:
    times = iter([5, 5, 4, 10])
    nonces = Nonces(lambda: next(times))
    assert [nonces.next() for _ in range(4)] == ["5", "6", "7", "10"]
    assert abs(int(Nonces().next()) / 1e9 - time.time()) < 60


async def test_one_object_a_provider(fetcher: Fetcher) -> None:
    remotes = Remotes(fetcher, KEY)
    first = remotes.at("https://a.example/")
    assert remotes.at("https://a.example") is first
    assert remotes.at("https://b.example") is not first
    for number in range(63):
        remotes.at(f"https://{number}.example")
    assert remotes.at("https://a.example") is not first


OWN = ("https://provider.example.com", "http://10.0.0.1:8030/")


@pytest.mark.parametrize(
    ("endpoint", "own"),
    [
        ("", True),
        ("  ", True),
        ("https://provider.example.com", True),
        ("HTTPS://Provider.Example.Com:443/api", True),
        ("https://provider.example.com./", True),
        ("http://10.0.0.1:8030", True),
        ("http://provider.example.com", False),
        ("https://provider.example.com:8443", False),
        ("https://provider.example.com.evil.example", False),
        ("https://provider.example.com@evil.example", False),
        ("http://10.0.0.1", False),
        ("provider.example.com", False),
        ("https://[::1", False),
        ("https://provider.example.com:99999", False),
    ],
)
def test_which_endpoint_is_ours(endpoint: str, own: bool) -> None:
    assert is_own(endpoint, OWN) == own


def test_rubbish_is_not_ours_by_being_rubbish_alike() -> None:
    assert not is_own("rubbish", ["rubbish", "https://[::1"])


async def test_processes_take_turns_and_go_on_from_each_other_s_nonces(
    other: OtherProvider, fetcher: Fetcher, tmp_path: Path
) -> None:
    """Also where the clock of one is behind."""
    database = await open_database(f"sqlite:///{tmp_path}/turns.db", migrations=[VERSIONS])
    times = (lambda: 2_000_000_000, lambda: 1_000_000_000)
    processes = [
        RemoteProvider(
            other.url,
            fetcher,
            KEY,
            nonces=Nonces(times[number % 2]),
            leases=Leases(Process(database), now=time.time),
        )
        for number in range(4)
    ]
    try:
        for _ in range(3):
            opened = await asyncio.gather(*(each.decrypt(1, NFT, TX) for each in processes))
            assert len(opened) == 4
    finally:
        await database.close()

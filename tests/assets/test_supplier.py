"""From a job's references to files: sealed and plain, remote and local, published and raw."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from asset_documents import (
    ALGORITHM,
    DATA_NFT,
    DATASET,
    DATATOKEN,
    algorithm,
    dataset,
    service,
    url_file,
    write,
)
from asset_origins import Origin

from compute.errors import InputUnavailable
from compute.models import AlgorithmItem, DatasetItem, Image, JobSpec
from compute.supply import InputFile
from provider.assets.addresses import networks
from provider.assets.catalogue import Catalogue, FolderCatalogue
from provider.assets.ddo import Ddo
from provider.assets.encryption import encrypt, seal_url_file
from provider.assets.fetch import Fetcher
from provider.assets.origins.http import with_query
from provider.assets.supplier import AssetSupplier
from provider.errors import UnknownAsset
from provider.keys import ProviderKey

KEY = ProviderKey.from_text("11" * 32)


class House:
    """A supplier over folders that a test fills."""

    def __init__(self, folder: Path, fetcher: Fetcher, key: ProviderKey = KEY) -> None:
        self.assets = folder / "assets"
        self.data = folder / "data"
        for each in (self.assets, self.data):
            each.mkdir(exist_ok=True)
        self.fetcher = fetcher
        self.catalogue = FolderCatalogue(self.assets, fresh_for_s=0)
        self.supplier = AssetSupplier(self.catalogue, key, fetcher, data_folder=self.data)

    def publish(self, files: Any, **changes: Any) -> None:
        write(self.assets, "dataset.json", dataset(services=[service(files=files)], **changes))

    async def files(self, **source: Any) -> Sequence[InputFile]:
        item = DatasetItem(did=DATASET, service_id="compute-1", source=source)
        return await self.supplier.dataset(item)

    async def only(self, **source: Any) -> InputFile:
        (file,) = await self.files(**source)
        return file


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with Fetcher(allowed_networks=networks(["127.0.0.0/8"])) as fetcher:
        yield House(tmp_path, fetcher)


async def content(file: InputFile, validator: str | None = None) -> bytes:
    async with file.open(validator) as download:
        return b"".join([chunk async for chunk in download.chunks])


def raw(**source: Any) -> AlgorithmItem:
    return AlgorithmItem(image=Image(image="example/python"), entrypoint="sh", source=source)


async def test_plain_files_are_supplied_in_order(house: House, origin: Origin) -> None:
    house.publish([url_file(origin.serve(f"/{n}.csv", n.encode())) for n in "ab"])
    files = await house.files()
    assert [file.name for file in files] == ["a.csv", "b.csv"]
    assert [await content(file) for file in files] == [b"a", b"b"]
    assert [file.path for file in files] == [None, None]
    assert [file.sha256 for file in files] == [None, None]


async def test_sealed_files_are_supplied(house: House, origin: Origin) -> None:
    files = [url_file(origin.serve("/t.csv", b"x"))]
    plain = {"nftAddress": DATA_NFT, "datatokenAddress": DATATOKEN, "files": files}
    house.publish(encrypt(KEY.public_key, json.dumps(plain).encode()))
    assert await content(await house.only()) == b"x"


async def test_headers_of_the_publisher_are_sent(house: House, origin: Origin) -> None:
    house.publish([url_file(origin.serve("/t", b"x"), headers={"Authorization": "Bearer k"})])
    await content(await house.only())
    assert origin.requests[0].headers["Authorization"] == "Bearer k"


async def test_userdata_is_added_to_the_query_of_a_get(house: House, origin: Origin) -> None:
    house.publish([url_file(origin.serve("/t", b"x") + "?key=own")])
    userdata = {"year": 2024, "name": "a&b=c é", "key": "other", "flag": True, "none": None}
    await content(await house.only(userdata=userdata))
    assert dict(origin.requests[0].query) == {
        "key": "own",
        "year": "2024",
        "name": "a&b=c é",
        "flag": "true",
    }


@pytest.mark.parametrize("headers", [{}, {"content-type": "application/x-own"}])
async def test_userdata_is_the_json_body_of_a_post(
    house: House, origin: Origin, headers: dict[str, str]
) -> None:
    house.publish([url_file(origin.serve("/t", b"x"), method="POST", headers=headers)])
    await content(await house.only(userdata={"year": 2024}))
    assert json.loads(origin.bodies[0]) == {"year": 2024}
    assert origin.requests[0].method == "POST"
    assert origin.requests[0].query_string == ""
    sent = origin.requests[0].headers.getall("Content-Type")
    assert sent == [headers.get("content-type", "application/json")]


@pytest.mark.parametrize(
    ("url", "userdata", "result"),
    [
        ("https://e.example/x", {}, "https://e.example/x"),
        ("https://e.example/x#part", {"a": 1}, "https://e.example/x?a=1"),
        ("https://e.example/x?", {"a": "b c"}, "https://e.example/x?a=b+c"),
        ("https://e.example/x?s=%2B%3D", {"a": 1}, "https://e.example/x?s=%2B%3D&a=1"),
        ("https://e.example/x", {"a": [1, "b"]}, "https://e.example/x?a=1&a=b"),
        ("https://e.example/x", {"a": {"b": 1}}, "https://e.example/x?a=%7B%22b%22%3A+1%7D"),
        ("https://e.example/x?a=", {"a": 1}, "https://e.example/x?a="),
    ],
)
def test_how_userdata_joins_a_url(url: str, userdata: dict[str, Any], result: str) -> None:
    assert with_query(url, userdata) == result


async def test_identity_is_of_origin_and_parameters(
    house: House, tmp_path: Path, origin: Origin
) -> None:
    house.publish([url_file("https://e.example/1"), url_file("https://e.example/2")])
    one, two = [file.identity for file in await house.files()]
    again = [file.identity for file in await house.files()]
    other = [file.identity for file in await house.files(userdata={"a": 1})]
    assert one != two
    assert again == [one, two]
    assert set(other).isdisjoint(again)
    stranger = House(tmp_path, house.fetcher, ProviderKey.from_text("22" * 32))
    assert (await stranger.files())[0].identity not in again
    assert len(one) == 64


async def test_promised_digests_are_handed_on(house: House) -> None:
    house.publish([url_file(), url_file()])
    files = await house.files(sha256=["AB" * 32, "cd" * 32])
    assert [file.sha256 for file in files] == ["ab" * 32, "cd" * 32]
    with pytest.raises(InputUnavailable, match="list of files has changed"):
        await house.files(sha256=["ab" * 32])


async def test_an_asset_that_is_gone(house: House) -> None:
    with pytest.raises(InputUnavailable) as caught:
        await house.files()
    assert not caught.value.temporary
    house.publish([url_file()])
    with pytest.raises(InputUnavailable, match="no such service"):
        await house.supplier.dataset(DatasetItem(did=DATASET, service_id="gone"))


@pytest.mark.parametrize("files", ["0x04abcd", [{"type": "ftp", "url": "Q"}]])
async def test_files_that_cannot_be_opened(house: House, files: Any) -> None:
    house.publish(files)
    with pytest.raises(InputUnavailable) as caught:
        await house.files()
    assert not caught.value.temporary


async def test_a_local_file_is_used_where_it_lies(house: House) -> None:
    (house.data / "sub").mkdir()
    path = house.data / "sub" / "t.csv"
    path.write_bytes(b"a,b\n" * 1_000_000)
    for named in ("sub/t.csv", str(path), "sub/../sub/t.csv"):
        house.publish([{"type": "localfile", "path": named}])
        file = await house.only()
        assert (file.path, file.name) == (path, "t.csv")
    async with file.open(None) as download:
        assert download.size == 4_000_000
        chunks = [chunk async for chunk in download.chunks]
    assert b"".join(chunks) == path.read_bytes()
    assert max(map(len, chunks)) <= 1024 * 1024


async def test_a_local_file_knows_when_it_changed(house: House) -> None:
    path = house.data / "t.csv"
    path.write_bytes(b"one")
    house.publish([{"type": "localfile", "path": "t.csv"}])
    file = await house.only()
    async with file.open(None) as download:
        validator = download.validator
    async with file.open(validator) as download:
        assert download.unchanged
        assert [chunk async for chunk in download.chunks] == []
    path.write_bytes(b"three")
    async with file.open(validator) as download:
        assert not download.unchanged
        assert download.validator != validator


async def test_a_local_file_that_shrinks_while_read_is_not_taken(house: House) -> None:
    path = house.data / "t.csv"
    path.write_bytes(b"x" * 3_000_000)
    house.publish([{"type": "localfile", "path": "t.csv"}])
    file = await house.only()

    async def read_while_it_shrinks() -> None:
        async with file.open(None) as download:
            async for _ in download.chunks:
                os.truncate(path, 1_500_000)

    with pytest.raises(InputUnavailable) as caught:
        await read_while_it_shrinks()
    assert caught.value.temporary


@pytest.mark.parametrize(
    "path",
    [
        "missing.csv",
        "../outside.csv",
        "sub/../../outside.csv",
        "/etc/passwd",
        "link",
        "linked/outside.csv",
        "loop",
        "",
        ".",
        "sub",
        "fifo",
        "/dev/zero",
        "x" * 4096,
    ],
)
async def test_a_local_path_stays_in_the_data_folder(house: House, path: str) -> None:
    (house.data.parent / "outside.csv").write_text("secret")
    (house.data / "sub").mkdir()
    (house.data / "link").symlink_to("../outside.csv")
    (house.data / "linked").symlink_to("..")
    (house.data / "loop").symlink_to("loop")
    os.mkfifo(house.data / "fifo")
    house.publish([{"type": "localfile", "path": path}])
    with pytest.raises(InputUnavailable) as caught:
        await house.files()
    assert str(house.data) not in caught.value.public


async def test_a_link_within_the_data_folder_is_followed(house: House) -> None:
    (house.data / "v2.csv").write_bytes(b"x")
    (house.data / "current.csv").symlink_to("v2.csv")
    house.publish([{"type": "localfile", "path": "current.csv"}])
    file = await house.only()
    assert (file.name, file.path) == ("current.csv", house.data / "v2.csv")


async def test_a_local_file_swapped_for_a_link_is_not_opened(house: House) -> None:
    path = house.data / "t.csv"
    path.write_bytes(b"x")
    house.publish([{"type": "localfile", "path": "t.csv"}])
    file = await house.only()
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(InputUnavailable):
        await content(file)


class Strangers(Catalogue):
    """A catalogue whose documents anybody may write."""

    def __init__(self, inner: Catalogue) -> None:
        self.inner = inner

    async def resolve(self, did: str) -> Ddo:
        return await self.inner.resolve(did)


async def test_strangers_name_no_files_of_this_machine(house: House) -> None:
    (house.data / "t.csv").write_bytes(b"x")
    house.publish([{"type": "localfile", "path": "t.csv"}])
    item = DatasetItem(did=DATASET, service_id="compute-1")
    suppliers = [
        AssetSupplier(Strangers(house.catalogue), KEY, house.fetcher, data_folder=house.data),
        AssetSupplier(house.catalogue, KEY, house.fetcher),
    ]
    for supplier in suppliers:
        with pytest.raises(InputUnavailable, match="not served"):
            await supplier.dataset(item)


async def test_a_published_algorithm(house: House, origin: Origin) -> None:
    files = [url_file(origin.serve("/mean.py", b"print()"))]
    write(
        house.assets,
        "algorithm.json",
        algorithm(services=[service("access", id="access-1", files=files)]),
    )
    item = AlgorithmItem(
        did=ALGORITHM, service_id="access-1", image=Image(image="x"), entrypoint="sh"
    )
    (file,) = await house.supplier.algorithm(item)
    assert (file.name, await content(file)) == ("mean.py", b"print()")


async def test_raw_code(house: House) -> None:
    code = "print('é')\n"
    (file,) = await house.supplier.algorithm(raw(rawcode=code))
    digest = hashlib.sha256(code.encode()).hexdigest()
    assert (file.name, file.sha256, file.path) == ("algorithm", digest, None)
    assert await content(file) == code.encode()
    assert await content(file, digest) == b""
    (same,) = await house.supplier.algorithm(raw(rawcode=code))
    (other,) = await house.supplier.algorithm(raw(rawcode="x"))
    assert file.identity == same.identity != other.identity


async def test_an_algorithm_that_a_consumer_points_to(house: House, origin: Origin) -> None:
    sealed = seal_url_file(url_file(origin.serve("/a.py", b"print()")), KEY)
    (file,) = await house.supplier.algorithm(raw(sealed=sealed))
    assert (file.name, await content(file)) == ("a.py", b"print()")
    with pytest.raises(InputUnavailable):
        await house.supplier.algorithm(raw(sealed="0x00"))


async def test_an_algorithm_may_live_in_its_image_alone(house: House) -> None:
    assert list(await house.supplier.algorithm(raw())) == []


async def test_checksums_of_files(house: House, origin: Origin) -> None:
    (house.data / "own.py").write_bytes(b"own")
    house.publish(
        [
            url_file(origin.serve("/k.csv", b"a,b\n1,2\n")),
            {"type": "localfile", "path": "own.py"},
        ]
    )
    ddo = await house.catalogue.resolve(DATASET)
    assert await house.supplier.file_checksums(ddo, ddo.services[0]) == [
        "492d5ea496056f1a6a6592241032fab764c321596317930b4fa0e1e8bc3b7470",
        hashlib.sha256(b"own").hexdigest(),
    ]


async def test_checksums_are_remembered_while_the_origin_says_so(
    house: House, origin: Origin
) -> None:
    version = ["one"]
    sent: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        tag = f'"{version[0]}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        sent.append(version[0])
        return web.Response(text=version[0], headers={"ETag": tag})

    origin.on("/t", answer)
    house.publish([url_file(origin.url("/t"))])
    ddo = await house.catalogue.resolve(DATASET)
    for name in ("one", "one", "two", "two"):
        version[0] = name
        (digest,) = await house.supplier.file_checksums(ddo, ddo.services[0])
        assert digest == hashlib.sha256(name.encode()).hexdigest()
    assert sent == ["one", "two"]


async def test_without_validator_files_are_read_each_time(house: House, origin: Origin) -> None:
    house.publish([url_file(origin.serve("/t", b"x"))])
    ddo = await house.catalogue.resolve(DATASET)
    for _ in range(2):
        await house.supplier.file_checksums(ddo, ddo.services[0])
    assert len(origin.requests) == 2


async def test_a_checksum_that_cannot_be_had(house: House, origin: Origin) -> None:
    house.publish([url_file(origin.url("/missing"))])
    ddo = await house.catalogue.resolve(DATASET)
    with pytest.raises(InputUnavailable):
        await house.supplier.file_checksums(ddo, ddo.services[0])
    house.publish("0x04")
    ddo = await house.catalogue.resolve(DATASET)
    with pytest.raises(InputUnavailable):
        await house.supplier.file_checksums(ddo, ddo.services[0])


async def test_inner_addresses_are_refused_through_assets_too(
    tmp_path: Path, origin: Origin
) -> None:
    async with Fetcher() as fetcher:
        house = House(tmp_path, fetcher)
        house.publish([url_file(origin.serve("/t", b"x"))])
        with pytest.raises(InputUnavailable, match="not allowed"):
            await content(await house.only())
    assert origin.requests == []


async def test_nothing_secret_shows(house: House) -> None:
    house.publish([url_file("https://secret.example/x", headers={"Authorization": "secret"})])
    file = await house.only(userdata={"a": "secret"})
    assert "secret" not in repr(file) + str(file) + file.identity
    ddo = await house.catalogue.resolve(DATASET)
    assert "secret" not in repr(ddo) + json.dumps(ddo.document)
    with pytest.raises(UnknownAsset):
        await house.catalogue.resolve("did:op:none")


async def test_assets_that_cannot_be_looked_up_may_be_had_later(house: House) -> None:
    house.publish([url_file("https://example.com/x")])
    house.assets.rename(house.assets.with_name("away"))
    item = DatasetItem(did=DATASET, service_id="compute-1")
    spec = JobSpec(
        datasets=(item,),
        algorithm=AlgorithmItem(image=Image(image="x"), entrypoint="x"),
        max_duration_s=1,
    )
    for asking in (house.files(), house.supplier.permit("0x00", spec)):
        with pytest.raises(InputUnavailable) as caught:
            await asking
        assert caught.value.temporary

"""Sealed file objects: the published vector, the layout, and what binds files to an asset."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asset_documents import DATA_NFT, DATATOKEN, dataset, service, url_file

from provider.assets.ddo import Ddo
from provider.assets.encryption import (
    OVERHEAD_BYTES,
    decrypt,
    encrypt,
    open_files,
    open_url_file,
    seal_url_file,
)
from provider.assets.files import UrlFile
from provider.errors import AssetMalformed, FileObjectInvalid
from provider.keys import ProviderKey

VECTOR = (
    "0x049739bb635b6970e0f73b700aec32f7f5d0886025cd937bf3bf6bddb616fc6babd1049323b719f4148e3f8e"
    "33edb9d7f058e21143110a3491ba5bef3ba7ff2628039bb1913a06e23c3ca8e653caf0dbc96e939d361d751834"
    "01de7e32ae4c0218fa1dc62f9f4118"
)
OTHER = "0x" + "99" * 20


@pytest.fixture(scope="module")
def key() -> ProviderKey:
    return ProviderKey.from_text("11" * 32)


def sealed(key: ProviderKey, content: Any) -> str:
    return encrypt(key.public_key, json.dumps(content).encode())


def bound(**changes: Any) -> dict[str, Any]:
    content = {"nftAddress": DATA_NFT, "datatokenAddress": DATATOKEN, "files": [url_file()]}
    return {**content, **changes}


def opened(key: ProviderKey, files: Any, **changes: Any) -> list[Any]:
    ddo = Ddo.parse(dataset(services=[service(files=files)], **changes))
    return open_files(ddo, ddo.services[0], key)


def test_the_published_vector_opens(key: ProviderKey) -> None:
    assert decrypt(key, VECTOR) == b'{"a":1}'
    assert decrypt(key, VECTOR.removeprefix("0x").upper()) == b'{"a":1}'


def test_the_layout_of_what_is_sealed(key: ProviderKey) -> None:
    blob = bytes.fromhex(encrypt(key.public_key, b"12345").removeprefix("0x"))
    assert blob[0] == 0x04
    assert len(blob) == 65 + 16 + 16 + 5


def test_sealing_twice_differs_and_opens_the_same(key: ProviderKey) -> None:
    first, second = encrypt(key.public_key, b"x"), encrypt(key.public_key, b"x")
    assert first != second
    assert decrypt(key, first) == decrypt(key, second) == b"x"
    assert decrypt(key, encrypt(key.public_key, b"")) == b""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "0xzz",
        "0x04",
        VECTOR[:-2],
        VECTOR[:-1],
        VECTOR[:-2] + "00",
        VECTOR[:150],
        "0x" + "00" * 200,
        "0x04" + "00" * 200,
        "0x04" + "ff" * 200,
        "0x02" + VECTOR[4:],
        VECTOR.replace("9739", "9738", 1),
        VECTOR + "00",
        "é",
    ],
)
def test_what_cannot_be_opened_says_nothing_more(key: ProviderKey, text: str) -> None:
    with pytest.raises(AssetMalformed) as caught:
        decrypt(key, text)
    assert caught.value.public == "cannot decrypt files for this service."
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_another_key_cannot_open() -> None:
    with pytest.raises(AssetMalformed):
        decrypt(ProviderKey.from_text("22" * 32), VECTOR)


def test_bound_files_open(key: ProviderKey) -> None:
    for content in (
        bound(),
        bound(nftAddress=DATA_NFT.lower(), datatokenAddress=DATATOKEN.upper()),
    ):
        (file,) = opened(key, sealed(key, content))
        assert isinstance(file, UrlFile)
        assert file.url == url_file()["url"]


@pytest.mark.parametrize(
    "content",
    [
        bound(nftAddress=OTHER),
        bound(datatokenAddress=OTHER),
        bound(nftAddress=None),
        bound(datatokenAddress=5),
        {"files": [url_file()]},
        [url_file()],
        "text",
        None,
    ],
)
def test_files_of_another_asset_do_not_open(key: ProviderKey, content: Any) -> None:
    with pytest.raises(AssetMalformed):
        opened(key, sealed(key, content))


def test_an_asset_without_addresses_binds_nothing(key: ProviderKey) -> None:
    content = sealed(key, bound(nftAddress="", datatokenAddress=""))
    ddo = Ddo.parse(
        dataset(nftAddress="", nft={}, services=[service(files=content, datatokenAddress="")])
    )
    with pytest.raises(AssetMalformed):
        open_files(ddo, ddo.services[0], key)


@pytest.mark.parametrize("version", ["4.0.0", None])
def test_old_documents_hold_a_bare_list(key: ProviderKey, version: str | None) -> None:
    assert len(opened(key, sealed(key, [url_file(), url_file()]), version=version)) == 2
    with pytest.raises(AssetMalformed):
        opened(key, sealed(key, bound(nftAddress=OTHER)), version=version)


def test_plain_files_open(key: ProviderKey) -> None:
    assert len(opened(key, [url_file()])) == 1
    assert len(opened(key, {"files": [url_file()]})) == 1


@pytest.mark.parametrize("files", [None, "", []])
def test_no_files_is_an_empty_list(key: ProviderKey, files: Any) -> None:
    assert opened(key, files) == []


@pytest.mark.parametrize("files", ["plain text", "0x", {"file": 1}])
def test_unreadable_files_are_malformed(key: ProviderKey, files: Any) -> None:
    with pytest.raises(AssetMalformed):
        opened(key, files)


def test_garbage_inside_is_malformed(key: ProviderKey) -> None:
    for plain in (b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(AssetMalformed) as caught:
            opened(key, encrypt(key.public_key, plain))
        assert caught.value.__context__ is None


def test_a_consumers_url_is_stored_sealed(key: ProviderKey) -> None:
    text = seal_url_file(url_file("https://secret.example/a.py", headers={"X": "y"}), key)
    assert "secret" not in text
    assert len(text) > 2 * OVERHEAD_BYTES
    file = open_url_file(text, key)
    assert isinstance(file, UrlFile)
    assert (file.url, file.headers) == ("https://secret.example/a.py", {"X": "y"})


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "ipfs", "hash": "QmSecret/a.py", "headers": {"X": "y"}},
        {"type": "arweave", "transactionId": "secret"},
    ],
)
def test_so_is_what_lies_on_a_gateway(key: ProviderKey, raw: dict[str, Any]) -> None:
    text = seal_url_file(raw, key)
    assert "ecret" not in text
    assert open_url_file(text, key).model_dump() == {"headers": {}, **raw}


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "localfile", "path": "x"},
        {"type": "graphql", "url": "https://g.example", "query": "{a}"},
        {
            "type": "smartcontract",
            "address": OTHER,
            "abi": {"name": "a", "stateMutability": "view", "inputs": []},
        },
        {
            "type": "s3",
            "s3Access": {
                "bucket": "tables",
                "objectKey": "x",
                "accessKeyId": "a",
                "secretAccessKey": "b",
            },
        },
    ],
)
def test_a_consumer_names_nothing_else(key: ProviderKey, raw: dict[str, Any]) -> None:
    with pytest.raises(FileObjectInvalid, match=f"Unsupported type {raw['type']}"):
        seal_url_file(raw, key)
    with pytest.raises(AssetMalformed):
        open_url_file(sealed(key, {"consumerFile": raw}), key)


@pytest.mark.parametrize("content", [bound(), [url_file()], url_file(), None])
def test_files_of_an_asset_do_not_pass_for_a_consumers(key: ProviderKey, content: Any) -> None:
    with pytest.raises((AssetMalformed, FileObjectInvalid)):
        open_url_file(sealed(key, content), key)

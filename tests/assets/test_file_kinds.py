"""File objects of the further kinds: keys, texts that clients know, and what never shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provider.assets.files import (
    ArweaveFile,
    ContractFile,
    GraphqlFile,
    IpfsFile,
    S3File,
    parse_file,
)
from provider.errors import FileObjectInvalid

ADDRESS = "0x" + "aB" * 20
VIEW = {
    "type": "function",
    "name": "balanceOf",
    "stateMutability": "view",
    "inputs": [{"name": "owner", "type": "address"}],
    "outputs": [{"name": "", "type": "uint256"}],
}
ACCESS = {
    "bucket": "tables",
    "objectKey": "2024/one.csv",
    "accessKeyId": "AKIDEXAMPLE",
    "secretAccessKey": "secretkey",
}
MISSING = "malformed service files, missing required keys."


def contract(**changes: Any) -> dict[str, Any]:
    return {"type": "smartcontract", "address": ADDRESS, "abi": VIEW, **changes}


def view(**changes: Any) -> dict[str, Any]:
    return contract(abi={**VIEW, **changes})


def s3(**changes: Any) -> dict[str, Any]:
    return {"type": "s3", "s3Access": {**ACCESS, **changes}}


def without(raw: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name != key}


def test_each_kind_is_read() -> None:
    raws: list[tuple[dict[str, Any], type]] = [
        ({"type": "ipfs", "hash": "QmX", "headers": {"A": "b"}}, IpfsFile),
        ({"type": "arweave", "transactionId": "a-_1"}, ArweaveFile),
        ({"type": "graphql", "url": "https://g.example/q", "query": "{a}"}, GraphqlFile),
        (contract(), ContractFile),
        (contract(abi=json.dumps(VIEW), chainId="8996"), ContractFile),
        (s3(), S3File),
        (s3(endpoint="s3.example:9000", region="eu-1", forcePathStyle=True), S3File),
        (s3(endpoint="", region=""), S3File),
    ]
    for raw, model in raws:
        assert type(parse_file({**raw, "unknown": 1})) is model


def test_values_are_normalised() -> None:
    read = parse_file(contract(chainId="8996"))
    assert isinstance(read, ContractFile)
    assert (read.address, read.chainId) == (ADDRESS.lower(), 8996)
    stored = parse_file(s3(endpoint="s3.example:9000"))
    assert isinstance(stored, S3File)
    assert stored.s3Access.endpoint == "https://s3.example:9000"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"type": "ipfs"}, MISSING),
        ({"type": "ipfs", "hash": ""}, MISSING),
        ({"type": "ipfs", "hash": None}, MISSING),
        ({"type": "arweave"}, "malformed service files, missing transactionId."),
        (
            {"type": "arweave", "transactionId": ""},
            "malformed service files, missing transactionId.",
        ),
        ({"type": "graphql", "query": "{a}"}, "missing graphql endpoint"),
        ({"type": "graphql"}, "missing graphql endpoint|missing graphql query"),
        ({"type": "graphql", "url": "https://g.example"}, "missing graphql query"),
        (
            {"type": "graphql", "url": "ftp://g.example", "query": "{a}"},
            "malformed service files, unusable url.",
        ),
        (
            without(contract(), "address"),
            "malformed smartcontract type, missing contract address",
        ),
        (contract(address="0x1"), "malformed service files, unusable address."),
        (without(contract(), "abi"), "invalid abi"),
        (contract(abi=[VIEW]), "invalid abi"),
        (contract(abi="not json"), "invalid abi"),
        (contract(abi="[" * 100_000), "invalid abi"),
        (view(type="event"), "invalid abi"),
        (view(stateMutability="payable"), "only view or pure functions are allowed"),
        (view(stateMutability=None), "only view or pure functions are allowed"),
        (view(name=""), "missing name"),
        (view(name=5), "missing name"),
        (view(inputs=None), "Missing parameters"),
        (view(inputs=[{"type": "address"}]), "Missing parameters"),
        (contract(chainId=0), "malformed service files, unusable chainId."),
        ({"type": "s3"}, MISSING),
        ({"type": "s3", "s3Access": without(ACCESS, "bucket")}, MISSING),
        ({"type": "s3", "s3Access": without(ACCESS, "secretAccessKey")}, MISSING),
        (s3(bucket="a/b"), "malformed service files, unusable s3Access."),
        (s3(bucket="host.example/x?"), "malformed service files, unusable s3Access."),
        (s3(endpoint="file:///etc"), "malformed service files, unusable s3Access."),
        (s3(region="eu\n1"), "malformed service files, unusable s3Access."),
        (s3(region="evil.example/"), "malformed service files, unusable s3Access."),
        (s3(objectKey="../x"), "malformed service files, unusable s3Access."),
        (s3(accessKeyId="a/b"), "malformed service files, unusable s3Access."),
    ],
)
def test_what_clients_read(raw: dict[str, Any], text: str) -> None:
    with pytest.raises(FileObjectInvalid) as caught:
        parse_file(raw)
    assert caught.value.public in text.split("|")


@pytest.mark.parametrize(
    "value",
    ["../../api/v0/key", "Qm/../x", "Qm?x=1", "Qm#x", "Qm/./x", "Qm//x", "//host/x", "Qm\n", "Q m"],
)
def test_an_identifier_stays_below_its_gateway(value: str) -> None:
    for raw in ({"type": "ipfs", "hash": value}, {"type": "arweave", "transactionId": value}):
        with pytest.raises(FileObjectInvalid, match="unusable"):
            parse_file(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "ipfs", "hash": "Qmsecret", "headers": {"A": "secret"}},
        {"type": "arweave", "transactionId": "secret"},
        {"type": "graphql", "url": "https://secret.example", "query": "{secret}"},
        view(name="secret"),
        s3(objectKey="secret", bucket="secret"),
    ],
)
def test_nothing_of_them_shows(raw: dict[str, Any]) -> None:
    file = parse_file(raw)
    shown = repr(file) + str(file) + f"{[file]}"
    if isinstance(file, S3File):
        shown += repr(file.s3Access) + str(file.s3Access)
    assert "secret" not in shown


@pytest.mark.parametrize(
    "raw",
    [
        s3(secretAccessKey="top secret"),
        {"type": "graphql", "url": "secret", "query": "{a}"},
        {"type": "ipfs", "hash": "top secret"},
        view(stateMutability="secret"),
    ],
)
def test_errors_name_keys_only(raw: dict[str, Any]) -> None:
    with pytest.raises(FileObjectInvalid) as caught:
        parse_file(raw)
    assert "secret" not in caught.value.public
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({"type": "ipfs", "hash": "QmX"}, ""),
        ({"type": "ipfs", "hash": "QmX/folder/one.csv"}, "one.csv"),
        ({"type": "arweave", "transactionId": "abc"}, ""),
        (s3(), "one.csv"),
    ],
)
def test_names(raw: dict[str, Any], name: str) -> None:
    assert parse_file(raw).name == name

"""Documents before they are published: what is asked of them, named by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aquarius_documents import CHAIN, NFT, OTHER_NFT, algorithm, changed, document, service
from hypothesis import given
from hypothesis import strategies as st

from provider.assets.published import did_of
from provider.assets.validation import MAX_FAULTS, MAX_SERVICES, Fault, validate


@pytest.mark.parametrize(
    "sound",
    [
        document(),
        algorithm(),
        document(version="4.0.0"),
        document(version="4.13.2"),
        changed(document(), "credentials", ...),
        document(credentials={"allow": [{"type": "address", "values": ["0x" + "1" * 40]}]}),
        document(nft={"state": 0}, event={"tx": "0x1"}, stats={}, somethingNew=[1]),
        changed(document(), "metadata.tags", ...),
        changed(document(), "services.1.compute", {}),
        changed(document(), "services.1.compute.egress", {"maxRows": 100, "hold": "always"}),
        changed(document(), "services.0.timeout", 0),
        document(nftAddress=NFT.lower()),
    ],
)
def test_what_publishers_tools_write_is_fit(sound: dict[str, Any]) -> None:
    assert validate(sound) == []


@pytest.mark.parametrize(
    "path",
    [
        "@context",
        "id",
        "version",
        "chainId",
        "nftAddress",
        "metadata",
        "metadata.created",
        "metadata.updated",
        "metadata.type",
        "metadata.name",
        "metadata.description",
        "metadata.author",
        "metadata.license",
        "metadata.algorithm",
        "metadata.algorithm.container",
        "metadata.algorithm.container.entrypoint",
        "metadata.algorithm.container.image",
        "metadata.algorithm.container.tag",
        "metadata.algorithm.container.checksum",
        "services",
        "services.0.id",
        "services.0.type",
        "services.0.files",
        "services.0.datatokenAddress",
        "services.0.serviceEndpoint",
        "services.0.timeout",
        "services.1.compute",
    ],
)
def test_each_required_field_is_missed_by_name(path: str) -> None:
    for value in (..., None):
        assert Fault(path, "is required") in validate(changed(algorithm(), path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("@context", []),
        ("@context", "https://w3id.org/did/v1"),
        ("id", "did:op:../x"),
        ("id", "did:op:" + "0" * 64),
        ("id", did_of(OTHER_NFT, CHAIN)),
        ("version", "5.0.0"),
        ("version", "4.1"),
        ("version", 4),
        ("version", "4.\u0661.0"),
        ("chainId", "8996"),
        ("chainId", True),
        ("chainId", -1),
        ("chainId", 8996.0),
        ("nftAddress", "0x12"),
        ("nftAddress", {"a": 1}),
        ("metadata", []),
        ("metadata.created", "yesterday"),
        ("metadata.updated", 1700000000),
        ("metadata.type", "video"),
        ("metadata.name", "  "),
        ("metadata.author", ["a"]),
        ("metadata.tags", "weather"),
        ("services", []),
        ("services", {}),
        ("services.0", "access"),
        ("services.0.id", ""),
        ("services.0.type", "wss"),
        ("services.0.files", [{"type": "url", "url": "https://example.com/x"}]),
        ("services.0.files", "not sealed"),
        ("services.0.datatokenAddress", ""),
        ("services.0.serviceEndpoint", "ftp://provider.example.com"),
        ("services.0.serviceEndpoint", "http://[::1"),
        ("services.0.timeout", "3600"),
        ("services.0.timeout", -1),
        ("services.1.id", "0"),
        ("services.1.compute", []),
        ("services.1.compute.allowRawAlgorithm", "no"),
        ("services.1.compute.publisherTrustedAlgorithms", {}),
        ("credentials", []),
        ("credentials.allow", {}),
        ("credentials.deny", ["0x1"]),
    ],
)
def test_each_wrong_field_is_named_without_its_value(path: str, value: Any) -> None:
    faults = validate(changed(document(), path, value))
    assert any(fault.path.startswith(path) for fault in faults)
    told = " ".join(f"{fault.path} {fault.message}" for fault in faults)
    for secret in ("yesterday", "example.com/x", "wss", "video"):
        assert secret not in told


def test_an_entry_of_a_list_of_wallets_needs_type_and_values() -> None:
    faults = validate(document(credentials={"allow": [{}]}))
    assert {fault.path for fault in faults} == {
        "credentials.allow.0.type",
        "credentials.allow.0.values",
    }


def test_what_only_the_reading_finds_is_told_too() -> None:
    (fault,) = validate(document(credentials={"allow": [{"type": "address", "values": [[1]]}]}))
    assert fault.path == ""
    assert "credentials" in fault.message


@pytest.mark.parametrize("value", [None, [], "x", 1, [document()]])
def test_only_an_object_is_a_document(value: Any) -> None:
    assert validate(value) == [Fault("", "must be a JSON object")]


def test_no_more_faults_are_told_than_can_be_read() -> None:
    assert len(validate(document(services=[{}] * MAX_SERVICES))) == MAX_FAULTS
    (fault,) = validate(document(services=[service()] * (MAX_SERVICES + 1)))
    assert fault.path == "services"


def test_the_documents_that_a_real_client_published_are_fit() -> None:
    recorded = Path(__file__).with_name("validate_recordings.json")
    for exchange in json.loads(recorded.read_text()):
        assert validate(json.loads(exchange["body"])) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
_PATHS = st.sampled_from(
    [
        "id",
        "version",
        "chainId",
        "nftAddress",
        "metadata",
        "metadata.type",
        "metadata.tags",
        "services",
        "services.0",
        "services.0.id",
        "services.0.files",
        "services.1.compute",
        "credentials",
        "credentials.allow",
    ]
)


@given(_PATHS, _JSON)
def test_any_json_anywhere_gives_faults_and_never_an_error(path: str, value: Any) -> None:
    faults = validate(changed(document(), path, value))
    assert all(isinstance(fault, Fault) for fault in faults)
    assert len(faults) <= MAX_FAULTS

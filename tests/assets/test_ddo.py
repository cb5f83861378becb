"""Reading documents: tolerant of shape, strict about permissions and names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asset_documents import DATA_NFT, DATASET, PUBLISHER, algorithm, compute_rules, dataset, service

from provider.assets.ddo import Ddo, is_did, is_sealed
from provider.errors import AssetMalformed


@pytest.mark.parametrize(
    "did", ["did:op:" + "0f" * 32, "did:op:local-table_1.v2", "did:op:_x", "did:op:" + "a" * 100]
)
def test_a_did_is_a_safe_name(did: str) -> None:
    assert is_did(did)


@pytest.mark.parametrize(
    "did",
    [
        "",
        "did:op:",
        "did:op:.",
        "did:op:..",
        "did:op:.hidden",
        "did:op:a/b",
        "did:op:../../etc",
        "did:op:a\\b",
        "did:op:a b",
        "did:op:a\n",
        "did:op:a\0",
        "did:op:" + "a" * 101,
        "did:nv:abc",
        "xdid:op:abc",
        "did:op:é",
        None,
        7,
    ],
)
def test_what_is_no_safe_name_is_no_did(did: Any) -> None:
    assert not is_did(did)


def test_a_realistic_document_is_read() -> None:
    ddo = Ddo.parse(dataset())
    assert (ddo.id, ddo.chain_id, ddo.owner, ddo.data_nft) == (DATASET, 8996, PUBLISHER, DATA_NFT)
    assert ddo.type == "dataset"
    assert not ddo.is_algorithm
    found = ddo.service("compute-1")
    assert found is not None
    assert found.is_compute
    assert not found.is_access
    assert ddo.service("compute-2") is None


def test_an_algorithm_has_its_container() -> None:
    ddo = Ddo.parse(algorithm())
    assert ddo.is_algorithm
    assert ddo.metadata is not None
    assert ddo.metadata.algorithm is not None
    assert ddo.metadata.algorithm.container.entrypoint == "python $ALGO"
    assert ddo.metadata.algorithm.consumer_parameters[0].name == "depth"


def test_null_counts_as_absent() -> None:
    rules = compute_rules(publisherTrustedAlgorithms=None)
    ddo = Ddo.parse(
        dataset(credentials=None, services=[service(compute=rules, consumerParameters=None)])
    )
    assert ddo.credentials.allow == []
    assert ddo.services[0].compute.publisher_trusted_algorithms == []


@pytest.mark.parametrize("value", [None, 0, 1, "true", "True", "false", [], {}, "yes"])
def test_only_the_literal_true_permits(value: Any) -> None:
    rules = compute_rules(allowRawAlgorithm=value, allowNetworkAccess=value)
    read = Ddo.parse(dataset(services=[service(compute=rules)])).services[0].compute
    assert not read.allow_raw_algorithm
    assert not read.allow_network_access


def test_the_literal_true_permits() -> None:
    rules = compute_rules(allowRawAlgorithm=True, allowNetworkAccess=True)
    read = Ddo.parse(dataset(services=[service(compute=rules)])).services[0].compute
    assert read.allow_raw_algorithm
    assert read.allow_network_access


def test_a_compute_service_without_rules_permits_nothing_special() -> None:
    bare = service()
    del bare["compute"]
    read = Ddo.parse(dataset(services=[bare])).services[0].compute
    assert not read.allow_raw_algorithm
    assert not read.allow_network_access


def test_numeric_service_ids_are_read_as_text() -> None:
    assert Ddo.parse(dataset(services=[service(id=0)])).service("0") is not None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"id": "did:op:../x"}, "id"),
        ({"id": None}, "id"),
        ({"version": "5.0.0"}, "version"),
        ({"version": "3"}, "version"),
        ({"services": "none"}, "services"),
        ({"services": [{"id": "1"}]}, "services.0.type"),
        ({"services": [service(), service()]}, "same id"),
        ({"services": [service(compute="all")]}, "services.0.compute"),
        ({"credentials": {"allow": [{"type": "address"}]}}, "credentials.allow.0.values"),
        ({"credentials": {"deny": {"a": 1}}}, "credentials.deny"),
    ],
)
def test_a_fault_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(AssetMalformed, match=named):
        Ddo.parse(dataset(**changes))


def test_a_fault_never_shows_values() -> None:
    secret = "https://secret.example.com/x"
    with pytest.raises(AssetMalformed) as caught:
        Ddo.parse(dataset(services=[service(timeout=secret, files=secret)], version=secret))
    assert "secret" not in caught.value.public
    assert "secret" not in repr(caught.value)


def test_a_document_does_not_show_its_files() -> None:
    assert "files.example.com" not in repr(Ddo.parse(dataset()))


@pytest.mark.parametrize(
    ("version", "binds"), [("4.0.0", False), ("4.1.0", True), ("4.5.0", True), (None, False)]
)
def test_files_are_bound_from_4_1_on(version: str | None, binds: bool) -> None:
    assert Ddo.parse(dataset(version=version)).binds_files is binds


def test_algorithms_see_neither_plain_files_nor_wallets() -> None:
    sealed = "0x04" + "ab" * 100
    ddo = Ddo.parse(
        dataset(
            credentials={"allow": [{"type": "address", "values": ["0xallowed"]}]},
            services=[
                service(id="1"),
                service(id="2", files=sealed, credentials={"deny": []}),
                service(id="3", files={"files": [{"type": "url", "url": "https://x.example"}]}),
                service(id="4", files="https://bare.example/x"),
            ],
            extra={"files": ["https://nested.example"], "kept": 1},
        )
    )
    shown = ddo.document
    assert [each["files"] for each in shown["services"]] == ["", sealed, "", ""]
    text = json.dumps(shown)
    assert "example/x" not in text
    assert "nested.example" not in text
    assert "files.example.com" not in text
    assert "credentials" not in text
    assert "0xallowed" not in text
    assert shown["extra"]["kept"] == 1
    assert shown["metadata"] == dataset()["metadata"]


def test_each_shown_document_is_a_copy() -> None:
    ddo = Ddo.parse(dataset())
    ddo.document["metadata"]["name"] = "changed"
    ddo.document["services"].clear()
    assert ddo.document["metadata"]["name"] == "Measurements"
    assert len(ddo.document["services"]) == 1


@pytest.mark.parametrize(
    ("files", "sealed"),
    [("0x04ab", True), ("0x", False), ("04ab", False), ("0xzz", False), ([], False)],
)
def test_sealed_files_are_told_by_their_form(files: Any, sealed: bool) -> None:
    assert is_sealed(files) is sealed


def test_names_count_only_as_the_wire_spells_them() -> None:
    raw = dataset(nft_address="0x" + "ab" * 20, chain_id=7)
    raw.pop("nftAddress", None)
    raw.pop("chainId", None)
    ddo = Ddo.parse(raw)
    assert (ddo.nft_address, ddo.chain_id) == ("", None)


def test_the_author_is_who_the_chain_names_and_of_local_documents_the_owner() -> None:
    raw = dataset(nft={"owner": "0x" + "aa" * 20}, event={"from": "0x" + "bb" * 20})
    assert Ddo.parse(raw).author == "0x" + "bb" * 20
    assert Ddo.parse(raw, local=True).author == "0x" + "aa" * 20


@pytest.mark.parametrize("minor", ["1" * 5000, "1" * 7, "\u0664", ""])
def test_a_version_without_bound_is_none(minor: str) -> None:
    with pytest.raises(AssetMalformed, match="version"):
        Ddo.parse(dataset(version=f"4.{minor}.0"))
    assert Ddo.parse(dataset(version="4.999999.0")).binds_files

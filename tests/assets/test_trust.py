"""Which algorithms a publisher trusts, in tables."""

from __future__ import annotations

from typing import Any

import pytest
from asset_documents import ALGORITHM, PUBLISHER, compute_rules, dataset, service

from provider.assets.ddo import ComputeRules, Ddo
from provider.assets.trust import (
    AlgorithmFacts,
    container_checksum,
    files_checksum,
    needs_checksums,
    raw_refused,
    untrusted,
)

FILES = "ab" * 32
CONTAINER = "cd" * 32
FACTS = AlgorithmFacts(ALGORITHM, "access-1", PUBLISHER, PUBLISHER, FILES, CONTAINER)


def rules(**changes: Any) -> ComputeRules:
    return (
        Ddo.parse(dataset(services=[service(compute=compute_rules(**changes))])).services[0].compute
    )


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "did": ALGORITHM,
        "filesChecksum": FILES,
        "containerSectionChecksum": CONTAINER,
        **changes,
    }


@pytest.mark.parametrize(
    ("algorithms", "code"),
    [
        ([], None),
        ([entry()], None),
        ([entry(filesChecksum=FILES.upper(), containerSectionChecksum=CONTAINER.upper())], None),
        ([entry(filesChecksum="", containerSectionChecksum=None)], None),
        ([{"did": ALGORITHM}], None),
        ([entry(did="did:op:other")], "not_trusted_algo"),
        ([entry(did="did:op:other"), entry()], None),
        ([entry(did=ALGORITHM.upper())], "not_trusted_algo"),
        ([entry(filesChecksum="00")], "algorithm_file_checksum_mismatch"),
        ([entry(containerSectionChecksum="00")], "algorithm_container_checksum_mismatch"),
        ([entry(filesChecksum="00"), entry()], None),
        ([entry(serviceId="access-1")], None),
        ([entry(serviceId="access-2")], "not_trusted_algo"),
        ([entry(serviceId="access-2"), entry(serviceId="access-1")], None),
        ([entry(did=None)], "no_publisherTrustedAlgorithms"),
        ([{"did": "*"}], None),
        (["*"], None),
        ([{"did": "*", "filesChecksum": "*", "containerSectionChecksum": "*"}], None),
        ([{"did": "*", "filesChecksum": "00"}], "algorithm_file_checksum_mismatch"),
    ],
)
def test_the_list_of_algorithms(algorithms: list[Any], code: str | None) -> None:
    assert untrusted(rules(publisherTrustedAlgorithms=algorithms), FACTS) == code


@pytest.mark.parametrize(
    ("publishers", "code"),
    [
        ([], None),
        ([PUBLISHER], None),
        ([PUBLISHER.lower()], None),
        (["*"], None),
        (["0x" + "11" * 20], "not_trusted_algo_publisher"),
        (["0x" + "11" * 20, PUBLISHER], None),
        ([""], "not_trusted_algo_publisher"),
    ],
)
def test_the_list_of_publishers(publishers: list[str], code: str | None) -> None:
    assert untrusted(rules(publisherTrustedAlgorithmPublishers=publishers), FACTS) == code


def test_an_algorithm_of_nobody_is_not_of_a_listed_publisher() -> None:
    nobody = AlgorithmFacts(ALGORITHM, "access-1", "", "", FILES, CONTAINER)
    for listed in ([PUBLISHER], [""]):
        trusted = rules(publisherTrustedAlgorithmPublishers=listed)
        assert untrusted(trusted, nobody) == "not_trusted_algo_publisher"


@pytest.mark.parametrize(
    ("owner", "author", "trusted"),
    [
        (PUBLISHER, PUBLISHER.lower(), True),
        (PUBLISHER, "0x" + "ee" * 20, False),
        ("0x" + "ee" * 20, PUBLISHER, False),
        (PUBLISHER, "", False),
    ],
)
def test_an_nft_that_was_given_to_a_publisher_is_not_by_him(
    owner: str, author: str, trusted: bool
) -> None:
    facts = AlgorithmFacts(ALGORITHM, "access-1", owner, author, FILES, CONTAINER)
    listed = rules(publisherTrustedAlgorithmPublishers=[PUBLISHER])
    assert (untrusted(listed, facts) is None) is trusted


def test_both_lists_must_agree() -> None:
    wrong_publisher = rules(
        publisherTrustedAlgorithms=[entry()],
        publisherTrustedAlgorithmPublishers=["0x" + "11" * 20],
    )
    wrong_algorithm = rules(
        publisherTrustedAlgorithms=[entry(did="did:op:other")],
        publisherTrustedAlgorithmPublishers=[PUBLISHER],
    )
    assert untrusted(wrong_publisher, FACTS) == "not_trusted_algo_publisher"
    assert untrusted(wrong_algorithm, FACTS) == "not_trusted_algo"


def test_an_operator_may_have_two_empty_lists_allow_none() -> None:
    assert untrusted(rules(), FACTS, empty_allows=False) == "not_trusted_algo"
    by_publisher = rules(publisherTrustedAlgorithmPublishers=[PUBLISHER.upper()])
    assert untrusted(by_publisher, FACTS, empty_allows=False) is None
    assert untrusted(rules(publisherTrustedAlgorithms=["*"]), FACTS, empty_allows=False) is None


def test_raw_algorithms_need_permission() -> None:
    assert raw_refused(rules()) == "no_raw_algo_allowed"
    assert raw_refused(ComputeRules()) == "no_raw_algo_allowed"
    assert raw_refused(rules(allowRawAlgorithm="true")) == "no_raw_algo_allowed"
    assert raw_refused(rules(allowRawAlgorithm=True)) is None


@pytest.mark.parametrize(
    ("algorithms", "needed"),
    [([], False), ([{"did": "*"}], False), ([entry(filesChecksum="*")], False), ([entry()], True)],
)
def test_files_are_read_only_when_a_checksum_is_demanded(
    algorithms: list[Any], needed: bool
) -> None:
    assert needs_checksums(rules(publisherTrustedAlgorithms=algorithms)) is needed


def test_container_checksum_vector() -> None:
    assert container_checksum("python $ALGO", "sha256:abc") == (
        "220b9708680ed020d69e40f8f03151bb1ea69762eced4a02833c44a95308ad5d"
    )


def test_files_checksum_joins_in_order() -> None:
    assert files_checksum(["AB" * 32, "cd" * 32]) == "ab" * 32 + "cd" * 32
    assert files_checksum([]) == ""

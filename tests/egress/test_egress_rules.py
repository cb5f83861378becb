"""Where rules come from: the environments' file, and datasets' documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from leaks import manual

from compute.egress import contents
from compute.egress.rules import EgressRules, Hold
from compute.environments import Environment, parse
from compute.errors import EnvironmentsInvalid
from provider.assets.ddo import Ddo
from provider.assets.leaving import FILTER_NOT_ALLOWED, NO_REVIEWER, rules_of
from provider.errors import AssetMalformed, KeyedRefusal

WALLET = "0x" + "Ab" * 20
MANUAL = Path(__file__).parents[2] / "docs" / "operators" / "egress.md"
DID = "did:op:" + "a1" * 32


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("maxRow: 3", "egress.maxRow: Extra inputs are not permitted"),
        ("maxRows: -1", "egress.maxRows: Input should be greater than or equal to 0"),
        ("maxRows: many", "egress.maxRows: Input should be a valid integer"),
        ("maxBytes: 1.5", "egress.maxBytes: Input should be a valid integer"),
        ("noInputCopies: 1", "egress.noInputCopies: Input should be a valid boolean"),
        ("names: ['']", "egress.names[0]: String should have at least 1 character"),
        ('names: ["a\\nb"]', "egress.names[0]: a pattern is printable text"),
        ("names: a", "egress.names: Input should be a valid list; write a list"),
        ("types: [csv]", "egress.types: types: no contents are 'csv'; docs/operators/egress.md"),
        (
            "names: [/data/outputs/*.csv]",
            "egress.names: names: '/data/outputs/*.csv' fits no output",
        ),
        ("hold: maybe", "egress.hold: Input should be 'never', 'fired' or 'always'"),
        ("hold: fired", "egress: reviewers: list at least one wallet"),
        ("hold: always, holdFor: 0", "egress.holdFor: Input should be greater than or equal to 1"),
        ("reviewers: [me]", "egress.reviewers[0]: a wallet is 0x and 40 hexadecimal digits"),
        ("filterImage: 'lab/f:1'", "egress: filterImage: write it one level up, beside egress"),
        ("filterImage: 'a b'", "egress.filterImage: "),
    ],
)
def test_a_mistake_in_the_file_is_told(fields: str, told: str) -> None:
    with pytest.raises(EnvironmentsInvalid) as caught:
        parse(f"environments:\n  - {{id: lab, egress: {{{fields}}}}}\n", "environments.yaml")
    assert f"environments[0] (lab).{told}" in caught.value.public


def test_what_consumers_see_of_an_environment_has_no_wallets() -> None:
    environment = Environment.model_validate(
        {"id": "lab", "egress": {"maxRows": 3, "hold": "fired", "reviewers": [WALLET]}}
    )
    assert environment.egress.reviewers == (WALLET.lower(),)
    shown = environment.egress.shown
    assert (shown["maxRows"], shown["hold"], "reviewers" in shown) == (3, "fired", False)
    assert set(shown) == set(EgressRules.model_fields) - {"reviewers"}


@pytest.mark.parametrize(
    ("rules", "restricts", "outputs", "logs"),
    [
        ({}, False, False, False),
        ({"reviewers": [WALLET], "holdFor": 5}, False, False, False),
        ({"maxLogBytes": 0}, True, False, False),
        ({"maxBytes": 0}, True, True, False),
        ({"names": ["*"]}, True, True, False),
        ({"noInputCopies": True}, True, True, True),
        ({"filterImage": "f"}, True, True, True),
        ({"hold": "fired"}, True, True, True),
    ],
)
def test_what_rules_have_a_say_about(
    rules: dict[str, Any], restricts: bool, outputs: bool, logs: bool
) -> None:
    read = EgressRules.model_validate(rules)
    assert (read.restricts, read.looks_at_outputs, read.hides_logs) == (restricts, outputs, logs)


def document(egress: Any, owner: str = WALLET) -> dict[str, Any]:
    service = {"id": "c", "type": "compute", "compute": {"egress": egress}}
    return {"id": DID, "version": "4.1.0", "nft": {"owner": owner}, "services": [service]}


def of_document(egress: Any, owner: str = WALLET, **environment: Any) -> EgressRules | None:
    ddo = Ddo.parse(document(egress, owner))
    place = Environment.model_validate({"id": "lab"} | environment)
    return rules_of(ddo, ddo.services[0], place, "dataset")


def test_a_dataset_s_rules_are_read() -> None:
    read = of_document({"maxRows": 100, "names": None, "types": ["text/*"], "hold": "always"})
    assert read is not None
    assert (read.maxRows, read.names, read.types, read.hold) == (100, (), ("text/*",), Hold.ALWAYS)
    assert read.reviewers == (WALLET.lower(),), "the owner, where the document names nobody"
    named = of_document({"hold": "fired", "reviewers": ["0x" + "CD" * 20]})
    assert named is not None
    assert named.reviewers == ("0x" + "cd" * 20,)
    assert of_document(None) is None
    assert of_document({}) is None
    assert read.model_copy() == EgressRules.model_validate(read.model_dump(mode="json"))


@pytest.mark.parametrize(
    "egress",
    [{"maxrows": 3}, {"maxRows": "3"}, {"maxRows": True}, [], "x", {"hold": "yes"}, {"types": 1}],
)
def test_rules_that_cannot_be_read_make_the_document_invalid(egress: Any) -> None:
    with pytest.raises(AssetMalformed, match=r"services\.0\.compute\.egress"):
        Ddo.parse(document(egress))


@pytest.mark.parametrize("owner", ["", "somebody"])
def test_a_hold_that_nobody_could_release_refuses_the_start(owner: str) -> None:
    with pytest.raises(KeyedRefusal) as caught:
        of_document({"hold": "fired"}, owner)
    assert (caught.value.resource, caught.value.code) == ("dataset.egress", NO_REVIEWER)


def test_a_filter_has_to_be_allowed_by_the_environment() -> None:
    egress = {"filterImage": "registry.example.org/filter:1"}
    with pytest.raises(KeyedRefusal) as caught:
        of_document(egress)
    assert (caught.value.resource, caught.value.code) == ("dataset.egress", FILTER_NOT_ALLOWED)
    read = of_document(egress, images={"allow": ["registry.example.org/*"]})
    assert read is not None
    assert read.filterImage == egress["filterImage"]


def test_all_words_for_contents_differ() -> None:
    assert len(set(contents.WORDS)) == len(contents.WORDS)


def test_the_manual_has_all_rules_all_words_and_the_table_of_leaks() -> None:
    text = MANUAL.read_text()
    assert manual() in text
    for word in (*contents.WORDS, *EgressRules.model_fields):
        assert f"`{word}`" in text or f"`{word}: " in text, word

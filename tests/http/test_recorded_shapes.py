"""Every kind of answer that ocean.py 3.1.2 got from an Ocean Provider 2.1.6 and its metadata
cache, and ours to the same requests, compared field by field.

How they differ is listed in ``known_differences``; a difference more or less is a fault.
The recorded cache and the operator-service behind the recorded provider were stand-ins.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from answer_shapes import ABSENT, differences, header_differences, kind
from known_differences import EVERY, TABLE
from recorded_session import RECORDED, Answer, replayed

from provider.dialects.ocean.responses import ROUTES

DECISION = Path(__file__).parents[2] / "docs/decisions/0009-where-answers-differ.md"

OTHER_STATES = {"status"}
"""Recorded once more in another state of the job, which is not compared."""

UNTOLD_HEADERS = frozenset({"date", "server"})

TO_THE_LETTER = (
    "ddo_missing",
    "validate",
    "decrypt",
    "fileinfo",
    "fileinfo_checksum",
    "initialize_again",
    "result",
    "log",
    "download",
)

FEE = (
    "providerFeeAddress",
    "providerFeeToken",
    "providerFeeAmount",
    "providerData",
    "v",
    "r",
    "s",
    "validUntil",
)
ITEMS = ("datasets[]", "algorithm")
STATUS_FIELDS = ("jobId", "status", "statusText", "dateFinished", "results")
READ = {
    "root": ["serviceEndpoints", "providerAddresses"],
    "environments": ["8996[].id", "8996[].priceMin", "8996[].consumerAddress"],
    "nonce": ["nonce"],
    "fileinfo": ["[].valid"],
    "fileinfo_checksum": ["[].valid", "[].checksum"],
    "initialize": [f"{item}.providerFee.{field}" for item in ITEMS for field in FEE],
    "initialize_again": [f"{item}.validOrder" for item in ITEMS],
    "initialize_access": [f"providerFee.{field}" for field in FEE],
    "start": ["[].jobId"],
    "status_running": [f"[].{field}" for field in STATUS_FIELDS],
    "status_finished": [
        *(f"[].{field}" for field in STATUS_FIELDS),
        *(f"[].results[].{field}" for field in ("filename", "filesize", "type", "index")),
    ],
    "stop": ["[].status"],
    "ddo_missing": ["error"],
    "ddo": ["nft.address", "nft.state", "chainId", "services", "event.tx", "event.txid"],
    "validate": ["hash", "publicKey", "v", "r", "s"],
}
"""What real clients take from each answer. Much of the rest is only shown."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    return asyncio.run(replayed(tmp_path_factory.mktemp("recorded")))


def recorded_body(name: str) -> Any:
    text = RECORDED[name]["response"]
    is_json = RECORDED[name]["headers"]["Content-Type"].startswith("application/json")
    return json.loads(text) if is_json else text


def our_body(answer: Answer) -> Any:
    return answer.body.decode() if isinstance(answer.body, bytes) else answer.body


def opened(value: Any) -> Any:
    """With the JSON that lies in ``providerData`` as JSON."""
    if isinstance(value, list):
        return [opened(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: json.loads(bytes.fromhex(each[2:])) if name == "providerData" else opened(each)
        for name, each in value.items()
    }


OURS = (
    "computeStreamableLogs",
    "computeReceipt",
    "computeHeld",
    "computeHeldResult",
    "computeRelease",
    "computeSample",
)
"""Calls that there were none of when the answers were recorded."""


def at(value: Any, path: str) -> list[Any]:
    """All values at a path as ``answer_shapes`` spells them."""
    found = [value]
    for step in path.split("."):
        name = step.removesuffix("[]")
        found = [each[name] for each in found] if name else found
        found = [each for one in found for each in one] if step.endswith("[]") else found
    return found


def test_every_kind_of_recorded_answer_is_compared(answers: dict[str, Answer]) -> None:
    assert answers.keys() == EVERY
    assert answers.keys() | OTHER_STATES == RECORDED.keys()
    asked = {(RECORDED[name]["method"], RECORDED[name]["path"]) for name in answers}
    unrecorded = {
        "create_auth_token",
        "delete_auth_token",
        "validateContainer",
        *OURS,
    }
    assert {name for name, route in ROUTES.items() if route not in asked} == unrecorded


@pytest.mark.parametrize("name", sorted(EVERY))
def test_an_answer_differs_in_nothing_that_is_not_explained(
    answers: dict[str, Answer], name: str
) -> None:
    recorded, ours = RECORDED[name], answers[name]
    assert ours.status == recorded["status"]
    told = {k: v for k, v in ours.headers.items() if k.lower() not in UNTOLD_HEADERS}
    found = {
        *differences(opened(recorded_body(name)), opened(our_body(ours))),
        *header_differences(recorded["headers"], told),
    }
    assert found == {row.difference for row in TABLE if name in row.answers}


@pytest.mark.parametrize("name", TO_THE_LETTER)
def test_what_depends_on_nothing_of_ours_is_the_same_to_the_letter(
    answers: dict[str, Answer], name: str
) -> None:
    assert our_body(answers[name]) == recorded_body(name)


def test_the_published_document_comes_back_as_recorded(answers: dict[str, Answer]) -> None:
    """With what the index adds: facts of its own chain."""
    ours, theirs = our_body(answers["ddo"]), recorded_body("ddo")
    published = json.loads(RECORDED["decrypt"]["response"])
    for name in published:
        assert ours[name] == theirs[name] == published[name]
    assert ours["nft"]["owner"] == theirs["nft"]["owner"]
    assert [each["serviceId"] for each in ours["datatokens"]] == ["0", "1"]


def test_a_job_is_called_after_the_order_of_its_dataset(answers: dict[str, Answer]) -> None:
    bought = RECORDED["start"]["body"]
    [theirs], [ours] = recorded_body("start"), our_body(answers["start"])
    assert theirs["agreementId"] == bought["algorithm"]["transferTxId"]
    assert ours["agreementId"] == bought["dataset"]["transferTxId"]


def test_sealed_content_has_the_recorded_length(answers: dict[str, Answer]) -> None:
    for name in ("encrypt_files", "encrypt_document"):
        assert len(our_body(answers[name])) == len(recorded_body(name))
        assert our_body(answers[name]) != recorded_body(name)


def test_paths_and_methods_are_the_recorded_ones(answers: dict[str, Answer]) -> None:
    ours, theirs = our_body(answers["root"]), recorded_body("root")
    more = {name: list(ROUTES[name]) for name in OURS}
    assert ours["serviceEndpoints"] == theirs["serviceEndpoints"] | more


@pytest.mark.parametrize("name", sorted(READ))
def test_what_clients_read_is_there(answers: dict[str, Answer], name: str) -> None:
    for path in READ[name]:
        theirs, ours = at(recorded_body(name), path), at(our_body(answers[name]), path)
        assert theirs, path
        assert len(ours) == len(theirs), path


def test_nothing_that_clients_read_is_missing_by_intent() -> None:
    gone = {
        (name, row.path)
        for row in TABLE
        for name in row.answers
        if row.difference.endswith(f"-> {ABSENT}")
    }
    assert not gone & {(name, path) for name, paths in READ.items() for path in paths}


def test_the_decision_tells_every_field_that_differs() -> None:
    text = DECISION.read_text().lower()
    assert not {row.field for row in TABLE if f"`{row.field.lower()}`" not in text}


@pytest.mark.parametrize(
    ("theirs", "ours", "found"),
    [
        ({"a": 1}, {"a": 2}, []),
        ({"a": 1}, {"a": 1.5}, ["a: int -> float"]),
        ({"a": 1}, {"a": "1"}, ["a: int -> digits"]),
        ({"a": 1}, {"a": True}, ["a: int -> bool"]),
        ({"a": None}, {"a": ""}, ["a: null -> text"]),
        ({"a": 1}, {"b": 1}, ["a: int -> absent", "b: absent -> int"]),
        ([{"a": 1}], [{"a": 1}, {"a": 1}], []),
        ([{"a": 1}], [], [": list -> empty list"]),
        ([{"a": "1.5"}], [{"a": "15"}], ["[].a: decimals -> digits"]),
        (
            {"r": "0x" + "1" * 64},
            {"r": "0x" + "1" * 63},
            ["r: 0x and 64 digits -> 0x and 63 digits"],
        ),
        ({"status": 70}, {"status": 7}, ["status: 70 -> 7"]),
        ({"deep": {"type": "url"}}, {"deep": {"type": "ipfs"}}, ["deep.type: 'url' -> 'ipfs'"]),
    ],
)
def test_differences_are_found(theirs: object, ours: object, found: list[str]) -> None:
    assert list(differences(theirs, ours)) == found


def test_headers_are_compared_whatever_their_case() -> None:
    assert not list(header_differences({"ETag": "1"}, {"Etag": "1"}))
    assert list(header_differences({"A": "1", "B": "2"}, {"a": "2", "C": "3"})) == [
        "header a: 1 -> 2",
        "header b: 2 -> absent",
        "header c: absent -> present",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "null"), ({}, "dict"), ([], "empty list"), ("0xzz", "text"), ("1e5", "text")],
)
def test_kinds(value: object, expected: str) -> None:
    assert kind(value) == expected

"""The EIP-712 form: its digest is eth_account's, and every part of a request is bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.auth.signatures import recover
from provider.auth.typed import TypedRequest, canonical_json
from provider.errors import InvalidRequest, SignatureMalformed

PROVIDER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
USER = "0x1563915e194D8CfBA1943570603F7606A3115508"
REQUEST = TypedRequest(
    consumer=USER,
    operation="computeStart",
    job_id="",
    parameters={"environment": "small", "dataset": {"documentId": "did:op:1"}, "nonce": "5"},
    nonce=5,
    expiry=1_800_000_000,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(
    operation=st.text(max_size=20),
    job_id=st.text(max_size=40),
    parameters=st.dictionaries(st.text(max_size=8), json_values, max_size=4),
    nonce=st.integers(0, 2**256 - 1),
    expiry=st.integers(0, 2**64),
    chain_id=st.none() | st.integers(1, 2**64),
)
def test_the_digest_is_that_of_eth_account(
    operation: str,
    job_id: str,
    parameters: dict[str, Any],
    nonce: int,
    expiry: int,
    chain_id: int | None,
) -> None:
    request = TypedRequest(USER, operation, job_id, parameters, nonce, expiry)
    document = encode_typed_data(full_message=request.as_typed_data(PROVIDER, chain_id))
    assert request.digest(PROVIDER, chain_id) == bytes(_hash_eip191_message(document))


@pytest.mark.parametrize("chain_id", [None, 8996])
def test_a_wallets_signature_recovers(chain_id: int | None) -> None:
    account = Account.create()
    request = replace(REQUEST, consumer=account.address)
    signed = account.sign_typed_data(full_message=request.as_typed_data(PROVIDER, chain_id))
    digest = request.digest(PROVIDER, chain_id)
    assert recover(digest, signed.signature.hex()) == account.address.lower()


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, consumer=PROVIDER),
        replace(REQUEST, operation="computeStop"),
        replace(REQUEST, job_id="job0"),
        replace(REQUEST, nonce=6),
        replace(REQUEST, expiry=REQUEST.expiry + 1),
        replace(REQUEST, parameters={**REQUEST.parameters, "environment": "large"}),
        replace(REQUEST, parameters={**REQUEST.parameters, "nonce": 5}),
        replace(REQUEST, parameters={}),
    ],
)
def test_every_part_of_the_request_is_bound(other: TypedRequest) -> None:
    assert other.digest(PROVIDER, None) != REQUEST.digest(PROVIDER, None)


def test_provider_and_chain_are_bound() -> None:
    digests = {
        REQUEST.digest(PROVIDER, None),
        REQUEST.digest(USER, None),
        REQUEST.digest(PROVIDER, 1),
        REQUEST.digest(PROVIDER, 8996),
    }
    assert len(digests) == 4


def test_the_signature_itself_and_the_order_of_keys_do_not_count() -> None:
    shuffled = dict(reversed(list(REQUEST.parameters.items()))) | {"signature": "0x1234"}
    assert replace(REQUEST, parameters=shuffled).digest(PROVIDER, None) == REQUEST.digest(
        PROVIDER, None
    )


def test_the_casing_of_addresses_does_not_count() -> None:
    lower = replace(REQUEST, consumer=USER.lower())
    assert lower.digest(PROVIDER.lower(), None) == REQUEST.digest(PROVIDER, None)


def test_the_canonical_json_is_sorted_compact_and_unescaped() -> None:
    parameters = {"b": [1, {"z": None, "a": True}], "a": "Grüße ☃", "signature": "0x"}
    assert canonical_json(parameters) == '{"a":"Grüße ☃","b":[1,{"a":true,"z":null}]}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(SignatureMalformed):
        replace(REQUEST, parameters={"x": value}).body_hash()


def test_a_job_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(SignatureMalformed):
        replace(REQUEST, job_id="\ud800").digest(PROVIDER, None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"consumer": "0x12"}, "consumerAddress"),
        ({"nonce": -1}, "nonce"),
        ({"nonce": 2**256}, "nonce"),
        ({"expiry": -1}, "expiry"),
        ({"expiry": 2**256}, "expiry"),
    ],
)
def test_values_that_fit_no_structure_name_their_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        replace(REQUEST, **changes)
    assert list(refusal.value.errors) == [field]

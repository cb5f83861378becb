"""A receipt is the same bytes whoever makes it, and no other bytes are that receipt."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import independent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from receipt_samples import KEY, STRANGER, an_account
from securesystemslib.dsse import Envelope

from provider.receipts import dsse
from provider.receipts.statement import canonical, statement
from provider.receipts.verifying import verify

VECTOR = json.loads((Path(__file__).parent / "receipt_vector.json").read_text())
RECEIPT = VECTOR["envelope"].encode()
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def made(account: Any) -> bytes:
    return dsse.sealed(canonical(statement(account)), KEY)


def test_the_vector_is_made_byte_for_byte() -> None:
    assert made(VECTOR["account"]) == RECEIPT
    assert made(VECTOR["account"]) == RECEIPT


def test_others_make_the_same_bytes() -> None:
    value = statement(VECTOR["account"])
    assert independent.seal(value, VECTOR["key"]) == RECEIPT
    assert independent.seal(statement(an_account()), "0x" + "11" * 32) == made(an_account())


def test_others_find_the_signer_and_the_statement() -> None:
    signer, value = independent.signer_of(RECEIPT)
    assert signer == KEY.address
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["predicate"] == VECTOR["account"]


def test_a_library_for_envelopes_reads_it() -> None:
    read = Envelope.from_dict(json.loads(RECEIPT))
    payload = base64.b64decode(json.loads(RECEIPT)["payload"])
    assert read.payload == payload
    assert read.pae() == dsse.pre_authentication(dsse.PAYLOAD_TYPE, payload)
    assert list(read.signatures) == [KEY.address]


def test_the_vector_holds() -> None:
    report = verify(RECEIPT, providers=[KEY.address.lower()])
    assert [check.holds for check in report.checks] == [True] * 5
    assert report.account == VECTOR["account"]
    told = verify(RECEIPT)
    assert told.holds
    assert [check.text for check in told.checks if check.holds is None] == [
        f"Whether {KEY.address} is the provider was not compared with anybody."
    ]
    assert not verify(RECEIPT, providers=[STRANGER.address]).holds


@pytest.mark.parametrize("flip", [0x01, 0x20])
def test_no_byte_can_be_changed(flip: int) -> None:
    """The lowest bit, and the case of a letter: at each place."""
    for position in range(len(RECEIPT)):
        changed = bytearray(RECEIPT)
        changed[position] ^= flip
        assert not verify(bytes(changed)).holds, position


@given(st.integers(0, len(RECEIPT) - 1), st.binary(min_size=1, max_size=1), st.booleans())
def test_no_byte_can_be_put_in_the_place_of_another_or_taken_out(
    position: int, byte: bytes, out: bool
) -> None:
    changed = RECEIPT[:position] + (b"" if out else byte) + RECEIPT[position + 1 :]
    if changed != RECEIPT:
        assert not verify(changed).holds


@pytest.mark.parametrize("place", [0, 1, 12, len(RECEIPT) - 1, len(RECEIPT)])
@pytest.mark.parametrize("added", [b" ", b"\n", b"\0", b"\xef\xbb\xbf"])
def test_nothing_can_be_put_in_between(place: int, added: bytes) -> None:
    assert not verify(RECEIPT[:place] + added + RECEIPT[place:]).holds


def again(**changes: Any) -> bytes:
    """The same envelope with other parts."""
    document = json.loads(RECEIPT)
    signature = {**document["signatures"][0], **changes.pop("signature", {})}
    return independent.one_text({**document, "signatures": [signature], **changes})


def signature_of(raw: bytes) -> bytes:
    return again(signature={"sig": base64.b64encode(raw).decode()})


def test_the_other_signature_that_the_curve_allows_is_refused() -> None:
    raw = base64.b64decode(json.loads(RECEIPT)["signatures"][0]["sig"])
    high = ORDER - int.from_bytes(raw[32:64], "big")
    turned = raw[:32] + high.to_bytes(32, "big") + bytes([27 + 28 - raw[64]])
    forged = signature_of(turned)
    assert independent.signer_of(forged)[0] == KEY.address
    assert not verify(forged).holds
    for v in (0, 1, 29):
        assert not verify(signature_of(raw[:64] + bytes([v]))).holds
    assert not verify(signature_of(raw[:64])).holds
    assert not verify(signature_of(bytes(64) + raw[64:])).holds


def test_a_receipt_of_somebody_else_is_told_by_its_signer_alone() -> None:
    forged = dsse.sealed(canonical(statement(an_account())), STRANGER)
    assert verify(forged).holds
    assert not verify(forged, providers=[KEY.address]).holds
    assert not verify(again(signature={"keyid": STRANGER.address})).holds


STATEMENT = statement(an_account())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "no JSON object"),
        ({**STATEMENT, "_type": "https://in-toto.io/Statement/v0.1"}, "another kind"),
        ({**STATEMENT, "predicateType": "urn:other"}, "another kind"),
        ({**STATEMENT, "subject": STATEMENT["subject"][:1]}, "subjects are not the results"),
        ({**STATEMENT, "more": 1}, "subjects are not the results"),
        ({**STATEMENT, "predicate": {}}, "no account of a job"),
        ({**STATEMENT, "predicate": {**STATEMENT["predicate"], "end": 1}}, "no account of a job"),
        (
            {**STATEMENT, "predicate": {**STATEMENT["predicate"], "results": [1]}},
            "no account of a job",
        ),
    ],
)
def test_what_is_signed_well_and_no_receipt_is_told(value: Any, says: str) -> None:
    report = verify(independent.seal(value, "0x" + "11" * 32))
    assert not report.holds
    assert report.account is None
    assert says in next(check.text for check in report.checks if check.holds is False)


def test_a_statement_in_another_spelling_is_none() -> None:
    spread = json.dumps(STATEMENT, indent=1).encode()
    assert "canonical" in verify(dsse.sealed(spread, KEY)).checks[-1].text
    assert not verify(independent.seal(STATEMENT, "0x" + "11" * 32, "text/plain")).holds


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=64) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_judged(data: bytes) -> None:
    assert not verify(data).holds
    assert not verify(again(payload=base64.b64encode(data).decode())).holds


@given(_JSON, st.sampled_from(sorted(STATEMENT["predicate"])))
def test_any_account_that_somebody_signed_is_judged(value: Any, field: str) -> None:
    account = {**STATEMENT["predicate"], field: value}
    try:
        payload = canonical({**STATEMENT, "predicate": account})
    except ValueError:
        return
    verify(dsse.sealed(payload, STRANGER))


def test_nests_without_an_end_are_judged() -> None:
    for deep in (b"[" * 100_000, b'{"a":' * 100_000):
        assert not verify(deep).holds
        assert not verify(dsse.sealed(deep, KEY)).holds

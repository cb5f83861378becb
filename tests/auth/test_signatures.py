"""Recovery, held against eth_account; every malformed form is refused."""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.auth.signatures import (
    is_address,
    keccak256,
    personal_digest,
    recover,
    to_checksum,
)
from provider.errors import SignatureMalformed

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
USER = "0x1563915e194D8CfBA1943570603F7606A3115508"
DIGEST = bytes.fromhex("5339c534118844dbd7d339dd14d330cf59dc22742993a734e2896cebb52a3db0")
RS = (
    "e027ea64f0863a80829aa42fb9c8cb97c2f6e29c0d5057b727e165e47f929cc9"
    "6645861bdcac4f4c6ed864bdd926ac0b8fd4f64d044dde8c32b0b7d25d1f403e"
)
secrets = st.integers(1, CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))


@settings(max_examples=60, deadline=None)
@given(secret=secrets, text=st.text(max_size=200))
def test_recovery_finds_the_wallet_that_eth_account_signed_with(secret: bytes, text: str) -> None:
    account = Account.from_key(secret)
    signed = account.sign_message(encode_defunct(keccak(text=text)))
    assert recover(personal_digest(text), signed.signature.hex()) == account.address.lower()


@settings(max_examples=60, deadline=None)
@given(secret=secrets, text=st.text(max_size=50), other=st.text(max_size=50))
def test_another_text_recovers_another_wallet(secret: bytes, text: str, other: str) -> None:
    account = Account.from_key(secret)
    signature = bytes(account.sign_message(encode_defunct(keccak(text=text))).signature).hex()
    same = recover(personal_digest(other), signature) == account.address.lower()
    assert same == (text == other)


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(min_size=64, max_size=64), v=st.sampled_from([0, 1, 27, 28]))
def test_arbitrary_bytes_recover_as_in_eth_account_or_are_refused(raw: bytes, v: int) -> None:
    try:
        expected = Account._recover_hash(DIGEST, signature=raw + bytes([v % 27 + 27])).lower()
    except Exception:
        with pytest.raises(SignatureMalformed):
            recover(DIGEST, (raw + bytes([v])).hex())
    else:
        assert recover(DIGEST, (raw + bytes([v])).hex()) == expected


@settings(max_examples=200)
@given(text=st.text(max_size=140))
def test_no_text_does_worse_than_a_refusal(text: str) -> None:
    with pytest.raises(SignatureMalformed):
        recover(DIGEST, text)


def test_a_high_s_recovers_the_same_wallet() -> None:
    flipped = CURVE_ORDER - int(RS[64:], 16)
    assert recover(DIGEST, f"{RS[:64]}{flipped:064x}00") == USER.lower()
    assert recover(DIGEST, f"{RS}01") == USER.lower()


def test_the_plain_text_personal_sign_is_not_accepted() -> None:
    account = Account.create()
    signature = account.sign_message(encode_defunct(text="did:op:test1")).signature.hex()
    assert recover(personal_digest("did:op:test1"), signature) != account.address.lower()


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0x",
        "0x" + RS,
        RS + "0101",
        "0x0x" + RS + "01",
        RS + "02",
        RS + "1a",
        RS + "1d",
        RS + "ff",
        RS[:-1] + "g" + "01",
        " " + RS + "1",
        "00" * 64 + "00",
        "ff" * 64 + "1b",
        RS[:64] + "00" * 32 + "1b",
        "\uff10" * 130,
    ],
)
def test_a_malformed_signature_is_refused_without_repeating_it(signature: str) -> None:
    with pytest.raises(SignatureMalformed) as refusal:
        recover(DIGEST, signature)
    assert refusal.value.field == "signature"
    assert RS[:20] not in refusal.value.public


@pytest.mark.parametrize("value", [None, 7, b"ab", ["0x"], {}])
def test_what_json_may_put_in_place_of_a_text_is_refused(value: object) -> None:
    with pytest.raises(SignatureMalformed):
        recover(DIGEST, value)  # type: ignore[arg-type]


def test_a_lone_surrogate_is_refused_not_crashed_on() -> None:
    with pytest.raises(SignatureMalformed):
        personal_digest("did:op:\ud800")


@given(data=st.binary(max_size=500))
def test_keccak_is_that_of_eth_utils(data: bytes) -> None:
    assert keccak256(data) == keccak(data)


@given(raw=st.binary(min_size=20, max_size=20))
def test_checksums_are_those_of_eth_utils(raw: bytes) -> None:
    expected = to_checksum_address(raw)
    for spelling in ("0x" + raw.hex(), "0x" + raw.hex().upper(), expected):
        assert to_checksum(spelling) == expected


@pytest.mark.parametrize(
    "text",
    ["", "0x", USER[2:], USER + "0", USER[:-1], "0X" + USER[2:], USER[:-1] + "g", USER + "\n"],
)
def test_what_is_no_address_is_told_apart(text: str) -> None:
    assert not is_address(text)
    with pytest.raises(ValueError, match="not an Ethereum address"):
        to_checksum(text)


@pytest.mark.parametrize("value", [None, 0, b"0x", USER.encode()])
def test_what_is_no_text_is_no_address(value: object) -> None:
    assert not is_address(value)


def test_an_address_is_recognised_in_any_casing() -> None:
    assert is_address(USER)
    assert is_address(USER.lower())


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_digest_of_another_length_is_never_read(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        recover(bytes(length), "0x" + "11" * 64 + "1b")

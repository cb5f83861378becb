"""The provider's key: parsing, files, derivation, and that it never shows itself."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from ecies import decrypt, encrypt
from eth_account import Account

from provider.errors import SettingsInvalid
from provider.keys import ProviderKey

PROVIDER_SECRET = "11" * 32
PROVIDER_ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
CURVE_ORDER = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"


@pytest.mark.parametrize("text", [PROVIDER_SECRET, "0x" + PROVIDER_SECRET, f" {PROVIDER_SECRET}\n"])
def test_a_key_is_read_with_or_without_prefix(text: str) -> None:
    key = ProviderKey.from_text(text)
    assert key.address == PROVIDER_ADDRESS
    assert key.private_key == bytes.fromhex(PROVIDER_SECRET)


@pytest.mark.parametrize(
    "text",
    ["", "0x", "zz" * 32, "11" * 31, "11" * 33, "00" * 32, CURVE_ORDER, "ff" * 32, "one two"],
)
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(SettingsInvalid) as refusal:
        ProviderKey.from_text(text)
    assert not text or text not in str(refusal.value)


def test_the_secret_is_in_no_representation() -> None:
    key = ProviderKey.from_text(PROVIDER_SECRET)
    for shown in (repr(key), str(key), f"{key}", repr([key])):
        assert "1111" not in shown
        assert PROVIDER_ADDRESS in shown
    assert not hasattr(key, "__dict__")


def test_the_address_is_that_of_eth_account() -> None:
    key = ProviderKey.generate()
    assert Account.from_key(key.private_key).address == key.address


def test_two_generated_keys_differ() -> None:
    assert ProviderKey.generate().address != ProviderKey.generate().address


def test_a_signature_is_that_of_eth_account() -> None:
    key = ProviderKey.generate()
    digest = hashlib.sha256(b"any 32 bytes").digest()
    expected = Account.from_key(key.private_key).unsafe_sign_hash(digest).signature
    assert key.sign_digest(digest) == "0x" + bytes(expected).hex()


def test_the_published_provider_fee_signature() -> None:
    digest = bytes.fromhex("6c0f75187ef041a796037ec6841db9730eb374f8ed47d11426a106376642f08c")
    assert ProviderKey.from_text(PROVIDER_SECRET).sign_digest(digest) == (
        "0xe45b6ae1f57fb5a4978c3dae236e4cc6d66c4f31f0990d33bbd251a9b8563059"
        "65e804d4260f59da6580782b15717ac6e44a86a6936744f531e773272c5f95d61b"
    )


def test_derived_secrets_depend_on_purpose_and_key() -> None:
    one, other = ProviderKey.from_text("11" * 32), ProviderKey.from_text("22" * 32)
    derived = {one.derive("auth tokens"), one.derive("cache"), other.derive("auth tokens")}
    assert len(derived) == 3
    assert one.private_key not in derived
    assert one.derive("auth tokens") == ProviderKey.from_text("11" * 32).derive("auth tokens")


@pytest.mark.parametrize("length", [16, 32, 33, 64])
def test_a_derived_secret_is_rfc_5869(length: int) -> None:
    key = ProviderKey.from_text(PROVIDER_SECRET)
    salt = b"ocean-compute provider key v1"
    expected = HKDF(key.private_key, length, salt=salt, hashmod=SHA256, context=b"purpose")
    assert key.derive("purpose", length) == expected


def test_ecies_takes_both_halves() -> None:
    key = ProviderKey.generate()
    assert decrypt(key.private_key, encrypt(key.public_key, b"files")) == b"files"


def test_a_saved_key_is_read_back_and_only_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = ProviderKey.generate()
    key.save(path)
    assert ProviderKey.from_file(path).address == key.address
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_saving_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = ProviderKey.generate()
    first.save(path)
    with pytest.raises(FileExistsError):
        ProviderKey.generate().save(path)
    assert ProviderKey.from_file(path).address == first.address


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"not a key", b"11" * 2000])
def test_a_file_without_a_key_is_named_but_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SettingsInvalid, match="does not hold a private key") as refusal:
        ProviderKey.from_file(path)
    assert str(path) in refusal.value.public


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read: No such file"):
        ProviderKey.from_file(tmp_path / "nowhere")

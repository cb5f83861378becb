"""From an event's bytes to a document: treatments, bounds, hash, and whose it is."""

from __future__ import annotations

import json
import lzma
from hashlib import sha256

import pytest
from publishing_chain import CHAIN_ID, KEY, OTHER_KEY, address, document, wrapped

from provider.assets import published
from provider.assets.encryption import decrypt
from provider.assets.published import (
    COMPRESSED,
    MAX_DOCUMENT_BYTES,
    SEALED,
    did_of,
    flags_of,
    read_document,
    require_hash,
    unseal,
)
from provider.errors import AssetMalformed

NFT = address("nft")
PLAIN = json.dumps(document(NFT)).encode()


def open_(sealed: bytes) -> bytes:
    return decrypt(KEY, "0x" + sealed.hex())


def test_a_did_is_that_of_other_implementations() -> None:
    expected = "did:op:0f9b24faeeb7cf5b959011aa7a3dc3ee44ec64470ab06baef37984acc4a5fa12"
    assert did_of("0x" + "aa" * 20, 8996) == expected
    assert did_of("0x" + "AA" * 20, 8996) == expected
    assert did_of("0x" + "aa" * 20, 1) != expected


def test_a_recorded_publication_has_its_did() -> None:
    expected = "did:op:fbc79e065bc4ae2a2cb6916fe59a2d89a9b2126c872ffd2cc994182e3e3afc19"
    assert did_of("0x2C8Aa213240FF4658b711C6Cfe967D47553b474B", 8996) == expected


@pytest.mark.parametrize(
    ("raw", "flags"), [(b"", 0), (b"\x00", 0), (b"\x02", 2), (b"\x03", 3), (b"\x00\x03", 3)]
)
def test_flags_are_a_number(raw: bytes, flags: int) -> None:
    assert flags_of(raw) == flags


@pytest.mark.parametrize("flags", [0, COMPRESSED, SEALED, COMPRESSED | SEALED])
def test_each_treatment_is_taken_back(flags: int) -> None:
    assert unseal(wrapped(PLAIN, flags), flags, open_) == PLAIN


def test_both_containers_of_lzma_are_read() -> None:
    old = lzma.compress(PLAIN, format=lzma.FORMAT_ALONE)
    assert unseal(old, COMPRESSED, open_) == PLAIN


def test_the_strongest_preset_is_read() -> None:
    assert unseal(lzma.compress(PLAIN, preset=9), COMPRESSED, open_) == PLAIN


@pytest.mark.parametrize("flags", [SEALED, SEALED | COMPRESSED])
def test_a_seal_of_another_key_stays_shut(flags: int) -> None:
    with pytest.raises(AssetMalformed, match=r"^Failed to decrypt\.$"):
        unseal(wrapped(PLAIN, flags, OTHER_KEY), flags, open_)


@pytest.mark.parametrize("data", [b"", b"\x04", PLAIN, b"\x04" + bytes(200)])
def test_what_is_no_seal_is_refused(data: bytes) -> None:
    with pytest.raises(AssetMalformed, match=r"^Failed to decrypt\.$"):
        unseal(data, SEALED, open_)


def test_a_changed_seal_is_refused() -> None:
    sealed = bytearray(wrapped(PLAIN, SEALED))
    sealed[-1] ^= 1
    with pytest.raises(AssetMalformed, match="Failed to decrypt"):
        unseal(bytes(sealed), SEALED, open_)


@pytest.mark.parametrize(
    "data",
    [b"", b"not packed", PLAIN, lzma.compress(PLAIN)[:-1], lzma.compress(PLAIN)[:40]],
    ids=["empty", "text", "plain", "without its end", "cut"],
)
def test_a_broken_stream_is_refused(data: bytes) -> None:
    with pytest.raises(AssetMalformed, match=r"^Failed to decompress$"):
        unseal(data, COMPRESSED, open_)


def test_a_flipped_byte_in_a_stream_is_refused() -> None:
    packed = bytearray(lzma.compress(PLAIN))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(AssetMalformed, match=r"^Failed to decompress$"):
        unseal(bytes(packed), COMPRESSED, open_)


def test_a_bomb_is_refused() -> None:
    bomb = lzma.compress(bytes(10 * MAX_DOCUMENT_BYTES))
    assert len(bomb) < 100_000
    with pytest.raises(AssetMalformed, match=r"^Failed to decompress$"):
        unseal(bomb, COMPRESSED, open_)


def test_a_stream_that_wants_much_memory_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 256 * 1024 * 1024}]
    greedy = lzma.compress(PLAIN, filters=filters)
    with pytest.raises(AssetMalformed, match=r"^Failed to decompress$"):
        unseal(greedy, COMPRESSED, open_)


def test_a_document_of_just_the_size_is_taken() -> None:
    whole = bytes(MAX_DOCUMENT_BYTES)
    assert unseal(lzma.compress(whole), COMPRESSED, open_) == whole
    assert unseal(whole, 0, open_) == whole
    with pytest.raises(AssetMalformed, match="Failed to decompress"):
        unseal(lzma.compress(whole + b"\0"), COMPRESSED, open_)
    with pytest.raises(AssetMalformed, match="too large"):
        unseal(whole + b"\0", 0, open_)


def test_too_much_is_not_even_opened() -> None:
    def never(_: bytes) -> bytes:
        raise AssertionError

    with pytest.raises(AssetMalformed, match="too large"):
        unseal(bytes(published.MAX_PUBLISHED_BYTES + 1), SEALED, never)


def test_the_hash_is_that_of_the_bytes() -> None:
    digest = sha256(PLAIN).hexdigest()
    for spelled in (digest, "0x" + digest, "0x" + digest.upper()):
        require_hash(PLAIN, spelled)
    for wrong in ("", "0x", digest[:-1], "0x" + "00" * 32, "é" * 64):
        with pytest.raises(AssetMalformed, match=r"^Checksum doesn't match\.$"):
            require_hash(PLAIN, wrong)
    with pytest.raises(AssetMalformed):
        require_hash(PLAIN + b" ", digest)


def test_a_document_is_read() -> None:
    assert read_document(PLAIN, NFT.upper().replace("X", "x"), CHAIN_ID) == document(NFT)


def test_what_a_document_leaves_out_is_no_contradiction() -> None:
    bare = {"id": did_of(NFT, CHAIN_ID), "version": "4.0.0"}
    assert read_document(json.dumps(bare).encode(), NFT, CHAIN_ID) == bare


@pytest.mark.parametrize(
    "changes",
    [
        {"id": did_of(address("other"), CHAIN_ID)},
        {"id": did_of(NFT, CHAIN_ID + 1)},
        {"id": did_of(NFT, CHAIN_ID).upper()},
        {"id": None},
        {"id": [did_of(NFT, CHAIN_ID)]},
        {"nftAddress": address("other")},
        {"nftAddress": 5},
        {"chainId": CHAIN_ID + 1},
        {"chainId": str(CHAIN_ID)},
        {"chainId": True},
    ],
    ids=str,
)
def test_a_document_of_another_asset_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(AssetMalformed, match="belongs to another asset"):
        read_document(json.dumps(document(NFT, **changes)).encode(), NFT, CHAIN_ID)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"id": NaN}',
        b'{"id": Infinity}',
        b'{"a":' * 101 + b"1" + b"}" * 101,
        b'{"a":[' + b"[]," * 150_000 + b"[]]}",
    ],
    ids=["empty", "list", "null", "text", "cut", "utf-16", "mark", "nan", "inf", "deep", "many"],
)
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(AssetMalformed, match="not a JSON object"):
        read_document(content, NFT, CHAIN_ID)

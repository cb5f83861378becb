"""Ethereum signatures: the digest that wallets sign, and who signed it.

This is the hot path of every signed request, so it calls libsecp256k1 itself, by the binding
that coincurve brings, instead of through eth_account (same answers, see the tests; several
times quicker). The library reads as many bytes as it expects, so lengths are checked here.
Accepted is what the API's clients send: 65 bytes ``r || s || v`` in hexadecimal, with
or without ``0x``, ``v`` being 0, 1, 27 or 28. A high ``s`` is accepted, as the API always
did: requests are kept unique by their nonce, never by their signature, so malleability
gains nobody anything.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from functools import lru_cache

from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found]
from coincurve.context import GLOBAL_CONTEXT

from provider.auth.keccak import keccak256
from provider.errors import SignatureMalformed

_PREFIX_32 = b"\x19Ethereum Signed Message:\n32"
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_SIGNATURE_HEX_DIGITS = 130
_RECOVERY_IDS = {0: 0, 1: 1, 27: 0, 28: 1}
_DIGEST_BYTES = 32
_KEY_BYTES = 65


def personal_digest(text: str) -> bytes:
    """What a wallet signs for ``text``: EIP-191 ``personal_sign`` of its Keccak hash.

    A lone surrogate, which JSON can carry but UTF-8 cannot, counts as no signature.
    """
    try:
        inner = keccak256(text.encode())
    except UnicodeEncodeError:
        raise SignatureMalformed("Invalid signature: the request is not valid text.") from None
    return keccak256(_PREFIX_32 + inner)


def recover(digest: bytes, signature: str) -> str:
    """The lower-case ``0x`` address whose key made ``signature`` over the 32-byte ``digest``.

    Raises SignatureMalformed when there is no such address.
    """
    raw, recovery_id = _signature_bytes(signature)
    if len(digest) != _DIGEST_BYTES:
        raise ValueError("a digest has 32 bytes")
    context = GLOBAL_CONTEXT.ctx
    parsed = ffi.new("secp256k1_ecdsa_recoverable_signature *")
    key = ffi.new("secp256k1_pubkey *")
    if not (
        lib.secp256k1_ecdsa_recoverable_signature_parse_compact(context, parsed, raw, recovery_id)
        and lib.secp256k1_ecdsa_recover(context, key, parsed, digest)
    ):
        raise SignatureMalformed("Invalid signature: no key recovers from it.")
    written, size = ffi.new("unsigned char[]", _KEY_BYTES), ffi.new("size_t *", _KEY_BYTES)
    lib.secp256k1_ec_pubkey_serialize(context, written, size, key, lib.SECP256K1_EC_UNCOMPRESSED)
    return address_of(bytes(ffi.buffer(written)))


def address_of(public_key: bytes) -> str:
    """The lower-case ``0x`` address of an uncompressed 65-byte secp256k1 public key."""
    return "0x" + keccak256(public_key[1:])[-20:].hex()


def is_address(text: object) -> bool:
    """True for ``0x`` and 40 hexadecimal digits, in any casing."""
    return isinstance(text, str) and _ADDRESS.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def to_checksum(address: str) -> str:
    """The EIP-55 spelling of an address. Raises ValueError for anything else."""
    if not is_address(address):
        raise ValueError("not an Ethereum address")
    digits = address[2:].lower()
    marks = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit
        for digit, mark in zip(digits, marks, strict=False)
    )


def _signature_bytes(signature: str) -> tuple[bytes, int]:
    """The 64 bytes ``r || s``, and which of the two keys it is."""
    if not isinstance(signature, str):
        raise SignatureMalformed("Invalid signature: not a text.")
    digits = signature[2:] if signature[:2] in ("0x", "0X") else signature
    if len(digits) != _SIGNATURE_HEX_DIGITS:
        raise SignatureMalformed("Invalid signature: not 65 bytes of hexadecimal.")
    try:
        raw = unhexlify(digits)
    except ValueError:
        raise SignatureMalformed("Invalid signature: not 65 bytes of hexadecimal.") from None
    recovery_id = _RECOVERY_IDS.get(raw[64])
    if recovery_id is None:
        raise SignatureMalformed("Invalid signature: v is none of 0, 1, 27, 28.")
    return raw[:64], recovery_id

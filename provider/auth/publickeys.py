"""Public keys that consumers hand in: points of secp256k1, in one spelling. Pure."""

from __future__ import annotations

import re

from coincurve import PrivateKey, PublicKey

_KNOWN_FORMS = re.compile(r"(0x)?(0[23][0-9a-f]{64}|(04)?[0-9a-f]{128})")
_BARE_DIGITS = 128


def normal_public_key(text: str) -> str:
    """``0x`` and the 66 hexadecimal digits of the compressed point.

    Compressed (33 bytes), uncompressed (65) and the 64 bytes that Ethereum's libraries use are
    read, with or without ``0x``. Raises ValueError for anything that is no point of the curve,
    without saying what it was: it may be a private key.
    """
    word = text.lower()
    if not _KNOWN_FORMS.fullmatch(word):
        raise ValueError("not a public key")
    digits = word.removeprefix("0x")
    if len(digits) == _BARE_DIGITS:
        digits = "04" + digits
    try:
        point = PublicKey(bytes.fromhex(digits))
    except ValueError:
        raise ValueError("not a point of the curve") from None
    return "0x" + point.format(compressed=True).hex()


def public_key_of(private_key: bytes) -> str:
    """The public key that belongs to 32 bytes of a private one, in the normal spelling."""
    return "0x" + PrivateKey(private_key).public_key.format(compressed=True).hex()

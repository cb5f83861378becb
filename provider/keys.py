"""The provider's own key: one secp256k1 private key, and everything derived from it.

The wallet key signs (fees, receipts) and decrypts (file objects). Secrets for other
uses, such as the one that authenticates tokens, are derived from it by HKDF and never
equal to it, so that a leak of one tells nothing about the others.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Self

from coincurve import PrivateKey

from provider.auth.signatures import address_of, to_checksum
from provider.errors import SettingsInvalid

_SALT = b"ocean-compute provider key v1"
_MAX_FILE_BYTES = 1024
_HASH_BYTES = 32


class ProviderKey:
    """A secp256k1 key pair. Neither ``repr`` nor ``str`` shows the secret.

    ``address`` is checksummed (EIP-55), ``public_key`` the 65 uncompressed bytes
    (``04 || x || y``) that ECIES encrypts to, ``private_key`` the 32 secret bytes.
    """

    __slots__ = ("_key", "address", "public_key")

    def __init__(self, secret: bytes) -> None:
        """Raises SettingsInvalid unless ``secret`` is 32 bytes below the curve's order, not 0."""
        if len(secret) != 32:
            raise SettingsInvalid("The private key must be 32 bytes (64 hexadecimal digits).")
        try:
            self._key = PrivateKey(secret)
        except ValueError:
            raise SettingsInvalid("The private key is not a valid secp256k1 key.") from None
        self.public_key: bytes = self._key.public_key.format(compressed=False)
        self.address: str = to_checksum(address_of(self.public_key))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """A key from 64 hexadecimal digits, with or without ``0x``. Raises SettingsInvalid."""
        digits = text.strip().removeprefix("0x")
        try:
            secret = bytes.fromhex(digits)
        except ValueError:
            raise SettingsInvalid("The private key must be hexadecimal.") from None
        return cls(secret)

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """A key from a file that holds it as hexadecimal text. Raises SettingsInvalid."""
        try:
            with Path(path).open("rb") as file:
                content = file.read(_MAX_FILE_BYTES)
        except OSError as error:
            raise SettingsInvalid(
                f"The key file {path} cannot be read: {error.strerror}."
            ) from None
        try:
            return cls.from_text(content.decode("ascii"))
        except (UnicodeDecodeError, SettingsInvalid):
            raise SettingsInvalid(
                f"The key file {path} does not hold a private key (64 hexadecimal digits)."
            ) from None

    @classmethod
    def generate(cls) -> Self:
        """A new random key."""
        return cls(PrivateKey().secret)

    @property
    def private_key(self) -> bytes:
        return self._key.secret

    def derive(self, purpose: str, length: int = 32) -> bytes:
        """A secret of ``length`` bytes for one purpose (HKDF-SHA256, RFC 5869)."""
        extracted = hmac.digest(_SALT, self._key.secret, "sha256")
        derived = block = b""
        for number in range(1, -(-length // _HASH_BYTES) + 1):
            block = hmac.digest(extracted, block + purpose.encode() + bytes([number]), "sha256")
            derived += block
        return derived[:length]

    def sign_digest(self, digest: bytes) -> str:
        """``0x`` and 65 bytes ``r || s || v`` in hexadecimal over a 32-byte digest; v is 27 or 28.

        Deterministic (RFC 6979), ``s`` in the lower half.
        """
        raw = self._key.sign_recoverable(digest, hasher=None)
        return "0x" + raw[:64].hex() + f"{raw[64] + 27:02x}"

    def save(self, path: Path) -> None:
        """Write the key as a new file that only its owner can read. Never overwrites:
        raises FileExistsError."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("0x" + self._key.secret.hex() + "\n")

    def __repr__(self) -> str:
        return f"ProviderKey({self.address})"

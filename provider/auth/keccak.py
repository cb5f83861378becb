"""Ethereum's Keccak-256, from the quickest library that is installed.

safe-pysha3 is one call into C and comes as a wheel for common machines; pycryptodome,
four times slower for short texts, is always there.
"""

from __future__ import annotations

try:
    from sha3 import keccak_256
except ImportError:
    from Crypto.Hash import keccak

    def keccak256(data: bytes) -> bytes:
        """The 32-byte Keccak-256 digest of Ethereum (not NIST's SHA3-256)."""
        return keccak.new(data=data, digest_bits=256).digest()

else:

    def keccak256(data: bytes) -> bytes:
        """The 32-byte Keccak-256 digest of Ethereum (not NIST's SHA3-256)."""
        digest: bytes = keccak_256(data).digest()
        return digest

"""A reader of sealed files written from docs/encryption.md alone.

Uses nothing of the project and none of its libraries: ``cryptography`` for AES and HKDF, the
curve by hand.
"""

from __future__ import annotations

import io
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

P = 2**256 - 2**32 - 977
GENERATOR = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
HEADER = 198
TAG = 16
Point = tuple[int, int] | None


class Sealed(NamedTuple):
    job_id: str
    index: int
    type: int
    public_key: str
    clear: bytes


def read(sealed: bytes, private_key: bytes) -> Sealed:
    """All that a sealed file holds. Raises an exception for one that is not genuine."""
    header, rest = sealed[:HEADER], io.BytesIO(sealed[HEADER:])
    assert header[:9] == b"OCSEALED\x01"
    assert header[10:12] == b"\0\0"
    size = int.from_bytes(header[12:16])
    assert 65536 <= size <= 1048576
    chunks = list(iter(lambda: rest.read(size + TAG), b""))
    cipher, clear = AESGCM(_unwrapped(header[69:198], private_key)), b""
    for number, chunk in enumerate(chunks):
        last = number == len(chunks) - 1
        nonce = bytes(3) + number.to_bytes(8) + bytes([last])
        clear += cipher.decrypt(nonce, chunk, header)
    assert chunks
    assert len(sealed) == HEADER + len(clear) + TAG * max(1, -(-len(clear) // size))
    job, index = header[16:32].hex(), int.from_bytes(header[32:36])
    return Sealed(job, index, header[9], header[36:69].hex(), clear)


def _unwrapped(wrapped: bytes, private_key: bytes) -> bytes:
    ephemeral, nonce, tag, sealed = wrapped[:65], wrapped[65:81], wrapped[81:97], wrapped[97:]
    point = int.from_bytes(ephemeral[1:33]), int.from_bytes(ephemeral[33:])
    x, y = _times(int.from_bytes(private_key), point) or (0, 0)
    shared = b"\x04" + x.to_bytes(32) + y.to_bytes(32)
    key = HKDF(SHA256(), 32, salt=None, info=None).derive(ephemeral + shared)
    return AESGCM(key).decrypt(nonce, sealed + tag, None)


def public_key(private_key: bytes) -> tuple[str, str]:
    """Compressed and uncompressed, in hexadecimal."""
    x, y = _times(int.from_bytes(private_key), GENERATOR) or (0, 0)
    whole = x.to_bytes(32) + y.to_bytes(32)
    return bytes([2 + y % 2]).hex() + x.to_bytes(32).hex(), "04" + whole.hex()


def _times(factor: int, point: Point) -> Point:
    total: Point = None
    while factor:
        if factor & 1:
            total = _plus(total, point)
        factor, point = factor >> 1, _plus(point, point)
    return total


def _plus(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    slope = (
        3 * a[0] ** 2 * pow(2 * a[1], -1, P) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    )
    x = (slope**2 - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P

"""From what a publisher put on chain to a document, pure but for the opening of seals.

A data NFT's metadata event carries the document's bytes, after as many treatments as its
``flags`` say: the first bit stands for compression by LZMA, the second for sealing by ECIES
to a provider's key, and sealing came last. Beside them lies the SHA-256 of the document.
The hash is judged over the bytes as published, so they are never written anew on the way.

Everybody may publish, hence sizes are bounded before anything is unpacked or read, and a
document counts only for the NFT that its DID is derived from: nobody speaks for another's.
"""

from __future__ import annotations

import hmac
import lzma
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from provider import bounded_json
from provider.auth.signatures import to_checksum
from provider.errors import AssetMalformed

COMPRESSED = 1
SEALED = 2

MAX_DOCUMENT_BYTES = 512 * 1024
"""Of one document, unpacked: a thousand bytes on chain may stand for all of it."""

MAX_PUBLISHED_BYTES = MAX_DOCUMENT_BYTES + 64 * 1024
"""Of what lies on chain: a document that does not shrink, with what wraps it."""

MAX_DOCUMENT_PARTS = 50_000
UNPACKING_MEMORY_BYTES = 80 * 1024 * 1024
"""Enough for streams of every preset."""

CANNOT_DECRYPT = "Failed to decrypt."
CANNOT_DECOMPRESS = "Failed to decompress"
OTHER_HASH = "Checksum doesn't match."
NO_DOCUMENT = "The published document is not a JSON object."
OTHER_ASSET = "The published document belongs to another asset."


def did_of(nft: str, chain_id: int) -> str:
    """The DID of the asset of a data NFT: the hash of its address (EIP-55) and chain id."""
    return "did:op:" + sha256(f"{to_checksum(nft)}{chain_id}".encode()).hexdigest()


def flags_of(raw: bytes) -> int:
    """The flags of an event as a number; none at all is 0."""
    return int.from_bytes(raw[-4:], "big")


def unseal(data: bytes, flags: int, open_: Callable[[bytes], bytes]) -> bytes:
    """The document's bytes. ``open_`` opens a sealed blob and raises AssetMalformed.

    Raises AssetMalformed, also for what is larger than ``MAX_DOCUMENT_BYTES``.
    """
    if len(data) > MAX_PUBLISHED_BYTES:
        raise AssetMalformed("The published document is too large.")
    if flags & SEALED:
        data = _opened(data, open_)
    if flags & COMPRESSED:
        data = _unpacked(data)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise AssetMalformed("The published document is too large.")
    return data


def require_hash(document: bytes, metadata_hash: str) -> None:
    """Raises AssetMalformed unless ``metadata_hash`` (hexadecimal) is the document's SHA-256."""
    expected = metadata_hash.lower().removeprefix("0x")
    if not hmac.compare_digest(sha256(document).hexdigest().encode(), expected.encode()):
        raise AssetMalformed(OTHER_HASH)


def read_document(content: bytes, nft: str, chain_id: int) -> dict[str, Any]:
    """The document as an object that is the one of this NFT. Raises AssetMalformed.

    Where the document names its NFT and chain itself, they must be these.
    """
    document = _object(content)
    if document.get("id") != did_of(nft, chain_id) or not _names(document, nft, chain_id):
        raise AssetMalformed(OTHER_ASSET)
    return document


def _names(document: Mapping[str, Any], nft: str, chain_id: int) -> bool:
    """True unless the document names another NFT or chain."""
    address, chain = document.get("nftAddress"), document.get("chainId")
    return (address is None or (isinstance(address, str) and address.lower() == nft.lower())) and (
        chain is None or (type(chain) is int and chain == chain_id)
    )


def _object(content: bytes) -> dict[str, Any]:
    try:
        document = bounded_json.loads(
            content, max_parts=MAX_DOCUMENT_PARTS, parse_constant=_no_number
        )
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise AssetMalformed(NO_DOCUMENT)
    return document


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _opened(data: bytes, open_: Callable[[bytes], bytes]) -> bytes:
    try:
        return open_(data)
    except AssetMalformed:
        pass
    raise AssetMalformed(CANNOT_DECRYPT)


def _unpacked(data: bytes) -> bytes:
    """One stream of either LZMA container, which must come to its end within the bounds."""
    try:
        unpacker = lzma.LZMADecompressor(memlimit=UNPACKING_MEMORY_BYTES)
        unpacked = unpacker.decompress(data, max_length=MAX_DOCUMENT_BYTES + 1)
        if unpacker.eof and len(unpacked) <= MAX_DOCUMENT_BYTES:
            return unpacked
    except (lzma.LZMAError, EOFError):
        pass
    raise AssetMalformed(CANNOT_DECOMPRESS)

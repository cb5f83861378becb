"""Sealing and opening file objects with the provider's key.

ECIES on secp256k1 in the layout of eciespy: ephemeral public key (65 bytes, uncompressed),
AES nonce (16), tag (16), ciphertext; AES-256-GCM under HKDF-SHA256 of both points. Texts
are 0x-hexadecimal, as in ``services[].files`` of a document.

From document version 4.1.0 the plaintext names the data NFT and datatoken that it belongs
to, so that nobody can publish somebody else's sealed files under an asset of their own.

eciespy is imported when it is first used: not every service has sealed files.
"""

from __future__ import annotations

import json
from typing import Any

from provider import bounded_json
from provider.assets.ddo import Ddo, Service, is_sealed
from provider.assets.files import (
    ArweaveFile,
    FileObject,
    IpfsFile,
    UrlFile,
    parse_file,
    parse_files,
)
from provider.errors import AssetMalformed, FileObjectInvalid
from provider.keys import ProviderKey

OVERHEAD_BYTES = 65 + 16 + 16
UNCOMPRESSED = 0x04
ConsumerFile = UrlFile | IpfsFile | ArweaveFile
CANNOT_OPEN = "cannot decrypt files for this service."


def encrypt(public_key: bytes | str, plain: bytes) -> str:
    """Seal bytes to a secp256k1 public key (33, 64 or 65 bytes, or their hexadecimal)."""
    import ecies

    return "0x" + ecies.encrypt(public_key, plain).hex()


def decrypt(key: ProviderKey, sealed: str) -> bytes:
    """Open what was sealed to this key. Raises AssetMalformed that says nothing more."""
    import ecies

    try:
        blob = bytes.fromhex(sealed.removeprefix("0x"))
        if len(blob) < OVERHEAD_BYTES or blob[0] != UNCOMPRESSED:
            raise ValueError
        return ecies.decrypt(key.private_key, blob)
    except ValueError:
        pass
    raise AssetMalformed(CANNOT_OPEN)


def open_files(ddo: Ddo, service: Service, key: ProviderKey) -> list[FileObject]:
    """The file objects of a service, sealed or plain, in order.

    Raises AssetMalformed when they cannot be opened or belong to another asset,
    TooManyFiles when there are more than are served, FileObjectInvalid when one of them is
    not usable here. An absent list is empty.
    """
    if service.files is None or service.files == "":
        return []
    if not isinstance(service.files, str):
        return parse_files(service.files)
    if not is_sealed(service.files):
        raise AssetMalformed(CANNOT_OPEN)
    content = _json(decrypt(key, service.files))
    if ddo.binds_files or isinstance(content, dict):
        _require_binding(content, ddo, service)
    return parse_files(content)


def seal_url_file(raw: Any, key: ProviderKey) -> str:
    """Seal a consumer's own file object, so that where it lies is not stored in the clear.

    Only types that ask no more than a public address for bytes: a consumer never names
    files of this machine, nor has it sign or ask a chain. Raises FileObjectInvalid.
    """
    file = parse_file(raw)
    if not isinstance(file, ConsumerFile):
        raise FileObjectInvalid(f"Unsupported type {file.type}")
    return encrypt(key.public_key, json.dumps({"consumerFile": file.model_dump()}).encode())


def open_url_file(sealed: str, key: ProviderKey) -> ConsumerFile:
    """Open what :func:`seal_url_file` sealed. Raises AssetMalformed or FileObjectInvalid."""
    content = _json(decrypt(key, sealed))
    file = parse_file(content.get("consumerFile")) if isinstance(content, dict) else None
    if not isinstance(file, ConsumerFile):
        raise AssetMalformed(CANNOT_OPEN)
    return file


def _json(plain: bytes) -> Any:
    try:
        return bounded_json.loads(plain)
    except ValueError:
        pass
    raise AssetMalformed(CANNOT_OPEN)


def _require_binding(content: Any, ddo: Ddo, service: Service) -> None:
    if not isinstance(content, dict) or not (
        _same(content.get("nftAddress"), ddo.data_nft)
        and _same(content.get("datatokenAddress"), service.datatoken_address)
    ):
        raise AssetMalformed(CANNOT_OPEN)


def _same(named: Any, actual: str) -> bool:
    return isinstance(named, str) and actual != "" and named.lower() == actual.lower()

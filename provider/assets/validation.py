"""Is a document fit to be published, and the proof that it was found to be. Pure.

Publishers have their document looked at before they pay for putting it on chain. What is
asked for is what everybody who reads documents relies on, in the layouts of 4.0.0 and later:
who and what it is, its descriptions, and at least one service whose files are sealed. It is
named by field, so that a publisher can mend it; values are never repeated.

The proof is a signature over the SHA-256 of the very bytes that were looked at, as data NFT
contracts verify it with ``setMetaData`` (EIP-191 over the 32 bytes of the hash). It says that
the layout is sound and nothing about who asked. Nothing else that this key signs is a hash of
that kind (requests and fees are Keccak hashes), so it can be taken for nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from provider.assets.ddo import Ddo, is_did, is_sealed
from provider.assets.published import did_of
from provider.auth.keccak import keccak256
from provider.auth.signatures import is_address
from provider.errors import AssetMalformed
from provider.keys import ProviderKey

MAX_FAULTS = 50
MAX_SERVICES = 100
MAX_TEXT = 65_536

_PREFIX_32 = b"\x19Ethereum Signed Message:\n32"
_VERSION = re.compile(r"4\.\d{1,6}\.\d{1,6}", re.ASCII)
_MAX_CHAIN_ID = 1 << 53

Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake. ``path`` is dotted, with list positions; empty for the whole document."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Proof:
    """``hash``, ``r`` and ``s`` are 32 bytes as ``0x`` texts, ``validator`` is checksummed."""

    hash: str
    validator: str
    v: int
    r: str
    s: str


def prove(key: ProviderKey, content: bytes) -> Proof:
    """Sign the SHA-256 of a document's bytes. Only for those that :func:`validate` passes."""
    digest = sha256(content).digest()
    signed = key.sign_digest(keccak256(_PREFIX_32 + digest))[2:]
    return Proof(
        hash="0x" + digest.hex(),
        validator=key.address,
        v=int(signed[128:], 16),
        r="0x" + signed[:64],
        s="0x" + signed[64:128],
    )


def validate(document: object) -> list[Fault]:
    """The mistakes of a decoded document, at most ``MAX_FAULTS``; none when it is fit."""
    if not isinstance(document, Mapping):
        return [Fault("", "must be a JSON object")]
    faults: list[Fault] = []
    part = _Part(document, "", faults)
    _identity(part)
    _metadata(part)
    _services(part)
    _credentials(part.optional("credentials"))
    if not faults:
        faults += _unreadable(document)
    return faults[:MAX_FAULTS]


class _Part:
    """One object of the document, and where it stands."""

    def __init__(self, value: Mapping[str, Any], path: str, faults: list[Fault]) -> None:
        self._value = value
        self._path = path
        self._faults = faults

    def get(self, name: str) -> Any:
        return self._value.get(name)

    def fault(self, name: str, message: str) -> None:
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(Fault(self.path(name), message))

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path and name else self._path or name

    def needs(self, name: str, test: Test, message: str) -> bool:
        value = self.get(name)
        if value is not None and test(value):
            return True
        self.fault(name, message if value is not None else "is required")
        return False

    def may(self, name: str, test: Test, message: str) -> None:
        value = self.get(name)
        if value is not None and not test(value):
            self.fault(name, message)

    def part(self, name: str) -> _Part | None:
        """The object of this name, which must be there."""
        found = self.needs(name, _is_object, "must be an object")
        return _Part(self.get(name), self.path(name), self._faults) if found else None

    def optional(self, name: str) -> _Part | None:
        return None if self.get(name) is None else self.part(name)

    def parts(self, name: str) -> list[_Part]:
        """The objects of the list of this name; what is none is a fault."""
        found = []
        for index, value in enumerate(self.get(name) or ()):
            if isinstance(value, Mapping):
                found.append(_Part(value, self.path(f"{name}.{index}"), self._faults))
            else:
                self.fault(f"{name}.{index}", "must be an object")
        return found


def _identity(part: _Part) -> None:
    part.needs("@context", _is_context, "must be a list of texts")
    part.needs("version", _is_version, "must be 4.x.y")
    chain = part.needs("chainId", _is_chain_id, "must be a whole number above 0")
    nft = part.needs("nftAddress", is_address, "must be an address")
    did = part.needs("id", is_did, "must be did:op: and what follows it")
    if chain and nft and did and part.get("id") != did_of(part.get("nftAddress"), _chain(part)):
        part.fault("id", "does not belong to this nftAddress and chainId")


def _metadata(part: _Part) -> None:
    metadata = part.part("metadata")
    if metadata is None:
        return
    for name in ("created", "updated"):
        metadata.needs(name, _is_time, "must be a date and time as ISO 8601 writes them")
    metadata.needs("type", _one_of("dataset", "algorithm"), "must be dataset or algorithm")
    for name in ("name", "description", "author", "license"):
        metadata.needs(name, _is_filled, "must be a text that is not empty")
    metadata.may("tags", _is_texts, "must be a list of texts")
    if metadata.get("type") == "algorithm":
        _algorithm(metadata.part("algorithm"))


def _algorithm(part: _Part | None) -> None:
    container = None if part is None else part.part("container")
    if container is None:
        return
    for name in ("entrypoint", "image", "checksum"):
        container.needs(name, _is_filled, "must be a text that is not empty")
    container.needs("tag", _is_text, "must be a text")


def _services(part: _Part) -> None:
    if not part.needs("services", _is_service_list, f"must be a list of 1 to {MAX_SERVICES}"):
        return
    seen: set[str] = set()
    for service in part.parts("services"):
        _service(service, seen)


def _service(part: _Part, seen: set[str]) -> None:
    if part.needs("id", _is_filled, "must be a text that is not empty"):
        if part.get("id") in seen:
            part.fault("id", "is another service's as well")
        seen.add(part.get("id"))
    part.needs("type", _one_of("access", "compute"), "must be access or compute")
    part.needs("files", is_sealed, "must be sealed by a provider: 0x and hexadecimal digits")
    part.needs("datatokenAddress", is_address, "must be an address")
    part.needs("serviceEndpoint", _is_web_url, "must be an http or https address")
    part.needs("timeout", _is_seconds, "must be a whole number of seconds, 0 for no end")
    if part.get("type") == "compute":
        _compute(part.part("compute"))


def _compute(part: _Part | None) -> None:
    if part is None:
        return
    for name in ("allowRawAlgorithm", "allowNetworkAccess"):
        part.may(name, _is_flag, "must be true or false")
    for name in ("publisherTrustedAlgorithms", "publisherTrustedAlgorithmPublishers"):
        part.may(name, _is_list, "must be a list")


def _credentials(part: _Part | None) -> None:
    if part is None:
        return
    for name in ("allow", "deny"):
        part.may(name, _is_list, "must be a list")
        for entry in part.parts(name) if _is_list(part.get(name)) else ():
            entry.needs("type", _is_filled, "must be a text that is not empty")
            entry.needs("values", _is_list, "must be a list")


def _unreadable(document: Mapping[str, Any]) -> list[Fault]:
    """What the reading of documents, which runs jobs on them, finds beyond that."""
    try:
        Ddo.parse(document)
    except AssetMalformed as error:
        return [Fault("", error.public)]
    return []


def _chain(part: _Part) -> int:
    return int(part.get("chainId"))


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _is_filled(value: Any) -> bool:
    return _is_text(value) and not value.isspace() and value != ""


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_context(value: Any) -> bool:
    return _is_texts(value) and value != []


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_version(value: Any) -> bool:
    return isinstance(value, str) and _VERSION.fullmatch(value) is not None


def _is_chain_id(value: Any) -> bool:
    return type(value) is int and 0 < value < _MAX_CHAIN_ID


def _is_seconds(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_CHAIN_ID


def _is_service_list(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MAX_SERVICES


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > 40:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_web_url(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _one_of(*allowed: str) -> Test:
    return lambda value: isinstance(value, str) and value in allowed

"""The stricter signature: EIP-712 typed data that binds one request and nothing else.

The plain texts in ``messages`` bind neither the operation nor the body. A typed request
binds the provider (``verifyingContract``), the chain where one is configured, the
operation by its name in ``serviceEndpoints``, the job, every parameter, the nonce, and a
time after which it is void. A wallet shows all of it in readable form.

``bodyHash`` is Keccak-256 over the canonical JSON of all request parameters except
``signature``, ``nonce`` and ``expiry`` included: keys sorted by code point, no white
space, UTF-8 unescaped, numbers as they stand. Query parameters count as an object of
texts.

The digest is computed here, without a wallet library: it is needed for every such
request. The tests hold it against eth_account's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from provider.auth.keccak import keccak256
from provider.auth.signatures import is_address
from provider.errors import InvalidRequest, SignatureMalformed

DOMAIN_NAME = "Ocean Compute"
DOMAIN_VERSION = "1"

_DOMAIN_FIELDS = (
    ("string", "name"),
    ("string", "version"),
    ("uint256", "chainId"),
    ("address", "verifyingContract"),
)
_REQUEST_FIELDS = (
    ("address", "consumer"),
    ("string", "operation"),
    ("string", "jobId"),
    ("bytes32", "bodyHash"),
    ("uint256", "nonce"),
    ("uint256", "expiry"),
)
_UINT256_LIMIT = 1 << 256


def _type_hash(name: str, fields: tuple[tuple[str, str], ...]) -> bytes:
    members = ",".join(f"{kind} {field}" for kind, field in fields)
    return keccak256(f"{name}({members})".encode())


@dataclass(frozen=True, slots=True)
class TypedRequest:
    """One request as a wallet signs it.

    ``consumer`` is the wallet's address, ``operation`` a name of ``serviceEndpoints``
    (``computeStart`` …), ``job_id`` empty where there is none, ``parameters`` the request's
    own, ``expiry`` seconds since the epoch. Raises InvalidRequest for values that no such
    structure can hold; whether nonce and expiry are acceptable is the caller's to say.
    """

    consumer: str
    operation: str
    job_id: str
    parameters: Mapping[str, Any]
    nonce: int
    expiry: int

    def __post_init__(self) -> None:
        if not is_address(self.consumer):
            raise InvalidRequest({"consumerAddress": ["The consumerAddress format is invalid."]})
        for field, value in (("nonce", self.nonce), ("expiry", self.expiry)):
            if not 0 <= value < _UINT256_LIMIT:
                raise InvalidRequest({field: [f"The {field} format is invalid."]})

    def body_hash(self) -> bytes:
        """Keccak-256 of the canonical JSON of the parameters, without ``signature``."""
        return keccak256(canonical_json(self.parameters))

    def digest(self, provider_address: str, chain_id: int | None) -> bytes:
        """The 32 bytes that are signed (EIP-712: ``0x1901 || domain || struct``)."""
        struct = keccak256(
            _type_hash("Request", _REQUEST_FIELDS)
            + _address_word(self.consumer)
            + keccak256(_utf8(self.operation))
            + keccak256(_utf8(self.job_id))
            + self.body_hash()
            + _uint_word(self.nonce)
            + _uint_word(self.expiry)
        )
        return keccak256(b"\x19\x01" + _domain_separator(provider_address, chain_id) + struct)

    def as_typed_data(self, provider_address: str, chain_id: int | None) -> dict[str, Any]:
        """The same as the document that ``eth_signTypedData_v4`` takes."""
        domain: dict[str, Any] = {"name": DOMAIN_NAME, "version": DOMAIN_VERSION}
        if chain_id is not None:
            domain["chainId"] = chain_id
        domain["verifyingContract"] = provider_address
        return {
            "types": {
                "EIP712Domain": _described(_domain_fields(chain_id)),
                "Request": _described(_REQUEST_FIELDS),
            },
            "primaryType": "Request",
            "domain": domain,
            "message": {
                "consumer": self.consumer,
                "operation": self.operation,
                "jobId": self.job_id,
                "bodyHash": "0x" + self.body_hash().hex(),
                "nonce": self.nonce,
                "expiry": self.expiry,
            },
        }


def canonical_json(parameters: Mapping[str, Any]) -> bytes:
    """The one spelling of a request's parameters that is hashed. Leaves out ``signature``."""
    signed = {name: value for name, value in parameters.items() if name != "signature"}
    try:
        text = json.dumps(
            signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except ValueError:
        raise SignatureMalformed("Invalid signature: the request is not valid JSON.") from None
    return _utf8(text)


@lru_cache(maxsize=64)
def _domain_separator(provider_address: str, chain_id: int | None) -> bytes:
    return keccak256(
        _type_hash("EIP712Domain", _domain_fields(chain_id))
        + keccak256(DOMAIN_NAME.encode())
        + keccak256(DOMAIN_VERSION.encode())
        + (b"" if chain_id is None else _uint_word(chain_id))
        + _address_word(provider_address)
    )


def _domain_fields(chain_id: int | None) -> tuple[tuple[str, str], ...]:
    return tuple(field for field in _DOMAIN_FIELDS if field[1] != "chainId" or chain_id is not None)


def _described(fields: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for kind, name in fields]


def _address_word(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


def _uint_word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise SignatureMalformed("Invalid signature: the request is not valid text.") from None

"""Envelopes that carry a signed payload: DSSE (v1), signed by an Ethereum key.

What is signed is the pre-authentication encoding of the payload, in the manner of wallets:
EIP-191 (``personal_sign``) over these bytes. The signature is 65 bytes ``r || s || v`` with
``v`` 27 or 28 and ``s`` in the lower half, made as RFC 6979 has it: the same payload has the
same signature each time. An envelope is one line of canonical JSON without an end of line, so
that a file with any byte changed is no such envelope.

https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md, EIP-191.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from provider import bounded_json
from provider.auth.keccak import keccak256
from provider.auth.signatures import recover, to_checksum
from provider.errors import ProviderError
from provider.keys import ProviderKey
from provider.receipts.statement import canonical

PAYLOAD_TYPE = "application/vnd.in-toto+json"

_SIGNATURE_BYTES = 65
_HALF = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_V = (27, 28)


class EnvelopeInvalid(ValueError):
    """No envelope of this kind; the text says why."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """``signer`` is the checksummed address whose key made the signature."""

    payload_type: str
    payload: bytes
    key_id: str
    signer: str


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """PAE: what is signed says where the type ends and the payload begins."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def wallet_digest(message: bytes) -> bytes:
    """What a wallet signs for these bytes (EIP-191, version 0x45)."""
    return keccak256(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)


def sealed(payload: bytes, key: ProviderKey) -> bytes:
    """The envelope of an in-toto statement, signed."""
    digest = wallet_digest(pre_authentication(PAYLOAD_TYPE, payload))
    signature = bytes.fromhex(key.sign_digest(digest)[2:])
    return _text(PAYLOAD_TYPE, payload, key.address, signature)


def _text(payload_type: str, payload: bytes, key_id: str, signature: bytes) -> bytes:
    return canonical(
        {
            "payload": base64.b64encode(payload).decode("ascii"),
            "payloadType": payload_type,
            "signatures": [{"keyid": key_id, "sig": base64.b64encode(signature).decode("ascii")}],
        }
    )


def opened(envelope: bytes) -> Envelope:
    """What an envelope holds, in whatever way its JSON is written: see :func:`is_canonical`.
    Raises EnvelopeInvalid for one without a signature of this kind."""
    document = _document(envelope)
    payload = _decoded(document.get("payload"), "payload")
    payload_type = document.get("payloadType")
    signatures = document.get("signatures")
    if not isinstance(payload_type, str):
        raise EnvelopeInvalid("It names no payloadType.")
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise EnvelopeInvalid("It has not exactly one signature.")
    [one] = signatures
    if not isinstance(one, dict) or not isinstance(one.get("keyid"), str):
        raise EnvelopeInvalid("Its signature names no keyid.")
    signature = _decoded(one.get("sig"), "sig")
    try:
        message = pre_authentication(payload_type, payload)
    except UnicodeEncodeError:
        raise EnvelopeInvalid("Its payloadType is no text.") from None
    return Envelope(payload_type, payload, one["keyid"], _signer(message, signature))


def is_canonical(envelope: bytes) -> bool:
    """True for the bytes that :func:`sealed` makes: no other spelling of the same content."""
    try:
        document = _document(envelope)
        [one] = document["signatures"]
        payload = base64.b64decode(document["payload"], validate=True)
        signature = base64.b64decode(one["sig"], validate=True)
        return envelope == _text(document["payloadType"], payload, one["keyid"], signature)
    except (ValueError, KeyError, TypeError):
        return False


def _document(envelope: bytes) -> dict[str, Any]:
    try:
        document = bounded_json.loads(envelope)
    except ValueError:
        raise EnvelopeInvalid("It is no JSON.") from None
    if not isinstance(document, dict):
        raise EnvelopeInvalid("It is no JSON object.")
    return document


def _decoded(text: object, name: str) -> bytes:
    if not isinstance(text, str):
        raise EnvelopeInvalid(f"It has no {name}.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeInvalid(f"Its {name} is no base64.") from None


def _signer(message: bytes, signature: bytes) -> str:
    if len(signature) != _SIGNATURE_BYTES or signature[-1] not in _V:
        raise EnvelopeInvalid("Its signature is not 65 bytes that end with 27 or 28.")
    if int.from_bytes(signature[32:64], "big") > _HALF:
        raise EnvelopeInvalid("Its signature has s in the upper half.")
    try:
        return to_checksum(recover(wallet_digest(message), signature.hex()))
    except ProviderError:
        raise EnvelopeInvalid("Its signature is none: no key could have made it.") from None

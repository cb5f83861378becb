"""DSSE with wallets' signatures, written from its specification and eth-account alone.

Uses nothing of the project: what it makes and accepts is what others would.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def pae(payload_type: str, payload: bytes) -> bytes:
    parts = [payload_type.encode(), payload]
    return b" ".join([b"DSSEv1", *(b"%d %s" % (len(part), part) for part in parts)])


def one_text(value: Any) -> bytes:
    """RFC 8785 for values without fractions and with names of the basic plane."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def seal(value: Any, key: str, payload_type: str = PAYLOAD_TYPE) -> bytes:
    payload = one_text(value)
    signed = Account.sign_message(encode_defunct(pae(payload_type, payload)), key)
    signature = {
        "keyid": Account.from_key(key).address,
        "sig": base64.b64encode(bytes(signed.signature)).decode(),
    }
    return one_text(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [signature],
        }
    )


def signer_of(envelope: bytes) -> tuple[str, Any]:
    """Who signed it, and what."""
    document = json.loads(envelope)
    payload = base64.b64decode(document["payload"])
    [signature] = document["signatures"]
    message = encode_defunct(pae(document["payloadType"], payload))
    signer = Account.recover_message(message, signature=base64.b64decode(signature["sig"]))
    return str(signer), json.loads(payload)

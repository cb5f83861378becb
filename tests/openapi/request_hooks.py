"""What schemathesis calls before each request that it has made up: a wallet signs it.

Loaded by its command line (SCHEMATHESIS_HOOKS), so in a process of its own. With SIGN=1 every
call that takes a signature gets one that is right for what the call says, so that it comes past
the door: parameters that are texts are taken as they are. Calls that wait on purpose do not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import schemathesis
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak

WALLET = Account.from_key("0x" + "42" * 32)
SERVICES = "/api/services/"

Values = dict[str, Any]


def _text(*names: str) -> Callable[[Values], list[Any]]:
    return lambda values: [values.get(name, "") for name in names]


def _start(values: Values) -> list[Any]:
    dataset = values.get("dataset")
    did = dataset.get("documentId", "") if isinstance(dataset, dict) else ""
    return [values["consumerAddress"], did, values["nonce"]]


def _decrypt(values: Values) -> list[Any]:
    subject = values.get("transactionId") or values.get("dataNftAddress", "")
    return [subject, *_text("decrypterAddress", "chainId", "nonce")(values)]


_WISH = _text("consumerAddress", "jobId", "documentId", "nonce")
SIGNED = {
    ("POST", "compute"): ("consumerAddress", _start),
    ("GET", "compute"): ("consumerAddress", _WISH),
    ("PUT", "compute"): ("consumerAddress", _WISH),
    ("DELETE", "compute"): ("consumerAddress", _WISH),
    ("GET", "computeResult"): (
        "consumerAddress",
        _text("consumerAddress", "jobId", "index", "nonce"),
    ),
    ("GET", "computeStreamableLogs"): (
        "consumerAddress",
        _text("consumerAddress", "jobId", "nonce"),
    ),
    ("GET", "download"): ("consumerAddress", _text("documentId", "nonce")),
    ("GET", "createAuthToken"): ("address", _text("address", "nonce")),
    ("DELETE", "deleteAuthToken"): ("address", _text("address", "nonce")),
    ("POST", "decrypt"): ("decrypterAddress", _decrypt),
}


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: Any, kwargs: Any) -> None:
    if case.path.endswith("/auto/task_log"):
        _no_waiting(case)
    if os.environ.get("SIGN") == "1" and case.path.startswith(SERVICES):
        values = case.body if case.method == "POST" else case.query
        call = SIGNED.get((case.method, case.path.removeprefix(SERVICES)))
        if call is not None and isinstance(values, dict):
            sign(values, *call)


def sign(values: Values, address: str, parts: Callable[[Values], list[Any]]) -> None:
    values[address] = WALLET.address
    values["nonce"] = str(time.time_ns())
    values.pop("expiry", None)
    text = "".join(each if isinstance(each, str) else str(each) for each in parts(values))
    try:
        digest = keccak(text=text)
    except UnicodeEncodeError:
        return
    signed = WALLET.sign_message(encode_defunct(digest))
    values["signature"] = "0x" + bytes(signed.signature).hex()


def _no_waiting(case: Any) -> None:
    for values in (case.query, case.body):
        if isinstance(values, dict):
            values["pool_interval"] = 0

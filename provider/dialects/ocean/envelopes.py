"""Errors in the four shapes that clients of the API know.

E1: field rules, ``{"success": false, "message", "errors": {field: [text] | text}}``.
E2: a rule says no, ``{"error": text}``. E3: the same by resource and code,
``{"error": {resource: code}}``. E4: the URL itself is wrong, ``{"error", "context"}``;
what was sent is never repeated there, since it may hold a signature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from compute.errors import (
    ComputeError,
    EngineUnavailable,
    HoldTaken,
    QueueFull,
    StoreUnavailable,
    UnknownEnvironment,
    UnknownJob,
)
from provider.dialects.ocean.responses import dumps
from provider.errors import (
    BadParameter,
    InvalidRequest,
    KeyedRefusal,
    NonceInvalid,
    ProviderError,
    SignatureError,
    SignatureMissing,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
)

RETRY_AFTER_S = "2"
NOT_SIGNED = "Invalid signature provided. Please check the nonce or documentId."

_COMPUTE_STATUS: Mapping[type[ComputeError], int] = {
    UnknownEnvironment: 400,
    UnknownJob: 404,
    HoldTaken: 409,
    QueueFull: 429,
    StoreUnavailable: 503,
    EngineUnavailable: 503,
}
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


def render(error: Exception) -> web.Response | None:
    """The answer to an error, None when it is not one that a client may read."""
    if isinstance(error, ProviderError):
        return answer(error.status, _document(error))
    if isinstance(error, ComputeError) and type(error) in _COMPUTE_STATUS:
        return answer(_COMPUTE_STATUS[type(error)], {"error": _clean(error.public)})
    if isinstance(error, web.HTTPException):
        return _by_http(error)
    return None


def answer(status: int, document: Mapping[str, Any]) -> web.Response:
    response = web.Response(status=status, text=dumps(document), content_type="application/json")
    if status == web.HTTPServiceUnavailable.status_code:
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


def _document(error: ProviderError) -> Mapping[str, Any]:
    if isinstance(error, InvalidRequest):
        return _fields(error.errors)
    if isinstance(error, (SignatureMissing, TokenInvalid, TokenExpired, TokenRevoked)):
        return _fields({"signature": [NOT_SIGNED]})
    if isinstance(error, SignatureError):
        return _fields({"signature": error.public})
    if isinstance(error, (NonceInvalid, BadParameter)):
        return _fields({error.field: [error.public]})
    if isinstance(error, KeyedRefusal):
        return {"error": {error.resource: error.code}}
    return {"error": _clean(error.public)}


def _fields(errors: Mapping[str, list[str] | str]) -> Mapping[str, Any]:
    return {"success": False, "message": "Validation error", "errors": dict(errors)}


def _by_http(error: web.HTTPException) -> web.Response:
    if error.status == web.HTTPRequestEntityTooLarge.status_code:
        return answer(error.status, {"error": "The request is too large."})
    text = f"{error.status} {error.reason}: {_HTTP_TEXTS.get(error.status, 'refused')}"
    response = answer(error.status, {"error": text, "context": None})
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


_HTTP_TEXTS = {
    404: "The requested URL was not found on the server.",
    405: "The method is not allowed for the requested URL.",
    408: "The request did not arrive in time.",
}


def _clean(text: str) -> str:
    """One line, and no address of anything."""
    return " ".join(_URL.sub("<URL stripped for security reasons>", text).split())

"""A receipt as an answer: its bytes as they are, known by their SHA-256."""

from __future__ import annotations

import hashlib

from aiohttp import web

from provider.downloads import answer

_CONDITIONS = ("If-Match", "If-None-Match")


def receipt_answer(request: web.Request, receipt: bytes) -> web.Response:
    """JSON, not to be written anew on the way; 304 or 412 by the request's conditions."""
    etag = f'"{hashlib.sha256(receipt).hexdigest()}"'
    asked = {name: request.headers[name] for name in _CONDITIONS if name in request.headers}
    status = answer("HEAD", asked, len(receipt), etag).status
    headers = {"ETag": etag, "Cache-Control": "no-transform"}
    if status != web.HTTPOk.status_code:
        return web.Response(status=status, headers=headers)
    return web.Response(body=receipt, content_type="application/json", headers=headers)

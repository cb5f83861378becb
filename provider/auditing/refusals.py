"""Where every refusal passes on its way out: what the audit log learns of it."""

from __future__ import annotations

from aiohttp import web

from compute.errors import ComputeError
from provider.auditing.asking import asking
from provider.auditing.trail import Trail
from provider.errors import ProviderError

TRAIL = web.AppKey("trail", Trail)


def note_refusal(request: web.Request, error: Exception, status: int) -> None:
    """An ``error`` is being answered with this status. Nothing of what was sent is kept but
    what a record holds of it."""
    trail = request.config_dict.get(TRAIL)
    if trail is None or status < web.HTTPBadRequest.status_code:
        return
    text = error.public if isinstance(error, (ProviderError, ComputeError)) else ""
    trail.refused(asking(), _route(request), type(error).__name__, text, status)


def _route(request: web.Request) -> str:
    """The route's template, which is one of a few whatever strangers send."""
    resource = request.match_info.route.resource
    return f"{_method(request)} {resource.canonical if resource else 'unknown'}"


def _method(request: web.Request) -> str:
    return request.method if request.method in _METHODS else "other"


_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

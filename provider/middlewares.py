"""What is the same for every request: its id, its errors, who may read the answer.

One middleware instead of a chain, since each link costs, and no access log: writing one
costs more than answering. Slow requests, faults of ours, and at level debug every
request leave one line. No line holds a query or a body.
"""

from __future__ import annotations

import itertools
import logging
import math
import re
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from provider.addresses import client_address
from provider.auditing.asking import begin, end
from provider.auditing.refusals import note_refusal
from provider.errors import ProviderError, TooManyRequests
from provider.hangups import STOPPING
from provider.limits import LIMITER, Limiter
from provider.logs import REQUEST, Trace

log = logging.getLogger(__name__)

REQUEST_ID = web.RequestKey("request_id", str)
REFUSED = web.RequestKey("refused", Exception)
"""Set by handlers that make the answer to an error themselves."""
LONG = web.RequestKey("long", bool)
"""Set by handlers that answer slowly on purpose, such as a long poll."""
SLOW_S = 10.0
_SHOWN_PATH = 200
_CLIENT_LEFT = 499
"""Nobody reads it."""

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SLASHES = re.compile(r"/{2,}")
_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"

ErrorRenderer = Callable[[Exception], web.Response | None]


ENVELOPES = web.AppKey(
    "envelopes", dict[Handler, Callable[[web.Request, Exception], web.Response | None]]
)
"""How handlers tell the errors of what comes before them, where that is not the app's way."""


class Counts(Protocol):
    """Is told of each answer and of each error that was answered. Must not raise."""

    def answered(self, request: web.Request, status: int, seconds: float) -> None: ...

    def refused(self, error: Exception) -> None: ...


def guard(
    render: ErrorRenderer, counts: Counts | None = None, limiter: Limiter | None = None
) -> Middleware:
    """Every request passes here, if the limiter lets it. ``render`` makes the answer to an
    error that a client may read; all others leave as a bare 500 with the request's id."""

    process, count = secrets.token_hex(4), itertools.count(1)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.monotonic()
        request_id = request[REQUEST_ID] = _own_id(request) or f"{process}-{next(count):x}"
        REQUEST.set(request_id)
        asked = begin(request_id, client_address(request))
        try:
            if limiter is not None:
                limiter.admit(request)
            if request.method == "OPTIONS" and not _unknown(request):
                response: web.StreamResponse = _preflight(request)
            else:
                response = await handler(request)
        except TooManyRequests as error:
            request[REFUSED] = error
            response = _in_its_envelope(request, render, error)
        except Exception as error:  # the loop guard of HTTP: nothing escapes unanswered
            request[REFUSED] = error
            response = _rendered(request, render, error)
        refused = request.get(REFUSED)
        if refused is not None:
            note_refusal(request, refused, response.status)
        end(asked)
        seconds = time.monotonic() - started
        if counts is not None:
            counts.answered(request, response.status, seconds)
            if refused is not None:
                counts.refused(refused)
        _note(request, response.status, seconds)
        return response

    return middleware


async def on_prepare(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: headers that each answer has, streamed ones included."""
    origin, headers = request.headers.get("Origin"), response.headers
    headers["Access-Control-Allow-Origin"] = origin or "*"
    if origin:
        headers["Vary"] = "Origin"
    headers["X-Request-Id"] = request.get(REQUEST_ID, "")
    stopping = request.app.get(STOPPING)
    if stopping is not None and stopping.is_set():
        # Clients with a connection of their own would never notice that they have to go.
        response.force_close()
        response.headers["Connection"] = "close"


def merging_slashes(
    handlers: dict[tuple[str, str], Callable[[web.Request], Awaitable[web.StreamResponse]]],
) -> Handler:
    """A handler for paths with repeated slashes (``//api/…``), which old components send:
    they count as single ones. ``handlers`` is by method and path."""
    paths = {path for _, path in handlers}

    async def merged(request: web.Request) -> web.StreamResponse:
        path = _SLASHES.sub("/", request.path)
        handler = handlers.get((request.method, path))
        if handler is not None:
            return await handler(request)
        if path in paths:
            raise web.HTTPMethodNotAllowed(
                request.method, [method for method, known in handlers if known == path]
            )
        raise web.HTTPNotFound

    return merged


def _own_id(request: web.Request) -> str | None:
    """The id that the client gave its request, if it is a sane one."""
    given = request.headers.get("X-Request-Id")
    return given if given is not None and _SANE_ID.fullmatch(given) else None


def _has_left(request: web.Request) -> bool:
    """Whether nobody is there to be answered any more."""
    return request.transport is None or request.transport.is_closing()


def _unknown(request: web.Request) -> bool:
    return isinstance(request.match_info.http_exception, web.HTTPNotFound)


def _preflight(request: web.Request) -> web.Response:
    headers = {"Access-Control-Allow-Methods": _METHODS, "Allow": _METHODS}
    wanted = request.headers.get("Access-Control-Request-Headers")
    if wanted is not None:
        headers["Access-Control-Allow-Headers"] = wanted
    return web.Response(headers=headers, content_type="text/html")


def mark_refusal(request: web.Request, error: Exception, response: web.Response) -> None:
    """What every refusal has, in whatever envelope: when to come again, what it costs."""
    if (limiter := request.app.get(LIMITER)) is not None:
        limiter.failed(request, error)
    if isinstance(error, ProviderError) and error.retry_after_s:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))


def _in_its_envelope(
    request: web.Request, render: ErrorRenderer, error: ProviderError
) -> web.Response:
    own = request.app.get(ENVELOPES, {}).get(request.match_info.handler)
    response = own(request, error) if own is not None else None
    if response is None:
        return _rendered(request, render, error)
    mark_refusal(request, error, response)
    return response


def _rendered(request: web.Request, render: ErrorRenderer, error: Exception) -> web.Response:
    if isinstance(error, ConnectionError) and _has_left(request):
        return web.Response(status=_CLIENT_LEFT)
    response = render(error)
    if response is not None:
        mark_refusal(request, error, response)
    if response is not None and response.status < 500:
        return response
    if response is None:
        log.error("request_failed request=%s error=%s", request[REQUEST_ID], _without_values(error))
        body = {"error": "Internal error", "requestId": request[REQUEST_ID]}
        return web.json_response(body, status=500)
    cause = getattr(error, "cause", "") or type(error).__name__
    log.info(
        "request_refused request=%s status=%s cause=%r",
        request[REQUEST_ID],
        response.status,
        cause,
    )
    return response


def _without_values(error: Exception) -> str:
    """The place in the code without the message, which may quote what was sent."""
    place = "".join(traceback.format_tb(error.__traceback__))
    return Trace(f"{type(error).__name__}\n{place}")


def _note(request: web.Request, status: int, seconds: float) -> None:
    if seconds >= SLOW_S and LONG not in request:
        level = logging.WARNING
    elif log.isEnabledFor(logging.DEBUG):
        level = logging.DEBUG
    else:
        return
    log.log(
        level,
        "request_answered request=%s method=%s path=%r status=%s ms=%.1f",
        request[REQUEST_ID],
        request.method,
        request.path[:_SHOWN_PATH],
        status,
        seconds * 1000,
    )

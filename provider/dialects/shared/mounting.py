"""A dialect's routes under its mount: first the door, then the handler, errors in its envelope.

``HEAD`` and ``OPTIONS`` are not added: a dialect that answers ``HEAD`` lists it, and ``OPTIONS``
is answered by the app's guard.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from compute.errors import ComputeError
from provider.auditing.asking import asking
from provider.dialects.shared.door import Door
from provider.errors import KeyWrong, ProviderError
from provider.middlewares import ENVELOPES, REFUSED, REQUEST_ID, mark_refusal

log = logging.getLogger(__name__)

CHALLENGE: Final = "Bearer"

Render = Callable[[web.Request, Exception], web.Response | None]
"""The answer to an error in the dialect's envelope; None leaves it to the app's guard."""


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` is below the mount, in aiohttp's notation. The handler's second argument is the
    name of the key that the request came with, "" where none is needed."""

    method: str
    path: str
    handler: Callable[[web.Request, str], Awaitable[web.StreamResponse]]


def mount(
    app: web.Application,
    *,
    prefix: str,
    door: Door,
    routes: Sequence[Route],
    render: Render,
    below: Sequence[str] = (),
) -> None:
    """Register ``routes`` under ``prefix``, "/" for the root.

    Each is registered with a second slash behind the mount as well, as clients send it whose
    configured address ends with one. ``below`` are paths under the mount: what is not found
    there, and what is found but not by this method, is told in the dialect's envelope too.
    An entry "/" at the root says nothing, for all other APIs are there.
    """
    root = "" if prefix == "/" else prefix
    envelopes = app.setdefault(ENVELOPES, {})
    resources: dict[str, web.Resource] = {}
    for route in routes:
        for path in (root + route.path, root + "/" + route.path):
            resource = resources.get(path) or app.router.add_resource(path)
            handler = _guarded(route, door, render)
            resource.add_route(route.method, handler)
            envelopes[handler] = render
            resources[path] = resource
    lost = _lost(list(resources.values()), render)
    envelopes[lost] = render
    for each in below:
        top = root + each.rstrip("/")
        if top:
            app.router.add_route("*", top, lost)
            app.router.add_route("*", top + "/{unknown:.*}", lost)


def _guarded(route: Route, door: Door, render: Render) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            key = await door.admit(request)
            asking().actor = f"{door.name}:{key}"
            return await route.handler(request, key)
        except (ProviderError, ComputeError, web.HTTPException) as error:
            answer = _answer(request, error, render)
            if answer is None:
                raise
            return answer

    return handler


def _lost(resources: Sequence[web.Resource], render: Render) -> Handler:
    """Comes to bear where no route does: the path is none, or not for this method."""

    async def lost(request: web.Request) -> web.StreamResponse:
        allowed: set[str] = set()
        for resource in resources:
            allowed |= (await resource.resolve(request))[1]
        error: web.HTTPException = (
            web.HTTPMethodNotAllowed(request.method, sorted(allowed))
            if allowed
            else web.HTTPNotFound()
        )
        answer = _answer(request, error, render)
        if answer is None:
            raise error
        return answer

    return lost


def _answer(request: web.Request, error: Exception, render: Render) -> web.Response | None:
    if isinstance(error, web.HTTPException) and error.status < 400:
        return None
    request[REFUSED] = error
    answer = render(request, error)
    if answer is None and isinstance(error, KeyWrong):
        answer = web.json_response({"error": error.public}, status=error.status)
    if answer is None:
        return None
    mark_refusal(request, error, answer)
    if answer.status == web.HTTPUnauthorized.status_code:
        answer.headers["WWW-Authenticate"] = CHALLENGE
    if answer.status >= 500:
        cause = type(error).__name__
        request_id = request.get(REQUEST_ID, "")
        log.info("request_refused request=%s status=%s cause=%s", request_id, answer.status, cause)
    return answer

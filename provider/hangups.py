"""Whether a request's client still waits for its answer.

Handlers are not ended when a connection breaks, since most of them do something that has to
be done whole. Those that only ask around for a stranger look here now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from provider.errors import Stopping
from provider.turns import Gone

STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set once the service was told to end; there may be none."""


def open_until_told(app: web.Application, wait_s: float) -> Callable[[], None]:
    """Raises Stopping once the service was told to end, which takes ``wait_s`` at most."""
    stopping = app.get(STOPPING)

    def require_open() -> None:
        if stopping is not None and stopping.is_set():
            raise Stopping(wait_s)

    return require_open


def left(request: web.Request) -> Gone:
    """True once the client has hung up, or the service ends."""
    stopping = request.app.get(STOPPING)

    def gone() -> bool:
        transport = request.transport
        ended = stopping is not None and stopping.is_set()
        return ended or transport is None or transport.is_closing()

    return gone

"""Who is let in: the number of connections is bounded, and so is their silence.

Each connection takes a file descriptor, and a process without descriptors can neither read
a document nor start a container. So half of them are kept for our own work, and who comes
when the other half is taken is turned away at once. So is an address that holds a good part of
them alone; not the loopback, nor a trusted proxy, where the whole world may come from.

What comes before a request can be read at all, a header that is too long or no HTTP, is
answered here, in one short sentence: nothing behind ever sees it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from provider.addresses import Network, is_loopback, is_trusted, neighbourhood, region
from provider.telling import Told

log = logging.getLogger(__name__)

IDLE_S = 20.0
"""How long a connection may take to bring a whole request header, and then the next one."""

LINGERING_S = 2.0
"""How long what is left of a body is read after its answer, so that the answer arrives."""

MOST_HEADERS = 64
MOST_FIELD_BYTES = 8190
"""Of a header, name and value; and of the request line."""

HANDLER_ARGS: Mapping[str, Any] = {
    "auto_decompress": False,
    "keepalive_timeout": IDLE_S,
    "lingering_time": LINGERING_S,
    "max_headers": MOST_HEADERS,
    "max_line_size": MOST_FIELD_BYTES,
    "max_field_size": MOST_FIELD_BYTES,
}
"""Of aiohttp's connections."""

REGION_SHARE = 4
"""How many times what one address may have is let in from one region of IPv6."""

_MANY_FILES = 1 << 20
_TEXTS = {
    400: "This is no request that can be read: check its first line, its headers (one Host; either"
    " Content-Length or Transfer-Encoding: chunked) and its body's framing.",
    414: f"The address is too long: at most {MOST_FIELD_BYTES} bytes. Send parameters in a body.",
    431: f"The headers are too large: at most {MOST_HEADERS} of them, of {MOST_FIELD_BYTES} bytes"
    " each.",
}


class Door:
    """Makes the protocol of each new connection: ``server``'s, or one that hangs up. Of one
    address at most ``most_of_one`` are let in, unless it is in ``trusted``."""

    def __init__(
        self,
        server: web.Server | None,
        most: int,
        *,
        most_of_one: int = 0,
        trusted: Sequence[Network] = (),
    ) -> None:
        if server is None:
            raise ValueError("the runner is not set up")
        self._server = server
        self._most = most
        self._most_of_one = most_of_one or most
        self._trusted = tuple(trusted)
        self._inside: Counter[str] = Counter()
        now = asyncio.get_running_loop().time
        self._told, self._told_of_one = Told(now, log), Told(now, log)

    def inside(self) -> int:
        """How many connections there are."""
        return len(self._server.connections)

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) < self._most:
            options: dict[str, Any] = self._server._kwargs
            return _Connection(self, self._server, options)
        self._told.count("connections_full limit=%s", self._most)
        return _HangUp()

    def enter(self, address: str) -> str | None:
        """What to :meth:`leave` with, "" if nothing; None for an address that has enough, or is
        of a region (of IPv6) that has."""
        if not address or is_loopback(address) or is_trusted(address, self._trusted):
            return ""
        if any(self._inside[near] >= most for near, most in self._limits(address)):
            self._told_of_one.count("connections_of_one_full client=%s", address)
            return None
        for near, _ in self._limits(address):
            self._inside[near] += 1
        return address

    def leave(self, address: str) -> None:
        for near, _ in self._limits(address):
            self._inside[near] -= 1
            if self._inside[near] <= 0:
                del self._inside[near]

    def _limits(self, address: str) -> list[tuple[str, int]]:
        near, around = neighbourhood(address), region(address)
        limits = [(near, self._most_of_one)]
        return limits if near == around else [*limits, (around, self._most_of_one * REGION_SHARE)]


class _Connection(web.RequestHandler):
    """aiohttp's, counted, and with words of our own for what cannot be read."""

    __slots__ = ("_door", "_entered")

    def __init__(self, door: Door, server: web.Server, options: dict[str, Any]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._door = door
        self._entered = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        entered = self._door.enter(str(peer[0]) if isinstance(peer, tuple) else "")
        if entered is None:
            cast(asyncio.Transport, transport).abort()
            return
        self._entered = entered
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._entered:
            self._door.leave(self._entered)
            self._entered = ""
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        response = super().handle_error(request, status, exc, message)
        if not isinstance(exc, HttpProcessingError):
            return response
        status = _status_of(exc)
        text = json.dumps({"error": _TEXTS[status]})
        told = web.Response(status=status, text=text, content_type="application/json")
        told.force_close()
        return told


def _status_of(error: HttpProcessingError) -> int:
    """aiohttp says 400 of everything, and only in words what it was."""
    if isinstance(error, LineTooLong):
        # The parser tells a target as a bytearray, a field of a header as bytes.
        return 414 if isinstance(error.args[0], bytearray) else 431
    return 431 if "Too many headers" in error.message else 400


class _HangUp(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()


def allow_many_files() -> int:
    """Raise this process's limit of open files as far as it may be; returns what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if hard == resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        wanted = soft
    return _MANY_FILES if wanted == resource.RLIM_INFINITY else wanted

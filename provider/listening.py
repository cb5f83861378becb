"""Who is let in: the number of connections is bounded, and so is their silence.

Each connection takes a file descriptor, and a process without descriptors can neither read
a document nor start a container. So half of them are kept for our own work, and who comes
when the other half is taken is turned away at once.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from typing import cast

from aiohttp import web

log = logging.getLogger(__name__)

IDLE_S = 20.0
"""How long a connection may take to bring a whole request header, and then the next one."""

_TOLD_AGAIN_S = 60.0
_MANY_FILES = 1 << 20


class Door:
    """Makes the protocol of each new connection: ``server``'s, or one that hangs up."""

    def __init__(self, server: web.Server | None, most: int) -> None:
        if server is None:
            raise ValueError("the runner is not set up")
        self._server = server
        self._most = most
        self._told = float("-inf")

    def inside(self) -> int:
        """How many connections there are."""
        return len(self._server.connections)

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) < self._most:
            return self._server()
        now = asyncio.get_running_loop().time()
        if now - self._told >= _TOLD_AGAIN_S:
            self._told = now
            log.warning("connections_full limit=%s", self._most)
        return _HangUp()


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

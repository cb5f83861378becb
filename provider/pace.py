"""The least pace of a transfer, in both directions: who is slower holds a place for nothing.

A body that comes in has to come at ``MIN_TRANSFER_RATE`` bytes a second, on average and after
some grace (:func:`in_time`). An answer that goes out has to be taken at the same rate. That the
kernel knows best: what the client has acknowledged, and what still waits to be sent
(``TCP_INFO``, Linux 4.6 and later), whether the bytes went through Python or by ``sendfile``.
So nothing is counted while an answer is sent; the :class:`Watch` looks at all connections every
few seconds. What is merely on its way to a far client does not count as waiting, nor does a
stream that has nothing to say.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from asyncio.trsock import TransportSocket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from provider.telling import Told
from provider.turns import within

log = logging.getLogger(__name__)

LEAST_RATE: Final = web.AppKey("least_rate", int)
DEFAULT_RATE: Final = 1024

GRACE_S: Final = 10.0
"""How long a body may take to get going."""

BODY_S: Final = 60.0
"""How long a client may take to send a body of the usual size."""

_SURE_RATE: Final = 32 << 10
"""What a body that is larger has to come with."""

LOOK_S: Final = 5.0
WINDOW_S: Final = 30.0
"""So long an answer may be taken too slowly."""

_NO_LINGERING: Final = struct.pack("ii", 1, 0)
_INFO_BYTES: Final = 148
_ACKED: Final = struct.Struct("Q")
_UNSENT: Final = struct.Struct("I")
_ACKED_AT, _UNSENT_AT = 120, 144
"""Of ``tcpi_bytes_acked`` and ``tcpi_notsent_bytes`` in ``struct tcp_info`` (linux/tcp.h)."""


def least_rate(request: web.Request) -> int:
    """Bytes a second."""
    return request.app.get(LEAST_RATE, DEFAULT_RATE)


@asynccontextmanager
async def in_time(request: web.Request) -> AsyncIterator[None]:
    """Read the body inside. Raises TimeoutError when it comes too slowly."""
    if request.content.is_eof():
        yield
        return
    now = asyncio.get_running_loop().time
    began, least, content = now(), least_rate(request), request.content

    def too_slow() -> bool:
        seconds = now() - began
        return seconds > GRACE_S and content.total_bytes < seconds * least

    async with within(max(BODY_S, request.client_max_size / _SURE_RATE), too_slow):
        yield


@dataclass(slots=True)
class _Window:
    """Since when an answer waits to be sent, and how much was acknowledged then."""

    since: float
    acked: int


class Watch:
    """Cuts connections of ``server`` whose clients take less than ``least_rate`` bytes a
    second of what waits for them, over ``window_s`` seconds."""

    def __init__(self, server: web.Server, least_rate: int, *, window_s: float = WINDOW_S) -> None:
        self._server = server
        self._least_rate = least_rate
        self._window_s = window_s
        self._windows: dict[web.RequestHandler, _Window] = {}
        self._told = Told(asyncio.get_running_loop().time, log)

    async def run(self, look_s: float = LOOK_S) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(look_s)
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        before, self._windows = self._windows, {}
        for connection in self._server.connections:
            transport = connection.transport
            if transport is None or (acked := _waiting(transport)) < 0:
                continue
            window = before.get(connection) or _Window(now, acked)
            seconds = now - window.since
            if seconds < self._window_s:
                self._windows[connection] = window
            elif acked - window.acked >= seconds * self._least_rate:
                self._windows[connection] = _Window(now, acked)
            else:
                self._told.count("answer_taken_too_slowly client=%s", _peer(transport))
                cut(transport)


def cut(transport: asyncio.Transport) -> None:
    """Break the connection, and have the kernel forget what it still has to send.

    A transport of asyncio's that sends a file does not survive an abort
    (``InvalidStateError``, and the socket stays open), so its socket is shut under it.
    """
    connected = transport.get_extra_info("socket")
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        if isinstance(connected, TransportSocket) and not transport.get_write_buffer_size():
            connected.shutdown(socket.SHUT_RDWR)
            return
    transport.abort()


def _waiting(transport: asyncio.Transport) -> int:
    """How many bytes the client has acknowledged so far, if more is waiting to be sent to it;
    -1 if none is, or the kernel cannot tell."""
    connected = transport.get_extra_info("socket")
    if connected is None or transport.is_closing():
        return -1
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except (OSError, AttributeError):
        return -1
    if len(info) < _INFO_BYTES:
        return -1
    [acked], [unsent] = _ACKED.unpack_from(info, _ACKED_AT), _UNSENT.unpack_from(info, _UNSENT_AT)
    return acked if unsent or transport.get_write_buffer_size() else -1


def _peer(transport: asyncio.Transport) -> str:
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""

"""What an origin may send before the head of its answer: little, or it is cut off.

HTTP allows any number of interim answers (``100 Continue`` and the like) before the one that
counts. The HTTP library reads on through all of them without a pause, so an origin that
sends nothing else holds up this process and fills its memory. Here they are counted as they
come in. Bytes are handed to the parser in small pieces until the head is there, since what
one piece holds is parsed at once.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

MAX_INTERIM = 16
MAX_HEAD_BYTES = 1 << 19
"""Of all that comes before the content. The library bounds each head to about as much."""

_PIECE_BYTES = 1 << 12
_INTERIM = frozenset({*range(100, 200)} - {101})


class HeadTooLong(aiohttp.ClientConnectionError):
    """An origin sends anything but an answer."""


class WaryConnector(aiohttp.TCPConnector):
    """Connections on which an origin that does not come to its answer is cut off."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        make: Callable[..., ResponseHandler] = _WaryHandler
        self._factory = functools.partial(make, loop=asyncio.get_running_loop())


class _WaryHandler(ResponseHandler):
    _left_bytes, _left_interim, _answered = MAX_HEAD_BYTES, MAX_INTERIM, False

    def set_response_params(self, **options: Any) -> None:
        self._left_bytes, self._left_interim = MAX_HEAD_BYTES, MAX_INTERIM
        self._answered = False
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        whole, start = memoryview(data), 0
        while start < len(data) and not self._answered and self._left_bytes > 0:
            piece = bytes(whole[start : start + _PIECE_BYTES])
            start += len(piece)
            self._left_bytes -= len(piece)
            super().data_received(piece)
        if self._answered or not data:
            super().data_received(data[start:] if start else data)
        elif self._left_bytes <= 0:
            self._cut()

    def feed_data(self, data: Any, size: int = 0) -> None:
        if self._left_bytes <= 0:
            return
        if data[0].code in _INTERIM and not self._answered:
            self._left_interim -= 1
        elif self._answered:
            self._left_interim = 0
        else:
            self._answered = True
        if self._left_interim > 0:
            super().feed_data(data, size)
        else:
            self._cut()

    def _cut(self) -> None:
        """Take nothing more; who waits for the answer is told at once."""
        self._left_bytes, self._answered = 0, False
        self.set_exception(HeadTooLong("no answer among what came"))
        if self.transport is not None:
            self.transport.abort()

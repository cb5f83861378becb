"""A log on its way to a consumer, as long as it grows.

Bytes are passed on as they come, without a length. An answer that ends well is complete; one
that cannot be completed has its connection cut, so that nobody takes a part for the whole. A
consumer who knows how many bytes he has goes on from there.

A log may say nothing for hours, so whether the consumer is still there, and whether the
service ends, is looked for meanwhile; a consumer who takes nothing for a while is cut off.
What a job has printed is no page, whatever a browser may think of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from compute.errors import ComputeError
from provider.followers import Place
from provider.hangups import left
from provider.middlewares import LONG, REQUEST_ID
from provider.turns import LOOK_S, Gone

log = logging.getLogger(__name__)

OFFSET_HEADER = "X-Log-Offset"
"""Which byte of the log the answer begins with."""

STALL_S = 60.0
"""How long a consumer may take for a piece."""

PIECE_BYTES = 64 << 10


class LogAnswer(web.StreamResponse):
    """Passes the rest of a log on, from byte ``offset``, as long as its ``place`` is not lost."""

    def __init__(
        self, pieces: AsyncIterator[bytes], offset: int, place: Place, *, stall_s: float = STALL_S
    ) -> None:
        super().__init__(
            headers={
                "Content-Type": "application/octet-stream",
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "sandbox",
                "Cache-Control": "no-store",
                # Proxies would otherwise collect what is meant to be seen at once.
                "X-Accel-Buffering": "no",
                OFFSET_HEADER: str(offset),
                "Access-Control-Expose-Headers": OFFSET_HEADER,
            },
        )
        self._pieces = pieces
        self._place = place
        self._stall_s = stall_s

    async def send(self, request: web.Request) -> LogAnswer:
        """Send all of it. Whatever prevents that cuts the connection."""
        request[LONG] = True
        gone = left(request)
        try:
            await self.prepare(request)
            while (piece := await self._next(gone)) is not None:
                await self._pass_on(piece)
            await self.write_eof()
        except ConnectionError:
            self._cut(request, "place_lost" if self._place.lost else "consumer_left")
        except TimeoutError:
            self._cut(request, "consumer_stalled")
        except ComputeError as error:
            self._cut(request, type(error).__name__)
        return self

    async def _next(self, gone: Gone) -> bytes | None:
        """The next piece, None after the last. Raises ConnectionError when nobody waits."""
        coming = asyncio.ensure_future(anext(self._pieces, None))
        try:
            while not coming.done():
                if gone() or self._place.lost:
                    raise ConnectionAbortedError
                await asyncio.wait({coming}, timeout=LOOK_S)
            return coming.result()
        finally:
            if not coming.done():
                coming.cancel()
                with suppress(asyncio.CancelledError):
                    await coming

    async def _pass_on(self, piece: bytes) -> None:
        for start in range(0, len(piece), PIECE_BYTES):
            if self._place.lost:
                raise ConnectionAbortedError
            async with asyncio.timeout(self._stall_s):
                await self.write(piece[start : start + PIECE_BYTES])

    def _cut(self, request: web.Request, cause: str) -> None:
        log.info("log_cut id=%s cause=%s", request.get(REQUEST_ID, ""), cause)
        if request.transport is not None:
            request.transport.abort()

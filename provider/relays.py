"""A published file on its way from its origin to a consumer.

Bytes pass through and are never kept. Whatever ends one side ends the other: an origin that
breaks off or sends less than announced has the consumer's connection cut, so that nobody
takes half a file for the whole; a consumer who takes nothing for a while is cut too, so that
he holds no origin open.

Names and types come from strangers. A browser is told never to show the content, as with
results (:mod:`provider.downloads`). What an origin says in its headers is passed on only where
it is plain text.
"""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from compute.errors import InputUnavailable
from provider.assets.origins.base import Part
from provider.downloads import EXPOSED, content_type, disposition
from provider.middlewares import REQUEST_ID

log = logging.getLogger(__name__)

STALL_S = 60.0
"""How long a consumer may take for ``PIECE_BYTES``."""

PIECE_BYTES = 1 << 16


class RelayAnswer(web.StreamResponse):
    """Passes one open part of a file on."""

    def __init__(self, part: Part, *, stall_s: float = STALL_S) -> None:
        super().__init__(
            status=part.status,
            headers={
                "Content-Type": _plain(part.content_type) or content_type(part.name),
                "Content-Disposition": disposition(part.name),
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "sandbox",
                "Cache-Control": "private, no-cache",
                "Access-Control-Expose-Headers": EXPOSED,
            },
        )
        if content_range := _plain(part.content_range):
            self.headers["Content-Range"] = content_range
        if part.accepts_ranges:
            self.headers["Accept-Ranges"] = "bytes"
        if etag := _plain(part.etag):
            self.headers["ETag"] = etag
        if part.size is not None:
            self.content_length = part.size
        self._part = part
        self._stall_s = stall_s

    async def send(self, request: web.Request) -> RelayAnswer:
        """Send all of it. A failure on either side cuts the connection."""
        await self.prepare(request)
        if request.method == "HEAD":
            return self
        try:
            sent = await self._pass_on()
        except InputUnavailable:
            self._cut(request, "origin_broke")
        except TimeoutError:
            self._cut(request, "consumer_stalled")
        except ConnectionError:
            log.debug("relay_left request=%s", request.get(REQUEST_ID, ""))
        else:
            if self._part.size not in (None, sent):
                self._cut(request, "origin_short")
        return self

    async def _pass_on(self) -> int:
        sent = 0
        async for chunk in self._part.chunks:
            whole = memoryview(chunk)
            for start in range(0, len(whole), PIECE_BYTES):
                async with asyncio.timeout(self._stall_s):
                    await self.write(whole[start : start + PIECE_BYTES])
            sent += len(chunk)
        return sent

    def _cut(self, request: web.Request, cause: str) -> None:
        log.warning("relay_cut request=%s cause=%s", request.get(REQUEST_ID, ""), cause)
        if request.transport is not None:
            request.transport.abort()


def _plain(text: str | None) -> str:
    """The text if a header can hold it, else none."""
    return text if text and text.isascii() and text.isprintable() else ""

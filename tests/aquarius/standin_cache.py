"""A metadata cache that answers what a test tells it to, and how tests reach our own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from provider.assets.index import AssetIndex

Client = TestClient[web.Request, web.Application]

Serve = Callable[[AssetIndex], Awaitable[Client]]
"""Starts our endpoints over an index."""


class StandinCache:
    """``documents`` by DID; ``broken`` is an answer for everything, ``hangs`` none at all."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.broken: web.Response | None = None
        self.hangs = False
        self.asked: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        app = web.Application()
        app.router.add_get("/cache/api/aquarius/assets/ddo/{did}", self._ddo)
        self._server = TestServer(app)

    async def start(self) -> str:
        """The address to configure."""
        await self._server.start_server()
        return str(self._server.make_url("/cache"))

    async def close(self) -> None:
        await self._server.close()

    async def _ddo(self, request: web.Request) -> web.StreamResponse:
        did = request.match_info["did"]
        self.asked[did] += 1
        self.headers = dict(request.headers)
        if self.hangs:
            await asyncio.sleep(3600)
        if self.broken is not None:
            broken, self.broken = self.broken, None
            return broken
        if did not in self.documents:
            return web.json_response({"error": f"Asset DID {did} not found"}, status=404)
        return web.json_response(self.documents[did])

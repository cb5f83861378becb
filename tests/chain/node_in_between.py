"""A node between a wallet and the chain, which loses, refuses or garbles what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

SECRET = "an-access-key-of-the-user"

Spoil = Callable[[int], Any]
"""From how often the method was asked to what is answered instead: None for the chain's own
answer, a dictionary for an error, bytes for a body, ``LOST`` to break off once the chain
has answered, ``GONE`` to break off before."""

LOST = object()
GONE = object()


class NodeInBetween:
    """Use as an async context manager. ``asked`` counts calls by method,
    ``delay_s`` is waited before each answer."""

    def __init__(self, url: str) -> None:
        self.asked: Counter[str] = Counter()
        self.spoil: dict[str, Spoil] = {}
        self.delay_s = 0.0
        self._behind = url
        app = web.Application()
        app.router.add_post("/{key}", self._handle)
        self._server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self._server.make_url(f"/{SECRET}"))

    async def __aenter__(self) -> NodeInBetween:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        await asyncio.sleep(self.delay_s)
        asked = json.loads(body)
        method = asked["method"]
        self.asked[method] += 1
        spoiled = self.spoil.get(method, lambda _: None)(self.asked[method])
        if spoiled is GONE:
            return self._broken(request)
        if isinstance(spoiled, dict):
            return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "error": spoiled})
        if isinstance(spoiled, bytes):
            return web.Response(body=spoiled)
        async with ClientSession() as session, session.post(self._behind, data=body) as answer:
            content = await answer.read()
        if spoiled is LOST:
            return self._broken(request)
        if spoiled is not None:
            content = json.dumps({"id": 1, "result": spoiled(json.loads(content))}).encode()
        return web.Response(body=content)

    @staticmethod
    def _broken(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        raise asyncio.CancelledError

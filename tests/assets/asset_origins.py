"""Real origins on loopback, and name resolution that a test decides."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Names(AbstractResolver):
    """Answers from a table; several answers for a name are given one after the other."""

    def __init__(self, **table: Sequence[Sequence[str]]) -> None:
        self.table = {name.replace("_", "."): list(answers) for name, answers in table.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self.table.get(host)
        if not answers:
            raise OSError(None, "no such name")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [self._result(host, port, address) for address in addresses]

    def _result(self, host: str, port: int, address: str) -> ResolveResult:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return ResolveResult(
            hostname=host, host=address, port=port, family=family, proto=0, flags=0
        )

    async def close(self) -> None:
        pass


class Origin:
    """An HTTP server whose paths are set by a test; remembers the requests it got."""

    def __init__(self, host: str) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self._handlers: dict[str, Handler] = {}
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(application, host=host)

    async def start(self, port: int = 0) -> None:
        if port:
            self._server = TestServer(self._server.app, host=self._server.host, port=port)
        await self._server.start_server()

    async def close(self) -> None:
        await self._server.close()

    @property
    def port(self) -> int:
        assert self._server.port is not None
        return self._server.port

    def url(self, path: str, host: str | None = None) -> str:
        return f"http://{host or self._server.host}:{self.port}{path}"

    def on(self, path: str, handler: Handler) -> None:
        self._handlers[path] = handler

    def serve(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        async def answer(_: web.Request) -> web.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(body=body, status=status, headers=named)

        self.on(path, answer)
        return self.url(path)

    def redirect(self, path: str, target: str, status: int = 302) -> str:
        return self.serve(path, b"elsewhere", status, Location=target)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        handler = self._handlers.get(request.path)
        return await handler(request) if handler else web.Response(status=404)


@asynccontextmanager
async def raw_origin(answer: bytes, *, then_wait: bool = False) -> AsyncIterator[str]:
    """An origin that sends exactly these bytes, and then closes or says nothing more."""
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if then_wait:
            await over.wait()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/file"
    finally:
        over.set()
        server.close()
        await server.wait_closed()

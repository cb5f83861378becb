"""A small dialect of the tests' own, served by a real server on the loopback."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from provider.apikeys import HashedKey, KeyRing, hash_key, new_key
from provider.dialects.ocean.envelopes import render as guard_render
from provider.dialects.shared.sections import DialectSection
from provider.errors import ProviderError
from provider.middlewares import guard, on_prepare

ALICE, BOB = new_key(), new_key()
HASHES = {"alice": hash_key(ALICE), "bob": hash_key(BOB)}
HASHED = {name: HashedKey.parse(text) for name, text in HASHES.items()}


class TinySettings(DialectSection):
    """The section of a dialect that has one field of its own."""

    mount: str = "/tiny"
    greeting: str = "hello"


def ring() -> KeyRing:
    return KeyRing(HASHED)


def basic(name: str, key: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{key}".encode()).decode()


def enveloped(request: web.Request, error: Exception) -> web.Response | None:
    """Every refusal as ``{"said": text}``."""
    if isinstance(error, ProviderError):
        return web.json_response({"said": error.public}, status=error.status)
    if isinstance(error, web.HTTPException):
        return web.json_response({"said": error.reason}, status=error.status)
    return None


def application() -> web.Application:
    """An app as the service makes it."""
    app = web.Application(
        middlewares=[guard(guard_render)],
        client_max_size=1 << 20,
        handler_args={"auto_decompress": False},
    )
    app.on_response_prepare.append(on_prepare)
    return app


@asynccontextmanager
async def serving(app: web.Application, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """The app on a free port of ``host``."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Answer:
    """Status, headers and body of what came back over a plain socket."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }


async def sent(
    port: int, request: bytes, host: str = "127.0.0.1", *, hang_up: bool = False
) -> Answer:
    """Send bytes as they are, and read the answer to its announced end."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        if hang_up:
            writer.write_eof()
        async with asyncio.timeout(90):
            head = await reader.readuntil(b"\r\n\r\n")
            answer = Answer(head)
            answer.body = await reader.readexactly(int(answer.headers.get("content-length", "0")))
            return answer
    finally:
        writer.close()
        await writer.wait_closed()


def request(
    path: str = "/", headers: Mapping[str, str] | None = None, version: str = "1.1", **more: Any
) -> bytes:
    """The head of a GET. ``headers`` replace ``Host``, which is there by default."""
    given = {"Host": "localhost", **(headers or {}), **more}
    lines = [f"GET {path} HTTP/{version}", *(f"{name}: {text}" for name, text in given.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

"""A server that takes forms, and clients that send them badly."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from kit_server import Answer, application, enveloped, sent, serving

from provider.apikeys import KeyRing
from provider.dialects.shared import forms
from provider.dialects.shared.door import Door
from provider.dialects.shared.forms import Form, receive
from provider.dialects.shared.mounting import Route, mount

MOST = 300_000
Told = dict[str, Any]


class Desk:
    """A server that takes forms and tells what it got, and the folder that it uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.most = MOST
        self.stall_s = 60.0
        self.inside: Callable[[Form], object] = lambda form: None
        self.ended: list[type[BaseException] | None] = []

    async def take(self, request: web.Request, key: str) -> web.Response:
        try:
            form = await receive(
                request,
                folder=self.folder,
                file_fields=("task_file", "file"),
                max_bytes=self.most,
                stall_s=self.stall_s,
            )
        except BaseException as error:
            self.ended.append(type(error))
            raise
        self.ended.append(None)
        async with form:
            self.inside(form)
            return web.json_response({"fields": dict(form.fields), "file": self._file(form)})

    def _file(self, form: Form) -> Told | None:
        file = form.file
        if file is None:
            return None
        content = file.path.read_bytes() if file.path.exists() else None
        assert content is None or (file.path.parent, len(content)) == (self.folder, file.size)
        assert content is None or hashlib.sha256(content).hexdigest() == file.sha256
        return {
            "field": file.field,
            "filename": file.filename,
            "size": file.size,
            "mode": None if content is None else oct(file.path.stat().st_mode & 0o777),
            "begin": None if content is None else content[:20].decode("latin-1"),
        }

    @property
    def files(self) -> list[Path]:
        return list(self.folder.iterdir())

    async def post(self, data: Any, **headers: str) -> tuple[int, Told]:
        """Status and answer; what came in is gone by then."""
        url = f"http://127.0.0.1:{self.port}/form"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=data, headers=headers) as response,
        ):
            answer = response.status, json.loads(await response.text())
        assert not self.folder.exists() or self.files == []
        return answer

    async def raw(self, body: bytes, kind: str = "multipart/form-data; boundary=b") -> Answer:
        return await sent(self.port, head(kind, len(body)) + body)

    def unfinished(self) -> AbstractAsyncContextManager[Sender]:
        return Sender.to(self.port)

    async def begun(self) -> None:
        """Until something of a file is on disk."""
        async with asyncio.timeout(90):
            while not self.files:
                await asyncio.sleep(0.01)

    async def emptied(self) -> None:
        """Until the form that was begun has come to its end and left nothing."""
        async with asyncio.timeout(90):
            while not self.ended or self.files:
                await asyncio.sleep(0.01)


class Sender:
    """A client that takes its time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator[Sender]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def status(self) -> int:
        async with asyncio.timeout(90):
            return int((await self.reader.readline()).split()[1])


def head(kind: str, length: int | None, extra: str = "") -> bytes:
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = ["POST /form HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", size]
    return ("\r\n".join(lines) + "\r\n" + extra + "\r\n").encode()


MULTIPART = "multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


def text(name: str, value: bytes = b"x") -> bytes:
    return (
        b'--b\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + value
    ) + b"\r\n"


END = b"--b--\r\n"


async def pour(sender: Sender, pieces: AsyncIterator[bytes]) -> None:
    """Send pieces as chunks, for as long as there are any."""
    async for piece in pieces:
        await sender.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")


@asynccontextmanager
async def serving_desk(folder: Path) -> AsyncIterator[Desk]:
    """A desk in service."""
    desk = Desk(folder)
    forms.sweep(folder)
    app = application()
    route = Route("POST", "/form", desk.take)
    mount(app, prefix="/", door=Door("tiny", KeyRing({})), routes=[route], render=enveloped)
    async with serving(app) as desk.port:
        yield desk

"""A gate in front of a TCP service: shut it, open it, or have it swallow what comes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit

from support.service import free_port


class TcpGate:
    """Listens on a port of its own, the same whenever it is open, and forwards to ``url``.

    Open while it is entered, unless it is shut. ``target`` may be given later, before the
    first connection.
    """

    def __init__(self, target: str = "") -> None:
        self.target = target
        self.mute = False
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def open(self) -> None:
        await self.shut()
        self.mute = False
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def silence(self) -> None:
        """Connections are taken, and nothing is ever answered."""
        await self.open()
        self.mute = True

    async def shut(self) -> None:
        """Nothing listens any more; open connections break."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            if self.mute:
                await asyncio.Event().wait()
            await self._forward(reader, writer)
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self.target)
        far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        finally:
            far_writer.transport.abort()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()

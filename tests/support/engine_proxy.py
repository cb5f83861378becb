"""A gate in front of the real engine's socket.

The daemon itself is never touched: a service that talks through the proxy sees an engine
that is gone, comes back, or hangs on a chosen call.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path

ENGINE_SOCKET = "/var/run/docker.sock"


class Hold:
    """One chosen call, held from when it arrives until it is let go."""

    def __init__(self, pattern: str) -> None:
        self.pattern = re.compile(pattern.encode())
        self.arrived = asyncio.Event()
        self.released = asyncio.Event()

    def release(self) -> None:
        self.released.set()


class EngineProxy:
    """Listens on ``path`` and forwards to the engine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._hold: Hold | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def hold(self, pattern: str) -> Hold:
        """Hold the next call whose request line matches (``POST /v1.41/containers/create``)."""
        self._hold = Hold(pattern)
        return self._hold

    async def open(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def cut(self) -> None:
        """The engine is gone: nothing listens, open connections break."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.path.unlink(missing_ok=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(ENGINE_SOCKET)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer, watched=True))
                group.create_task(self._pump(far_reader, writer, watched=False))
        except* (ConnectionError, asyncio.CancelledError, OSError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(Exception):
                far_writer.close()

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, watched: bool
    ) -> None:
        while data := await source.read(65536):
            if watched:
                await self._gate(data)
            target.write(data)
            await target.drain()
        target.close()

    async def _gate(self, data: bytes) -> None:
        hold = self._hold
        if hold is not None and hold.pattern.match(data):
            self._hold = None
            hold.arrived.set()
            await hold.released.wait()

"""Several processes of one service: one database, one folder of data, one engine."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path

import aiohttp

from support.service import Service, free_port


class Serves:
    """``urls`` are those of the processes. The first one is that of ``service``."""

    def __init__(self, root: Path) -> None:
        self.service = Service(root)
        self.urls: list[str] = []
        self._more: list[subprocess.Popen[bytes]] = []

    async def start(self, database_url: str, *more: dict[str, str], **environ: str) -> None:
        """Start all at once, one more for each of ``more``, whose settings are its own."""
        await self.service.start(DATABASE_URL=database_url, **environ)
        self.urls = [self.service.url]
        for each in more:
            port = free_port()
            self._more.append(self.service.spawn(LISTEN_PORT=str(port), **each))
            self.urls.append(f"http://127.0.0.1:{port}")
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            for url, process in zip(self.urls[1:], self._more, strict=True):
                await self._answers(session, url, process)

    async def _answers(
        self, session: aiohttp.ClientSession, url: str, process: subprocess.Popen[bytes]
    ) -> None:
        while True:
            assert process.poll() is None, self.service.log()
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)

    def kill(self, number: int) -> None:
        """SIGKILL for one of those beside the first."""
        process = self._more[number - 1]
        process.kill()
        process.wait(120)

    def stop(self) -> list[int]:
        """SIGTERM for all; the exit codes of those that were still there."""
        living = [process for process in self._more if process.poll() is None]
        for process in living:
            process.send_signal(signal.SIGTERM)
        return [self.service.stop(), *(process.wait(120) for process in living)]

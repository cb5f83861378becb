"""The reference server, :mod:`benchmarks.bare`, as a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from support.service import Service, free_port


class Bare:
    """Serves ``body`` as JSON at /status."""

    def __init__(self, folder: Path, body: bytes = b"[]") -> None:
        self.port = free_port()
        (folder / "body").write_bytes(body)
        script = str(Path(__file__).with_name("bare.py"))
        arguments = [script, str(self.port), str(folder / "body")]
        self._process = subprocess.Popen([sys.executable, *arguments])
        self.pid = self._process.pid

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def port_of(service: Service) -> int:
    return int(service.url.rpartition(":")[2])

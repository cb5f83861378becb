"""The reference for transfers: nginx with one process, sending files by ``sendfile``."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

from support.service import free_port

UNPACKED = Path(__file__).parent.parent / ".cache" / "nginx" / "usr" / "sbin" / "nginx"
"""Where scripts/nginx.sh puts it."""

_CONFIGURATION = """
daemon off;
master_process off;
pid {own}/pid;
error_log {own}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    server {{ listen 127.0.0.1:{port}; root {served}; }}
}}
"""


class Nginx:
    """Serves the files below ``served``; ``own`` is a new folder for what it writes."""

    def __init__(self, own: Path, served: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        own.mkdir()
        configuration = own / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(own=own, served=served, port=self.port))
        program = shutil.which("nginx") or str(UNPACKED)
        command = [program, "-p", str(own), "-e", str(own / "error.log"), "-c", str(configuration)]
        self._process = subprocess.Popen(command)
        self.pid = self._process.pid

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process.poll() is None, "nginx does not start"
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)

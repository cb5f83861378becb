"""The SDK's way through a Unix socket, which closes what it opened.

When nobody listens, the SDK's own connection forgets the socket it made; an engine that
is away for an hour would cost a warning, or a descriptor, at each attempt.
"""

from __future__ import annotations

import socket
from typing import Any

from docker.transport.unixconn import (
    UnixHTTPAdapter,
    UnixHTTPConnection,
    UnixHTTPConnectionPool,
)

UNIX = "http+unix://"


class _Connection(UnixHTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self.unix_socket)
        except OSError:
            self.sock.close()
            raise


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        timeout: Any = self.timeout
        return _Connection(self.base_url, self.socket_path, timeout)


class TidyAdapter(UnixHTTPAdapter):
    """Mounted on a client in place of the SDK's own."""

    def get_connection(self, url: str | bytes, proxies: Any = None) -> UnixHTTPConnectionPool:
        with self.pools.lock:
            pool: UnixHTTPConnectionPool | None = self.pools.get(url)
            if pool is None:
                pool = _Pool(str(url), self.socket_path, self.timeout, maxsize=self.max_pool_size)
                self.pools[url] = pool
        return pool

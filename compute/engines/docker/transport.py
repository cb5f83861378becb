"""The SDK's way through a Unix socket: closes what it opened, and is short for short calls.

When nobody listens, the SDK's own connection forgets the socket it made; an engine that
is away for an hour would cost a warning, or a descriptor, at each attempt.

What the SDK asks goes through requests, which prepares for cookies, proxies, redirects and
whatever else the web may hold; that is most of what a call costs here. A local engine has
none of them. So a call whose answer is taken as a whole goes straight to the socket; all else
(streams, an engine at a distance) takes the SDK's way.
"""

from __future__ import annotations

import io
import select
import socket
import threading
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from docker import APIClient
from docker.transport.unixconn import (
    UnixHTTPAdapter,
    UnixHTTPConnection,
    UnixHTTPConnectionPool,
)
from requests.structures import CaseInsensitiveDict

UNIX = "http+unix://"
_SHORT = frozenset({"params", "data", "headers", "timeout", "allow_redirects"})


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


class SocketClient(APIClient):
    """A client of the engine behind ``address`` (``http+unix://…``)."""

    def __init__(self, address: str, *, version: str, timeout: int, max_pool_size: int) -> None:
        super().__init__(
            address.replace(UNIX, "unix://"),
            version=version,
            timeout=timeout,
            max_pool_size=max_pool_size,
        )
        adapter = TidyAdapter(address, timeout, max_pool_size=max_pool_size)
        self.mount("http+docker://", adapter)
        self._lines = _Lines(adapter.socket_path, max_pool_size)

    def request(
        self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """As that of a session. Raises requests.RequestException."""
        given = {key: value for key, value in kwargs.items() if value is not None}
        is_short = not args and given.keys() <= _SHORT
        if not is_short or not isinstance(given.get("data", ""), str):
            return super().request(method, url, *args, **kwargs)
        return self._lines.ask(str(method), str(url), **given)

    def close(self) -> None:
        self._lines.close()
        super().close()


class _Lines:
    """Open connections that nobody uses at the moment, for all threads of a client."""

    def __init__(self, path: str, most: int) -> None:
        self._path = path
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[_Line] = []
        self._closed = False

    def ask(
        self,
        method: str,
        url: str,
        *,
        params: dict[str, Any] | None = None,
        data: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = True,
    ) -> requests.Response:
        """The whole answer. Nothing is sent twice: a connection that the engine has closed is
        noticed before."""
        wanted = {key: value for key, value in (params or {}).items() if value is not None}
        query = f"?{urlencode(wanted, doseq=True)}" if wanted else ""
        line = self._take()
        try:
            line.limit(timeout)
            line.request(method, f"{urlsplit(url).path}{query}", data, headers or {})
            answer = line.getresponse()
            body = answer.read()
        except TimeoutError as error:
            line.close()
            raise requests.ReadTimeout(error) from error
        except (OSError, HTTPException) as error:
            line.close()
            raise requests.ConnectionError(error) from error
        except BaseException:
            line.close()
            raise
        self._give(line)
        response = requests.Response()
        response.status_code, response.reason = answer.status, answer.reason
        response.headers = CaseInsensitiveDict(answer.getheaders())
        response.url, response.encoding = url, "utf-8"
        response.raw = io.BytesIO(body)
        return response

    def _take(self) -> _Line:
        while True:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None:
                return _Line(self._path)
            if line.is_open:
                return line
            line.close()

    def _give(self, line: _Line) -> None:
        with self._lock:
            if line.sock is not None and not self._closed and len(self._idle) < self._most:
                self._idle.append(line)
                return
        line.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()


class _Line(HTTPConnection):
    """One connection."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise

    def limit(self, seconds: float | None) -> None:
        """The longest wait for the engine from now on."""
        self.timeout = seconds
        if self.sock is not None:
            self.sock.settimeout(seconds)

    @property
    def is_open(self) -> bool:
        """False once the engine has closed it: then there is an end to be read."""
        if self.sock is None:
            return False
        waiting = select.poll()
        waiting.register(self.sock, select.POLLIN)
        return not waiting.poll(0)

"""Talks HTTP to one provider: finds its paths, sends, and turns refusals into errors.

A provider tells its paths in its root document (``serviceEndpoints``), which is asked
for once. Redirects are followed for the root document only: a signed request goes
nowhere but where it was meant to.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    InvalidURL,
)
from yarl import URL

from provider import bounded_json
from provider.client.errors import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    ComputeClientError,
    ProviderUnreachableError,
    refusal,
)

TIMEOUT = ClientTimeout(total=None, connect=15, sock_read=60)
_MAX_JSON_BYTES = 64 * 1024 * 1024
_MAX_REFUSAL_BYTES = 64 * 1024
_CLOCK_SLACK_S = 60.0
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE")


class Transport:
    """One provider. ``session`` stays the caller's to close."""

    def __init__(self, url: URL, session: ClientSession) -> None:
        self._url = url
        self._session = session
        self._root: dict[str, Any] | None = None
        self._root_lock = asyncio.Lock()
        self._clock_offset = 0.0
        self._clock_slack = _CLOCK_SLACK_S

    async def root(self) -> dict[str, Any]:
        """The provider's root document; asked for in one try unless it is known."""
        async with self._root_lock:
            if self._root is None:
                self._root = await self._ask_root()
            return self._root

    async def json(
        self,
        operation: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One request, answered with JSON."""
        async with self.open(operation, query=query, body=body, headers=headers) as response:
            return await read_json(response)

    async def json_at(self, url: URL) -> Any:
        """One request to a fixed address, answered with JSON."""
        with network_errors(url):
            response = await self._session.get(url, allow_redirects=False)
        async with response:
            if response.status >= 300:
                raise await _refusal(response)
            return await read_json(response)

    @asynccontextmanager
    async def open(
        self,
        operation: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[ClientResponse]:
        """One request with a JSON ``body`` or bytes as they are, with the answer's body still
        to be read. 416 counts as an answer."""
        method, url = await self._endpoint(operation)
        with network_errors(url):
            response = await self._session.request(
                method,
                url,
                params=query,
                json=body,
                data=data,
                headers=headers,
                allow_redirects=False,
            )
        async with response:
            self._note_clock(response)
            if response.status >= 300 and response.status != 416:
                raise await _refusal(response)
            yield response

    def server_time(self) -> float:
        """The earliest that the provider's clock may show now, by its last ``Date``."""
        return time.time() + self._clock_offset - self._clock_slack

    async def _ask_root(self) -> dict[str, Any]:
        with network_errors(self._url):
            response = await self._session.get(self._url)
        async with response:
            if response.status >= 300:
                raise await _refusal(response)
            document = await read_json(response)
            self._url = response.url.with_query(None)
        if not isinstance(document, dict) or not isinstance(document.get("serviceEndpoints"), dict):
            raise AnswerNotUnderstoodError("There is no provider at this URL.")
        return document

    async def _endpoint(self, operation: str) -> tuple[str, URL]:
        """Method and URL by the provider's own map; the names' casing differs between some."""
        endpoints = (await self.root())["serviceEndpoints"]
        names = {str(name).lower(): value for name, value in endpoints.items()}
        found = endpoints.get(operation) or names.get(operation.lower())
        match found:
            case [str(method), str(path)]:
                return method, self._at(path)
        raise ClientUsageError(f"This provider does not offer {operation}.")

    async def offers(self, operation: str) -> bool:
        """Whether the provider's map has the operation."""
        names = (await self.root())["serviceEndpoints"]
        return operation.lower() in {str(name).lower() for name in names}

    def _at(self, path: str) -> URL:
        """Paths count from the host; behind a proxy with a prefix of its own, from there."""
        path = "/" + path.lstrip("/")
        prefix = self._url.path.rstrip("/")
        if prefix and not path.startswith(prefix + "/"):
            path = prefix + path
        return self._url.origin().with_path(path)

    def _note_clock(self, response: ClientResponse) -> None:
        try:
            date = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return
        self._clock_offset = date.timestamp() - time.time()
        self._clock_slack = 1.0


def base_url(text: str) -> URL:
    """A provider's URL, without query. Raises ClientUsageError."""
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ClientUsageError("The provider's URL must start with http:// or https://.")
    return url.with_query(None).with_fragment(None)


@contextmanager
def network_errors(url: URL | None = None) -> Iterator[None]:
    """Turns what aiohttp raises into errors of the client. Of ``url`` only scheme, host and
    port are told: the rest may hold a signature."""
    where = f" at {url.origin()}" if url else ""
    try:
        yield
    except InvalidURL:
        raise ClientUsageError("The provider's URL is not valid.") from None
    except (ClientConnectorError, ConnectionTimeoutError) as error:
        text = f"The provider{where} cannot be reached: {_cause(error)}."
        raise ProviderUnreachableError(text, maybe_received=False) from error
    except (ClientError, TimeoutError, OSError) as error:
        text = f"The connection to the provider{where} broke."
        raise ProviderUnreachableError(text, maybe_received=True) from error


def _cause(error: Exception) -> str:
    """Why there is no connection, in a few words that repeat nothing of the request."""
    inner = error.os_error if isinstance(error, ClientConnectorError) else error
    if isinstance(error, ClientConnectorDNSError):
        return "its host name is not known"
    if isinstance(error, ClientConnectorCertificateError):
        return "its TLS certificate is not accepted"
    if isinstance(inner, ssl.SSLError):
        plain_http = inner.reason in _NOT_TLS
        return "it speaks http, not https" if plain_http else f"no TLS ({inner.reason})"
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    return _in_words(inner)


def _in_words(error: BaseException) -> str:
    """What the system calls an error; asyncio's own texts repeat the address."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else "no connection"


async def read_json(response: ClientResponse) -> Any:
    """The answer's body as JSON."""
    body = await _body(response, _MAX_JSON_BYTES)
    try:
        return bounded_json.loads(body)
    except ValueError:
        raise AnswerNotUnderstoodError(
            "The provider's answer is not JSON.", status=response.status
        ) from None


async def read_text(response: ClientResponse) -> str:
    """The answer's body as text."""
    return (await _body(response, _MAX_JSON_BYTES)).decode("utf-8", "replace")


async def read_bytes(response: ClientResponse, limit: int) -> bytes:
    """The answer's body as it came, at most ``limit`` bytes."""
    return await _body(response, limit)


async def _refusal(response: ClientResponse) -> ComputeClientError:
    if response.status < 400:
        return AnswerNotUnderstoodError(
            "The provider redirects, which is not followed for this request.",
            status=response.status,
        )
    body = await _body(response, _MAX_REFUSAL_BYTES)
    return refusal(response.status, body, response.headers.get("X-Request-Id", ""))


async def _body(response: ClientResponse, limit: int) -> bytes:
    parts = bytearray()
    with network_errors():
        async for chunk in response.content.iter_any():
            parts += chunk
            if len(parts) > limit:
                raise AnswerNotUnderstoodError("The provider's answer is too long.")
    return bytes(parts)

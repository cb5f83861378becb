"""The guarded fetcher: reads publishers' URLs without becoming a way into this network.

A URL may come from a stranger, and so may each redirect, each DNS answer and each byte
behind it. So a host is resolved once and every answer must be public (or in a network
that the operator allows); connections go to exactly the checked addresses, which is
checked once more where sockets are made; every redirect hop starts over; size, stalls and
total time are bounded; and in doubt the answer is no.

The URL is a secret of the publisher: it stands in no error, log line or repr here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from types import TracebackType
from typing import Self
from urllib.parse import urldefrag

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from compute.errors import InputUnavailable
from compute.supply import Download
from provider.assets.addresses import Network, literal, may_connect

log = logging.getLogger(__name__)

GONE = frozenset({403, 404, 410})
TEMPORARY = frozenset({408, 425, 429})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
BECOMES_GET = frozenset({301, 302, 303})
CONDITIONS = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
NOT_ALLOWED = "The address of this input is not allowed."
BROKEN = "The connection to the origin of this input broke."
TOO_SLOW = "The origin of this input took too long."


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one download. ``stall_s`` is the longest wait for the next bytes."""

    max_bytes: int = 100 * 1024**3
    connect_s: float = 10.0
    stall_s: float = 60.0
    total_s: float = 6 * 3600.0
    redirects: int = 5


@dataclass(frozen=True, slots=True, repr=False)
class Hop:
    """One request of a chain of redirects."""

    url: URL
    method: str
    headers: Mapping[str, str]
    body: bytes | None


class GuardedResolver(AbstractResolver):
    """Answers a name only when all of its addresses may be connected to."""

    def __init__(
        self, inner: AbstractResolver, allowed: Sequence[Network], timeout_s: float
    ) -> None:
        self._inner = inner
        self._allowed = allowed
        self._timeout_s = timeout_s

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        async with asyncio.timeout(self._timeout_s):
            answers = await self._inner.resolve(host, port, family)
        for answer in answers:
            _require_allowed(answer["host"], self._allowed)
        return answers

    async def close(self) -> None:
        await self._inner.close()


class Fetcher:
    """Use as an async context manager; one for the whole service.

    ``allowed_networks`` are private ranges (CIDR) that the operator opens. ``resolver``
    replaces the system's name resolution; its answers are checked all the same.
    """

    def __init__(
        self,
        *,
        allowed_networks: Sequence[Network] = (),
        limits: FetchLimits | None = None,
        resolver: Callable[[], AbstractResolver] = aiohttp.ThreadedResolver,
    ) -> None:
        self._allowed = tuple(allowed_networks)
        self._limits = limits or FetchLimits()
        self._make_resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        limits = self._limits
        resolver = GuardedResolver(self._make_resolver(), self._allowed, limits.connect_s)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=resolver, use_dns_cache=False, socket_factory=self._socket
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=256 * 1024,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=limits.connect_s, sock_read=limits.stall_s
            ),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop all connections. May be repeated."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def open(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        validator: str | None = None,
    ) -> AsyncIterator[Download]:
        """Open a URL for reading; follows redirects.

        ``validator`` is what an earlier Download gave for the same request. Raises
        InputUnavailable, here or while chunks are read.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.total_s
        hop = Hop(_parsed(url), method, dict(headers or {}), body)
        asked = validator if method == "GET" else None
        async with AsyncExitStack() as stack:
            response = await self._opened(hop, _conditions(asked), deadline)
            stack.callback(response.close)
            download = self._accepted(response, hop.headers, asked, deadline)
            if isinstance(download.chunks, AsyncGenerator):
                await stack.enter_async_context(aclosing(download.chunks))
            yield download

    async def _opened(
        self, hop: Hop, conditions: Mapping[str, str], deadline: float
    ) -> aiohttp.ClientResponse:
        for _ in range(self._limits.redirects + 1):
            response = await self._request(hop, conditions, deadline)
            if response.status not in REDIRECTS:
                return response
            response.close()
            hop = next_hop(hop, response.status, response.headers.get("Location"))
        raise InputUnavailable("The origin of this input redirects too often.")

    async def _request(
        self, hop: Hop, conditions: Mapping[str, str], deadline: float
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the fetcher is not open")
        self._require_safe(hop.url)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._session.request(
                    hop.method,
                    hop.url,
                    headers={**hop.headers, **conditions, "Accept-Encoding": "identity"},
                    data=hop.body,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = _failure(error)
        raise failure

    def _require_safe(self, url: URL) -> None:
        """Refuse what must not even be resolved."""
        if url.scheme not in {"http", "https"} or not url.raw_host:
            raise InputUnavailable("The address of this input is not an http or https URL.")
        if url.raw_user is not None or url.raw_password is not None:
            raise InputUnavailable("The address of this input must not hold a user or password.")
        try:
            address = literal(url.raw_host)
        except ValueError:
            raise InputUnavailable(NOT_ALLOWED) from None
        if address is not None and not may_connect(address, self._allowed):
            log.warning("fetch refused address=%s", address)
            raise InputUnavailable(NOT_ALLOWED)

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, destination = info
        _require_allowed(str(destination[0]), self._allowed)
        return socket.socket(family, kind, protocol)

    def _accepted(
        self,
        response: aiohttp.ClientResponse,
        headers: Mapping[str, str],
        validator: str | None,
        deadline: float,
    ) -> Download:
        if response.status == 304 and validator is not None:
            return Download(True, validator, None, no_chunks())
        ranged = any(name.lower() == "range" for name in headers)
        if response.status != 200 and not (ranged and response.status == 206):
            raise _refusal(response.status)
        size = response.content_length
        if size is not None and size > self._limits.max_bytes:
            raise self._too_large()
        return Download(False, _validator(response), size, self._chunks(response, deadline))

    async def _chunks(
        self, response: aiohttp.ClientResponse, deadline: float
    ) -> AsyncGenerator[bytes, None]:
        left = self._limits.max_bytes
        while chunk := await _read(response, deadline):
            left -= len(chunk)
            if left < 0:
                raise self._too_large()
            yield chunk

    def _too_large(self) -> InputUnavailable:
        return InputUnavailable(
            f"This input is larger than the {self._limits.max_bytes} bytes allowed."
        )


async def _read(response: aiohttp.ClientResponse, deadline: float) -> bytes:
    try:
        async with asyncio.timeout_at(deadline):
            return await response.content.readany()
    except (aiohttp.ClientError, OSError, ValueError) as error:
        failure = _failure(error)
    raise failure


async def no_chunks() -> AsyncGenerator[bytes, None]:
    """The chunks of an input that did not change."""
    for chunk in list[bytes]():
        yield chunk


def _parsed(text: str) -> URL:
    """A URL exactly as written, since signed URLs break when requoted; no fragment."""
    try:
        url = URL(urldefrag(text).url, encoded=text.isascii() and _is_visible(text))
        if url.raw_host is None or url.port is None or 0 <= url.port <= 65535:
            return url
    except ValueError:
        pass
    raise InputUnavailable("The address of this input is not a URL.")


def _is_visible(text: str) -> bool:
    return text.isprintable() and " " not in text


def next_hop(hop: Hop, status: int, location: str | None) -> Hop:
    """The request that a redirect asks for.

    Headers may hold the publisher's secrets, so they stay with the origin they were given
    for. Raises InputUnavailable, also for a step from https to http.
    """
    if not location:
        raise InputUnavailable("The origin of this input redirects to nowhere.")
    try:
        target = hop.url.join(_parsed(location))
    except ValueError:
        raise InputUnavailable(NOT_ALLOWED) from None
    if hop.url.scheme == "https" and target.scheme != "https":
        raise InputUnavailable("The origin of this input redirects to an unprotected address.")
    following = replace(
        hop, url=target, headers=hop.headers if _origin(target) == _origin(hop.url) else {}
    )
    if status in BECOMES_GET and hop.method != "GET":
        return replace(following, method="GET", body=None)
    return following


def _conditions(validator: str | None) -> dict[str, str]:
    kind, _, value = (validator or "").partition(":")
    header = CONDITIONS.get(kind)
    return {header: value} if header else {}


def _origin(url: URL) -> tuple[str, str, int | None]:
    return url.scheme, (url.raw_host or "").lower(), url.port


def _validator(response: aiohttp.ClientResponse) -> str | None:
    if response.method != "GET":
        return None
    if etag := response.headers.get("ETag"):
        return f"etag:{etag}"
    if modified := response.headers.get("Last-Modified"):
        return f"modified:{modified}"
    return None


def _refusal(status: int) -> InputUnavailable:
    if status in GONE:
        return InputUnavailable(f"This input is not there any more (the origin answered {status}).")
    return InputUnavailable(
        f"The origin of this input answered {status}.",
        temporary=status in TEMPORARY or status >= 500,
    )


def _failure(error: Exception) -> InputUnavailable:
    """What an error of the HTTP library means, without its text: that may hold the URL."""
    if isinstance(error, TimeoutError):
        return InputUnavailable(TOO_SLOW, temporary=True)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return InputUnavailable("The origin of this input has no valid certificate.")
    if isinstance(error, aiohttp.InvalidURL):
        return InputUnavailable(NOT_ALLOWED)
    if isinstance(error, (aiohttp.ClientError, OSError)):
        return InputUnavailable(BROKEN, temporary=True)
    return InputUnavailable("The address of this input is not usable.")


def _require_allowed(host: str, allowed: Sequence[Network]) -> None:
    try:
        fine = may_connect(ip_address(host), allowed)
    except ValueError:
        fine = False
    if not fine:
        log.warning("fetch refused address=%s", host)
        raise InputUnavailable(NOT_ALLOWED)

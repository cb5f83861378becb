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
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from compute.errors import InputUnavailable
from compute.supply import Download
from provider.assets.addresses import Network, literal, may_connect
from provider.assets.heads import WaryConnector
from provider.assets.hops import NOT_ALLOWED, REDIRECTS, Hop, next_hop, parsed
from provider.assets.origins.base import no_chunks

log = logging.getLogger(__name__)

GONE = frozenset({403, 404, 410})
TEMPORARY = frozenset({408, 425, 429})
SHOWN_HEADERS = ("Content-Type", "Content-Disposition", "Content-Range", "Accept-Ranges")
CONDITIONS = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
READ_BUFFER_BYTES = 256 * 1024
BROKEN = "The connection to the origin of this input broke."
TOO_SLOW = "The origin of this input took too long."
ENDING = "The provider is about to end; try again."


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one download. ``stall_s`` is the longest wait for the next bytes, ``head_s``
    for the head of the answer, whatever comes before it."""

    max_bytes: int = 100 * 1024**3
    connect_s: float = 10.0
    stall_s: float = 60.0
    head_s: float = 60.0
    total_s: float = 6 * 3600.0
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What an origin answered: the last hop's status, of its headers those in
    ``SHOWN_HEADERS`` under exactly these names, and the body. ``size`` and ``validator``
    are as in :class:`compute.supply.Download`."""

    status: int
    headers: Mapping[str, str]
    size: int | None
    validator: str | None
    chunks: AsyncGenerator[bytes, None]


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

    Connections are not limited here: a consumer whose download goes slowly must not keep
    others from theirs, and who asks for downloads is limited where requests come in.

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
            connector=WaryConnector(
                limit=0, resolver=resolver, use_dns_cache=False, socket_factory=self._socket
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER_BYTES,
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
        """Drop all connections; who asks from now on is told to try again. May be
        repeated."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

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
        asked = validator if method == "GET" else None
        accepted = {200} if asked is None else {200, 304}
        if any(name.lower() == "range" for name in headers or ()):
            accepted.add(206)
        async with self.exchange(
            url,
            method=method,
            headers=headers,
            body=body,
            conditions=_conditions(asked),
            accepted=accepted,
        ) as answer:
            if answer.status == 304:
                yield Download(True, asked, None, no_chunks())
            else:
                yield Download(False, answer.validator, answer.size, answer.chunks)

    @asynccontextmanager
    async def exchange(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        conditions: Mapping[str, str] | None = None,
        accepted: Collection[int] = (200,),
        max_bytes: int | None = None,
    ) -> AsyncIterator[Answer]:
        """One request and what follows from redirects; any other status is an error.

        ``headers`` go to the URL's own origin only, but for ``Range``, which is no secret
        and without which another file would come; so it, and ``conditions``, go along
        with redirects. Raises InputUnavailable, here or while chunks are read.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.total_s
        own, ranged = _without_range(headers or {})
        hop = Hop(parsed(url), method, own, body)
        limit = min(self._limits.max_bytes, max_bytes or self._limits.max_bytes)
        async with AsyncExitStack() as stack:
            response = await self._opened(hop, {**(conditions or {}), **ranged}, deadline)
            stack.callback(response.close)
            answer = _answer(response, accepted, limit, deadline)
            await stack.enter_async_context(aclosing(answer.chunks))
            yield answer

    async def read(
        self,
        url: str,
        *,
        max_bytes: int,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        accepted: Collection[int] = (200,),
    ) -> tuple[int, bytes]:
        """Status and whole body of a small answer. Raises InputUnavailable."""
        async with self.exchange(
            url, method=method, headers=headers, body=body, accepted=accepted, max_bytes=max_bytes
        ) as answer:
            return answer.status, b"".join([chunk async for chunk in answer.chunks])

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
            raise InputUnavailable(ENDING, temporary=True)
        self._require_safe(hop.url)
        head = asyncio.get_running_loop().time() + self._limits.head_s
        try:
            async with asyncio.timeout_at(min(deadline, head)):
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


def _answer(
    response: aiohttp.ClientResponse, accepted: Collection[int], limit: int, deadline: float
) -> Answer:
    if response.status not in accepted:
        raise _refusal(response.status)
    size = response.content_length
    if size is not None and size > limit:
        raise _too_large(limit)
    shown = {name: response.headers[name] for name in SHOWN_HEADERS if name in response.headers}
    chunks = _chunks(response, limit, deadline)
    return Answer(response.status, shown, size, _validator(response), chunks)


async def _chunks(
    response: aiohttp.ClientResponse, limit: int, deadline: float
) -> AsyncGenerator[bytes, None]:
    left = limit
    while chunk := await _read(response, deadline):
        left -= len(chunk)
        if left < 0:
            raise _too_large(limit)
        yield chunk


def _too_large(limit: int) -> InputUnavailable:
    return InputUnavailable(f"This input is larger than the {limit} bytes allowed.")


async def _read(response: aiohttp.ClientResponse, deadline: float) -> bytes:
    try:
        async with asyncio.timeout_at(deadline):
            return await response.content.readany()
    except (aiohttp.ClientError, OSError, ValueError) as error:
        failure = _failure(error)
    raise failure


def _without_range(headers: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    own = {name: value for name, value in headers.items() if name.lower() != "range"}
    return own, {name: value for name, value in headers.items() if name not in own}


def _conditions(validator: str | None) -> dict[str, str]:
    kind, _, value = (validator or "").partition(":")
    header = CONDITIONS.get(kind)
    return {header: value} if header else {}


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

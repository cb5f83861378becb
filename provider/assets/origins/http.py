"""Files that one HTTP request brings: URLs, gateways of IPFS and Arweave, GraphQL, S3.

The kinds differ in the request alone. It is made anew each time, since some requests hold
for one time only. Everything goes through the guarded fetcher, the operator's gateways too.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, quote, urldefrag, urlencode, urlsplit

from compute.errors import InputUnavailable
from compute.supply import Download
from provider.assets.fetch import Answer, Fetcher
from provider.assets.files import ArweaveFile, GraphqlFile, IpfsFile, UrlFile
from provider.assets.origins.base import (
    Part,
    Probe,
    SourceFile,
    bare_type,
    file_name,
    no_chunks,
    with_extension,
)

WRONG_PIECE = "The origin of this input answered with another part than was asked for."
_ONE_RANGE = re.compile(r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})")
_CONTENT_RANGE = re.compile(r"bytes (?:[0-9]{1,18}-[0-9]{1,18}|\*)/(?:[0-9]{1,18}|\*)")
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Gateways:
    """Where content of IPFS and Arweave is asked for: http or https URLs."""

    ipfs: str = "https://ipfs.io"
    arweave: str = "https://arweave.net"


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """What is asked of an origin. Has no repr: URL, headers and body are secrets."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @property
    def is_ranged(self) -> bool:
        """The publisher names a piece: to everybody else, that piece is the file."""
        return any(name.lower() == "range" for name in self.headers)


MakeRequest = Callable[[], Awaitable[HttpRequest]]


class HttpOrigin(SourceFile):
    """A file behind HTTP, read through the guarded fetcher."""

    def __init__(
        self, fetcher: Fetcher, kind: str, make: MakeRequest, *, name: str, identity: str
    ) -> None:
        self.type = kind
        self.name = name
        self.identity = identity
        self._fetcher = fetcher
        self._make = make

    @asynccontextmanager
    async def open(self, validator: str | None) -> AsyncIterator[Download]:
        asked = await self._make()
        async with self._fetcher.open(
            asked.url,
            method=asked.method,
            headers=asked.headers,
            body=asked.body,
            validator=validator,
        ) as download:
            yield download

    async def probe(self) -> Probe:
        """One whole request, left as soon as its headers are there: many origins answer
        HEAD with something else, or (signed URLs) refuse it."""
        async with self.part() as part:
            return Probe(part.size, bare_type(part.content_type), part.name)

    @asynccontextmanager
    async def part(
        self, range_: str | None = None, *, if_range: str | None = None
    ) -> AsyncIterator[Part]:
        asked = await self._make()
        wanted = {} if asked.is_ranged else _range_headers(range_, if_range)
        async with self._exchange(asked, wanted) as answer:
            yield self._part(answer, fixed=asked.is_ranged)

    def _exchange(
        self, asked: HttpRequest, wanted: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Answer]:
        accepted = {200}
        if asked.is_ranged:
            accepted = {200, 206}
        elif wanted:
            accepted = {200, 206, 416}
        return self._fetcher.exchange(
            asked.url,
            method=asked.method,
            headers=asked.headers,
            body=asked.body,
            conditions=wanted,
            accepted=accepted,
        )

    def _part(self, answer: Answer, *, fixed: bool) -> Part:
        content_type = answer.headers.get("Content-Type", "")
        ranged = answer.status == 206 or answer.headers.get("Accept-Ranges") == "bytes"
        missing = answer.status == 416
        return Part(
            status=200 if fixed else answer.status,
            size=0 if missing else answer.size,
            content_type=content_type,
            content_range=None if fixed else _content_range(answer),
            accepts_ranges=ranged and not fixed,
            name=with_extension(_offered_name(answer) or self.name, content_type),
            validator=None if missing else answer.validator,
            chunks=no_chunks() if missing else answer.chunks,
        )


def always(request: HttpRequest) -> MakeRequest:
    """For a request that may be sent again as it is."""

    async def make() -> HttpRequest:
        return request

    return make


def url_request(file: UrlFile, userdata: Mapping[str, Any]) -> HttpRequest:
    """Userdata is the JSON body of a POST, and added to the query of a GET."""
    if not userdata:
        return HttpRequest(file.url, file.method, file.headers)
    if file.method == "POST":
        body = json.dumps(userdata).encode()
        return HttpRequest(file.url, "POST", _typed(file.headers), body)
    return HttpRequest(with_query(file.url, userdata), file.method, file.headers)


def graphql_request(file: GraphqlFile, userdata: Mapping[str, Any]) -> HttpRequest:
    body = json.dumps({"query": file.query, "variables": dict(userdata)}).encode()
    return HttpRequest(file.url, "POST", _typed(file.headers), body)


def gateway_request(file: IpfsFile | ArweaveFile, gateways: Gateways) -> HttpRequest:
    """Content has no parameters: userdata is left out."""
    if isinstance(file, IpfsFile):
        return HttpRequest(_below(gateways.ipfs, f"ipfs/{quote(file.hash)}"), headers=file.headers)
    return HttpRequest(_below(gateways.arweave, file.transactionId), headers=file.headers)


def with_query(url: str, userdata: Mapping[str, Any]) -> str:
    """The URL with userdata added to its query; the publisher's own parameters stay as
    they are and cannot be given again, also not in a spelling that some servers take for
    the same (``KEY``, ``key[]``)."""
    bare = urldefrag(url).url
    query = urlsplit(bare).query
    taken = {_plain(name) for name, _ in parse_qsl(query, keep_blank_values=True)}
    pairs = [
        (name, _query_text(each))
        for name, value in userdata.items()
        if _plain(name) not in taken and value is not None
        for each in (value if isinstance(value, list) else [value])
    ]
    if not pairs:
        return bare
    glue = "&" if query else ("" if bare.endswith("?") else "?")
    return f"{bare}{glue}{urlencode(pairs)}"


def _plain(name: str) -> str:
    return name.partition("[")[0].strip().casefold()


def _query_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _below(gateway: str, path: str) -> str:
    return f"{gateway.rstrip('/')}/{path}"


def _typed(headers: Mapping[str, str]) -> dict[str, str]:
    if any(name.lower() == "content-type" for name in headers):
        return dict(headers)
    return {**headers, "Content-Type": _JSON}


def _range_headers(range_: str | None, if_range: str | None) -> dict[str, str]:
    """Of a consumer's headers, what may go upstream: one plain range."""
    if range_ is None or not _ONE_RANGE.fullmatch(range_):
        return {}
    if if_range is None:
        return {"Range": range_}
    return {"Range": range_, "If-Range": if_range} if _is_header(if_range) else {}


def _is_header(text: str) -> bool:
    return len(text) <= 1024 and text.isascii() and text.isprintable()


def _content_range(answer: Answer) -> str | None:
    if answer.status == 200:
        return None
    text = answer.headers.get("Content-Range", "")
    if _CONTENT_RANGE.fullmatch(text):
        return text
    if answer.status == 416:
        return None
    raise InputUnavailable(WRONG_PIECE)


def _offered_name(answer: Answer) -> str | None:
    """The name in ``Content-Disposition``, made safe."""
    header = answer.headers.get("Content-Disposition")
    if header is None:
        return None
    message = Message()
    message["Content-Disposition"] = header
    try:
        offered = message.get_filename()
    except (LookupError, TypeError, ValueError):
        return None
    return file_name(offered.replace("\\", "/")) if offered else None

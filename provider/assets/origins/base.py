"""What every published file can do, wherever its bytes are.

Jobs read a file whole, and again only when it changed: :meth:`InputFile.open`. Consumers
ask what a file is like (``probe``) and download it, whole or a piece of it (``part``). No
origin's address, header or error text gets out through any of the three.
"""

from __future__ import annotations

import mimetypes
import unicodedata
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from compute.supply import InputFile

CONTRACTS, GATEWAYS = "contracts", "gateways"
MAX_NAME_BYTES = 200
FALLBACK_NAME = "file"
TELLS_NOTHING = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_TYPES = mimetypes.MimeTypes(filenames=())


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file is like. ``size`` is in bytes, None when the origin does not tell;
    ``content_type`` is bare, without parameters, and may be empty; ``name`` is one safe
    path component."""

    size: int | None
    content_type: str
    name: str


@dataclass(frozen=True, slots=True)
class Part:
    """An answer to a download: ``status`` is 200 (whole), 206 (a piece) or 416 (no such
    piece).

    ``size`` is the length in bytes of this answer, None when unknown. ``content_range`` is
    the header's text of a 206 or 416. ``content_type`` is the origin's, with parameters,
    and may be empty. ``validator`` is as in :class:`compute.supply.Download`. Whoever reads
    ``chunks`` to their end has the whole answer: anything less raises InputUnavailable.
    """

    status: int
    size: int | None
    content_type: str
    content_range: str | None
    accepts_ranges: bool
    name: str
    validator: str | None
    chunks: AsyncIterator[bytes]

    @property
    def etag(self) -> str | None:
        """The entity tag, with its quotes, for the header of this name."""
        kind, _, value = (self.validator or "").partition(":")
        return value if kind == "etag" else None


class SourceFile(InputFile):
    """A file of a service. ``type`` is that of its file object (``url``, ``ipfs``, …);
    ``origin`` names where it is as far as files there keep each other waiting: ``CONTRACTS``,
    ``GATEWAYS``, a digest of the host; empty where nothing is asked."""

    type: str
    origin: str = ""

    @abstractmethod
    async def probe(self) -> Probe:
        """Ask what the file is like; reads none or little of it.

        One request upstream, two at most. Raises InputUnavailable.
        """

    @abstractmethod
    def part(
        self, range_: str | None = None, *, if_range: str | None = None
    ) -> AbstractAsyncContextManager[Part]:
        """Open for a download.

        ``range_`` and ``if_range`` are the consumer's headers ``Range`` and ``If-Range``; a
        range that is malformed, or that the origin does not serve, gives the whole file.
        Raises InputUnavailable, on entering or while chunks are read.
        """


def file_name(path: str) -> str:
    """One safe path component made from the last segment of ``path``, at most 200 bytes."""
    last = path.rstrip("/").rsplit("/", 1)[-1]
    clean = "".join(each for each in last if not unicodedata.category(each).startswith("C"))
    clean = clean.encode("utf-8", "replace")[-MAX_NAME_BYTES:].decode("utf-8", "ignore")
    return FALLBACK_NAME if clean.strip(". ") == "" else clean


def with_extension(name: str, content_type: str) -> str:
    """The name, with the content type's usual extension if it has none of its own."""
    kind = bare_type(content_type)
    if kind in TELLS_NOTHING or "." in name.strip("."):
        return name
    return name + (_TYPES.guess_extension(kind) or "")


def bare_type(content_type: str) -> str:
    """A content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


async def no_chunks() -> AsyncGenerator[bytes, None]:
    """The chunks of an answer without content."""
    for chunk in list[bytes]():
        yield chunk


async def one_chunk(content: bytes) -> AsyncGenerator[bytes, None]:
    """Content that is at hand, as chunks."""
    if content:
        yield content

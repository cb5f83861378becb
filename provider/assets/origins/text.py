"""Files whose bytes this service has in memory: a consumer's own code, a contract's answer."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from compute.supply import Download
from provider import downloads
from provider.assets.origins.base import Part, Probe, SourceFile, no_chunks, one_chunk


class ContentOrigin(SourceFile):
    """A file that is small and had at once."""

    content_type: str

    @abstractmethod
    async def content(self) -> bytes:
        """The file's bytes, now. Raises InputUnavailable."""

    @asynccontextmanager
    async def open(self, validator: str | None) -> AsyncIterator[Download]:
        content = await self.content()
        digest = hashlib.sha256(content).hexdigest()
        if validator == digest:
            yield Download(True, validator, None, no_chunks())
        else:
            yield Download(False, digest, len(content), one_chunk(content))

    async def probe(self) -> Probe:
        return Probe(len(await self.content()), self.content_type, self.name)

    @asynccontextmanager
    async def part(
        self, range_: str | None = None, *, if_range: str | None = None
    ) -> AsyncIterator[Part]:
        content = await self.content()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        answer = ranged(range_, if_range, len(content), etag)
        piece = content[answer.offset : answer.offset + answer.count]
        yield Part(
            status=answer.status,
            size=len(piece),
            content_type=self.content_type,
            content_range=answer.headers.get("Content-Range"),
            accepts_ranges=True,
            name=self.name,
            validator=f"etag:{etag}",
            chunks=one_chunk(piece),
        )


class TextOrigin(ContentOrigin):
    """A file that came with the request itself."""

    content_type = "text/plain; charset=utf-8"

    def __init__(self, name: str, text: str, identity: str) -> None:
        self.type = "text"
        self.name = name
        self.identity = identity
        self._content = text.encode()
        self.sha256 = hashlib.sha256(self._content).hexdigest()

    async def content(self) -> bytes:
        return self._content


def ranged(range_: str | None, if_range: str | None, size: int, etag: str) -> downloads.Answer:
    """Which bytes answer a consumer's headers, of a file that is here."""
    given = {"Range": range_, "If-Range": if_range}
    headers = {name: value for name, value in given.items() if value is not None}
    return downloads.answer("GET", headers, size, etag)

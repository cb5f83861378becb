"""Files of this machine, below the folder that the operator serves."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from compute.errors import InputUnavailable
from compute.supply import Download
from provider import downloads
from provider.assets.origins.base import Part, Probe, SourceFile, bare_type, no_chunks
from provider.assets.origins.text import ranged

CHUNK_BYTES = 1024 * 1024
NO_LOCAL_FILES = "Files of this machine are not served for this asset."
NOT_IN_FOLDER = "This input is not a file in the data folder."


class LocalOrigin(SourceFile):
    """A file on this machine; ``path`` has no symbolic link left in it."""

    def __init__(self, name: str, path: Path, identity: str) -> None:
        self.type = "localfile"
        self.name = name
        self.path: Path = path
        self.identity = identity

    @asynccontextmanager
    async def open(self, validator: str | None) -> AsyncIterator[Download]:
        with _opened(self.path) as (stream, status):
            current = _version(status)
            if current == validator:
                yield Download(True, current, None, no_chunks())
                return
            async with aclosing(_chunks(stream, status.st_size)) as chunks:
                yield Download(False, current, status.st_size, chunks)

    async def probe(self) -> Probe:
        with _opened(self.path) as (_, status):
            return Probe(status.st_size, bare_type(self._content_type), self.name)

    @asynccontextmanager
    async def part(
        self, range_: str | None = None, *, if_range: str | None = None
    ) -> AsyncIterator[Part]:
        with _opened(self.path) as (stream, status):
            etag = f'"{_version(status)}"'
            answer = ranged(range_, if_range, status.st_size, etag)
            stream.seek(answer.offset)
            whole = answer.status == 200
            async with aclosing(_chunks(stream, answer.count, whole=whole)) as chunks:
                yield Part(
                    status=answer.status,
                    size=answer.count,
                    content_type=self._content_type,
                    content_range=answer.headers.get("Content-Range"),
                    accepts_ranges=True,
                    name=self.name,
                    validator=f"etag:{etag}",
                    chunks=chunks,
                )

    @property
    def _content_type(self) -> str:
        return downloads.content_type(self.name)


def local_path(folder: Path, named: str) -> Path:
    """The file that ``named`` leads to, without links. Raises InputUnavailable when that
    is no file below ``folder``."""
    try:
        root = folder.resolve(strict=True)
        path = (root / named).resolve(strict=True)
    except (OSError, RuntimeError):
        raise InputUnavailable(NOT_IN_FOLDER) from None
    if not path.is_relative_to(root) or not path.is_file():
        raise InputUnavailable(NOT_IN_FOLDER)
    return path


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise InputUnavailable(NOT_IN_FOLDER) from None
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InputUnavailable(NOT_IN_FOLDER)
        yield stream, status


def _version(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"


async def _chunks(
    stream: BinaryIO, count: int, *, whole: bool = True
) -> AsyncGenerator[bytes, None]:
    """``count`` bytes; of a whole file, also none beyond them."""
    left = count
    while whole or left:
        chunk = await asyncio.to_thread(
            stream.read, CHUNK_BYTES if whole else min(left, CHUNK_BYTES)
        )
        if not chunk:
            break
        left -= len(chunk)
        yield chunk
    if left != 0:
        raise InputUnavailable("This input changed while it was read.", temporary=True)

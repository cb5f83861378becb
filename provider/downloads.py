"""Result files as HTTP resources (RFC 9110: validators, ranges, conditions).

aiohttp's own file response names a file by its time and size, serves a neighbour
``name.gz`` in its place, and answers several ranges with an error. Results have a better
name, their SHA-256, and must be served as they are. They are sent by the kernel
(:mod:`provider.sendfile`), or in large chunks read in a thread where it cannot do that.

File names come from algorithms, that is, from anyone. A browser is told never to show
the content (``attachment``, no sniffing, sandbox), and the name is escaped by RFC 6266.
"""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

from provider.sendfile import send_file

CHUNK_BYTES = 1 << 20
EXPOSED = "Content-Disposition, Content-Length, Content-Range, Accept-Ranges, ETag"

_TOKEN = re.compile(r"[A-Za-z0-9!#$&+.^_`|~-]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*")
_TYPES = mimetypes.MimeTypes(filenames=())
_TYPES.add_type("text/plain", ".log")
_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


@dataclass(frozen=True, slots=True)
class Answer:
    """How to answer one request for a file: ``count`` bytes from ``offset``."""

    status: int
    offset: int = 0
    count: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(method: str, headers: Mapping[str, str], size: int, etag: str) -> Answer:
    """Evaluate conditions and range. ``headers`` are looked up case-insensitively by their
    mapping, ``etag`` is the strong validator with its quotes. Pure.

    An invalid or multiple range is ignored, as RFC 9110 §14.2 allows: the answer is whole.
    """
    if (wanted := headers.get("If-Match")) is not None and not _lists(wanted, etag, weak=False):
        return Answer(412)
    if (known := headers.get("If-None-Match")) is not None and _lists(known, etag, weak=True):
        return Answer(304)
    unit = headers.get("Range")
    if method != "GET" or unit is None or headers.get("If-Range", etag) != etag:
        return Answer(200, 0, size)
    return _partial(unit, size)


def _partial(unit: str, size: int) -> Answer:
    match = _RANGE.fullmatch(unit)
    if match is None or match.groups() == ("", ""):
        return Answer(200, 0, size)
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return Answer(200, 0, size)
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= size:
        return Answer(416, headers={"Content-Range": f"bytes */{size}"})
    return Answer(206, start, stop - start, {"Content-Range": f"bytes {start}-{stop - 1}/{size}"})


def _lists(header: str, etag: str, *, weak: bool) -> bool:
    names = [name.strip() for name in header.split(",")]
    if weak:
        names = [name.removeprefix("W/") for name in names]
    return "*" in names or etag in names


def content_type(filename: str) -> str:
    """The media type that a file's extension stands for."""
    kind, packing = _TYPES.guess_type("./" + filename.rpartition("/")[2])
    if packing is not None:
        return _PACKED.get(packing, "application/octet-stream")
    return kind or "application/octet-stream"


def disposition(filename: str) -> str:
    """``Content-Disposition`` for a name chosen by an algorithm: its last component.

    A plain name stays unquoted and without a blank, since ocean.js reads what follows
    ``attachment;filename=`` as it stands.
    """
    name = _UNPRINTABLE.sub("_", filename.rpartition("/")[2])
    name = name if name.strip(". ") else "result"
    if _TOKEN.fullmatch(name):
        return f"attachment;filename={name}"
    plain = re.sub(r"[^ -~]|[\"\\%]", "_", name)
    extended = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment;filename=\"{plain}\";filename*=UTF-8''{extended}"


class FileAnswer(web.StreamResponse):
    """Sends one immutable file, named ``filename`` and known to have this ``sha256``."""

    def __init__(self, path: Path, *, filename: str, sha256: str) -> None:
        super().__init__(
            headers={
                "ETag": f'"{sha256}"',
                "Accept-Ranges": "bytes",
                "Content-Type": content_type(filename),
                "Content-Disposition": disposition(filename),
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "sandbox",
                "Cache-Control": "private, no-cache",
                "Access-Control-Expose-Headers": EXPOSED,
            }
        )
        self._path = path

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        try:
            file, size = _open(self._path)
        except OSError:
            self.set_status(404)
            self.content_length = 0
            return await super().prepare(request)
        with file:
            return await self._send(request, file, size)

    async def _send(
        self, request: BaseRequest, file: BufferedReader, size: int
    ) -> AbstractStreamWriter | None:
        plan = answer(request.method, request.headers, size, self.headers["ETag"])
        self.set_status(plan.status)
        self.headers.update(plan.headers)
        if plan.status != 304:
            self.content_length = plan.count
        writer = await super().prepare(request)
        if plan.count and writer is not None and request.method != "HEAD":
            await self._send_part(request, writer, file, plan)
        return writer

    async def _send_part(
        self,
        request: BaseRequest,
        writer: AbstractStreamWriter,
        file: BufferedReader,
        plan: Answer,
    ) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("The client is gone")
        try:
            await send_file(transport, writer, file, plan.offset, plan.count)
        except NotImplementedError:
            await self._send_chunks(file, plan)

    async def _send_chunks(self, file: BufferedReader, plan: Answer) -> None:
        """Where the kernel cannot send it by itself."""
        loop = asyncio.get_running_loop()
        offset, stop = plan.offset, plan.offset + plan.count
        while offset < stop:
            length = min(CHUNK_BYTES, stop - offset)
            chunk = await loop.run_in_executor(None, os.pread, file.fileno(), length, offset)
            if not chunk:
                raise ConnectionResetError("The file ended early")
            await self.write(chunk)
            offset += len(chunk)


def _open(path: Path) -> tuple[BufferedReader, int]:
    """Open a regular file, never through a link. Raises OSError.

    Called on the event loop: it reads nothing, and a thread could be left holding the file
    when the client goes away meanwhile.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError("not a regular file")
        return os.fdopen(descriptor, "rb"), status.st_size
    except BaseException:
        os.close(descriptor)
        raise

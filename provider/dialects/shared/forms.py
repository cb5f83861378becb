"""Forms with at most one file, which goes to disk as it comes in and is never in memory.

Everything is bounded while it comes in: the file by what the dialect takes, texts by size and
number, the time by how little a client may send in a minute. Whatever goes wrong, the file
made so far is gone; what a crash leaves, :func:`sweep` removes at the next start.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from provider.dialects.shared.multipart import MOST_HEAD_BYTES, End, Event, FormParser, Head
from provider.errors import ProviderError, RequestMalformed, UploadTooLarge

log = logging.getLogger(__name__)

MOST_TEXTS: Final = 64
MOST_TEXT_BYTES: Final = 64 << 10
MOST_TEXT_BYTES_IN_ALL: Final = 256 << 10

LEAST_FREE_BYTES: Final = 256 << 20
"""Of the disk: running jobs, and the database, write to the same one."""

STALL_S: Final = 60.0
"""How long a client may take for ``PIECE_BYTES``."""

PIECE_BYTES: Final = 64 << 10

_WRITTEN_AT_ONCE: Final = 256 << 10
_AROUND_BYTES: Final = MOST_TEXT_BYTES_IN_ALL + (MOST_TEXTS + 1) * (MOST_HEAD_BYTES + 256)
_PREFIX: Final = "upload-"
_SHOWN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class UploadsUnavailable(ProviderError):
    """The disk does not take the file."""

    status = 503

    def __init__(self) -> None:
        super().__init__("Files cannot be taken in at the moment; try again.")


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that came in with a form, on disk. ``field`` is where in the form it was;
    ``filename`` is what its sender calls it: a text, never to be made a path."""

    field: str
    path: Path
    filename: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Form:
    """A form that came in whole. At the end of ``async with`` its file is removed, unless
    somebody has moved it away."""

    fields: Mapping[str, str] = field(repr=False)
    file: UploadedFile | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.file is not None:
            await asyncio.to_thread(self.file.path.unlink, missing_ok=True)


async def receive(
    request: web.Request,
    *,
    folder: Path,
    file_fields: Sequence[str],
    max_bytes: int,
    stall_s: float = STALL_S,
) -> Form:
    """Take in the form of a request: ``multipart/form-data`` with at most one file, in one of
    ``file_fields``, or ``application/x-www-form-urlencoded``. Without a body it is empty.

    The file has at most ``max_bytes``; it is in ``folder``, readable by this service alone, and
    on disk when this returns. Use as ``async with await receive(…) as form``.

    Raises RequestMalformed, UploadTooLarge, UploadsUnavailable, and web.HTTPRequestTimeout
    for a client that sends less than ``PIECE_BYTES`` in ``stall_s`` seconds.
    """
    if not request.can_read_body:
        return Form({})
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RequestMalformed("Send the form as it is, not compressed.")
    if request.content_type == "application/x-www-form-urlencoded":
        too_long = RequestMalformed("The form is too long.")
        body = _Body(request, MOST_TEXT_BYTES_IN_ALL, too_long, stall_s)
        return Form(await _urlencoded(body))
    if request.content_type != "multipart/form-data":
        raise RequestMalformed("The body must be a form: multipart/form-data.")
    parser = FormParser(request.headers.get("Content-Type", ""))
    receiving = _Receiving(folder, file_fields, max_bytes)
    try:
        too_large = UploadTooLarge(max_bytes)
        body = _Body(request, max_bytes + _AROUND_BYTES, too_large, stall_s)
        while piece := await body.piece():
            for event in parser.feed(piece):
                await receiving.take(event)
        parser.finish()
        return await receiving.finished()
    except BaseException:
        receiving.discard()
        raise


def sweep(folder: Path) -> None:
    """Make the folder for files that come in, and remove what a crash has left there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob(f"{_PREFIX}*"):
        left.unlink(missing_ok=True)


class _Body:
    """The bytes of a request as they come in, bounded in number (else ``refusal`` is raised)
    and in time."""

    def __init__(
        self, request: web.Request, most_bytes: int, refusal: ProviderError, stall_s: float
    ) -> None:
        self._content = request.content
        self._most_bytes = most_bytes
        self._refusal = refusal
        self._stall_s = stall_s
        self._time_left_s = stall_s
        self._of_piece = 0
        self._bytes = 0
        if (request.content_length or 0) > most_bytes:
            raise refusal

    async def piece(self) -> bytes:
        """What has come in, at least a byte; nothing at the end. The time between calls is
        not the client's."""
        now = asyncio.get_running_loop().time
        began = now()
        try:
            async with asyncio.timeout(self._time_left_s):
                piece = await self._content.readany()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except (OSError, HttpProcessingError, web.RequestPayloadError):
            raise RequestMalformed("The request breaks off.") from None
        self._bytes += len(piece)
        if self._bytes > self._most_bytes:
            raise self._refusal
        self._time_left_s -= now() - began
        self._of_piece += len(piece)
        if self._of_piece >= PIECE_BYTES:
            self._time_left_s, self._of_piece = self._stall_s, 0
        return piece


class _Receiving:
    """A multipart form on its way in."""

    def __init__(self, folder: Path, file_fields: Sequence[str], max_bytes: int) -> None:
        self._folder = folder
        self._file_fields = file_fields
        self._max_bytes = max_bytes
        self._texts = _Texts()
        self._text: bytearray | None = None
        self._file: _IncomingFile | None = None
        self._name = ""

    async def take(self, event: Event) -> None:
        if isinstance(event, Head):
            self._begin(event)
        elif event is End.OF_PART:
            self._end()
        elif self._text is not None:
            self._text += event
            self._texts.require_room(self._name, len(self._text))
        elif self._file is not None:
            await self._file.take(event)

    async def finished(self) -> Form:
        chosen = self._file is not None and not self._file.is_none
        file = await self._file.kept() if self._file is not None and chosen else None
        return Form(self._texts.by_name, file)

    def discard(self) -> None:
        if self._file is not None:
            self._file.discard()

    def _begin(self, head: Head) -> None:
        self._name = head.name
        if head.name not in self._file_fields:
            if head.filename is not None:
                raise RequestMalformed(f"The form's file belongs in {self._wanted()}.")
            self._text = bytearray()
            return
        if self._file is not None:
            raise RequestMalformed("Send one file at a time.", field=head.name)
        self._file = _IncomingFile(self._folder, head, self._max_bytes)

    def _end(self) -> None:
        if self._text is not None:
            self._texts.add(self._name, bytes(self._text))
            self._text = None

    def _wanted(self) -> str:
        return f"the field {' or '.join(self._file_fields)}" if self._file_fields else "no field"


class _Texts:
    """The text fields of a form so far."""

    def __init__(self) -> None:
        self.by_name: dict[str, str] = {}
        self._bytes = 0

    def require_room(self, name: str, size: int) -> None:
        if size > MOST_TEXT_BYTES or self._bytes + size > MOST_TEXT_BYTES_IN_ALL:
            raise RequestMalformed(f"{_named(name)} is too long.", field=name)

    def add(self, name: str, raw: bytes) -> None:
        """Raises RequestMalformed."""
        self.require_room(name, len(raw))
        if len(self.by_name) == MOST_TEXTS:
            raise RequestMalformed(f"The form has more than {MOST_TEXTS} fields.")
        if name in self.by_name:
            raise RequestMalformed(f"{_named(name)} is there twice.", field=name)
        if b"\0" in raw or "\0" in name:
            raise RequestMalformed(f"{_named(name)} has a zero byte.", field=name)
        try:
            self.by_name[name] = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise RequestMalformed(f"{_named(name)} is not UTF-8.", field=name) from None
        self._bytes += len(raw)


class _IncomingFile:
    """A file on its way to disk.

    The disk is written to in threads. One that still runs when the client is given up is
    waited for, so that nothing is written to a file that is closed, or made after it was removed.
    """

    def __init__(self, folder: Path, head: Head, max_bytes: int) -> None:
        self._folder = folder
        self._head = head
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._given_up = False
        self._waiting = bytearray()
        self._size = 0
        self._hash = hashlib.sha256()

    @property
    def is_none(self) -> bool:
        """What a browser sends when no file was chosen."""
        return self._head.filename == "" and not self._size

    async def take(self, data: bytes) -> None:
        """Raises UploadTooLarge at the first byte too many."""
        self._size += len(data)
        if self._size > self._max_bytes:
            raise UploadTooLarge(self._max_bytes)
        self._waiting += data
        if len(self._waiting) >= _WRITTEN_AT_ONCE:
            await self._write()

    async def kept(self) -> UploadedFile:
        """On disk for good."""
        path = await self._write(last=True)
        return UploadedFile(
            field=self._head.name,
            path=path,
            filename=self._head.filename or "",
            size=self._size,
            sha256=self._hash.hexdigest(),
        )

    def discard(self) -> None:
        with self._lock:
            self._given_up = True
            if self._file is not None:
                self._file.close()
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    async def _write(self, *, last: bool = False) -> Path:
        data, self._waiting = bytes(self._waiting), bytearray()
        try:
            return await asyncio.to_thread(self._written, data, last)
        except OSError as error:
            log.warning("upload_not_kept cause=%r", error.strerror)
            raise UploadsUnavailable from None

    def _written(self, data: bytes, last: bool) -> Path:
        with self._lock:
            if self._given_up:
                raise OSError("nobody wants this file any more")
            if self._file is None or self._path is None:
                descriptor, path = tempfile.mkstemp(prefix=_PREFIX, dir=self._folder)
                self._file, self._path = os.fdopen(descriptor, "wb"), Path(path)
            disk = os.fstatvfs(self._file.fileno())
            if disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._file.write(data)
            self._hash.update(data)
            if last:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
            return self._path


async def _urlencoded(body: _Body) -> Mapping[str, str]:
    raw = bytearray()
    while piece := await body.piece():
        raw += piece
    try:
        pairs = parse_qsl(
            raw.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_TEXTS,
        )
    except ValueError:
        raise RequestMalformed("The form cannot be read, or has too many fields.") from None
    texts = _Texts()
    for name, value in pairs:
        texts.add(name, value.encode("utf-8"))
    return texts.by_name


def _named(name: str) -> str:
    """A field as an error tells it: names are the client's own."""
    return f"The field {name}" if _SHOWN_NAME.fullmatch(name) else "A field"

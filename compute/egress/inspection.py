"""Looking into what a job left behind: what it is, its rows, and what lies in archives.

All of it is hostile. Everything is read once, from its beginning to its end, and inflated in
pieces that are forgotten at once; nothing is extracted to disk. What would take more than the
bounds, or is no sound archive though it begins like one, raises Doubt. Blocking.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from compute.egress import contents, tars, zips
from compute.egress.bounds import MOST_DEPTH, MOST_IN_MEMORY, Budget, Doubt
from compute.egress.tables import TextMeter
from compute.errors import ComputeError, PublishingFailed

PIECE = 64 << 10
_MOST_AT_ONCE = 4 << 20
"""Bytes that a reader of archives may ask for in one go: the directory of a zip archive with
tens of thousands of members. One that says it is larger is not believed."""
_GZIP_HEADER = 1024
_XZ_MEMORY = 64 << 20


@dataclass(frozen=True, slots=True)
class Wants:
    """What has to be found out: what things are, how many rows they have, and the SHA-256 of
    what lies in archives."""

    types: bool = False
    rows: bool = False
    digests: bool = False

    @property
    def anything(self) -> bool:
        return self.types or self.rows or self.digests


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or a member of an archive. ``sha256`` is empty for the file itself, whose digest
    is known; ``rows`` is None for what may be a table but whose rows cannot be counted."""

    word: str
    size: int
    rows: int | None
    sha256: str = ""


class _Reads(Protocol):
    def read(self, size: int, /) -> bytes: ...


def parts_of(path: Path, wants: Wants, budget: Budget) -> Iterator[Part]:
    """The file and all that lies in it. Raises Doubt, PublishingFailed for a fault of the
    disk."""
    with _disk(), path.open("rb") as file:
        yield from _look(_Whole(file), file, wants, budget, depth=0)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PublishingFailed(f"results could not be read: {error.strerror}") from error


class _Whole:
    """A file of ours: a fault of the disk is none of the archive's."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        most = _MOST_AT_ONCE if size < 0 else size
        if most > _MOST_AT_ONCE:
            raise Doubt("an archive's directory is too large")
        with _disk():
            return self._file.read(most)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


class _Measured:
    """A stream that is read to its end, once, and measured on the way."""

    def __init__(self, source: _Reads, wants: Wants, budget: Budget, *, hashed: bool) -> None:
        self._source = source
        self._budget = budget
        self._wants = wants
        self._digest = hashlib.sha256() if hashed else None
        self._size = 0
        self.head = b""
        while len(self.head) < contents.HEAD_BYTES:
            piece = source.read(contents.HEAD_BYTES - len(self.head))
            if not piece:
                break
            self.head += piece
        self._ahead = self.head
        self.told = contents.TAR if tars.is_header(self.head) else contents.told_by(self.head)
        if self.head.startswith(contents.UTF16) and self.told != contents.TAR:
            self.told = None
        measured = self.told is None and (wants.types or wants.rows)
        self._text = TextMeter(self.head, counts=wants.rows) if measured else None

    def read(self, size: int, /) -> bytes:
        if self._ahead:
            piece, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            self._budget.look()
            piece = self._source.read(size)
        self._size += len(piece)
        if self._digest is not None:
            self._digest.update(piece)
        if self._text is not None:
            self._text.feed(piece)
        return piece

    def part(self) -> Part:
        """What was read, to its end unless that makes no difference."""
        while (self._digest or self._text) and self.read(PIECE):
            pass
        word = self.told or (self._text.word if self._text else contents.UNKNOWN)
        sha256 = self._digest.hexdigest() if self._digest else ""
        return Part(word, self._size, self._rows(word), sha256)

    def _rows(self, word: str) -> int | None:
        if not self._wants.rows or not contents.has_tables(word) or word == contents.EMPTY:
            return 0
        if word in contents.LOOKED_INTO:
            return 0
        return self._text.rows if self._text is not None else None


def _look(
    source: _Reads, file: IO[bytes] | None, wants: Wants, budget: Budget, *, depth: int
) -> Iterator[Part]:
    """The stream's part, and before it those of what lies in it. ``file`` is the same as a
    file, where there is one."""
    stream = _Measured(source, wants, budget, hashed=depth > 0 and wants.digests)
    if stream.told in contents.CLOSED:
        raise Doubt("an archive of a kind that is not looked into")
    if stream.told in contents.LOOKED_INTO:
        if depth >= MOST_DEPTH:
            raise Doubt("archives are nested too deep")
        with _archive():
            for member in _members(stream, file):
                budget.member()
                yield from _look(_Charged(member, budget), None, wants, budget, depth=depth + 1)
    yield stream.part()


@contextmanager
def _archive() -> Iterator[None]:
    """Readers of archives raise all kinds of things on hostile bytes."""
    try:
        yield
    except (Doubt, ComputeError, GeneratorExit):
        raise
    except Exception as error:
        raise Doubt("an archive is broken") from error


def _members(stream: _Measured, file: IO[bytes] | None) -> Iterator[_Reads]:
    if stream.told == contents.ZIP:
        whole = _Whole(file) if file is not None else _in_memory(stream)
        return zips.members(cast("IO[bytes]", whole))
    if stream.told == contents.TAR:
        return tars.members(stream)
    return iter((_Inflated(stream, _INFLATERS[stream.told or ""]),))


class _Charged:
    """A member of an archive; what it holds is charged."""

    def __init__(self, source: _Reads, budget: Budget) -> None:
        self._source = source
        self._budget = budget

    def read(self, size: int, /) -> bytes:
        piece = self._source.read(size)
        self._budget.inflate(len(piece))
        return piece


def _in_memory(stream: _Measured) -> _Whole:
    held = io.BytesIO()
    while piece := stream.read(PIECE):
        if held.tell() + len(piece) > MOST_IN_MEMORY:
            raise Doubt("a zip archive in an archive is too large")
        held.write(piece)
    return _Whole(held)


class _Inflater(Protocol):
    """What zlib, bz2 and lzma have in common, or could have."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's inflater with the face that its sisters have. A header's fields, which are as long
    as somebody likes, are held to be short."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self._start: bytes | None = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._start is not None:
            self._start += data[:_GZIP_HEADER]
            if _gzip_header_ends(self._start):
                self._start = None
            elif len(self._start) >= _GZIP_HEADER:
                raise Doubt("a gzip header is too long")
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _gzip_header_ends(start: bytes) -> bool:
    """Whether all of the header is there: RFC 1952, 2.3."""
    if len(start) < 10:
        return False
    flags, at = start[3], 10
    if flags & 4:
        at += 2 + int.from_bytes(start[at : at + 2], "little")
    for named in (8, 16):
        if flags & named:
            at = start.find(b"\0", at) + 1 or _GZIP_HEADER + 1
    return at <= min(len(start), _GZIP_HEADER)


class _Inflated:
    """What a compressed stream holds; several of them one after the other are one."""

    def __init__(self, stream: _Measured, make: Callable[[], _Inflater]) -> None:
        self._stream = stream
        self._make = make
        self._inflater = make()
        self._begun = False

    def read(self, size: int, /) -> bytes:
        while True:
            data = b""
            if self._inflater.eof:
                data = self._inflater.unused_data.lstrip(b"\0")
                self._inflater, self._begun = self._make(), False
                if not data and not (data := self._next_start()):
                    return b""
            elif self._inflater.needs_input and not (data := self._stream.read(PIECE)):
                if self._begun:
                    raise Doubt("a compressed file ends too early")
                return b""
            self._begun = True
            if piece := self._inflater.decompress(data, size):
                return piece

    def _next_start(self) -> bytes:
        """The next bytes that are no padding, none at the end."""
        while piece := self._stream.read(PIECE):
            if piece := piece.lstrip(b"\0"):
                return piece
        return b""


def _xz() -> _Inflater:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


_INFLATERS: dict[str, Callable[[], _Inflater]] = {
    contents.GZIP: _Gzip,
    contents.BZIP2: bz2.BZ2Decompressor,
    contents.XZ: _xz,
}

"""The members of a tar archive, one after the other, in bounded memory and time.

Of headers only what says where the next one begins is read. The standard library's reader
believes what headers say of their own size, and takes time in the square of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from compute.egress.bounds import Doubt

BLOCK = 512
_LARGEST_HEADER = 64 << 10
_PIECE = 64 << 10
_LONG_NAMES = b"LK"
_EXTENDED = b"xgX"
_WITHOUT_DATA = b"123456"
_SPARSE = b"S"


class Reads(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Member:
    def __init__(self, source: Reads, size: int) -> None:
        self._source = source
        self._left = size

    def read(self, size: int, /) -> bytes:
        piece = self._source.read(min(size, self._left)) if self._left else b""
        if self._left and not piece:
            raise Doubt("a tar archive ends too early")
        self._left -= len(piece)
        return piece

    def skip(self) -> None:
        while self.read(_PIECE):
            pass


def members(source: Reads) -> Iterator[Reads]:
    """What each member holds, nothing for links and folders; the caller need not read it.
    Raises Doubt."""
    while (header := _exactly(source, BLOCK, may_end=True)) and header.strip(b"\0"):
        kind, size = header[156:157], _size(header)
        member = _Member(source, size)
        if kind in _EXTENDED:
            if size > _LARGEST_HEADER or _says_more(_exactly(source, size)):
                raise Doubt("a tar header that is not read")
        elif kind in _LONG_NAMES:
            if size > _LARGEST_HEADER:
                raise Doubt("a tar member's name is too long")
            member.skip()
        elif kind == _SPARSE or (kind in _WITHOUT_DATA and size):
            raise Doubt("a tar member whose data cannot be told")
        else:
            yield member
            member.skip()
        _exactly(source, -size % BLOCK)
    while piece := source.read(_PIECE):
        if piece.strip(b"\0"):
            raise Doubt("something stands after a tar archive's end")


def is_header(head: bytes) -> bool:
    """Whether a file that begins so is a tar archive, of any age and whatever its first member
    is called."""
    if len(head) < BLOCK or not head[148:156].strip(b" \0"):
        return False
    try:
        return _size(head[:BLOCK]) >= 0
    except Doubt:
        return False


def _says_more(extended: bytes) -> bool:
    """True when an extended header changes where data begin and end."""
    return b" size=" in extended or b"GNU.sparse" in extended


def _size(header: bytes) -> int:
    """Raises Doubt for what is no header."""
    stated = _number(header[148:156])
    if stated != sum(header[:148]) + sum(header[156:]) + 8 * ord(" "):
        raise Doubt("a tar header is broken")
    return _number(header[124:136])


def _number(field: bytes) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not all(digit in b"01234567" for digit in digits):
        raise Doubt("a tar header is broken")
    return int(digits or b"0", 8)


def _exactly(source: Reads, size: int, *, may_end: bool = False) -> bytes:
    """So many bytes; none where the archive may end."""
    read = b""
    while len(read) < size and (piece := source.read(size - len(read))):
        read += piece
    if len(read) < size and not (may_end and not read):
        raise Doubt("a tar archive ends too early")
    return read

"""How many rows a JSON text has, in one pass and in little memory. Pure.

The grammar is that of RFC 8259, but for escapes and the spelling of numbers and words, which
are only held to be short and of their characters: what stands between brackets without commas
is no JSON, and a table that is written so must not pass for a text of one value.
"""

from __future__ import annotations

import re
from enum import Enum

DEEPEST = 1000
"""Arrays and objects within each other."""
LONG = 16 << 10
"""Bytes of a string that count as a row, and as another one for each so many."""
_LONGEST_WORD = 4096
"""Bytes of a number, or of true, false, null."""

_TOKEN = re.compile(rb'[ \t\r\n]*(?:([\[\]{},:"])|([-+.0-9A-Za-z]+))')
_REST = re.compile(rb"[ \t\r\n]*\Z")
_ITEM = re.compile(rb'[ \t\r\n]*(?:[-+.0-9A-Za-z]{1,40}|"[^"\\\r\n]{0,99}")[ \t\r\n]*,')
_ITEMS = re.compile(rb"(?:" + _ITEM.pattern + rb")+")
"""Small members of an array: what there may be millions of."""
_PLAIN_ESCAPES = re.compile(rb'(?:\\["\\/bft])+')
_IN_STRING = re.compile(rb'["\\]')
_MARK = b"\xef\xbb\xbf"
_BREAKS = (b"000a", b"000d", b"2028", b"2029", b"0085")


class _Next(Enum):
    """What has to come: a value, or the end of an array that has none yet; a name, or the end of
    an object; and so on."""

    VALUE = 1
    FIRST = 2
    NAME = 3
    FIRST_NAME = 4
    COLON = 5
    AFTER = 6


_VALUES = frozenset({_Next.VALUE, _Next.FIRST})
_NAMES = frozenset({_Next.NAME, _Next.FIRST_NAME})
_ENDS = {b"]": (b"[", _Next.FIRST), b"}": (b"{", _Next.FIRST_NAME)}


class JsonMeter:
    """Reads a text piece by piece. ``sound`` while it is JSON, with any number of ``values``, all
    of them arrays or objects, at the outermost level.

    ``most`` is of members in one array or object, ``nested`` of arrays and objects that lie in
    others: a table can be a tree of them. ``breaks`` counts the line breaks in one string, and
    its length: a table can be a JSON text's only string.
    """

    def __init__(self) -> None:
        self.values = 0
        self.most = 0
        self.nested = 0
        self.breaks = 0
        self._broken = False
        self._in_string = False
        self._escape: bytes | None = None
        self._length = 0
        self._word = 0
        self._next = _Next.VALUE
        self._open: list[tuple[bytes, int]] = []
        self._begun = False

    @property
    def sound(self) -> bool:
        return not (self._broken or self._open or self._in_string)

    @property
    def rows(self) -> int:
        lines = self.values if self.values > 1 else 0
        return max(self.most, self.nested, self.breaks, lines)

    def feed(self, piece: bytes) -> None:
        if not self._begun:
            piece, self._begun = piece.removeprefix(_MARK), True
        position = 0
        while position < len(piece) and not self._broken:
            if self._in_string:
                position = self._string(piece, position)
            else:
                position = self._structure(piece, position)

    def _string(self, piece: bytes, position: int) -> int:
        if self._escape is not None:
            self._escaped(piece[position : position + 1])
            return position + 1
        found = _IN_STRING.search(piece, position)
        end = found.start() if found else len(piece)
        self._long(end - position)
        self.breaks += piece.count(b"\n", position, end) + piece.count(b"\r", position, end)
        if found is None:
            return end
        if plain := _PLAIN_ESCAPES.match(piece, end):
            self._long(plain.end() - end)
            return plain.end()
        if found[0] == b'"':
            self._in_string = False
            self._next = _Next.COLON if self._next in _NAMES else _Next.AFTER
        else:
            self._escape = b""
        return end + 1

    def _escaped(self, byte: bytes) -> None:
        """The next byte of an escape: ``n``, or ``u`` and four digits."""
        escape = (self._escape or b"") + byte
        if escape.startswith(b"u") and len(escape) < 5:
            self._escape = escape
            return
        self._escape = None
        self._long(1)
        self.breaks += escape in (b"n", b"r", b"\n", b"\r") or escape[1:].lower() in _BREAKS

    def _long(self, size: int) -> None:
        before, self._length = self._length // LONG, self._length + size
        self.breaks += self._length // LONG - before

    def _structure(self, piece: bytes, position: int) -> int:
        if self._next in _VALUES and self._open and self._open[-1][0] == b"[":
            items = _ITEMS.match(piece, position)
            if items is not None:
                self._counted(len(_ITEM.findall(piece, *items.span())))
                self._next = _Next.VALUE
                return items.end()
        found = _TOKEN.match(piece, position)
        if found is None:
            self._broken = _REST.match(piece, position) is None
            self._word = 0
            return len(piece)
        token = found[1]
        if token is None:
            self._scalar(len(found[2]), goes_on=position == 0 and found.start(2) == 0)
            if found.end() < len(piece):
                self._word = 0
            return found.end()
        self._word = 0
        self._token(token)
        return found.end()

    def _scalar(self, size: int, *, goes_on: bool) -> None:
        """A number or a word, or at a piece's beginning the rest of one."""
        if self._word and goes_on:
            self._word += size
        else:
            self._value()
            self._next = _Next.AFTER
            self._word = size
            self._broken |= not self._open
        self._broken |= self._word > _LONGEST_WORD

    def _token(self, token: bytes) -> None:
        if token == b'"':
            self._begins_string()
        elif token in b"[{":
            self._opens(token)
        elif token in b"]}":
            self._closes(token)
        elif token == b":":
            self._broken = self._next is not _Next.COLON
            self._next = _Next.VALUE
        else:
            self._broken = self._next is not _Next.AFTER or not self._open
            if not self._broken:
                self._next = _Next.NAME if self._open[-1][0] == b"{" else _Next.VALUE

    def _begins_string(self) -> None:
        if self._next in _NAMES:
            self._counted()
        else:
            self._value()
        self._broken |= not self._open
        self._in_string, self._length = True, 0

    def _opens(self, bracket: bytes) -> None:
        self._value()
        self.values += not self._open
        self.nested += bool(self._open)
        self._open.append((bracket, 0))
        self._broken |= len(self._open) > DEEPEST
        self._next = _Next.FIRST if bracket == b"[" else _Next.FIRST_NAME

    def _closes(self, bracket: bytes) -> None:
        opened, empty = _ENDS[bracket]
        if self._next not in {_Next.AFTER, empty} or not self._open:
            self._broken = True
            return
        self._broken = self._open.pop()[0] != opened
        self._next = _Next.AFTER if self._open else _Next.VALUE

    def _value(self) -> None:
        """A value begins. Names count the members of objects."""
        if self._next not in _VALUES:
            self._broken = True
        elif self._open and self._open[-1][0] == b"[":
            self._counted()

    def _counted(self, more: int = 1) -> None:
        bracket, members = self._open[-1]
        self._open[-1] = (bracket, members + more)
        self.most = max(self.most, members + more)

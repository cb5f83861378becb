"""How many rows a text has, in one pass and in little memory. Pure.

A limit of rows would be worth nothing if another name or another layout evaded it, so every
text has rows: its lines that are not blank, a header among them; a JSON text the members of
its largest array or object; HTML and XML their most frequent element. All of these count
rather too much than too little.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter

from compute.egress import contents

LONGEST_LINE = 1 << 20
"""Bytes. A table in one line has no rows that could be counted."""
DEEPEST = 1000
"""Arrays and objects within each other."""
MOST_ELEMENTS = 1000
"""Names of elements in one text."""

_TOKEN = re.compile(rb'["\[\]{},]')
_IN_STRING = re.compile(rb'["\\]')
_TAG = re.compile(rb"<([A-Za-z_][^\s<>/]{0,63})")
_BREAKS = bytes.maketrans(b"\r\f", b"\n\n")


class TextMeter:
    """Reads a text piece by piece. ``text`` turns false as soon as something is none."""

    def __init__(self, head: bytes, *, counts: bool) -> None:
        self.text = True
        self._head = head
        self._counts = counts
        self._decoder = None
        if head.startswith(contents.UTF16):
            self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
            self._head = head.decode("utf-16", "replace").encode()
        self._lines = _Lines()
        self._markup = _Markup() if contents.markup_of(self._head) else None
        self._json = _Json() if contents.without_mark(self._head)[:1] in (b"{", b"[") else None

    def feed(self, piece: bytes) -> None:
        if self._decoder is not None:
            piece = self._decoder.decode(piece).encode("utf-8", "replace")
        if not self.text:
            return
        self.text = contents.is_text(piece)
        if self.text:
            for reader in (self._lines, self._json, self._markup):
                if reader is not None and (self._counts or reader is self._json):
                    reader.feed(piece)

    @property
    def word(self) -> str:
        """What it is, once all of it was read."""
        if not self.text:
            return contents.UNKNOWN
        if self._json is not None and self._json.sound:
            return contents.JSON if self._json.values == 1 else contents.JSON_LINES
        return contents.markup_of(self._head) or contents.table_of(self._head)

    @property
    def rows(self) -> int | None:
        """Once all of it was read; None where they cannot be counted."""
        if not self.text:
            return None
        if self._json is not None and self._json.sound:
            lines = self._json.values if self._json.values > 1 else 0
            return max(self._json.most, self._json.breaks, lines)
        if self._lines.longest > LONGEST_LINE or (self._markup and self._markup.many):
            return None
        return max(self._lines.filled, self._markup.most if self._markup else 0)


class _Lines:
    def __init__(self) -> None:
        self.longest = 0
        self._filled = 0
        self._length = 0
        self._open_filled = False

    @property
    def filled(self) -> int:
        return self._filled + self._open_filled

    def feed(self, piece: bytes) -> None:
        first, *others = piece.translate(_BREAKS).split(b"\n")
        self._add(first)
        for line in others:
            self._filled += self._open_filled
            self._length, self._open_filled = 0, False
            self._add(line)

    def _add(self, part: bytes) -> None:
        self._length += len(part)
        self.longest = max(self.longest, self._length)
        self._open_filled = self._open_filled or (not part.isspace() and part != b"")


class _Json:
    """The brackets of a JSON text. ``sound`` while they match and nothing but white space
    stands between the ``values`` of the outermost level. ``most`` is of members in one array or
    object, ``breaks`` of line breaks in strings: a table can be a JSON text's only string."""

    def __init__(self) -> None:
        self.values = 0
        self.most = 0
        self.breaks = 0
        self._broken = False
        self._in_string = False
        self._escaped = False
        self._open: list[tuple[int, int]] = []

    @property
    def sound(self) -> bool:
        return not (self._broken or self._open or self._in_string)

    def feed(self, piece: bytes) -> None:
        position = 0
        while position < len(piece) and not self._broken:
            if self._in_string:
                position = self._string(piece, position)
            else:
                position = self._structure(piece, position)

    def _string(self, piece: bytes, position: int) -> int:
        if self._escaped:
            self._escaped = False
            self.breaks += piece[position : position + 1] in (b"n", b"r")
            return position + 1
        found = _IN_STRING.search(piece, position)
        if found is None:
            return len(piece)
        self._in_string = found[0] != b'"'
        self._escaped = self._in_string
        return found.end()

    def _structure(self, piece: bytes, position: int) -> int:
        found = _TOKEN.search(piece, position)
        between = piece[position : found.start() if found else len(piece)]
        if self._open:
            bracket, members = self._open[-1]
            if members == 0 and not _blank(between):
                self._open[-1] = (bracket, 1)
                self.most = max(self.most, 1)
        elif not _blank(between.removeprefix(b"\xef\xbb\xbf")):
            self._broken = True
        if found is None:
            return len(piece)
        self._token(found[0])
        return found.end()

    def _token(self, token: bytes) -> None:
        if token in b"[{":
            self._began(token)
            self._open.append((token[0] + 2, 0))
            self._broken = len(self._open) > DEEPEST
        elif token in b"]}":
            if not self._open or self._open.pop()[0] != token[0]:
                self._broken = True
        elif token == b'"':
            self._began(token)
            self._in_string = True
        elif self._open:
            bracket, members = self._open[-1]
            self._open[-1] = (bracket, members + 1)
            self.most = max(self.most, members + 1)
        else:
            self._broken = True

    def _began(self, token: bytes) -> None:
        """A value begins: the first of its array, or one of the outermost level."""
        if not self._open:
            self.values += 1
            self._broken = token == b'"'
        elif self._open[-1][1] == 0:
            self._open[-1] = (self._open[-1][0], 1)
            self.most = max(self.most, 1)


class _Markup:
    def __init__(self) -> None:
        self._names: Counter[bytes] = Counter()
        self._rest = b""
        self.many = False

    @property
    def most(self) -> int:
        return max(self._names.values(), default=0)

    def feed(self, piece: bytes) -> None:
        piece = self._rest + piece
        cut = piece.rfind(b"<", max(0, len(piece) - 70))
        self._rest = piece[cut:] if cut >= 0 else b""
        if not self.many:
            self._names.update(_TAG.findall(piece[:cut] if cut >= 0 else piece))
            self.many = len(self._names) > MOST_ELEMENTS


def _blank(text: bytes) -> bool:
    return not text or text.isspace()

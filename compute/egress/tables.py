"""How many rows a text has, in one pass and in little memory. Pure.

A limit of rows would be worth nothing if another name or another layout evaded it, so every
text has rows: its lines that are not blank, a header among them, a long one as several; a JSON
text the members of its largest array or object, or the arrays and objects within others; HTML
and XML their most frequent element. All of these count rather too much than too little.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter

from compute.egress import contents
from compute.egress.json_rows import LONG, JsonMeter

LONGEST_LINE = 1 << 20
"""Bytes. A table in one line has no rows that could be counted."""
MOST_ELEMENTS = 1000
"""Names of elements in one text."""

_TAG = re.compile(rb"<([A-Za-z_:\x80-\xff][^\s<>/]{0,63})")
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
        self._json = JsonMeter() if contents.without_mark(self._head)[:1] in (b"{", b"[") else None

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
            return self._json.rows
        if self._lines.longest > LONGEST_LINE or (self._markup and self._markup.many):
            return None
        return max(self._lines.filled, self._markup.most if self._markup else 0)


class _Lines:
    """``filled`` are those that are not blank; a long one counts for several: what ends a row may
    be any character."""

    def __init__(self) -> None:
        self.longest = 0
        self._filled = 0
        self._length = 0
        self._open_filled = False

    @property
    def filled(self) -> int:
        return self._filled + (1 + self._length // LONG if self._open_filled else 0)

    def feed(self, piece: bytes) -> None:
        first, *others = piece.translate(_BREAKS).split(b"\n")
        self._add(first)
        if not others:
            return
        self._filled = self.filled
        *whole, last = others
        lengths = [len(line) for line in whole if line and not line.isspace()]
        self._filled += len(lengths)
        if (longest := max(lengths, default=0)) >= LONG:
            self._filled += sum(length // LONG for length in lengths)
        self.longest = max(self.longest, longest)
        self._length, self._open_filled = 0, False
        self._add(last)

    def _add(self, part: bytes) -> None:
        self._length += len(part)
        self.longest = max(self.longest, self._length)
        self._open_filled = self._open_filled or (not part.isspace() and part != b"")


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

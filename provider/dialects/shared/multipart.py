"""``multipart/form-data`` (RFC 7578), read as it comes in. No input, no output.

Bytes go in, heads of parts and their contents come out; what is kept meanwhile is at most one
head. A general reader of multipart messages does more than a form needs: it descends into
parts, undoes encodings, skips over any amount of what it does not know. Here a form is exactly
what clients send, and all else is refused with a text that says what is wrong.

Transfer encodings of parts are refused: RFC 7578 took them away, and no client sends them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import unquote_to_bytes

from provider.errors import RequestMalformed

MOST_HEAD_BYTES: Final = 8 << 10
"""The lines that tell what a part is."""

_REST_OF_LINE: Final = re.compile(rb"[ \t]{0,256}\r\n")
_BEGUN: Final = re.compile(rb"-|[ \t]{0,256}\r?")
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 (the grammar's word)
_PARAMETER: Final = re.compile(
    rf";[ \t]*(?P<name>{_TOKEN})[ \t]*=[ \t]*"
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^ \t;"]*))[ \t]*'
)
_ESCAPED: Final = re.compile(r"\\([^A-Za-z0-9])")
"""A backslash before a letter is left: some write whole paths of Windows."""

_PLAIN_ENCODINGS: Final = frozenset({"7bit", "8bit", "binary"})
_LINE: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Head:
    """A part begins. ``filename`` is the client's text, None where the part is no file."""

    name: str
    filename: str | None


class End(Enum):
    """A part has ended."""

    OF_PART = auto()


Event = Head | bytes | End


class _Place(Enum):
    BEFORE = auto()
    """What stands before the first part, which nobody reads."""
    DELIMITER = auto()
    """Behind a boundary: the rest of its line says whether a part follows."""
    HEAD = auto()
    CONTENT = auto()
    BEHIND = auto()
    """Behind the last boundary."""


class FormParser:
    """Takes the bytes of a form in pieces of any size; ``content_type`` is the request's.

    All methods raise RequestMalformed.
    """

    def __init__(self, content_type: str) -> None:
        boundary = parameters(content_type)[1].get("boundary", "")
        if not _BOUNDARY.fullmatch(boundary):
            raise RequestMalformed("The Content-Type of a form must name its boundary.")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._kept = bytearray(_LINE)  # the first delimiter may stand at the very beginning
        self._place = _Place.BEFORE

    def feed(self, data: bytes) -> Iterator[Event]:
        """What is known with this piece. Has to be exhausted before the next."""
        self._kept += data
        while True:
            place, before = self._place, len(self._kept)
            yield from self._step()
            if self._place is place and len(self._kept) == before:
                return

    def finish(self) -> None:
        """Nothing more comes."""
        if self._place is not _Place.BEHIND:
            raise RequestMalformed("The form breaks off before its last boundary.")

    def _step(self) -> Iterator[Event]:
        if self._place is _Place.DELIMITER:
            self._delimited()
        elif self._place is _Place.HEAD:
            yield from self._head()
        elif self._place is _Place.BEHIND:
            self._kept.clear()
        else:
            yield from self._content()

    def _content(self) -> Iterator[Event]:
        inside = self._place is _Place.CONTENT
        end = self._kept.find(self._delimiter)
        known = end if end >= 0 else self._surely_content()
        content = bytes(self._kept[:known])
        if content and inside:
            yield content
        del self._kept[:known]
        if end < 0:
            return
        if inside:
            yield End.OF_PART
        del self._kept[: len(self._delimiter)]
        self._place = _Place.DELIMITER

    def _surely_content(self) -> int:
        """How many bytes cannot be the beginning of a delimiter."""
        at = self._kept.rfind(b"\r", max(0, len(self._kept) - len(self._delimiter) + 1))
        if at >= 0 and self._delimiter.startswith(bytes(self._kept[at:])):
            return at
        return len(self._kept)

    def _delimited(self) -> None:
        if self._kept.startswith(b"--"):
            self._place = _Place.BEHIND
            return
        line = _REST_OF_LINE.match(self._kept)
        if line is not None:
            # The line's end is kept: an empty head is nothing but the next one.
            del self._kept[: line.end() - len(_LINE)]
            self._place = _Place.HEAD
        elif not _BEGUN.fullmatch(self._kept):
            raise RequestMalformed("Something stands behind a boundary of the form.")

    def _head(self) -> Iterator[Event]:
        end = self._kept.find(_LINE + _LINE, 0, MOST_HEAD_BYTES)
        if end >= 0:
            head = bytes(self._kept[len(_LINE) : end])
            del self._kept[: end + len(_LINE + _LINE)]
            self._place = _Place.CONTENT
            yield _parsed(head)
        elif len(self._kept) >= MOST_HEAD_BYTES:
            raise RequestMalformed("The head of a part of the form is too long.")


def parameters(header: str) -> tuple[str, dict[str, str]]:
    """The value of a header in small letters, and its parameters by name in small letters.
    Raises RequestMalformed."""
    value = re.match(r"[^;]*", header)
    assert value is not None
    found: dict[str, str] = {}
    position = value.end()
    while parameter := _PARAMETER.match(header, position):
        name, quoted = parameter["name"].lower(), parameter["quoted"]
        if name in found:
            raise RequestMalformed(f"A header of the form has {name} twice.")
        found[name] = parameter["bare"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        position = parameter.end()
    if header[position:].strip(" \t;"):
        raise RequestMalformed("A header of the form cannot be read.")
    return value[0].strip().lower(), found


def _parsed(head: bytes) -> Head:
    lines = _lines(head)
    if lines.get("content-transfer-encoding", "binary").lower() not in _PLAIN_ENCODINGS:
        raise RequestMalformed("Send the parts of the form as they are, not encoded.")
    kind, found = parameters(lines.get("content-disposition", ""))
    name = _extended(found.get("name*")) or found.get("name", "")
    if kind != "form-data" or not name:
        raise RequestMalformed("A part of the form has no name.")
    return Head(name, _extended(found.get("filename*")) or found.get("filename"))


def _lines(head: bytes) -> dict[str, str]:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        raise RequestMalformed("The head of a part of the form is not UTF-8.") from None
    lines: dict[str, str] = {}
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        plain = all(letter >= " " or letter == "\t" for letter in value)
        if not colon or not plain or not re.fullmatch(_TOKEN, name) or name.lower() in lines:
            raise RequestMalformed("The head of a part of the form cannot be read.")
        lines[name.lower()] = value.strip(" \t")
    return lines


def _extended(value: str | None) -> str | None:
    """A text as RFC 5987 has it, ``UTF-8''%e2%82%ac``; None when it is not one."""
    charset, _, encoded = (value or "").partition("'")
    if charset.lower() != "utf-8":
        return None
    try:
        return unquote_to_bytes(encoded.partition("'")[2]).decode("utf-8")
    except UnicodeDecodeError:
        return None

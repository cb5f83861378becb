"""What a file is, told by its contents and never by its name. Pure.

The words are media types. Few are told apart: what a policy may want to name, and what has
to be told apart to count rows and to look into archives. A file can be two things at once;
its beginning decides.
"""

from __future__ import annotations

import csv
import re

HEAD_BYTES = 4096
"""As much of a file's beginning decides what it is, but for text: that is text to its end."""

EMPTY = "inode/x-empty"
UNKNOWN = "application/octet-stream"
JSON = "application/json"
JSON_LINES = "application/x-ndjson"
CSV = "text/csv"
TSV = "text/tab-separated-values"
PLAIN = "text/plain"
HTML = "text/html"
XML = "application/xml"
SVG = "image/svg+xml"

ZIP = "application/zip"
TAR = "application/x-tar"
GZIP = "application/gzip"
BZIP2 = "application/x-bzip2"
XZ = "application/x-xz"

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"PK\x07\x08", ZIP),
    (b"PK00PK", ZIP),
    (b"\x1f\x8b", GZIP),
    (b"\xfd7zXZ\x00", XZ),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x04\x22\x4d\x18", "application/x-lz4"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"ARROW1", "application/vnd.apache.arrow.file"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    (b"\x93NUMPY", "application/x-npy"),
    (b"\x7fELF", "application/x-elf"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\x1a\x45\xdf\xa3", "video/x-matroska"),
)
_PATTERNS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", re.DOTALL), BZIP2),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), "audio/wav"),
    (re.compile(rb"[\x50-\x5f]\x2a\x4d\x18"), "application/zstd"),
    (re.compile(rb"....ftyp", re.DOTALL), "video/mp4"),
    (re.compile(rb".{257}ustar", re.DOTALL), TAR),
    (re.compile(rb"\x80[\x02-\x05]", re.DOTALL), "application/x-pickle"),
)

TEXT_WORDS = (CSV, TSV, PLAIN, HTML, XML, SVG, JSON, JSON_LINES)
WORDS = tuple(
    dict.fromkeys(
        (*TEXT_WORDS, *(word for _, word in _BEGINNINGS), *(word for _, word in _PATTERNS), UNKNOWN)
    )
)
"""All that there are."""

LOOKED_INTO = frozenset({ZIP, TAR, GZIP, BZIP2, XZ})
CLOSED = frozenset(
    {"application/zstd", "application/x-lz4", "application/x-7z-compressed", "application/vnd.rar"}
)
"""Archives whose contents are not known here."""

UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"
_CONTROLS = bytes(
    code for code in (*range(32), 127) if code not in {0x08, 0x09, 0x0A, 0x0C, 0x0D, 0x1B}
)
_DELIMITERS = ",\t;|"


def told_by(head: bytes) -> str | None:
    """What the beginning of a file says it is; None for text and for what nobody knows."""
    if not head:
        return EMPTY
    for beginning, word in _BEGINNINGS:
        if head.startswith(beginning):
            return word
    return next((word for pattern, word in _PATTERNS if pattern.match(head)), None)


def has_tables(word: str) -> bool:
    """False for what shows pictures, sounds or pages rather than rows."""
    if word == SVG:
        return True
    return not word.startswith(("image/", "audio/", "video/")) and word != "application/pdf"


def is_text(piece: bytes) -> bool:
    """True when no byte is a control character that texts do not have."""
    return len(piece.translate(None, _CONTROLS)) == len(piece)


def without_mark(head: bytes) -> bytes:
    """A text's beginning without the mark and the white space that may stand before it."""
    return head.removeprefix(_UTF8_MARK).lstrip()


def markup_of(head: bytes) -> str | None:
    """Which markup a text is in, by its beginning; None for none."""
    start = without_mark(head)[:1024].lower()
    if not start.startswith(b"<"):
        return None
    if b"<svg" in start and b"<html" not in start:
        return SVG
    if start.startswith((b"<!doctype html", b"<html")):
        return HTML
    return XML if re.match(rb"<[?!a-z_]", start) else None


def table_of(head: bytes) -> str:
    """``text/csv`` or its sister where all lines of a text's beginning have equally many
    fields, at least two; else ``text/plain``."""
    whole = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    text = whole.removeprefix(_UTF8_MARK).decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    for delimiter in _DELIMITERS:
        if _fields(lines, delimiter):
            return TSV if delimiter == "\t" else CSV
    return PLAIN


def _fields(lines: list[str], delimiter: str) -> bool:
    try:
        counts = {len(row) for row in csv.reader(lines, delimiter=delimiter) if row}
    except csv.Error:
        return False
    return len(counts) == 1 and min(counts) > 1

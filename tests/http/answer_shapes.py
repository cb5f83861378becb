"""In what two answers differ: names, kinds of values, status code, headers.

A kind is what a client's parser would notice: ``null`` or not, whole number or text of
digits, 32 bytes in hexadecimal or any text. Values themselves count where they are words of
the protocol: states of a job, say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

ABSENT = "absent"
WORDS = frozenset(
    {
        "checksum",
        "checksumType",
        "contentLength",
        "contentType",
        "error",
        "filename",
        "filesize",
        "free",
        "index",
        "priceMin",
        "removed",
        "software",
        "status",
        "statusText",
        "stopreq",
        "type",
        "valid",
    }
)
"""Fields whose values are compared, not only their kinds."""

_HEX = re.compile(r"0x[0-9a-fA-F]*")
_NUMERALS = {"digits": re.compile(r"\d+"), "decimals": re.compile(r"\d+\.\d+")}
_HASH_DIGITS = 64


def differences(theirs: object, ours: object, path: str = "") -> Iterator[str]:
    """Each as ``path: theirs -> ours``; items of a list are alike, so their path is ``[]``."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for name in sorted(theirs.keys() | ours.keys()):
            inner = f"{path}.{name}" if path else name
            yield from _of_field(theirs, ours, name, inner)
    elif isinstance(theirs, list) and isinstance(ours, list) and bool(theirs) == bool(ours):
        for one, other in zip(theirs, ours, strict=False):
            yield from differences(one, other, f"{path}[]")
    elif kind(theirs) != kind(ours):
        yield f"{path}: {kind(theirs)} -> {kind(ours)}"
    elif path.rpartition(".")[2] in WORDS and theirs != ours:
        yield f"{path}: {theirs!r} -> {ours!r}"


def _of_field(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], name: str, path: str
) -> Iterator[str]:
    if name not in theirs:
        yield f"{path}: {ABSENT} -> {kind(ours[name])}"
    elif name not in ours:
        yield f"{path}: {kind(theirs[name])} -> {ABSENT}"
    else:
        yield from differences(theirs[name], ours[name], path)


def kind(value: object) -> str:
    """What a parser makes of a value."""
    if isinstance(value, str):
        return _kind_of_text(value)
    if isinstance(value, list):
        return "list" if value else "empty list"
    return "null" if value is None else type(value).__name__


def _kind_of_text(text: str) -> str:
    if _HEX.fullmatch(text):
        digits = len(text) - 2
        return f"0x and {digits} digits" if digits <= _HASH_DIGITS else "0x and more digits"
    return next((name for name, form in _NUMERALS.items() if form.fullmatch(text)), "text")


def header_differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> Iterator[str]:
    """Those of headers that were recorded, and the names that only ``ours`` has."""
    had = {name.lower(): value for name, value in theirs.items()}
    has = {name.lower(): value for name, value in ours.items()}
    for name in sorted(had.keys() | has.keys()):
        one, other = had.get(name, ABSENT), has.get(name, ABSENT)
        if name not in had:
            yield f"header {name}: {ABSENT} -> present"
        elif one != other:
            yield f"header {name}: {one} -> {other}"

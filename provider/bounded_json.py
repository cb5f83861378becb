"""JSON from strangers, refused before its nesting or the number of its parts can hurt.

A megabyte of nothing but brackets makes half a million objects, which hold up everybody
else while they are made and walked through. And the parser recurses in C: Python's own
limit would stop it, but libraries raise that (py_ecc, which comes with Ethereum's, to
100,000), and then the process dies instead.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 32
DOCUMENT_DEPTH = 100
"""For documents of publishers, which are deeper than requests but not endlessly so."""
MAX_PARTS = 50_000
"""Of one request: texts, commas and brackets together. No honest one has thousands."""

_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"|["\[\]{},]', re.DOTALL)
"""Brackets and commas outside of texts, and the texts, to skip what is in them. A quotation
mark alone is a text without an end: stopping there keeps the scan linear."""


def loads(
    text: str | bytes,
    *,
    max_depth: int = DOCUMENT_DEPTH,
    max_parts: int | None = None,
    **options: Any,
) -> Any:
    """``json.loads`` with bounded nesting, and as many parts as ``max_parts`` says.

    Raises ValueError for all that is wrong.
    """
    if isinstance(text, bytes):
        text = text.decode()
    require_bounded(text, max_depth, max_parts)
    return json.loads(text, **options)


def require_bounded(text: str, max_depth: int, max_parts: int | None = None) -> None:
    """Raise ValueError for nesting or parts beyond the bounds.

    Linear in the text's length, and over once there are too many parts.
    """
    brackets = text.count("[") + text.count("{")
    if brackets <= max_depth and (max_parts is None or _most_parts(text, brackets) <= max_parts):
        return
    depth = 0
    for number, token in enumerate(_STRUCTURE.finditer(text), 1):
        if number == max_parts:
            raise ValueError("too many parts")
        if token[0] == '"':
            raise ValueError("a text without an end")
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        if depth > max_depth:
            raise ValueError("nested too deeply")


def _most_parts(text: str, opening: int) -> int:
    """At least as many as the text has: marks inside of texts count as well."""
    return 2 * opening + text.count(",") + text.count('"')

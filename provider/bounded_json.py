"""JSON from strangers, refused before its nesting can hurt.

The parser recurses in C. Python's own limit would stop it, but libraries raise that
(py_ecc, which comes with Ethereum's, to 100,000), and then the process dies instead.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 32
DOCUMENT_DEPTH = 100
"""For documents of publishers, which are deeper than requests but not endlessly so."""

_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"|["\[\]{}]', re.DOTALL)
"""Brackets outside of texts, and the texts, to skip what is in them. A quotation mark alone
is a text without an end: stopping there keeps the scan linear."""


def loads(text: str | bytes, *, max_depth: int = DOCUMENT_DEPTH, **options: Any) -> Any:
    """``json.loads`` with bounded nesting. Raises ValueError for all that is wrong."""
    if isinstance(text, bytes):
        text = text.decode()
    require_shallow(text, max_depth)
    return json.loads(text, **options)


def require_shallow(text: str, max_depth: int) -> None:
    """Raise ValueError for nesting beyond ``max_depth``. Linear in the text's length."""
    if text.count("[") + text.count("{") <= max_depth:
        return
    depth = 0
    for token in _STRUCTURE.finditer(text):
        if token[0] == '"':
            raise ValueError("a text without an end")
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        if depth > max_depth:
            raise ValueError("nested too deeply")

"""What a rule finds in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

DATE, MONEY, PERCENT, EMAIL, URL = "DATE", "MONEY", "PERCENT", "EMAIL", "URL"
ORG, LOC, PERSON = "ORG", "LOC", "PERSON"

NOT_IN_WORD = r"(?<![A-Za-z0-9])"
"""Where a Latin word may begin. Chinese needs no blank around it, so ``\\b`` will not do."""
WORD_ENDS = r"(?![A-Za-z0-9])"


@dataclass(frozen=True, slots=True)
class Span:
    """``text[start:end]`` is an entity of this type."""

    start: int
    end: int
    kind: str


def of_pattern(pattern: re.Pattern[str], kind: str, text: str) -> Iterator[Span]:
    """A span for each match, of its group ``name`` if it has one."""
    group: str | int = "name" if "name" in pattern.groupindex else 0
    for found in pattern.finditer(text):
        yield Span(*found.span(group), kind)

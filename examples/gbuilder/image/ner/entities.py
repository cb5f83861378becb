"""All rules on one text, and which of two counts that claim the same letters."""

from __future__ import annotations

from . import chinese, english, shapes
from .spans import DATE, EMAIL, LOC, MONEY, ORG, PERCENT, PERSON, URL, Span

_RANKS = {URL: 0, EMAIL: 0, MONEY: 1, PERCENT: 1, DATE: 1, ORG: 2, PERSON: 3, LOC: 3}
"""What is known by its shape is surest; an organisation may hold a place or a person."""


def find(text: str) -> list[Span]:
    """The entities of a text in their order. None overlaps another."""
    found = [*shapes.find(text), *english.find(text), *chinese.find(text)]
    taken = bytearray(len(text))
    kept: list[Span] = []
    for span in sorted(found, key=_precedence):
        if span.start < span.end and not any(taken[span.start : span.end]):
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)


def _precedence(span: Span) -> tuple[int, int, int]:
    return _RANKS[span.kind], span.start - span.end, span.start

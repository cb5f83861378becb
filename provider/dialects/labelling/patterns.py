"""What a PATTERN may be, for each kind of model. Pure.

- ``keyword_model``: label to keywords; a row has the label whose keyword its text contains.
- ``rule_model``: label to rules, each a text that is contained, or an object with one of
  ``contains``, ``prefix``, ``suffix``, ``equals`` (a text, with a ``field`` beside it where
  another column is meant), ``and``, ``or`` (rules), ``not`` (a rule).
- ``regex_model``: label to regular expressions in Python's notation.

One that is enough gives the label. Everything is bounded: the whole goes into the job's row,
and each row of the site's table is held against all of it. Regular expressions are compiled
here so that a mistake is told at once. Wide sets of characters make compiling itself slow, so
their number is bounded, and flags inside of an expression, which would fold cases, are refused.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

MOST_LABELS = 200
MOST_ENTRIES = 2000
LONGEST_LABEL = 100
LONGEST_TEXT = 500
MOST_REGEX_CHARACTERS = 20_000
MOST_REGEX_SETS = 500
MOST_WIDE_SETS = 100
DEEPEST_RULE = 8

TEXT_RULES: Final = frozenset({"contains", "prefix", "suffix", "equals"})
LIST_RULES: Final = frozenset({"and", "or"})
COLUMN: Final = re.compile(r"[A-Za-z0-9_]{1,64}")

_FLAGS = re.compile(r"\(\?[a-zA-Z]*-?[a-zA-Z]*[:)]")
_NO_FLAGS = "(?:"
_WIDE_RANGE = re.compile(r"(?:[^\x00-\xff]|\\[uUN])[^-]*-|-(?:[^\x00-\xff]|\\[uUN])")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_COMPILING = threading.Lock()
"""Warnings are silenced for the whole process while it is held."""

Place = tuple[str | int, ...]


class Fault(NamedTuple):
    """``place`` is below PATTERN."""

    place: Place
    text: str


def faults(model: str, pattern: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with a pattern of this kind of model; nothing for a good one."""
    if len(pattern) > MOST_LABELS:
        yield Fault((), f"has more than {MOST_LABELS} labels")
        return
    if sum(len(each) for each in pattern.values() if isinstance(each, list)) > MOST_ENTRIES:
        yield Fault((), f"has more than {MOST_ENTRIES} entries")
        return
    if model == "regex_model" and (heavy := _too_heavy(pattern)):
        yield Fault((), heavy)
        return
    for label, entries in pattern.items():
        if not 0 < len(label) <= LONGEST_LABEL or _CONTROLS.search(label):
            yield Fault((), f"a label is a text of 1 to {LONGEST_LABEL} printable characters")
        elif not isinstance(entries, list) or not entries:
            yield Fault((label,), "a label needs a list with at least one entry")
        else:
            for number, entry in enumerate(entries):
                yield from _ENTRIES[model]((label, number), entry)


def _too_heavy(pattern: Mapping[str, Any]) -> str:
    lists = [each for each in pattern.values() if isinstance(each, list)]
    texts = [entry for entries in lists for entry in entries if isinstance(entry, str)]
    if sum(map(len, texts)) > MOST_REGEX_CHARACTERS:
        return f"has more than {MOST_REGEX_CHARACTERS} characters of expressions"
    if sum(text.count("[") for text in texts) > MOST_REGEX_SETS:
        return f"has more than {MOST_REGEX_SETS} sets of characters"
    if sum(text.count("[") for text in texts if _WIDE_RANGE.search(text)) > MOST_WIDE_SETS:
        return f"has more than {MOST_WIDE_SETS} sets of characters beside ranges beyond Latin-1"
    return ""


def _keyword(place: Place, entry: Any) -> Iterator[Fault]:
    if not isinstance(entry, str) or not 0 < len(entry) <= LONGEST_TEXT:
        yield Fault(place, f"must be a text of 1 to {LONGEST_TEXT} characters")


def _expression(place: Place, entry: Any) -> Iterator[Fault]:
    if found := list(_keyword(place, entry)):
        yield from found
        return
    if any(each != _NO_FLAGS for each in _FLAGS.findall(entry)):
        yield Fault(place, "flags inside of an expression are not taken; write [Aa] for both cases")
        return
    try:
        with _COMPILING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(entry)
    except (re.error, OverflowError, RecursionError):
        yield Fault(place, "is not a regular expression in Python's notation")


def _rule(place: Place, entry: Any, depth: int = 1) -> Iterator[Fault]:
    if isinstance(entry, str):
        yield from _keyword(place, entry)
        return
    if not isinstance(entry, dict):
        yield Fault(place, "must be a text or an object with one rule")
        return
    if depth > DEEPEST_RULE:
        yield Fault(place, f"is nested more than {DEEPEST_RULE} deep")
        return
    kinds = [name for name in entry if name != "field"]
    if len(kinds) != 1 or kinds[0] not in TEXT_RULES | LIST_RULES | {"not"}:
        yield Fault(place, "must have one of contains, prefix, suffix, equals, and, or, not")
        return
    yield from _one_rule(place, entry, kinds[0], depth)


def _one_rule(place: Place, entry: Mapping[str, Any], kind: str, depth: int) -> Iterator[Fault]:
    value = entry[kind]
    if kind in TEXT_RULES:
        yield from _keyword((*place, kind), value)
        field = entry.get("field", "content")
        if not isinstance(field, str) or not COLUMN.fullmatch(field):
            yield Fault((*place, "field"), "must be the name of a column")
    elif "field" in entry:
        yield Fault((*place, "field"), f"belongs to a rule on a text, not to {kind!r}")
    elif kind == "not":
        yield from _rule((*place, kind), value, depth + 1)
    elif not isinstance(value, list) or not value:
        yield Fault((*place, kind), "must be a list of rules")
    else:
        for number, each in enumerate(value):
            yield from _rule((*place, kind, number), each, depth + 1)


_ENTRIES: Final[Mapping[str, Callable[[Place, Any], Iterator[Fault]]]] = {
    "keyword_model": _keyword,
    "rule_model": _rule,
    "regex_model": _expression,
}

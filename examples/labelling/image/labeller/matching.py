"""Patterns held against rows. Case counts only in regular expressions.

A matcher takes a row and gives its labels, each with what made it match. An expression can
take for ever on some texts, so a row's expressions share a time limit: what is not found by
then is not there. Too many such rows end the labelling rather than slow it down for hours.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from .faults import LabellingError
from .task import Task

Row = Mapping[str, Any]
Labels = list[tuple[str, str]]
Matcher = Callable[[Row], Labels]

ROW_S = 0.25
MOST_SLOW_ROWS = 100


def matcher(task: Task) -> Matcher:
    """The matcher of the task's model."""
    if task.model_type == "regex_model":
        return Expressions(task)
    return _keywords(task) if task.model_type == "keyword_model" else _rules(task)


def _keywords(task: Task) -> Matcher:
    labels = [(label, [word.casefold() for word in words]) for label, words in task.pattern.items()]

    def match(row: Row) -> Labels:
        text = _text(row, task.predict_type)
        found = (
            (label, next((word for word in words if word in text), "")) for label, words in labels
        )
        return [each for each in found if each[1]]

    return match


def _rules(task: Task) -> Matcher:
    labels = list(task.pattern.items())

    def match(row: Row) -> Labels:
        found: Labels = []
        for label, rules in labels:
            number = next(
                (n for n, rule in enumerate(rules, 1) if holds(rule, row, task.predict_type)), None
            )
            if number is not None:
                found.append((label, f"rule {number}"))
        return found

    return match


def holds(rule: Any, row: Row, field: str) -> bool:
    """True when a rule holds for a row; ``field`` is meant where a rule names none."""
    if isinstance(rule, str):
        return rule.casefold() in _text(row, field)
    if "and" in rule:
        return all(holds(each, row, field) for each in rule["and"])
    if "or" in rule:
        return any(holds(each, row, field) for each in rule["or"])
    if "not" in rule:
        return not holds(rule["not"], row, field)
    text = _text(row, rule.get("field", field))
    kind, wanted = next((kind, value) for kind, value in rule.items() if kind != "field")
    return _COMPARED[kind](text, str(wanted).casefold())


_COMPARED: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda text, wanted: wanted in text,
    "prefix": str.startswith,
    "suffix": str.endswith,
    "equals": str.__eq__,
}


class _TooSlowError(Exception):
    pass


class Expressions:
    """Regular expressions with a clock. Python's matcher looks at signals as it goes, so an
    alarm gets through to one that has run away; only in the main thread."""

    def __init__(self, task: Task) -> None:
        self._field = task.predict_type
        self._labels = [
            (label, [re.compile(text) for text in texts]) for label, texts in task.pattern.items()
        ]
        self.slow_rows = 0
        signal.signal(signal.SIGALRM, _ring)

    def __call__(self, row: Row) -> Labels:
        found: Labels = []
        try:
            signal.setitimer(signal.ITIMER_REAL, ROW_S)
            try:
                found.extend(self._labels_of(str(row[self._field])))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _TooSlowError:
            self.slow_rows += 1
            if self.slow_rows > MOST_SLOW_ROWS:
                raise LabellingError(
                    f"the expressions take longer than {ROW_S} s on more than {MOST_SLOW_ROWS} rows"
                ) from None
        return found

    def _labels_of(self, text: str) -> Iterator[tuple[str, str]]:
        for label, expressions in self._labels:
            match = next((m for each in expressions if (m := each.search(text))), None)
            if match:
                yield label, match[0]


def _ring(number: int, frame: FrameType | None) -> None:
    raise _TooSlowError


def _text(row: Row, field: str) -> str:
    value = row[field]
    return "" if value is None else str(value).casefold()

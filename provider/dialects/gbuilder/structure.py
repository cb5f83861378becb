"""What is in the files: JSONL, one object in each line. No input, no output of its own.

| model | input | output |
|---|---|---|
| named entities (ner) | ``data`` | ``data``, ``entity``, ``entity_type`` in the same order |
| relations (re) | ``data``, ``entity_pair``, ``entity_type_pair`` | the same, ``relation`` |
| both (je) | ``data`` | ``data``, ``entity_pair``, ``entity_type_pair``, ``relation`` |

``entity_type_pair`` may be left out. Lists of one line are equally long. Further keys are
nobody's business. Source: STRUCT.md of gBuilder's endpoint example.

A file is read line by line and each line is bounded, so that a large file costs no more memory
than a small one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO, Final

from provider import bounded_json

MOST_LINE_BYTES: Final = 1 << 20
MOST_PARTS: Final = 100_000
"""Texts, commas and brackets of a line."""

_MARK: Final = b"\xef\xbb\xbf"
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class Model(StrEnum):
    """What an endpoint finds; ``any`` for files that nobody looks into."""

    NER = "ner"
    RE = "re"
    JE = "je"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first mistake of a file: its line, counted from 1, the field, empty where the line
    as a whole is wrong, and what to do about it."""

    line: int
    field: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field + ': ' if self.field else ''}{self.text}"


Line = Mapping[str, Any]
_Check = Callable[[Line], tuple[str, str] | None]
"""Gives field and text of the first mistake in a line's object."""


def input_fault(file: BinaryIO, model: Model) -> Fault | None:
    """What is wrong with a file for this model, None if nothing is. Blocking."""
    return _first_fault(file, _INPUTS.get(model))


def output_fault(file: BinaryIO, model: Model) -> Fault | None:
    """What is wrong with a file of this model's making, None if nothing is. Blocking."""
    return _first_fault(file, _OUTPUTS.get(model))


def _first_fault(file: BinaryIO, check: _Check | None) -> Fault | None:
    """Empty lines at the end are of no account; elsewhere they would put readers out of
    step that count lines."""
    if check is None:
        return None
    number = empty = 0
    while line := file.readline(MOST_LINE_BYTES + 1):
        number += 1
        if not line.strip():
            empty = empty or number
            continue
        if empty:
            return Fault(empty, "", "is empty; write one JSON object in each line")
        fault = _fault_of(line, check)
        if fault is not None:
            return Fault(number, *fault)
    if not number or empty == 1:
        return Fault(1, "", "the file holds nothing; write one JSON object in each line")
    return None


def _fault_of(line: bytes, check: _Check) -> tuple[str, str] | None:
    if len(line) > MOST_LINE_BYTES:
        return "", f"is longer than {MOST_LINE_BYTES} bytes; split its text"
    if line.startswith(_MARK):
        return "", "begins with a byte order mark; save the file as UTF-8 without it"
    try:
        value = _parsed(line)
    except UnicodeDecodeError:
        return "", "is not UTF-8; save the file in that encoding"
    except ValueError:
        return "", "is not valid JSON; write one JSON object in each line"
    if not isinstance(value, dict):
        return "", "is not a JSON object; write {…} with the keys of the model"
    return check(value)


def _parsed(line: bytes) -> Any:
    """JSON without its traps. Raises ValueError, UnicodeDecodeError for other encodings."""
    text = line.decode("utf-8")
    value = bounded_json.loads(
        text,
        max_depth=bounded_json.MAX_DEPTH,
        max_parts=MOST_PARTS,
        parse_constant=_no_constant,
    )
    if _SURROGATE.search(line):
        _require_text(value)
    return value


def _require_text(value: Any) -> None:
    """An escape can name half of a character, which no UTF-8 can carry."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("half of a character") from None


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _ner_input(line: Line) -> tuple[str, str] | None:
    return _text(line, "data")


def _re_input(line: Line) -> tuple[str, str] | None:
    return _text(line, "data") or _pairs(line, "entity_pair") or _types_of_pairs(line)


def _ner_output(line: Line) -> tuple[str, str] | None:
    return (
        _text(line, "data")
        or _texts(line, "entity")
        or _texts(line, "entity_type")
        or _as_many(line, "entity_type", "entity")
    )


def _pairs_output(line: Line) -> tuple[str, str] | None:
    return _re_input(line) or _texts(line, "relation") or _as_many(line, "relation", "entity_pair")


_INPUTS: Mapping[Model, _Check] = {
    Model.NER: _ner_input,
    Model.RE: _re_input,
    Model.JE: _ner_input,
}
_OUTPUTS: Mapping[Model, _Check] = {
    Model.NER: _ner_output,
    Model.RE: _pairs_output,
    Model.JE: _pairs_output,
}


def _text(line: Line, field: str) -> tuple[str, str] | None:
    if field not in line:
        return field, "is missing; write the text there"
    return None if isinstance(line[field], str) else (field, "is not a text; write it in quotes")


def _texts(line: Line, field: str) -> tuple[str, str] | None:
    if field not in line:
        return field, "is missing; write a list of texts, [] for none"
    value = line[field]
    sound = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return None if sound else (field, "is not a list of texts")


def _pairs(line: Line, field: str) -> tuple[str, str] | None:
    if field not in line:
        return field, "is missing; write a list of pairs [head, tail], [] for none"
    value = line[field]
    sound = isinstance(value, list) and all(_is_pair(each) for each in value)
    return None if sound else (field, "is not a list of pairs of texts [head, tail]")


def _types_of_pairs(line: Line) -> tuple[str, str] | None:
    if "entity_type_pair" not in line:
        return None
    return _pairs(line, "entity_type_pair") or _as_many(line, "entity_type_pair", "entity_pair")


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(x, str) for x in value)


def _as_many(line: Line, field: str, other: str) -> tuple[str, str] | None:
    has, needs = len(line[field]), len(line[other])
    return None if has == needs else (field, f"has {has} entries, {other} has {needs}")

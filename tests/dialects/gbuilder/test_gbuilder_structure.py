"""What a file must hold for each model, and how a mistake is told."""

from __future__ import annotations

import io
from typing import Any

import pytest
from gbuilder_samples import jsonl

from provider.dialects.gbuilder.structure import (
    MOST_LINE_BYTES,
    Model,
    input_fault,
    output_fault,
)

PAIRS = {"data": "a in b", "entity_pair": [["a", "b"], ["b", "a"]]}
TYPED = PAIRS | {"entity_type_pair": [["x", "y"], ["y", "x"]]}
FOUND = {"data": "a b", "entity": ["a", "b"], "entity_type": ["x", "y"]}


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (Model.NER, {"data": "a"}),
        (Model.NER, {"data": ""}),
        (Model.NER, {"data": "中", "id": 7}),
        (Model.JE, {"data": "a"}),
        (Model.RE, PAIRS),
        (Model.RE, TYPED),
        (Model.RE, {"data": "a", "entity_pair": []}),
    ],
)
def test_sound_inputs(model: Model, line: dict[str, Any]) -> None:
    assert input_fault(jsonl(line, line), model) is None


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (Model.NER, FOUND),
        (Model.NER, {"data": "a", "entity": [], "entity_type": []}),
        (Model.RE, PAIRS | {"relation": ["in", "has"]}),
        (Model.RE, TYPED | {"relation": ["in", "has"]}),
        (Model.JE, TYPED | {"relation": ["in", "has"]}),
    ],
)
def test_sound_outputs(model: Model, line: dict[str, Any]) -> None:
    assert output_fault(jsonl(line), model) is None


@pytest.mark.parametrize(
    ("model", "line", "field", "text"),
    [
        (Model.NER, {}, "data", "missing"),
        (Model.NER, {"data": 1}, "data", "not a text"),
        (Model.NER, {"data": None}, "data", "not a text"),
        (Model.JE, {"text": "a"}, "data", "missing"),
        (Model.RE, {"data": "a"}, "entity_pair", "missing"),
        (Model.RE, {"data": "a", "entity_pair": {}}, "entity_pair", "pairs"),
        (Model.RE, {"data": "a", "entity_pair": [["a"]]}, "entity_pair", "pairs"),
        (Model.RE, {"data": "a", "entity_pair": [["a", "b", "c"]]}, "entity_pair", "pairs"),
        (Model.RE, {"data": "a", "entity_pair": [["a", 1]]}, "entity_pair", "pairs"),
        (Model.RE, {"data": "a", "entity_pair": ["ab"]}, "entity_pair", "pairs"),
        (Model.RE, PAIRS | {"entity_type_pair": [["x", "y"]]}, "entity_type_pair", "1 entries"),
        (Model.RE, PAIRS | {"entity_type_pair": None}, "entity_type_pair", "pairs"),
        (Model.NER, ["data"], "", "not a JSON object"),
        (Model.NER, "null", "", "not a JSON object"),
        (Model.NER, "{'data': 'a'}", "", "not valid JSON"),
        (Model.NER, '{"data": "a"', "", "not valid JSON"),
        (Model.NER, '{"data": "a", "x": NaN}', "", "not valid JSON"),
        (Model.NER, '{"data": "\\ud800"}', "", "not valid JSON"),
        (Model.NER, "[" * 100_000, "", "not valid JSON"),
        (Model.NER, '{"data": "a", "x": ' + "9" * 10_000 + "}", "", "not valid JSON"),
        (Model.NER, '{"data": "a"}'.encode("utf-16"), "", "not UTF-8"),
        (Model.NER, b'{"data": "\xff"}', "", "not UTF-8"),
        (Model.NER, b'\xef\xbb\xbf{"data": "a"}', "", "byte order mark"),
        (Model.NER, {"data": "a" * MOST_LINE_BYTES}, "", "longer than"),
    ],
)
def test_faulty_inputs(model: Model, line: Any, field: str, text: str) -> None:
    good = TYPED
    fault = input_fault(jsonl(good, line, good), model)
    assert fault is not None
    assert (fault.line, fault.field) == (2, field)
    assert text in fault.text
    assert str(fault).startswith(f"line 2: {field}")


@pytest.mark.parametrize(
    ("model", "line", "field"),
    [
        (Model.NER, {"data": "a"}, "entity"),
        (Model.NER, {"data": "a", "entity": ["a"]}, "entity_type"),
        (Model.NER, FOUND | {"entity_type": ["x"]}, "entity_type"),
        (Model.NER, FOUND | {"entity": "ab"}, "entity"),
        (Model.NER, FOUND | {"entity": ["a", 1]}, "entity"),
        (Model.RE, PAIRS, "relation"),
        (Model.RE, PAIRS | {"relation": ["in"]}, "relation"),
        (Model.JE, {"data": "a", "relation": []}, "entity_pair"),
        (Model.JE, TYPED | {"relation": ["in", None]}, "relation"),
    ],
)
def test_faulty_outputs(model: Model, line: dict[str, Any], field: str) -> None:
    fault = output_fault(jsonl(line), model)
    assert fault is not None
    assert (fault.line, fault.field) == (1, field)


def test_escaped_characters_in_two_halves_are_sound() -> None:
    assert input_fault(jsonl(b'{"data": "\\ud83d\\ude00"}'), Model.NER) is None


def test_empty_lines_count_only_before_others() -> None:
    good = '{"data": "a"}'
    assert input_fault(jsonl(good, good, "", "  "), Model.NER) is None
    assert input_fault(io.BytesIO(good.encode()), Model.NER) is None
    assert input_fault(io.BytesIO(f"{good}\r\n{good}\r\n".encode()), Model.NER) is None
    fault = input_fault(jsonl(good, "", good), Model.NER)
    assert fault is not None
    assert fault.line == 2


@pytest.mark.parametrize("raw", [b"", b"\n", b" \n\n"])
def test_a_file_of_nothing(raw: bytes) -> None:
    fault = input_fault(io.BytesIO(raw), Model.NER)
    assert fault is not None
    assert "holds nothing" in fault.text


def test_any_is_not_looked_into() -> None:
    assert input_fault(io.BytesIO(b"\xff\x00"), Model.ANY) is None
    assert output_fault(io.BytesIO(b""), Model.ANY) is None


class Endless(io.RawIOBase):
    """A line without an end; counts what is taken of it."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = b"a" * len(buffer)
        self.taken += len(buffer)
        return len(buffer)


def test_a_line_without_an_end_is_not_read_to_it() -> None:
    endless = Endless()
    fault = input_fault(io.BufferedReader(endless), Model.NER)  # type: ignore[arg-type]
    assert fault is not None
    assert endless.taken < 2 * MOST_LINE_BYTES

"""Reads ``input.jsonl`` from the inputs, writes ``output.jsonl`` to the outputs.

Each input line has ``data``; each output line has it too, with ``entity`` and
``entity_type`` in the same order. Lines that cannot be read are left out, told on standard error
and counted. The exit code is 1 only when not a single line could be read.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import BinaryIO

from . import entities

LONGEST_LINE = 4 << 20


def main() -> int:
    source = Path(os.environ.get("INPUTS", "/data/inputs")) / "input.jsonl"
    target = Path(os.environ.get("OUTPUTS", "/data/outputs")) / "output.jsonl"
    with source.open("rb") as lines, target.open("wb") as found:
        good, bad, count = run(lines, found)
    sys.stderr.write(f"{good} lines read, {bad} left out, {count} entities found\n")
    return 0 if good else 1


def run(lines: BinaryIO, found: BinaryIO) -> tuple[int, int, int]:
    """How many lines were read, how many left out, how many entities they had."""
    good = bad = count = number = 0
    while line := lines.readline(LONGEST_LINE):
        number += 1
        if not line.strip():
            continue
        try:
            text = data_of(line)
        except ValueError as error:
            bad += 1
            sys.stderr.write(f"line {number}: {error}\n")
            continue
        answer = answered(text)
        found.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
        good, count = good + 1, count + len(answer["entity"])
    return good, bad, count


def data_of(line: bytes) -> str:
    """The text of a line. Raises ValueError that says what is wrong."""
    if len(line) == LONGEST_LINE:
        raise ValueError("too long")
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("not JSON in UTF-8") from None
    if not isinstance(value, dict) or not isinstance(value.get("data"), str):
        raise ValueError("no object with a text named data")  # noqa: TRY004 (of the line)
    text: str = value["data"]
    return text.encode("utf-8", "replace").decode("utf-8")


def answered(text: str) -> dict[str, str | list[str]]:
    """The output line for a text."""
    spans = entities.find(text)
    return {
        "data": text,
        "entity": [text[span.start : span.end] for span in spans],
        "entity_type": [span.kind for span in spans],
    }


if __name__ == "__main__":
    sys.exit(main())

"""What an algorithm says of its own progress, and the samples that it leaves. Pure.

Both are files of hostile code: bounded, and taken only where they are of the right shape.

``progress.json`` is one object. All of its fields may be missing: ``received``, ``labelled``
(rows), ``labelled_authors``, ``authors`` (counts), ``tables`` (names), ``peak_memory`` (MiB),
``run_time_s``, ``check_point`` (a time), ``error`` (a sentence). ``sample/<table>.jsonl`` has
one row a line, an object of texts and numbers.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from provider import bounded_json

FILE: Final = "progress.json"
FILE_BYTES: Final = 64 << 10
SAMPLE_BYTES: Final = 1 << 20
MOST_TABLES: Final = 16
MOST_SAMPLED: Final = 50
LIKELIHOOD: Final = 0.2

_MOST = 1 << 53
_TABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_$-]{0,63}")
_LONGEST_TEXT = 500
_LONGEST_VALUE = 2000
_MOST_COLUMNS = 20
_MOST_LINES = 1000
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")

Row = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Progress:
    """None for whatever the algorithm has not said, or not properly."""

    received: int | None = None
    labelled: int | None = None
    labelled_authors: int | None = None
    authors: int | None = None
    tables: tuple[str, ...] = ()
    peak_memory: float | None = None
    run_time_s: float | None = None
    check_point: str | None = None
    error: str | None = None

    @property
    def rate(self) -> str | None:
        """Percent of the authors that have a label, with two decimals."""
        if not self.authors or self.labelled_authors is None:
            return None
        return f"{100 * min(1.0, self.labelled_authors / self.authors):.2f}"


NOTHING: Final = Progress()


def progress_of(raw: bytes | None) -> Progress:
    """What the file says; nothing where it is none."""
    said = _object(raw or b"")
    return Progress(
        received=_count(said.get("received")),
        labelled=_count(said.get("labelled")),
        labelled_authors=_count(said.get("labelled_authors")),
        authors=_count(said.get("authors")),
        tables=_tables(said.get("tables")),
        peak_memory=_amount(said.get("peak_memory")),
        run_time_s=_amount(said.get("run_time_s")),
        check_point=_text(said.get("check_point")),
        error=_text(said.get("error")),
    )


def sample_name(table: str) -> str:
    """Where the sample of a result table is, below the outputs."""
    return f"sample/{table}.jsonl"


def rows_of(raw: bytes | None) -> list[Row]:
    """The rows of a sample file; what is no row, and the last line if it is cut, is left out."""
    lines = (raw or b"").split(b"\n")[:-1][:_MOST_LINES]
    rows = [_row(_object(line)) for line in lines]
    return [row for row in rows if row]


def draw(tables: Sequence[Sequence[Row]], chance: random.Random) -> list[Row]:
    """Of each table at most fifty rows, each taken with a likelihood of a fifth; one row of a
    table that has some even if none is drawn."""
    drawn: list[Row] = []
    for rows in tables:
        taken = [row for row in rows if chance.random() <= LIKELIHOOD]
        if rows and not taken:
            taken = [chance.choice(rows)]
        drawn += taken[:MOST_SAMPLED]
    return drawn


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        value = bounded_json.loads(
            raw, max_depth=4, max_parts=1000, parse_int=_int, parse_constant=_none
        )
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _int(text: str) -> int | None:
    """Python itself refuses to read numbers of many digits, which is no reason to doubt the
    rest."""
    return int(text) if len(text) < 20 else None


def _none(_: str) -> None:
    """For what JSON has no word for, such as NaN."""


def _count(value: object) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and isinstance(value, int) and 0 <= value <= _MOST else None


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= _MOST else None


def _text(value: object, longest: int = _LONGEST_TEXT) -> str | None:
    if not isinstance(value, str):
        return None
    sound = value[:longest].encode("utf-8", "replace").decode()
    return _CONTROLS.sub(" ", sound) or None


def _tables(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    named = [each for each in value if isinstance(each, str) and _TABLE.fullmatch(each)]
    return tuple(dict.fromkeys(named))[:MOST_TABLES]


def _row(said: Mapping[str, Any]) -> Row:
    columns = list(said.items())[:_MOST_COLUMNS]
    return {
        _text(name, 64) or "": _text(value, _LONGEST_VALUE) if isinstance(value, str) else value
        for name, value in columns
        if value is None or isinstance(value, str | bool) or _is_number(value)
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= _MOST


def as_json(value: Any) -> str:
    """Compact JSON that any client can read."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

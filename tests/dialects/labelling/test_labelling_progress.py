"""What is believed of files that an algorithm writes."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.dialects.labelling.progress import (
    NOTHING,
    Progress,
    as_json,
    draw,
    progress_of,
    rows_of,
    sample_name,
)


def test_a_whole_file() -> None:
    said = {
        "received": 10,
        "labelled": 4,
        "labelled_authors": 3,
        "authors": 8,
        "tables": ["posts_1"],
        "peak_memory": 41.5,
        "run_time_s": 2,
        "check_point": "2020-01-01T00:00:00",
        "error": None,
    }
    progress = progress_of(json.dumps(said).encode())
    assert progress == Progress(10, 4, 3, 8, ("posts_1",), 41.5, 2.0, "2020-01-01T00:00:00", None)
    assert progress.rate == "37.50"


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff\xfe",
        b"[" * 10_000,
        b'{"received": NaN, "labelled": Infinity, "authors": 1e999}',
        b'{"received": 1' + b"0" * 5000 + b"}",
        b'{"received": -1, "labelled": true, "authors": 1.5, "labelled_authors": "7"}',
        b'{"received": 99999999999999999999}',
        b'{"tables": "posts", "error": 7, "check_point": ["x"], "peak_memory": "much"}',
        b'{"tables": ["../../etc/passwd", "a/b", "", ".", "a`b", 7, null]}',
        b'{"peak_memory": false, "run_time_s": -0.1}',
        b'{"error": ""}',
    ],
)
def test_what_is_not_believed(raw: bytes | None) -> None:
    assert progress_of(raw) == NOTHING


def test_texts_are_bounded_and_plain() -> None:
    progress = progress_of(json.dumps({"error": "a\n\x1b[31mb" + "c" * 9000}).encode())
    assert progress.error is not None
    assert progress.error.startswith("a [31mb")
    assert len(progress.error) <= 500
    lone = progress_of(b'{"error": "\\ud800"}')
    assert json.loads(as_json({"error": lone.error}).encode()) == {"error": "?"}


def test_tables_are_bounded() -> None:
    named = [f"t{n}" for n in range(1000)]
    raw = json.dumps({"tables": named[:400]}).encode()
    assert progress_of(raw).tables == tuple(named[:16])


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda x: st.lists(x) | st.dictionaries(st.text(), x),
            max_leaves=5,
        ),
    )
)
def test_any_file_can_be_read(said: dict[str, Any]) -> None:
    raw = json.dumps(said).encode()
    assert isinstance(progress_of(raw).rate, str | None)
    as_json(rows_of(raw + b"\n")).encode()


def test_no_rate_without_authors() -> None:
    assert Progress(authors=0, labelled_authors=0).rate is None
    assert Progress(authors=5).rate is None
    assert Progress(authors=1, labelled_authors=5).rate == "100.00"


def test_rows_of_a_sample() -> None:
    raw = b'{"label": "a", "n": 1, "x": null}\nnonsense\n{"deep": {"a": 1}}\n[]\n{"label": "cut'
    assert rows_of(raw) == [{"label": "a", "n": 1, "x": None}]
    assert rows_of(None) == []
    assert sample_name("posts") == "sample/posts.jsonl"


def test_at_most_fifty_rows_of_each_table_are_drawn() -> None:
    many = [{"n": n} for n in range(1000)]
    drawn = draw([many, many[:1], []], random.Random(1))
    assert len(drawn) == 51
    assert drawn[:50] == sorted(drawn[:50], key=lambda row: row["n"])


def test_about_a_fifth_is_drawn() -> None:
    drawn = [len(draw([[{"n": n} for n in range(100)]], random.Random(s))) for s in range(200)]
    assert 18 < sum(drawn) / len(drawn) < 22


def test_an_unlucky_draw_has_a_row() -> None:
    assert all(draw([[{"n": 1}]], random.Random(seed)) == [{"n": 1}] for seed in range(50))
    assert draw([[], []], random.Random(1)) == []

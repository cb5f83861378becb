"""The example's algorithm: what it finds, what it leaves, and bad lines."""

# ruff: noqa: RUF001 (the punctuation is that of Chinese)

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from examples.gbuilder import demo
from examples.gbuilder.image.ner import __main__ as algorithm
from examples.gbuilder.image.ner.entities import find
from provider.dialects.gbuilder.structure import Model, input_fault, output_fault

TEXTS = {
    "Marie Curie was born in Warsaw on 7 November 1867.": [
        ("Marie Curie", "PERSON"),
        ("Warsaw", "LOC"),
        ("7 November 1867", "DATE"),
    ],
    "Professor Dorothy Hodgkin worked at the University of Oxford until 1977.": [
        ("Dorothy Hodgkin", "PERSON"),
        ("University of Oxford", "ORG"),
        ("1977", "DATE"),
    ],
    "The Bank of England is in London.": [("Bank of England", "ORG"), ("London", "LOC")],
    "It paid $7.2 million, then 5 million euros and CNY 3,000.50.": [
        ("$7.2 million", "MONEY"),
        ("5 million euros", "MONEY"),
        ("CNY 3,000.50", "MONEY"),
    ],
    "About 71% and 46 per cent.": [("71%", "PERCENT"), ("46 per cent", "PERCENT")],
    "Write to a.b@mail.example.org, see https://example.org/a?b=1.": [
        ("a.b@mail.example.org", "EMAIL"),
        ("https://example.org/a?b=1", "URL"),
    ],
    "March 5, 2024 and 2024-03-05, 05/03/2024": [
        ("March 5, 2024", "DATE"),
        ("2024-03-05", "DATE"),
        ("05/03/2024", "DATE"),
    ],
    "Lake Geneva and the Pacific Ocean": [("Lake Geneva", "LOC"), ("Pacific Ocean", "LOC")],
    "钱学森1911年12月11日出生于上海，毕业于上海交通大学。": [
        ("钱学森", "PERSON"),
        ("1911年12月11日", "DATE"),
        ("上海", "LOC"),
        ("上海交通大学", "ORG"),
    ],
    "李白是唐代诗人，和杜甫是朋友。": [("李白", "PERSON"), ("杜甫", "PERSON")],
    "我们在中国科学院和北京大学工作，位于浙江省杭州市。": [
        ("中国科学院", "ORG"),
        ("北京大学", "ORG"),
        ("浙江省", "LOC"),
        ("杭州市", "LOC"),
    ],
    "二〇二四年三月五日，投资五千万美元，增长百分之三点五。": [
        ("二〇二四年三月五日", "DATE"),
        ("五千万美元", "MONEY"),
        ("百分之三点五", "PERCENT"),
    ],
    "他来自一所大学，方法是好的。": [],
    "他在London工作。": [("London", "LOC")],
    "The committee is large and it rains.": [],
    "": [],
}


@pytest.mark.parametrize(("text", "entities"), TEXTS.items())
def test_what_is_found(text: str, entities: list[tuple[str, str]]) -> None:
    assert [(text[span.start : span.end], span.kind) for span in find(text)] == entities


@pytest.mark.parametrize(
    "text", ["Aa ", "A. ", "$1,", "1", "中", "中和", "a@", "a.", "http://", "University of ", "李"]
)
def test_long_texts_of_one_thing_cost_little(text: str) -> None:
    started = time.process_time()
    find(text * (100_000 // len(text)))
    assert time.process_time() - started < 5


def test_bad_lines_are_told_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    good = b'{"data": "Paris"}\n'
    lines = good + b"no\n" + b'{"data": 1}\n' + b"\n" + b"\xff\n" + good + b'{"data": "\\ud800"}'
    found = io.BytesIO()
    assert algorithm.run(io.BytesIO(lines), found) == (3, 3, 2)
    told = capsys.readouterr().err
    assert [line.partition(":")[0] for line in told.splitlines()] == ["line 2", "line 3", "line 5"]
    assert output_fault(io.BytesIO(found.getvalue()), Model.NER) is None


@pytest.mark.parametrize(("content", "code"), [(b'no\n{"data": "a"}\n', 0), (b"no\n", 1), (b"", 1)])
def test_fails_only_when_nothing_could_be_read(tmp_path: Path, content: bytes, code: int) -> None:
    (tmp_path / "input.jsonl").write_bytes(content)
    folders = {"INPUTS": str(tmp_path), "OUTPUTS": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "ner"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(demo.CONTEXT), **folders},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == code, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(f"{1 - code} lines read")


def test_the_sample_is_what_is_described_and_gives_what_is() -> None:
    sample = demo.SAMPLE.read_bytes()
    assert input_fault(io.BytesIO(sample), Model.NER) is None
    found = io.BytesIO()
    good, bad, count = algorithm.run(io.BytesIO(sample), found)
    assert (good, bad) == (15, 0)
    assert count > 40
    assert output_fault(io.BytesIO(found.getvalue()), Model.NER) is None
    kinds = {
        kind for line in found.getvalue().splitlines() for kind in json.loads(line)["entity_type"]
    }
    assert kinds == {"DATE", "MONEY", "PERCENT", "EMAIL", "URL", "ORG", "LOC", "PERSON"}

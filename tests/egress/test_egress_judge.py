"""The verdict: which rules fire, whose outcome counts."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.egress.judge import Left, judge
from compute.egress.rules import EgressRules
from compute.egress.sources import Source
from compute.egress.verdict import Outcome, Verdict
from compute.models import ResultFile

REVIEWER = "0x" + "AB" * 20
INPUT = b"1,2\n" * 100
COPIES = "noInputCopies: no output or log equals an input"


def rules(**values: Any) -> EgressRules:
    return EgressRules.model_validate({"reviewers": [REVIEWER]} | values)


def left(folder: Path, logs: tuple[bytes, ...] = (), **outputs: bytes) -> Left:
    """Outputs by name, then logs that the engine kept."""
    folder.mkdir(exist_ok=True)
    files = []
    for index, (name, content) in enumerate(
        [*outputs.items(), *((f"{i}.log", c) for i, c in enumerate(logs))]
    ):
        (folder / str(index)).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        kind: Any = "output" if index < len(outputs) else "algorithmLog"
        files.append(ResultFile(index, name, len(content), digest, kind))
    captured = range(len(outputs), len(files))
    inputs = {hashlib.sha256(INPUT).hexdigest(), hashlib.sha256(b"").hexdigest()}
    return Left(files, folder, captured, inputs)


def verdict(left: Left, *sources: EgressRules) -> Verdict:
    named = [Source(str(number), each) for number, each in enumerate(sources)]
    return judge(named, left, most_inflated=1 << 20)


def test_where_an_input_was_changed_meanwhile_nobody_knows_what_is_a_copy(tmp_path: Path) -> None:
    """The algorithm may have read what the input was in between."""
    unsure = replace(left(tmp_path, a=b"x"), inputs=None)
    [finding] = verdict(unsure, rules(noInputCopies=True)).findings
    assert finding.outcome is Outcome.REFUSE
    assert finding.fired == (f"{COPIES}, and an input was changed while it was used",)
    assert verdict(unsure, rules(maxFiles=1)).outcome is Outcome.PASS
    nothing = replace(left(tmp_path / "empty", a=b""), inputs=None)
    assert verdict(nothing, rules(noInputCopies=True)).outcome is Outcome.PASS


CASES: list[tuple[dict[str, Any], dict[str, bytes], list[str]]] = [
    ({"maxBytes": 4}, {"a": b"12", "b": b"34"}, []),
    ({"maxBytes": 3}, {"a": b"12", "b": b"34"}, ["maxBytes: at most 3 bytes"]),
    ({"maxFiles": 1}, {"a": b""}, []),
    ({"maxFiles": 1}, {"a": b"", "b": b""}, ["maxFiles: at most 1 files"]),
    ({"maxFiles": 0}, {}, []),
    ({"names": ["*.csv", "b"]}, {"a.csv": b"", "b": b""}, []),
    ({"names": ["*.csv", "b"]}, {"a.csv": b"", "c": b""}, ["names: only *.csv, b"]),
    ({"types": ["text/*"]}, {"a": b"word", "b": b"1,2\n3,4\n", "empty": b""}, []),
    ({"types": ["text/csv"]}, {"a.csv": b"word"}, ["types: only text/csv"]),
    ({"types": ["application/gzip"]}, {"a": gzip.compress(b"x")}, ["types: only application/gzip"]),
    ({"types": ["application/gzip", "text/plain"]}, {"a": gzip.compress(b"x")}, []),
    ({"maxRows": 100}, {"a": INPUT}, []),
    ({"maxRows": 99}, {"a": b"", "b": INPUT}, ["maxRows: at most 99 rows in a table"]),
    ({"maxRows": 99}, {"a": gzip.compress(INPUT)}, ["maxRows: at most 99 rows in a table"]),
    ({"maxRows": 99}, {"a": b"PAR1"}, ["maxRows: at most 99 rows in a table"]),
    ({"maxRows": 99}, {"a": b"\x89PNG\r\n\x1a\n"}, []),
    ({"noInputCopies": True}, {"a": INPUT + b"x", "empty": b""}, []),
    ({"noInputCopies": True}, {"a": b"x", "b": INPUT}, [COPIES]),
    ({"noInputCopies": True}, {"a": gzip.compress(INPUT)}, [COPIES]),
    ({"noInputCopies": True}, {"a": gzip.compress(bytes(1 << 21))}, [COPIES]),
    ({"noInputCopies": True}, {"a": b"PAR1"}, []),
    ({"maxFiles": 0, "maxBytes": 0}, {"a": b"x"},
     ["maxBytes: at most 0 bytes", "maxFiles: at most 0 files"]),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "outputs", "fired"), CASES)
def test_rules(
    tmp_path: Path, limits: dict[str, Any], outputs: dict[str, bytes], fired: list[str]
) -> None:
    judged = verdict(left(tmp_path / "results", **outputs), rules(**limits))
    assert list(judged.fired) == fired
    assert judged.outcome is (Outcome.REFUSE if fired else Outcome.PASS)


def test_a_log_counts_as_an_output_only_when_it_equals_an_input(tmp_path: Path) -> None:
    strict = rules(maxBytes=0, maxFiles=0, maxRows=0, names=["x"], types=["image/*"])
    logs = (INPUT, b"PAR1", gzip.compress(b"x"))
    assert verdict(left(tmp_path / "r", logs), strict).outcome is Outcome.PASS
    assert verdict(left(tmp_path / "r", logs), rules(noInputCopies=True)).fired == (COPIES,)
    packed = (gzip.compress(INPUT),)
    assert verdict(left(tmp_path / "r", packed), rules(noInputCopies=True)).fired == (COPIES,)


def test_what_one_source_cannot_have_counted_is_not_held_against_another(tmp_path: Path) -> None:
    table = left(tmp_path / "r", a=b"PAR1")
    types = rules(types=["application/vnd.apache.parquet"])
    judged = verdict(table, types, rules(maxRows=5), rules(noInputCopies=True))
    assert [finding.outcome for finding in judged.findings] == [
        Outcome.PASS,
        Outcome.REFUSE,
        Outcome.PASS,
    ]


@pytest.mark.parametrize(
    ("hold", "fires", "outcome"),
    [
        ("never", False, Outcome.PASS),
        ("never", True, Outcome.REFUSE),
        ("fired", False, Outcome.PASS),
        ("fired", True, Outcome.HOLD),
        ("always", False, Outcome.HOLD),
        ("always", True, Outcome.HOLD),
    ],
)
def test_holding(tmp_path: Path, hold: str, fires: bool, outcome: Outcome) -> None:
    one = left(tmp_path / "r", a=b"x")
    judged = verdict(one, rules(hold=hold, maxFiles=0 if fires else 1, holdFor=60))
    assert judged.outcome is outcome
    holds = outcome is Outcome.HOLD
    assert judged.reviewers == ((REVIEWER.lower(),) if holds else ())
    assert judged.hold_s == (60 if holds else 0)
    assert bool(judged.fired) is fires


def test_many_patterns_are_not_all_told(tmp_path: Path) -> None:
    one = left(tmp_path / "r", a=b"x")
    [told] = verdict(one, rules(names=["b" * 200] * 100)).fired
    assert len(told) < 300


SOME_RULES = st.fixed_dictionaries(
    {},
    optional={
        "maxBytes": st.integers(0, 600),
        "maxFiles": st.integers(0, 3),
        "maxRows": st.integers(0, 120),
        "names": st.lists(st.sampled_from(["*", "a", "*.csv"]), max_size=2),
        "types": st.lists(st.sampled_from(["*", "text/*", "application/gzip"]), max_size=2),
        "noInputCopies": st.booleans(),
        "hold": st.sampled_from(["never", "fired", "always"]),
    },
)
CONTENTS = st.sampled_from([b"", INPUT, gzip.compress(INPUT), b"PK\x03\x04", b"{"]) | st.binary()


@given(
    st.dictionaries(st.sampled_from(["a", "b.csv", "c"]), CONTENTS, max_size=3),
    st.lists(SOME_RULES, min_size=1, max_size=3),
)
def test_one_more_source_never_makes_it_milder(
    tmp_path_factory: pytest.TempPathFactory,
    outputs: dict[str, bytes],
    sources: list[dict[str, Any]],
) -> None:
    folder = tmp_path_factory.getbasetemp() / "judged"
    made = [rules(**each) for each in sources]
    fewer = verdict(left(folder, **outputs), *made[:-1])
    more = verdict(left(folder, **outputs), *made)
    assert more.outcome.rank >= fewer.outcome.rank
    assert more.findings[:-1] == fewer.findings, "no source changes what another one says"
    assert set(fewer.fired) <= set(more.fired)

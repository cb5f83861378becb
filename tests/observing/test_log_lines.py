"""Log lines: every value stays one value of one line, and tells what it belongs to."""

from __future__ import annotations

import ast
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from compute.context import about
from provider import logs
from provider.logs import JsonFormatter, TextFormatter, Trace, line_of

METHODS = {"debug", "info", "warning", "error", "exception", "log"}
ROOT = Path(__file__).parents[2]
NASTY = (
    'x"\n2026-01-01 00:00:00,000 INFO provider job_ended job=forged status=70\r\u2028\x1b[2J =\\'
)


def record(text: str, *args: object, name: str = "provider.x", **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.INFO, "x.py", 1, text, args, None)
    for key, value in extra.items():
        setattr(made, key, value)
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    shown = JsonFormatter().format(made)
    assert len(shown.splitlines()) == 1
    document: dict[str, Any] = json.loads(shown)
    return document


def as_text(made: logging.LogRecord) -> str:
    """Without the time, level and name in front."""
    shown = TextFormatter().format(made)
    return shown.split(" INFO provider.x ", 1)[1]


def read_text(line: str) -> tuple[str, dict[str, str]]:
    """Event and values of a text line, as a reader would take them apart."""
    event, *rest = re.split(r" (?=[A-Za-z_]\w*=)", line, maxsplit=1)
    values: dict[str, str] = {}
    decoder = json.JSONDecoder()
    left = rest[0] if rest else ""
    while left:
        key, _, left = left.partition("=")
        if left.startswith('"'):
            values[key], end = decoder.raw_decode(left)
        else:
            end = (left + " ").index(" ")
            values[key] = left[:end]
        left = left[end + 1 :]
    return event, values


def test_values_keep_their_kinds_in_json() -> None:
    line = as_json(
        record(
            "request_answered path=%r status=%s ms=%.1f none=%s odd=%s",
            "/x y",
            200,
            12.345,
            None,
            float("nan"),
        )
    )
    assert line["event"] == "request_answered"
    assert line["path"] == "/x y"
    assert (line["status"], line["ms"], line["none"], line["odd"]) == (200, 12.3, None, "nan")
    assert line["level"] == "info"
    assert line["logger"] == "provider.x"


def test_values_among_constant_text_and_errors_become_text() -> None:
    line = as_json(record("ready url=http://%s:%s error=%s", "::1", 8030, ValueError("no")))
    assert (line["url"], line["error"]) == ("http://::1:8030", "no")


def test_a_key_of_the_line_itself_is_not_taken_over() -> None:
    line = as_json(record("odd level=%s time=%s", "none", "never"))
    assert (line["level"], line["level_"], line["time_"]) == ("info", "none", "never")
    assert line["time"].endswith("Z")


@given(st.text())
@example(NASTY)
def test_no_value_can_forge_anything(value: str) -> None:
    made = record("job_queued owner=%s path=%r status=%s", value, value, 7)
    line = as_json(made)
    assert (line["owner"], line["path"], line["status"]) == (value, value, 7)
    assert set(line) == {
        "time", "level", "logger", "event", "owner", "path", "status", "message"
    }  # fmt: skip
    text = as_text(made)
    assert text.isprintable()
    assert text.isascii()
    assert read_text(text) == ("job_queued", {"owner": value, "path": value, "status": "7"})


def test_plain_values_are_not_quoted() -> None:
    did = "did:op:" + "a1" * 32
    assert as_text(record("job_queued owner=%s did=%s", "0xAb", did)) == (
        f"job_queued owner=0xAb did={did}"
    )
    assert as_text(record("stopping")) == "stopping"


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("Executing %s took %s seconds", ("x job=1", 2)),
        ("Unclosed thing: %r", ("event=1\n",)),
        ("loose text with job=forged", ()),
        ("%(name)s is a mapping", ({"name": "x"},)),
        ("100% sure job=%s", ("x",)),
    ],
)
def test_lines_of_libraries_are_one_value(text: str, args: tuple[Any, ...]) -> None:
    made = record(text, *args, name="asyncio")
    if text.startswith("100%"):
        made.args = None
    line = as_json(made)
    assert line["event"] == logs.LIBRARY
    assert line["text"] == made.getMessage()
    assert "job" not in line
    assert "\n" not in TextFormatter().format(made)


def test_a_line_belongs_to_its_request_and_its_job() -> None:
    token = logs.REQUEST.set("r-1")
    try:
        with about("j-1"):
            line = as_json(record("space_lost path=%s", "/x"))
            named = as_json(record("job_wish job=%s", "another"))
            apart = as_json(record("request_unreadable error=%s", "x", apart=True))
        outside = as_json(record("stopping"))
    finally:
        logs.REQUEST.reset(token)
    assert (line["request"], line["job"]) == ("r-1", "j-1")
    assert named["job"] == "another"
    assert not {"job", "request"} & set(apart)
    assert outside["request"] == "r-1"
    assert "job" not in outside


def test_traces_stand_below_and_cannot_be_taken_for_lines() -> None:
    trace = Trace(f"KeyError\n  File x\n{NASTY}")
    made = record("request_failed error=%s", trace)
    first, *below = as_text(made).split("\n")
    assert first == "request_failed error=KeyError"
    assert below
    assert all(each.startswith("    | ") and each.isprintable() for each in below)
    line = as_json(made)
    assert line["error"] == "KeyError"
    assert line["trace"] == f"  File x\n{NASTY}"


def test_the_message_of_an_exception_cannot_forge_a_line() -> None:
    try:
        raise ValueError(NASTY)
    except ValueError:
        made = record("step_failed job=%s", "j")
        made.exc_info = sys.exc_info()
    first, *below = as_text(made).split("\n")
    assert first == "step_failed job=j"
    assert all(each.startswith("    | ") for each in below)
    assert "ValueError" in as_json(made)["trace"]


def formats() -> list[tuple[str, str]]:
    """The constant text of each log call of the project, and where it is."""
    found = []
    for floor in ("provider", "compute"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "log"
                    and node.func.attr in METHODS
                ):
                    position = 1 if node.func.attr == "log" else 0
                    text = node.args[position]
                    assert isinstance(text, ast.Constant), f"{path}:{node.lineno}: not constant"
                    found.append((str(text.value), f"{path}:{node.lineno}"))
    return found


def test_every_log_call_is_an_event_with_values() -> None:
    calls = formats()
    assert len(calls) > 60
    for text, place in calls:
        keys = re.findall(r"([A-Za-z_]\w*)=", text)
        specs = len(re.findall(r"%[-.0-9]*[a-z]", text))
        line = line_of(record(text, *([1] * specs)))
        assert line.event != logs.LIBRARY, place
        assert list(line.fields) == keys, place

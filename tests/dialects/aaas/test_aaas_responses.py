"""Infos, descriptions, errors, and where a log is cut."""

from __future__ import annotations

import json

import pytest
from aaas_samples import MODULE, NAME, RUN_OPTS, began, job, ran
from aiohttp import web

from compute.errors import EngineUnavailable, HoldTaken, QueueFull, StoreUnavailable
from compute.status import Phase
from provider.dialects.aaas import responses
from provider.dialects.aaas.errors import NoTask, ParameterWrong
from provider.dialects.aaas.logs import LONGEST_LINE, whole_lines
from provider.dialects.aaas.responses import Outcome
from provider.dialects.aaas.settings import Algorithm
from provider.errors import KeyWrong, NotLocal, RequestMalformed


def test_the_info_of_a_waiting_task_is_that_of_the_seed() -> None:
    assert responses.task_info(job(), mount="/aaas", ppid=7) == {
        "task_id": "mine",
        "task_ns": "test",
        "module": MODULE,
        "name": NAME,
        "run_opts": RUN_OPTS,
        "create_time": 1616126469.5,
    }


def test_the_info_of_a_done_task_has_the_response() -> None:
    done = ran(Phase.COMPLETED, "completed")
    info = responses.task_info(done, Outcome(b'{"hi": {"1": {"step": 1}}}'), mount="/", ppid=7)
    assert info["task_resp"] == {"hi": {"1": {"step": 1}}}
    assert info["process"] == {"pid": 13197, "ppid": 7}
    assert info["task_log"] == {"file_path": "/auto/task_log?task_id=mine&task_ns=test"}
    assert "exception" not in info


def test_the_info_of_a_failed_task_has_an_exception() -> None:
    failed = ran(Phase.ALGORITHM_FAILED, "exit_code")
    info = responses.task_info(failed, Outcome(None, b"Traceback\xff\n"), mount="/aaas", ppid=7)
    assert info["exception"] == {
        "type": "ExitCode",
        "info": ["detail of exit_code"],
        "traceback": "Traceback\ufffd\n",
    }
    assert info["done_flag"] == 1
    assert "task_resp" not in info


def test_the_nameless_namespace_is_null() -> None:
    info = responses.task_info(began(Phase.RUNNING, task_ns=""), mount="/a", ppid=7)
    assert info["task_ns"] is None
    assert info["task_log"] == {"file_path": "/a/auto/task_log?task_id=mine"}


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"null", None),
        (b'"a"', "a"),
        (b"[1, 2.5]", [1, 2.5]),
        (b'"\\ud800"', "\ud800"),
        (b'"' + b"a" * ((1 << 20) - 2) + b'"', "a" * ((1 << 20) - 2)),
    ],
)
def test_any_value_is_a_response(raw: bytes, value: object) -> None:
    assert responses.parsed_response(raw) == (True, value)
    assert json.loads(responses.dumps(value)) == value


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"",
        b"{",
        b"\xff",
        b"NaN",
        b"1e999",
        b"[" * 100_000,
        b"[" * 200 + b"]" * 200,
        b"9" * 5000,
        b'"' + b"a" * (1 << 20) + b'"',
    ],
)
def test_what_is_no_response_is_left_out(raw: bytes | None) -> None:
    assert responses.parsed_response(raw) == (False, None)


def test_a_description_shows_names_and_arguments_but_no_image() -> None:
    algorithm = Algorithm.model_validate(
        {
            "image": "secret/image:1",
            "description": "Counts.",
            "arguments": {
                "example_task.range.start": {"default": 1, "description": "First step."},
                "pkg.other_task.run.deep": {},
            },
        }
    )
    described = responses.description("m", {"hook_task": algorithm})
    assert described == {
        "module": "m",
        "trees": {
            "hook_task": {
                "description": "Counts.",
                "tasks": {
                    "example_task": {
                        "def": {
                            "range": {
                                "bind_arg": {"start": {"default": 1, "description": "First step."}}
                            }
                        }
                    },
                    "pkg.other_task": {
                        "def": {"run": {"bind_arg": {"deep": {"default": None, "description": ""}}}}
                    },
                },
            }
        },
    }


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ParameterWrong("Miss param-module"), 400, 100),
        (RequestMalformed("no JSON"), 400, 100),
        (NoTask(), 400, 1),
        (KeyWrong(), 401, 1),
        (NotLocal(), 403, 1),
        (web.HTTPNotFound(), 404, 1),
        (web.HTTPMethodNotAllowed("PUT", ["GET"]), 405, 1),
        (web.HTTPRequestEntityTooLarge(1, 2), 413, 1),
        (QueueFull("full"), 429, 1),
        (EngineUnavailable("silent"), 503, 1),
        (StoreUnavailable("silent"), 503, 1),
    ],
)
def test_errors(error: Exception, status: int, code: int) -> None:
    refusal = responses.refusal(error)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (status, code)
    assert refusal.body == {"code": code, "msg": refusal.message}


@pytest.mark.parametrize("error", [HoldTaken("a"), ValueError("a"), web.HTTPFound("/a")])
def test_what_no_client_may_read_is_left_to_the_guard(error: Exception) -> None:
    assert responses.refusal(error) is None


def test_an_error_fits_into_a_header() -> None:
    headers = responses.Refusal(400, 100, "nö\r\nX: y").headers
    assert headers == {"APP-ERROR-CODE": "100", "APP-ERROR-MSG": "n???X: y"}


@pytest.mark.parametrize(
    ("data", "most", "last", "lines"),
    [
        (b"", 5, True, []),
        (b"a\nb\n", 5, False, [b"a\n", b"b\n"]),
        (b"a\nb", 5, False, [b"a\n"]),
        (b"a\nb", 5, True, [b"a\n", b"b"]),
        (b"a\nb\nc\n", 2, True, [b"a\n", b"b\n"]),
        (b"a\nb\n", 0, True, []),
        (b"a\rb\n", None, False, [b"a\rb\n"]),
        (b"x" * LONGEST_LINE, None, False, [b"x" * LONGEST_LINE]),
    ],
)
def test_lines_are_whole(data: bytes, most: int | None, last: bool, lines: list[bytes]) -> None:
    assert whole_lines(data, most, last=last) == lines


@pytest.mark.parametrize(
    ("raw", "whole", "end"),
    [
        (b"a\nb\n", True, b"a\nb\n"),
        (b"a\nb\n", False, b"b\n"),
        (b"ab", False, b"ab"),
        (b"ab\n", False, b"ab\n"),
        (b"x\n" + b"y" * 4095 + b"\n", True, b"y" * 4095 + b"\n"),
    ],
)
def test_a_traceback_is_the_end_of_a_log(raw: bytes, whole: bool, end: bytes) -> None:
    assert responses.last_lines(raw, whole) == end

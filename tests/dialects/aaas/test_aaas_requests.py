"""What a call's arguments mean, and which are refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.dialects.aaas import requests
from provider.dialects.aaas.errors import ParameterWrong
from provider.dialects.aaas.requests import LogQuestion, Run, TaskName

RUN = {"module": "starter.helloworld.auto", "name": "hook_task"}


def run(**arguments: Any) -> Run:
    return requests.run({**RUN, **arguments}, most_delay_s=100.0)


def refused(**arguments: Any) -> str:
    with pytest.raises(ParameterWrong) as caught:
        run(**arguments)
    return caught.value.public


def test_the_request_of_the_seed() -> None:
    asked = run(task_ns="test", **{"bind_arg.example_task.range.start": "5"})
    assert asked.task_ns == "test"
    assert asked.run_opts == {
        "bind_arg.example_task.range.start": "5",
        "extra": {},
        "bind_arg": {},
    }
    assert asked.bound == {"example_task.range.start": "5"}


def test_arguments_of_a_body_go_where_they_belong() -> None:
    asked = run(
        bind_arg={"example_task": {"range": {"start": 5, "end": {"deep": [1]}}}},
        configs={"a": 1},
        run_opts={"delay": 3, "debug_log": True},
        **{"env.X": "y"},
    )
    assert asked.run_opts == {
        "delay": 3,
        "debug_log": True,
        "env.X": "y",
        "extra": {"configs": {"a": 1}},
        "bind_arg": {"example_task": {"range": {"start": 5, "end": {"deep": [1]}}}},
    }
    assert asked.bound == {
        "example_task.range.start": 5,
        "example_task.range.end": {"deep": [1]},
    }
    assert asked.configs == {"a": 1}
    assert asked.delay_s == 3.0


def test_dotted_arguments_count_more_than_the_object() -> None:
    asked = run(bind_arg={"t.m.a": 1, "t": {"m": {"b": 2}}}, **{"bind_arg.t.m.a": "9"})
    assert asked.bound == {"t.m.a": "9", "t.m.b": 2}


@pytest.mark.parametrize("value", ["0", "3.5", 7, 7.25, 100])
def test_delays(value: Any) -> None:
    assert run(delay=value).delay_s == float(value)
    assert run(run_opts={"delay": value}).delay_s == float(value)


@pytest.mark.parametrize("value", [-1, "-1", "x", "nan", "inf", True, [], 101, 10**400])
def test_delays_that_are_none(value: Any) -> None:
    assert refused(run_opts={"delay": value}).startswith("delay is not a number")


@pytest.mark.parametrize(
    ("missing", "text"), [("module", "Miss param-module"), ("name", "Miss param-name")]
)
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_missing(missing: str, text: str, value: Any) -> None:
    assert refused(**{missing: value}) == text


@pytest.mark.parametrize("name", ["bind_arg", "configs", "run_opts", "extra"])
@pytest.mark.parametrize("value", ["{}", 1, [], True])
def test_objects_that_are_none(name: str, value: Any) -> None:
    assert name in refused(**{name: value})


@pytest.mark.parametrize("name", ["module", "name", "task_id", "task_ns"])
@pytest.mark.parametrize("value", [1, [], {}, True])
def test_texts_that_are_none(name: str, value: Any) -> None:
    assert refused(**{name: value}) == f"{name} is not a text"


@pytest.mark.parametrize("name", ["task_id", "task_ns"])
@pytest.mark.parametrize(
    "value",
    ["../x", "a/b", "a\\b", "..", ".", "a\0", "a\nb", "\x1b[0m", " a", "a ", "x" * 129, "\ud800"],
)
def test_ids_that_are_none(name: str, value: str) -> None:
    assert refused(**{name: value}).startswith(name)


@given(st.text(max_size=140))
def test_an_id_is_taken_whole_or_not_at_all(text: str) -> None:
    try:
        assert run(task_id=text).task_id == text
    except ParameterWrong:
        return
    assert len(text) <= 128
    assert "/" not in text
    assert text.isprintable()


def test_a_state_hook_is_refused_only_when_there_is_one() -> None:
    assert "state_hook" in refused(state_hook={"type": "redis"})
    assert run(state_hook=None).run_opts == run(state_hook={}).run_opts == run().run_opts


def test_too_many_arguments_are_refused() -> None:
    assert "65536 bytes" in refused(configs={"a": "x" * 70_000})


def test_an_extra_of_the_body_is_kept_and_checked() -> None:
    assert run(extra={"a": 1}, configs={"b": 2}).run_opts["extra"] == {"a": 1, "configs": {"b": 2}}
    assert refused(extra={"configs": 1}) == "extra.configs is not a JSON object"


@pytest.mark.parametrize("value", ["1", "0", "false", 1, True])
def test_any_value_that_is_not_empty_asks_for_the_description(value: Any) -> None:
    assert requests.described_module({"module": "a", "only_parse": value}) == "a"


@pytest.mark.parametrize("value", ["", None, 0, False])
def test_no_description_is_asked_for(value: Any) -> None:
    assert requests.described_module({"only_parse": value}) is None


def test_a_description_needs_a_module_and_a_known_format() -> None:
    with pytest.raises(ParameterWrong, match=r"^Miss param-module$"):
        requests.described_module({"only_parse": "1"})
    with pytest.raises(ParameterWrong, match=r"^rst_format"):
        requests.described_module({"only_parse": "1", "module": "a", "rst_format": "yml"})


def test_a_task_needs_an_id() -> None:
    assert requests.task_name({"task_id": "a"}) == TaskName("a", "")
    with pytest.raises(ParameterWrong, match=r"^Miss param-task_id$"):
        requests.task_name({"task_ns": "a"})


@pytest.mark.parametrize(("given", "seconds"), [("0", 5), (3, 5), ("5", 5), (86400, 86400)])
def test_times_to_live(given: Any, seconds: float) -> None:
    assert requests.info_ttl({"task_info_ttl": given}) == seconds


@pytest.mark.parametrize("given", [None, "", "x", -1, True, "nan"])
def test_times_to_live_that_are_none(given: Any) -> None:
    with pytest.raises(ParameterWrong, match="task_info_ttl"):
        requests.info_ttl({"task_info_ttl": given})


def test_a_question_for_a_log_has_the_defaults_of_the_source() -> None:
    assert requests.log_question({"task_id": "a"}) == LogQuestion(TaskName("a", ""))


def test_a_question_as_the_client_of_the_source_writes_it() -> None:
    asked = {
        "task_id": "a",
        "pool_interval": "20",
        "pool_line": "-20",
        "log_offset": "77",
        "tail_mode": "False",
        "tail_line": "3",
        "tail_follow": "True",
    }
    assert requests.log_question(asked) == LogQuestion(
        TaskName("a", ""), 20.0, -20, 77, False, 3, True
    )


def test_nobody_waits_longer_than_a_minute() -> None:
    assert requests.log_question({"task_id": "a", "pool_interval": 1e9}).interval_s == 60.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pool_interval", "-1"),
        ("pool_interval", "soon"),
        ("pool_line", "1.5"),
        ("pool_line", "10001"),
        ("log_offset", "-1"),
        ("log_offset", "x"),
        ("log_offset", {}),
        ("tail_mode", "maybe"),
        ("tail_line", "-1"),
        ("tail_follow", [1]),
    ],
)
def test_questions_that_are_none(name: str, value: Any) -> None:
    with pytest.raises(ParameterWrong, match=f"^{name}"):
        requests.log_question({"task_id": "a", name: value})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "module",
        "name",
        "task_id",
        "task_ns",
        "only_parse",
        "rst_format",
        "configs",
        "bind_arg",
        "run_opts",
        "extra",
        "state_hook",
        "delay",
        "task_info_ttl",
        "pool_interval",
        "pool_line",
        "log_offset",
        "tail_mode",
        "tail_line",
        "tail_follow",
        "bind_arg.a.b.c",
    ]
)


@given(st.dictionaries(NAMES | st.text(max_size=8), ANYTHING, max_size=6))
def test_whatever_comes_is_taken_or_refused(arguments: dict[str, Any]) -> None:
    for parse in (
        requests.described_module,
        lambda given: requests.run({**RUN, **given}, 100.0),
        requests.task_name,
        requests.namespace,
        requests.info_ttl,
        lambda given: requests.log_question({"task_id": "a", **given}),
    ):
        with contextlib.suppress(ParameterWrong):
            parse(arguments)


def test_arguments_are_bounded_in_number_as_well() -> None:
    inner = [[] for _ in range(requests.MOST_ARGUMENT_VALUES)]
    assert refused(a=inner) == "the arguments are more than 1000 values"
    assert refused(bind_arg={"t": {"m": {str(n): n for n in range(1001)}}})
    assert refused(configs={"a": [inner]})
    # With "extra", "bind_arg" and "a" itself.
    assert run(a=inner[3:]).run_opts["a"] == inner[3:]
    assert run(a="," * 10_000).run_opts["a"]

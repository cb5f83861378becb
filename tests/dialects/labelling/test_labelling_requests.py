"""Bodies of the labelling API, good and bad."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelling_bodies import PASSWORD, seed_body
from pydantic import ValidationError

from provider.dialects.labelling import requests
from provider.dialects.labelling.requests import (
    BodyInvalid,
    MySqlSite,
    Refused,
    SqliteSite,
)
from provider.dialects.labelling.settings import LabellingSettings

SITE = seed_body()["SITE_CONFIG"]


def settings(**changes: Any) -> LabellingSettings:
    return LabellingSettings.model_validate({"environment": "small", "image": "label:1", **changes})


def test_the_manual_s_example_is_taken() -> None:
    call = requests.create_body(seed_body())
    assert call.about() == {
        "model_type": "keyword_model",
        "predict_type": "author",
        "start_time": "2020-01-01",
        "end_time": "2021-01-01",
        "target_schema": "wh_tiktok",
        "target_table": "ts_page_content",
        "output_schema": "audience_result",
        "countdown": 5,
        "queue": "queue1",
        "date_range": "2020-01-01 - 2021-01-01",
    }


def test_what_is_left_out_has_the_manual_s_values() -> None:
    left_out = {"MODEL_TYPE": ..., "PREDICT_TYPE": ..., "COUNTDOWN": ..., "QUEUE": ...}
    call = requests.create_body(seed_body(**left_out))
    assert (call.MODEL_TYPE, call.PREDICT_TYPE) == ("keyword_model", "author")
    assert (call.COUNTDOWN, call.QUEUE) == (5, "queue1")


def test_fields_that_nobody_knows_are_let_be() -> None:
    assert requests.create_body(seed_body(REMARK="hello"))


def test_sites() -> None:
    site = requests.create_body(seed_body()).SITE_CONFIG
    assert isinstance(site, MySqlSite)
    assert PASSWORD not in repr(requests.create_body(seed_body())) + repr(site)
    typed = seed_body(SITE_CONFIG={**SITE, "port": "3307"})
    found = requests.create_body(typed).SITE_CONFIG
    assert isinstance(found, MySqlSite)
    assert found.port == 3307
    file = requests.create_body(seed_body(SITE_CONFIG={"drivername": "sqlite", "db": "forum"}))
    assert isinstance(file.SITE_CONFIG, SqliteSite)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"START_TIME": ...}, ["START_TIME"]),
        ({"END_TIME": ...}, ["END_TIME"]),
        ({"PATTERN": ...}, ["PATTERN"]),
        ({"INPUT_TABLE": ...}, ["INPUT_TABLE"]),
        ({"SITE_CONFIG": ...}, ["SITE_CONFIG"]),
        ({"START_TIME": 1577836800}, ["START_TIME"]),
        ({"START_TIME": "2020-02-30"}, ["START_TIME"]),
        ({"END_TIME": "2021-01-01'; --"}, ["END_TIME"]),
        ({"MODEL_TYPE": "random_forest_model"}, ["MODEL_TYPE"]),
        ({"PREDICT_TYPE": "content`"}, ["PREDICT_TYPE"]),
        ({"INPUT_SCHEMA": "wh`tiktok"}, ["INPUT_SCHEMA"]),
        ({"INPUT_TABLE": "t; DROP TABLE t"}, ["INPUT_TABLE"]),
        ({"INPUT_TABLE": 'a"b'}, ["INPUT_TABLE"]),
        ({"INPUT_TABLE": "a" * 65}, ["INPUT_TABLE"]),
        ({"OUTPUT_SCHEMA": "../../etc"}, ["OUTPUT_SCHEMA"]),
        ({"OUTPUT_SCHEMA": ""}, ["OUTPUT_SCHEMA"]),
        ({"COUNTDOWN": -1}, ["COUNTDOWN"]),
        ({"COUNTDOWN": True}, ["COUNTDOWN"]),
        ({"COUNTDOWN": "5"}, ["COUNTDOWN"]),
        ({"COUNTDOWN": 10**9}, ["COUNTDOWN"]),
        ({"QUEUE": 1}, ["QUEUE"]),
        ({"QUEUE": None}, ["QUEUE"]),
        ({"PATTERN": []}, ["PATTERN"]),
        ({"SITE_CONFIG": "mysql://"}, ["SITE_CONFIG"]),
        ({"SITE_CONFIG": {**SITE, "port": 0}}, ["SITE_CONFIG", "port"]),
        ({"SITE_CONFIG": {**SITE, "port": "33x"}}, ["SITE_CONFIG", "port"]),
        ({"SITE_CONFIG": {**SITE, "host": "a b"}}, ["SITE_CONFIG", "host"]),
        ({"SITE_CONFIG": {**SITE, "host": "h/../x"}}, ["SITE_CONFIG", "host"]),
        ({"SITE_CONFIG": {**SITE, "drivername": "postgresql"}}, ["SITE_CONFIG", "drivername"]),
        ({"SITE_CONFIG": {**SITE, "unix_socket": "/x"}}, ["SITE_CONFIG", "unix_socket"]),
        ({"SITE_CONFIG": {**SITE, "local_infile": True}}, ["SITE_CONFIG", "local_infile"]),
        ({"SITE_CONFIG": {"host": "h", "user": "u", "db": "d"}}, ["SITE_CONFIG", "password"]),
    ],
)
def test_mistakes_are_told_by_place_and_without_values(
    changes: dict[str, Any], place: list[str]
) -> None:
    with pytest.raises(BodyInvalid) as caught:
        requests.create_body(seed_body(**changes))
    [mistake] = caught.value.detail
    assert mistake["loc"] == ["body", *place]
    assert set(mistake) == {"loc", "msg", "type"}
    assert PASSWORD not in str(caught.value.detail)


@pytest.mark.parametrize(
    ("model", "pattern", "place"),
    [
        ("keyword_model", {"a": "word"}, ["a"]),
        ("keyword_model", {"a": []}, ["a"]),
        ("keyword_model", {"": ["x"]}, []),
        ("keyword_model", {"a\nb": ["x"]}, []),
        ("keyword_model", {"a": ["x", 7]}, ["a", 1]),
        ("keyword_model", {"a": [""]}, ["a", 0]),
        ("keyword_model", {"a": ["x" * 501]}, ["a", 0]),
        ("keyword_model", {"a": ["x"] * 2001}, []),
        ("keyword_model", {str(n): ["x"] for n in range(201)}, []),
        ("rule_model", {"a": [{"startswith": "x"}]}, ["a", 0]),
        ("rule_model", {"a": [{"prefix": "x", "suffix": "y"}]}, ["a", 0]),
        ("rule_model", {"a": [{"prefix": 7}]}, ["a", 0, "prefix"]),
        ("rule_model", {"a": [{"prefix": "x", "field": "a`b"}]}, ["a", 0, "field"]),
        ("rule_model", {"a": [{"and": []}]}, ["a", 0, "and"]),
        ("rule_model", {"a": [{"or": ["x", {"not": 5}]}]}, ["a", 0, "or", 1, "not"]),
        ("rule_model", {"a": [{"not": "x", "field": "title"}]}, ["a", 0, "field"]),
        ("regex_model", {"a": ["(unclosed"]}, ["a", 0]),
        ("regex_model", {"a": ["(?i)x"]}, ["a", 0]),
        ("regex_model", {"a": ["x(?i:y)"]}, ["a", 0]),
        ("regex_model", {"a": ["(" * 250]}, ["a", 0]),
        ("regex_model", {"a": ["x{99999999999}"]}, ["a", 0]),
        ("regex_model", {"a": ["x" * 500] * 41}, []),
        ("regex_model", {"a": ["[^a]" * 100] * 6}, []),
        ("regex_model", {"a": ["[\u0100-\uffff]" * 51] * 2}, []),
        ("regex_model", {"a": [r"[\u0100-\uffff]" * 34] * 3}, []),
    ],
)
def test_patterns_that_are_none(model: str, pattern: dict[str, Any], place: list[Any]) -> None:
    with pytest.raises(BodyInvalid) as caught:
        requests.create_body(seed_body(MODEL_TYPE=model, PATTERN=pattern))
    assert caught.value.detail[0]["loc"] == ["body", "PATTERN", *place]


def test_deep_rules_are_refused() -> None:
    rule: Any = "x"
    for _ in range(9):
        rule = {"not": rule}
    with pytest.raises(BodyInvalid):
        requests.create_body(seed_body(MODEL_TYPE="rule_model", PATTERN={"a": [rule]}))


@pytest.mark.parametrize(
    ("model", "pattern"),
    [
        ("keyword_model", {"咖啡": ["拿鐵", "Espresso"]}),
        ("rule_model", {"a": ["x", {"and": [{"prefix": "x", "field": "title"}, {"not": "y"}]}]}),
        ("regex_model", {"a": ["[台臺]灣" * 100]}),
        ("regex_model", {"a": [r"^[Aa]\d+(?:b|c)(?P<n>x)(?=y)", "[[a]"]}),
    ],
)
def test_patterns(model: str, pattern: dict[str, Any]) -> None:
    assert pattern == requests.create_body(seed_body(MODEL_TYPE=model, PATTERN=pattern)).PATTERN


@pytest.mark.parametrize("end", ["2020-01-01", "2019-12-31"])
def test_the_start_is_before_the_end(end: str) -> None:
    with pytest.raises(Refused) as caught:
        requests.create_body(seed_body(END_TIME=end))
    assert (caught.value.code, caught.value.public) == (400, "START_TIME must be before END_TIME")


@pytest.mark.parametrize("task_id", ["", "x", "a" * 31, "a" * 33, "../" * 11])
def test_an_abort_needs_a_whole_id(task_id: str) -> None:
    with pytest.raises(Refused) as caught:
        requests.abort_body({"TASK_ID": task_id})
    assert caught.value.code == 400


@pytest.mark.parametrize("body", [{}, {"TASK_ID": 7}, {"TASK_ID": None}, {"task_id": "a" * 32}])
def test_an_abort_needs_an_id(body: dict[str, Any]) -> None:
    with pytest.raises(BodyInvalid) as caught:
        requests.abort_body(body)
    assert caught.value.detail[0]["loc"] == ["body", "TASK_ID"]


def test_what_is_to_be_dumped() -> None:
    ids = ["b" * 32, "a" * 32, "b" * 32]
    assert requests.dump_body({"TASK_IDS": ids}) == ["b" * 32, "a" * 32]
    assert requests.dump_body({"task_ids": ids}) == ["b" * 32, "a" * 32]
    for nothing in ({}, {"TASK_IDS": []}, {"task_ids": None}):
        with pytest.raises(Refused) as caught:
            requests.dump_body(nothing)
        assert caught.value.code == 404
    with pytest.raises(BodyInvalid):
        requests.dump_body({"TASK_IDS": "a" * 32})


@pytest.mark.parametrize(
    ("sites", "reachable"),
    [
        ([], False),
        (["*"], True),
        (["203.0.113.7:3306"], True),
        (["203.0.113.*:*"], True),
        (["203.0.113.7:3307"], False),
        (["203.0.113.8:3306", "db.example.org:3306"], False),
    ],
)
def test_only_listed_sites_are_reached(sites: list[str], reachable: bool) -> None:
    call = requests.create_body(seed_body())
    if reachable:
        requests.require_reachable(call, settings(sites=sites))
        return
    with pytest.raises(Refused) as caught:
        requests.require_reachable(call, settings(sites=sites))
    assert caught.value.code == 400
    assert "SITE_CONFIG" in caught.value.public
    assert not any(str(value) in caught.value.public for value in SITE.values())


@pytest.mark.parametrize(
    ("site", "host", "admitted"),
    [
        ("10.0.*:3306", "10.0.3.4", True),
        ("10.0.*:3306", "10.0.example.org", False),
        ("10.0.*:3306", "10.0.3", False),
        ("10.0.?.4:3306", "10.0.a.4", False),
        ("fd00:*:3306", "FD00::7", True),
        ("fd00:*:3306", "fd00:x.example.org", False),
        ("10.*.example.org:3306", "10.a.example.org", True),
        ("db:3306", "db", True),
        ("*:3306", "db.example.org", True),
    ],
)
def test_no_name_passes_for_an_address(site: str, host: str, admitted: bool) -> None:
    assert settings(sites=[site]).admits_site(host, 3306) is admitted


def test_only_offered_files_are_read() -> None:
    call = requests.create_body(seed_body(SITE_CONFIG={"drivername": "sqlite", "db": "../x"}))
    with pytest.raises(Refused):
        requests.require_reachable(call, settings(sites=["*"]))


def test_queues() -> None:
    some = settings(queues={"gpu": "large"})
    assert some.environment_of("queue1") == "small"
    assert some.environment_of("gpu") == "large"
    assert some.environment_of("queue2") is None
    assert some.named_environments() == {"environment": "small", "queues.gpu": "large"}
    assert settings(queues={"queue1": "large"}).environment_of("queue1") == "large"


@pytest.mark.parametrize(
    "changes",
    [
        {"sites": ["db.example.org"]},
        {"sites": ["http://db:1"]},
        {"image": "a b"},
        {"files": {"x": "/nowhere/at/all"}},
        {"files": {"../x": __file__}},
        {"idColumn": "a`b"},
        {"batchRows": 0},
        {"mount": "labelling"},
    ],
)
def test_settings_that_are_none(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**changes)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("label:1", "label:1"),
        ("label", "label:latest"),
        ("registry.example.org:5000/team/label:2", "registry.example.org:5000/team/label:2"),
        ("registry.example.org:5000/team/label", "registry.example.org:5000/team/label:latest"),
        ("label@sha256:" + "a" * 64, "label@sha256:" + "a" * 64),
    ],
)
def test_the_image(text: str, reference: str) -> None:
    assert settings(image=text).image.reference == reference


def test_files(tmp_path: Any) -> None:
    (tmp_path / "forum.db").touch()
    offered = settings(files={"forum": str(tmp_path / "forum.db")})
    assert offered.files["forum"] == tmp_path / "forum.db"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(seed_body())), _JSON), st.booleans())
def test_any_body_is_taken_or_told_what_is_wrong(body: dict[str, Any], whole: bool) -> None:
    for read in (requests.create_body, requests.abort_body, requests.dump_body):
        with contextlib.suppress(BodyInvalid, Refused):
            read({**seed_body(), **body} if whole else body)


@given(
    st.sampled_from(["keyword_model", "rule_model", "regex_model"]),
    st.dictionaries(st.text(), _JSON | st.lists(st.text())),
)
def test_any_pattern_is_taken_or_told_what_is_wrong(model: str, pattern: dict[str, Any]) -> None:
    with contextlib.suppress(BodyInvalid):
        requests.create_body(seed_body(MODEL_TYPE=model, PATTERN=pattern))

"""Hostile JSON is refused before the parser can be hurt by it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import pytest

from provider.bounded_json import MAX_DEPTH
from provider.dialects.reading import parse_json
from provider.errors import RequestMalformed


@pytest.fixture
def high_recursion_limit() -> Iterator[None]:
    """What some Ethereum libraries set when they are imported."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("high_recursion_limit")
@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_deep_nesting_never_reaches_the_parser(opening: str) -> None:
    with pytest.raises(RequestMalformed):
        parse_json(opening * 200_000)


def test_brackets_in_texts_are_no_nesting() -> None:
    value = {"code": '[[[{{{\\"' * 50, "list": [[] for _ in range(100)]}
    assert parse_json(json.dumps(value)) == value


def test_nesting_up_to_the_limit_is_read() -> None:
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert parse_json(deep) == json.loads(deep)


def test_texts_without_an_end_cost_no_more_than_others() -> None:
    began = time.process_time()
    with pytest.raises(RequestMalformed):
        parse_json("[" * 40 + '\\"' * 500_000)
    with pytest.raises(RequestMalformed):
        parse_json('"' + "[" * 40 + '\\"' * 500_000)
    assert time.process_time() - began < 5, "quadratic would take hours"


@pytest.mark.parametrize("part", ["[],", "0,", '"",', '"a":1,', "}", "]"])
def test_a_crowd_of_parts_is_refused_before_it_is_parsed(part: str) -> None:
    opening = "{" if ":" in part else "["
    began = time.process_time()
    with pytest.raises(RequestMalformed):
        parse_json(opening + part * ((1 << 20) // len(part)))
    assert time.process_time() - began < 0.5


def test_a_thousand_parts_are_read_whatever_the_texts_hold() -> None:
    value = {"numbers": list(range(1000)), "code": 'f(",[]{}", "")\n' * 10_000}
    assert parse_json(json.dumps(value)) == value

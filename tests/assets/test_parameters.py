"""Consumer parameters: defaults, types, and texts from query strings."""

from __future__ import annotations

from typing import Any

import pytest

from provider.assets.ddo import ConsumerParameter
from provider.assets.parameters import custom_data, userdata
from provider.errors import AssetMalformed, BadParameter


def parameter(**fields: Any) -> ConsumerParameter:
    return ConsumerParameter.model_validate({"name": "x", **fields})


@pytest.mark.parametrize("given", [None, {}, "", "{}"])
def test_nothing_given_is_an_empty_object(given: Any) -> None:
    assert userdata([], given) == {}


def test_without_declaration_everything_passes() -> None:
    given = {"a": [1, {"b": None}], "c": "5"}
    assert userdata([], given) == given
    assert userdata([], '{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("given", [[1], "[1]", "text", 7, True, "{", '{"a": NaN}'])
def test_userdata_must_be_an_object(given: Any) -> None:
    with pytest.raises(BadParameter) as caught:
        userdata([], given, field="dataset.userdata")
    assert caught.value.field == "dataset.userdata"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, None),
        ([1, 2], [1, 2]),
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", [1]),
        ("plain words", "plain words"),
        ("5", "5"),
        (7, 7),
        ("null", None),
    ],
)
def test_custom_data_may_be_any_json(given: Any, seen: Any) -> None:
    assert custom_data([], given) == seen


def test_custom_data_must_be_an_object_when_parameters_are_declared() -> None:
    with pytest.raises(BadParameter, match="algocustomdata must be a JSON object"):
        custom_data([parameter()], [1])


@pytest.mark.parametrize(
    ("kind", "given", "seen"),
    [
        ("text", "abc", "abc"),
        ("text", 5, 5),
        ("number", 5, 5),
        ("number", 0, 0),
        ("number", -1.5, -1.5),
        ("number", "5", 5),
        ("number", " 2.5 ", 2.5),
        ("number", "1e3", 1000.0),
        ("boolean", True, True),
        ("boolean", False, False),
        ("boolean", "true", True),
        ("boolean", "False", False),
        ("unheard-of", {"a": 1}, {"a": 1}),
    ],
)
def test_fitting_values(kind: str, given: Any, seen: Any) -> None:
    result = userdata([parameter(type=kind)], {"x": given})["x"]
    assert result == seen
    assert type(result) is type(seen)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("text", ["a"]),
        ("text", {"a": 1}),
        ("number", "five"),
        ("number", "NaN"),
        ("number", "Infinity"),
        ("number", float("nan")),
        ("number", True),
        ("number", "true"),
        ("number", [1]),
        ("number", "[1]"),
        ("boolean", "yes"),
        ("boolean", 1),
        ("boolean", []),
    ],
)
def test_unfit_values(kind: str, given: Any) -> None:
    with pytest.raises(BadParameter) as caught:
        userdata([parameter(type=kind)], {"x": given})
    assert caught.value.field == "userdata.x"
    assert "userdata.x must be" in caught.value.public


OPTIONS = [
    [{"a": "Letter A"}, {"5": "Five"}],
    ["a", 5],
    {"a": "Letter A", "5": "Five"},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("given", ["a", "5", 5])
def test_an_option_is_kept_as_given(options: Any, given: Any) -> None:
    assert userdata([parameter(type="select", options=options)], {"x": given}) == {"x": given}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("given", ["b", "Letter A", 6, ["a"], {"a": 1}, True])
def test_what_is_no_option_is_refused(options: Any, given: Any) -> None:
    with pytest.raises(BadParameter, match="one of its options"):
        userdata([parameter(type="select", options=options)], {"x": given})


def test_boolean_options() -> None:
    chosen = parameter(type="select", options=[True, False])
    assert userdata([chosen], {"x": "true"}) == {"x": "true"}
    assert userdata([chosen], {"x": True}) == {"x": True}


@pytest.mark.parametrize("given", [None, {}, {"x": None}, {"x": ""}])
def test_a_default_stands_in(given: Any) -> None:
    assert userdata([parameter(type="number", default="3", required=True)], given) == {"x": 3}


def test_a_given_value_beats_the_default() -> None:
    assert userdata([parameter(type="number", default=3)], {"x": 0}) == {"x": 0}
    assert userdata([parameter(type="boolean", default=True)], {"x": False}) == {"x": False}


@pytest.mark.parametrize("given", [None, {}, {"x": None}, {"x": ""}, {"y": 1}])
def test_a_required_parameter_must_be_given(given: Any) -> None:
    with pytest.raises(BadParameter) as caught:
        userdata([parameter(required=True)], given)
    assert caught.value.public == "The userdata.x field is required."


def test_an_optional_parameter_may_be_left_out() -> None:
    assert userdata([parameter(type="number")], {}) == {}


def test_undeclared_keys_pass_beside_declared_ones() -> None:
    assert userdata([parameter(default="d")], {"y": [1]}) == {"x": "d", "y": [1]}


def test_the_callers_object_is_not_changed() -> None:
    given: dict[str, Any] = {"x": "5"}
    userdata([parameter(type="number")], given)
    assert given == {"x": "5"}


def test_an_unusable_default_is_the_publishers_fault() -> None:
    with pytest.raises(AssetMalformed, match="default of parameter x"):
        userdata([parameter(type="number", default="many")], {})

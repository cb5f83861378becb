"""What a consumer may pass to a dataset or an algorithm, checked against its document. Pure.

``services[].consumerParameters`` describe ``userdata``, ``metadata.algorithm.
consumerParameters`` describe ``algocustomdata``. The old provider left checking and
defaults to its clients, so an algorithm could meet a missing value; here it cannot.

Values may arrive as text, because query strings have nothing else: ``"5"`` is taken for a
number and ``"true"`` for a boolean. Keys that nobody declared pass unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from provider import bounded_json
from provider.assets.ddo import ConsumerParameter
from provider.errors import AssetMalformed, BadParameter

Json = Any


class _UnfitError(ValueError):
    """The value is not of the declared type; the text says what it must be."""


def userdata(
    declared: Sequence[ConsumerParameter], given: Json, *, field: str = "userdata"
) -> dict[str, Json]:
    """The parameters of a dataset, with defaults.

    ``given`` is an object, its JSON text, or None. Raises BadParameter that names
    ``field`` and the parameter; AssetMalformed when a declared default is unusable.
    """
    values = _decoded(given)
    if values is None or values == "":
        values = {}
    if not isinstance(values, dict):
        raise BadParameter(f"{field} must be a JSON object.", field=field)
    return _completed(declared, values, field)


def custom_data(
    declared: Sequence[ConsumerParameter], given: Json, *, field: str = "algocustomdata"
) -> Json:
    """The parameters of an algorithm, with defaults.

    Any JSON value when nothing is declared (the algorithm reads it as a file), else as
    :func:`userdata`.
    """
    return userdata(declared, given, field=field) if declared else _decoded(given)


def _decoded(given: Json) -> Json:
    if not isinstance(given, str):
        return given
    try:
        value = bounded_json.loads(given, parse_constant=_no_constant)
    except ValueError:
        return given
    return value if isinstance(value, (dict, list)) or value is None else given


def _no_constant(name: str) -> Json:
    raise ValueError(name)


def _completed(
    declared: Sequence[ConsumerParameter], values: Mapping[str, Json], field: str
) -> dict[str, Json]:
    result = dict(values)
    for parameter in declared:
        if not _absent(result.get(parameter.name)):
            result[parameter.name] = _checked(parameter, result[parameter.name], field)
        elif not _absent(parameter.default):
            result[parameter.name] = _default(parameter)
        elif parameter.required:
            name = f"{field}.{parameter.name}"
            raise BadParameter(f"The {name} field is required.", field=name)
    return result


def _absent(value: Json) -> bool:
    return value is None or value == ""


def _checked(parameter: ConsumerParameter, value: Json, field: str) -> Json:
    name = f"{field}.{parameter.name}"
    try:
        return _fitted(parameter, value)
    except _UnfitError as why:
        message = f"The {name} must be {why}."
    raise BadParameter(message, field=name)


def _default(parameter: ConsumerParameter) -> Json:
    try:
        return _fitted(parameter, parameter.default)
    except _UnfitError as why:
        message = f"The default of parameter {parameter.name} is not {why}."
    raise AssetMalformed(message)


def _fitted(parameter: ConsumerParameter, value: Json) -> Json:
    if parameter.type == "select":
        return _option(parameter, value)
    fit = FITS.get(parameter.type)
    return fit(value) if fit else value


def _text(value: Json) -> Json:
    if isinstance(value, (dict, list)):
        raise _UnfitError("a text")
    return value


def _number(value: Json) -> Json:
    if isinstance(value, str):
        value = _number_of(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
        raise _UnfitError("a number")
    return value


def _number_of(text: str) -> Json:
    try:
        value = bounded_json.loads(text)
    except ValueError:
        return None
    return value


def _finite(value: int | float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _boolean(value: Json) -> Json:
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower())
    if not isinstance(value, bool):
        raise _UnfitError("true or false")
    return value


def _option(parameter: ConsumerParameter, value: Json) -> Json:
    if isinstance(value, (dict, list)) or _plain(value) not in _options(parameter):
        raise _UnfitError("one of its options")
    return value


def _options(parameter: ConsumerParameter) -> set[str]:
    keys: set[str] = set()
    for option in parameter.options:
        keys.update(map(_plain, option) if isinstance(option, dict) else [_plain(option)])
    return keys


def _plain(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


FITS: Mapping[str, Callable[[Json], Json]] = {
    "text": _text,
    "number": _number,
    "boolean": _boolean,
}

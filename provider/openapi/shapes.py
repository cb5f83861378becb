"""Shapes: typed dictionaries whose fields are described by the docstrings below them.

pydantic can read such docstrings too, but reads a module's source again for each class in it,
which took most of the time that the document takes.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, TypeVar

from pydantic import ConfigDict, with_config

_Class = TypeVar("_Class", bound=type)


def shape(cls: _Class) -> _Class:
    """Makes a TypedDict a shape."""
    return with_config(ConfigDict(json_schema_extra=partial(_describe, cls)))(cls)


def described(schema: dict[str, Any], cls: type) -> None:
    """For ``json_schema_extra`` of a model: add what the docstrings under its fields say."""
    _describe(cls, schema)


def _describe(cls: type, schema: dict[str, Any]) -> None:
    """Add what the docstrings say of the fields, those of bases included."""
    properties = schema.get("properties", {})
    for name, text in _told(cls).items():
        if name in properties:
            properties[name].setdefault("description", text)


def _told(cls: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in getattr(cls, "__orig_bases__", cls.__bases__):
        if isinstance(base, type) and base is not cls:
            found |= _told(base)
    return found | _docstrings(cls.__module__).get(cls.__name__, {})


@lru_cache(maxsize=64)
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """The docstrings of fields, by class and field; none where there is no source, as of
    what is built in."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError):
        return {}
    classes = [each for each in tree.body if isinstance(each, ast.ClassDef)]
    return {each.name: _of_fields(each.body) for each in classes}


def _of_fields(body: list[ast.stmt]) -> dict[str, str]:
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }

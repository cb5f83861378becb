"""YAML files that an operator writes: read strictly, each mistake told with field and fix.

A reader of such a file puts the file's name before these texts and raises them as its own
error. No text holds a value of the file, since some of these are secrets; ids are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

_HINTS = {
    "missing": "add it",
    "extra_forbidden": "remove it or correct its spelling",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "float_type": "write a number",
    "string_type": "write a text (in quotes if it looks like a number)",
    "tuple_type": "write a list",
    "dict_type": "write fields below it (name: value)",
    "mapping_type": "write fields below it (name: value)",
    "model_type": "write fields below it (name: value)",
    "bool_type": "write true or false",
}


class YamlInvalid(ValueError):
    """The file cannot be read, or is no YAML. The text tells where and why, not of which file."""


class _Loader(yaml.SafeLoader):
    """Refuses a field written twice: plain YAML would silently take the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    twice = f"{key.value} is written twice"
                    raise yaml.composer.ComposerError(None, None, twice, key.start_mark)
                seen.add(key.value)
        return node


def read_text(path: Path) -> str:
    """The file's text. Raises YamlInvalid."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise YamlInvalid(f"cannot be read ({reason})") from error


def parse(text: str) -> Any:
    """What the text holds. Raises YamlInvalid."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (it is a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        problem = getattr(error, "problem", None) or "not YAML"
        raise YamlInvalid(f"{where}: {problem}; correct the YAML there") from error


def explained(error: ValidationError, document: Any, top: str) -> list[str]:
    """Each mistake in one line: field, what is wrong, fix. ``top`` names what ``document`` is
    where the mistake is in no field of it."""
    items = error.errors(include_url=False, include_input=False, include_context=False)
    return [_explain(item, document, top) for item in items]


def _explain(item: Mapping[str, Any], document: Any, top: str) -> str:
    path, here = "", document
    for part in item["loc"]:
        here = _child(here, part)
        if isinstance(part, int):
            own_id = here.get("id") if isinstance(here, dict) else None
            path += f"[{part}]" + (f" ({own_id})" if own_id else "")
        else:
            path += f".{part}" if path else str(part)
    hint = _HINTS.get(item["type"])
    text = str(item["msg"]).removeprefix("Value error, ").replace("valid tuple", "valid list")
    return f"{path or top}: {text}" + (f"; {hint}" if hint else "")


def _child(here: Any, part: str | int) -> Any:
    try:
        return here[part]
    except (KeyError, IndexError, TypeError):
        return None

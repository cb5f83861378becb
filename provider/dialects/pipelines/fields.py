"""Reading the fields of a body, one by one, with an error that says what, where and how.

Unknown fields are let be: clients send some that the manual does not know.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from provider.errors import ProviderError
from provider.registry.models import is_uid

MOST_NAME = 200
MOST_TEXT = 4000
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,16}(\.[A-Za-z0-9]{1,16}){0,2}")


class FieldInvalid(ProviderError):
    """A field is missing, of the wrong type, or has a value that is not taken."""

    status = 422

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}", field=field)


class Fields:
    """The fields of one object; ``where`` is put before their names in errors. All methods
    raise FieldInvalid."""

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:
        self._values = values
        self._where = where

    def has(self, name: str) -> bool:
        """Whether something is there: a form sends fields that were left empty."""
        return self._values.get(name) not in (None, "")

    def text(self, name: str, *, most: int = MOST_NAME) -> str:
        """One line that is not empty."""
        value = self._one_of(name, "write a text")
        if not isinstance(value, str):
            raise FieldInvalid(self._named(name), f"is {_type(value)}; write a text")
        if not value.strip() or len(value) > most or not value.isprintable():
            raise FieldInvalid(
                self._named(name), f"write one line of 1 to {most} printable letters"
            )
        return value

    def secret(self, name: str) -> str:
        """A text of any letters, of which an error repeats nothing."""
        value = self._one_of(name, "write a text")
        if not isinstance(value, str):
            raise FieldInvalid(self._named(name), "is not a text; write one")
        return value

    def description(self, name: str) -> str:
        """Any text; none where the field is left out or null."""
        value = self._values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise FieldInvalid(self._named(name), f"is {_type(value)}; write a text")
        if len(value) > MOST_TEXT or "\0" in value:
            raise FieldInvalid(
                self._named(name), f"write at most {MOST_TEXT} letters, none of them zero"
            )
        return value

    def choice(self, name: str, options: Collection[str]) -> str:
        value = self.text(name)
        if value not in options:
            listed = " or ".join(sorted(options))
            raise FieldInvalid(self._named(name), f"is {value[:40]!r}; write {listed}")
        return value

    def uid(self, name: str) -> str:
        """In small letters."""
        value = self.text(name).lower()
        if not is_uid(value):
            raise FieldInvalid(
                self._named(name),
                "is not a UID; write 32 hexadecimal digits as 8-4-4-4-12 with hyphens between",
            )
        return value

    def extension(self, name: str) -> str:
        """In small letters, without a dot in front."""
        value = self.text(name)
        if not _EXTENSION.fullmatch(value):
            raise FieldInvalid(
                self._named(name), "is not an extension; write letters and digits, like zip"
            )
        return value.lower()

    def inner(self, name: str) -> Fields:
        value = self._one_of(name, "write an object")
        if not isinstance(value, dict):
            raise FieldInvalid(self._named(name), f"is {_type(value)}; write an object")
        return Fields(value, f"{self._named(name)}.")

    def _one_of(self, name: str, fix: str) -> Any:
        value = self._values.get(name)
        if value is None:
            raise FieldInvalid(self._named(name), f"is missing; {fix}")
        return value

    def _named(self, name: str) -> str:
        return self._where + name


def _type(value: object) -> str:
    """What JSON calls it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, (int, float)):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"

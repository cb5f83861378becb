"""The API's field rules and their texts, which clients and their users read.

A form collects the faults of a call under dotted field names. Fields that must be right
before anything else is worth checking end it early (:meth:`Form.check`). Numbers may be
JSON numbers or text: ``7`` and ``"7"`` are the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from provider.auth.signatures import is_address
from provider.dialects.reading import parse_json
from provider.errors import InvalidRequest, RequestMalformed

MAX_INTEGER_DIGITS = 18
MAX_ID_CHARACTERS = 256
MAX_DOCUMENT_CHARACTERS = 64 << 10
"""Of what a consumer hands to an algorithm or a service, as JSON."""

_TRANSACTION = re.compile(r"0x[0-9a-fA-F]{64}")


class Form:
    """The parameters of a call, read field by field."""

    def __init__(
        self,
        values: Mapping[str, Any],
        prefix: str = "",
        faults: dict[str, list[str]] | None = None,
    ) -> None:
        self._values = values
        self._prefix = prefix
        self._faults = {} if faults is None else faults

    def check(self) -> None:
        """Raise InvalidRequest if anything was wrong so far."""
        if self._faults:
            raise InvalidRequest(dict(self._faults))

    def fault(self, name: str, rest: str) -> None:
        """Note a fault; ``rest`` completes "The <field> …"."""
        field = self._prefix + name
        messages = self._faults.setdefault(field, [])
        messages.append(f"The {field.replace('_', ' ')} {rest}")

    @property
    def values(self) -> Mapping[str, Any]:
        """All parameters as they came."""
        return self._values

    def raw(self, name: str) -> Any:
        """The value as it came, None when absent."""
        return self._values.get(name)

    def text(self, name: str, *, required: bool = False) -> str:
        """A text or a whole number as text; empty when absent."""
        value = self._values.get(name)
        if value is None or value == "":
            if required:
                self.fault(name, "field is required.")
            return ""
        text = str(value) if type(value) is int else value
        if not isinstance(text, str) or "\0" in text:
            self.fault(name, "format is invalid.")
            return ""
        return text

    def identifier(self, name: str, *, required: bool = False) -> str:
        """A name of an asset or a service, of a length that can be looked up and stored."""
        text = self.text(name, required=required)
        if len(text) > MAX_ID_CHARACTERS:
            self.fault(name, "format is invalid.")
        return text

    def transaction(self, name: str) -> str:
        """The hash of a transaction; empty when absent."""
        text = self.text(name)
        if text and not _TRANSACTION.fullmatch(text):
            self.fault(name, "format is invalid.")
        return text

    def document(self, name: str) -> Any:
        """Any JSON or JSON text of moderate size, as it came."""
        value = self._values.get(name)
        text = value if isinstance(value, str) else json.dumps(value)
        if len(text) > MAX_DOCUMENT_CHARACTERS:
            self.fault(name, f"may be at most {MAX_DOCUMENT_CHARACTERS} characters of JSON.")
        return value

    def address(self, name: str, *, required: bool = True) -> str:
        """A wallet's address as it was sent, in any case."""
        text = self.text(name, required=required)
        if text and not is_address(text):
            self.fault(name, "format is invalid.")
        return text

    def number(self, name: str) -> int:
        """A whole number, not negative."""
        text = self.text(name, required=True)
        if not text:
            return 0
        if not (text.isascii() and text.isdigit() and len(text) <= MAX_INTEGER_DIGITS):
            self.fault(name, "must be an integer.")
            return 0
        return int(text)

    def part(self, name: str) -> Form:
        """A nested object, itself or as JSON text. Absent ones read as empty."""
        value = self.object(name)
        return Form(value or {}, f"{self._prefix}{name}.", self._faults)

    def object(self, name: str) -> Mapping[str, Any] | None:
        """The nested object, None when absent."""
        value = decoded(self._values.get(name))
        if value is None or value == "":
            return None
        if not isinstance(value, dict):
            self.fault(name, "format is invalid.")
            return None
        return value


def decoded(value: Any) -> Any:
    """A value that may have come as JSON text: objects and lists are taken out of it."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return parse_json(value)
    except RequestMalformed:
        return value

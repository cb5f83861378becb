"""A dialect's section of the dialects file: the fields that all of them have."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
)

from compute.models import Image
from provider.apikeys import KEY_NAME, HashedKey, require_ring

_MOUNT = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._~-]{0,63}){1,8}")


def _named(value: object) -> object:
    return Image.named(value) if isinstance(value, str) else value


def _splits(text: str) -> str:
    try:
        shlex.split(text)
    except ValueError:
        raise ValueError("a quotation is left open; close it") from None
    return text


def _finite(value: JsonValue) -> JsonValue:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("no JSON has such a number; write a finite one") from None
    return value


ImageName = Annotated[Image, BeforeValidator(_named)]
"""Written as ``name:tag`` or ``name@sha256:…``."""

CommandLine = Annotated[str, AfterValidator(_splits)]
"""Split as a shell would split it; empty to run the image's own."""

Json = Annotated[JsonValue, AfterValidator(_finite)]
"""What YAML can say and JSON as well."""


class DialectSection(BaseModel):
    """What the operator says of one dialect; its own model gives ``mount`` a default.

    ``keys`` are hashes by name. Without any, only clients on this machine are let in, unless
    the dialect is ``open``. ``environment`` is where its tasks run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    mount: str
    keys: Mapping[str, HashedKey] = Field(default_factory=dict)
    open: bool = False
    environment: str
    maxUploadMB: Annotated[int, Field(ge=1, le=1 << 20)] = 100

    @field_validator("mount")
    @classmethod
    def _plain_path(cls, mount: str) -> str:
        if mount != "/" and not _MOUNT.fullmatch(mount):
            raise ValueError(
                "not a plain path; write / for the root, or /name without a slash at its end"
            )
        return mount

    @field_validator("keys", mode="before")
    @classmethod
    def _named(cls, keys: Any) -> Any:
        """Does not repeat what is no name: somebody may have written the key itself there."""
        names = keys if isinstance(keys, Mapping) else ()
        if not all(isinstance(name, str) and KEY_NAME.fullmatch(name) for name in names):
            raise ValueError(
                "one of the names is none; write letters, digits, '.', '_' and '-', at most 64,"
                " the first a letter or digit"
            )
        if len({name.lower() for name in names}) != len(names):
            raise ValueError("two names differ only in case, and would share one place in queues")
        return keys

    @field_validator("keys")
    @classmethod
    def _one_ring(cls, keys: Mapping[str, HashedKey]) -> Mapping[str, HashedKey]:
        require_ring(keys)
        return keys

    @property
    def max_upload_bytes(self) -> int:
        return self.maxUploadMB << 20

    def named_environments(self) -> Mapping[str, str]:
        """Each environment that the section names, by the field that names it. A dialect that
        names further ones adds them, for they are checked at start."""
        return {"environment": self.environment}

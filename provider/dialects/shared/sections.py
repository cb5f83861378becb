"""A dialect's section of the dialects file: the fields that all of them have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from provider.apikeys import KEY_NAME, HashedKey, require_ring

_MOUNT = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._~-]{0,63}){1,8}")


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

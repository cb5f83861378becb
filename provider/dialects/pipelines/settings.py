"""The dialect's section of the dialects file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator

from provider.apikeys import HashedKey, require_ring
from provider.dialects.shared.sections import DialectSection

AccessKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class PipelinesSettings(DialectSection):
    """``users`` are the hashes of the secret keys by access key: without any nobody could run a
    task. ``maxExpandedMB`` bounds what a zip that is handed in would be once it is unpacked."""

    mount: str = "/pipelines"
    users: Annotated[Mapping[AccessKey, HashedKey], Field(min_length=1)]
    maxExpandedMB: Annotated[int, Field(ge=1, le=1 << 20)] = 1024

    @field_validator("users")
    @classmethod
    def _one_ring_of_users(cls, users: Mapping[str, HashedKey]) -> Mapping[str, HashedKey]:
        require_ring(users)
        return users

    @property
    def most_expanded_bytes(self) -> int:
        return self.maxExpandedMB << 20

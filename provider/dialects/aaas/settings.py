"""The section ``aaas`` of the dialects file.

The source of this API imports whatever module a request names. Here ``module`` and ``name``
are two words that the operator wrote beside an image, and nothing else can be run.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from compute import references
from compute.models import Image
from provider.dialects.shared.sections import DialectSection

_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
AlgorithmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}$")]
ArgumentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_:-]+(\.[A-Za-z0-9_:-]+){2,8}$")]
"""``task.method.argument``; only the task's part may have dots of its own."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Argument(_Part):
    """One argument that a method of a task takes. ``default`` is any JSON value."""

    default: JsonValue = None
    description: str = ""

    @field_validator("default")
    @classmethod
    def _is_json(cls, value: JsonValue) -> JsonValue:
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            raise ValueError("no JSON has such a number; write a finite one") from None
        return value


class Algorithm(_Part):
    """What runs for one name of a module.

    ``image`` is ``name:tag`` or ``name@sha256:…``, an empty ``entrypoint`` runs the image's
    own. ``environment`` is the section's where none is written. ``network`` asks for what
    the environment grants.
    """

    image: str
    entrypoint: str = ""
    description: str = ""
    arguments: Mapping[ArgumentName, Argument] = Field(default_factory=dict)
    environment: str = ""
    network: bool = False

    @field_validator("image")
    @classmethod
    def _is_image(cls, text: str) -> str:
        image = _image(text)
        if (
            not references.is_name(image.image)
            or (image.tag and not _TAG.fullmatch(image.tag))
            or (image.checksum and not _CHECKSUM.fullmatch(image.checksum))
            or text.endswith((":", "@"))
        ):
            raise ValueError("not an image; write name:tag or name@sha256:…")
        return text

    @field_validator("entrypoint")
    @classmethod
    def _splits(cls, text: str) -> str:
        try:
            shlex.split(text)
        except ValueError:
            raise ValueError("a quotation is left open; close it") from None
        return text

    @property
    def container(self) -> Image:
        return _image(self.image)


Module = Annotated[Mapping[AlgorithmName, Algorithm], Field(min_length=1)]


class AaasSettings(DialectSection):
    """``followers`` is how many may wait for a log at a time, ``maxDelay`` the longest
    ``delay`` of a run in seconds."""

    mount: str = "/aaas"
    followers: Annotated[int, Field(ge=1, le=10_000)] = 64
    maxDelay: Annotated[int, Field(ge=0, le=30 * 86400)] = 86400
    modules: Annotated[Mapping[ModuleName, Module], Field(min_length=1)]

    def environment_of(self, algorithm: Algorithm) -> str:
        return algorithm.environment or self.environment

    def named_environments(self) -> Mapping[str, str]:
        """See :meth:`DialectSection.named_environments`."""
        named = {
            f"modules.{module}.{name}.environment": algorithm.environment
            for module, algorithms in self.modules.items()
            for name, algorithm in algorithms.items()
            if algorithm.environment
        }
        return {**super().named_environments(), **named}


def _image(text: str) -> Image:
    name, _, checksum = text.partition("@")
    # The last part alone may have a tag: before it, a colon is that of a registry's port.
    path, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return Image(image=path + slash + last, tag=tag, checksum=checksum)

"""The section ``aaas`` of the dialects file.

The source of this API imports whatever module a request names. Here ``module`` and ``name``
are two words that the operator wrote beside an image, and nothing else can be run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from provider.dialects.shared.sections import CommandLine, DialectSection, ImageName, Json

ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
AlgorithmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}$")]
ArgumentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_:-]+(\.[A-Za-z0-9_:-]+){2,8}$")]
"""``task.method.argument``; only the task's part may have dots of its own."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Argument(_Part):
    """One argument that a method of a task takes. ``default`` is any JSON value."""

    default: Json = None
    description: str = ""


class Algorithm(_Part):
    """What runs for one name of a module.

    ``image`` is ``name:tag`` or ``name@sha256:…``, an empty ``entrypoint`` runs the image's
    own. ``environment`` is the section's where none is written. ``network`` asks for what
    the environment grants.
    """

    image: ImageName
    entrypoint: CommandLine = ""
    description: str = ""
    arguments: Mapping[ArgumentName, Argument] = Field(default_factory=dict)
    environment: str = ""
    network: bool = False


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

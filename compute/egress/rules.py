"""What an environment or a dataset lets out. Pure.

Field names are those of ``environments.yaml`` and of a dataset's document, so that an
operator, a data owner and a consumer use the same words.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from compute import references
from compute.egress import contents, names

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

LONGEST_HOLD_S = 365 * 24 * 3600


class Hold(StrEnum):
    """When results wait for a reviewer: never, only if a rule fires, or always."""

    NEVER = "never"
    FIRED = "fired"
    ALWAYS = "always"


def _wallet(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("a wallet is 0x and 40 hexadecimal digits, in quotes")
    return text.lower()


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a pattern is printable text")
    return text


def _image_or_none(text: str) -> str:
    if text:
        references.parsed(text)
    return text


Wallet = Annotated[str, AfterValidator(_wallet)]
Pattern = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_printable)]
Few = Field(default=(), max_length=256, strict=False)


class EgressRules(BaseModel):
    """The rules of one source. What is not given does not restrict.

    ``maxBytes`` and ``maxFiles`` bound all outputs of a job, ``maxRows`` each table,
    ``maxLogBytes`` what is kept of each log, its beginning. ``names`` are shell patterns over
    the path below the outputs, ``types`` words for contents (see
    :mod:`compute.egress.contents`); a file must match one of each that is not empty.
    ``noInputCopies`` refuses what equals an input, inside archives too. ``filterImage`` is run
    over the outputs, without a network. ``hold`` says when ``reviewers`` are asked, who have
    ``holdFor`` seconds.

    An unknown field, a value of another kind, and a word for contents that there is not are
    errors: a rule that is not understood must not be taken for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    maxBytes: Annotated[int, Field(ge=0)] | None = None
    maxFiles: Annotated[int, Field(ge=0)] | None = None
    maxRows: Annotated[int, Field(ge=0)] | None = None
    maxLogBytes: Annotated[int, Field(ge=0)] | None = None
    names: tuple[Pattern, ...] = Few
    types: tuple[Pattern, ...] = Few
    noInputCopies: bool = False
    filterImage: Annotated[str, Field(max_length=512), AfterValidator(_image_or_none)] = ""
    hold: Hold = Field(default=Hold.NEVER, strict=False)
    holdFor: Annotated[int, Field(ge=1, le=LONGEST_HOLD_S)] = 7 * 24 * 3600
    reviewers: tuple[Wallet, ...] = Few

    @field_validator("names")
    @classmethod
    def _below_the_outputs(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        """A path that no output ever has would refuse all."""
        for pattern in patterns:
            if pattern.startswith(("/", "./", "../")):
                raise ValueError(
                    f"names: {pattern!r} fits no output; write it as it is below /data/outputs"
                )
        return patterns

    @field_validator("types")
    @classmethod
    def _known_words(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        """A word that no file is ever told by would refuse all."""
        for pattern in types:
            if not any(names.is_allowed(word, [pattern]) for word in contents.WORDS):
                raise ValueError(
                    f"types: no contents are {pattern!r}; docs/operators/egress.md lists the words"
                )
        return types

    @property
    def shown(self) -> dict[str, Any]:
        """For everybody, as plain JSON: all but the wallets of reviewers."""
        return self.model_dump(mode="json", exclude={"reviewers"})

    @property
    def restricts(self) -> bool:
        """False when everything may leave."""
        return bool(self.looks_at_outputs or self.hides_logs or self.maxLogBytes is not None)

    @property
    def looks_at_outputs(self) -> bool:
        """True when outputs are judged before anybody sees them."""
        limits = (self.maxBytes, self.maxFiles, self.maxRows)
        return bool(
            any(limit is not None for limit in limits)
            or self.names
            or self.types
            or self.hides_logs
        )

    @property
    def hides_logs(self) -> bool:
        """True when what a job prints is judged before anybody sees it."""
        return self.noInputCopies or bool(self.filterImage) or self.hold is not Hold.NEVER


class EnvironmentRules(EgressRules):
    """What an environment lets out. Its filter is the environment's ``filterImage``."""

    @model_validator(mode="after")
    def _somebody_decides(self) -> EnvironmentRules:
        if self.hold is not Hold.NEVER and not self.reviewers:
            raise ValueError("reviewers: list at least one wallet that may release what is held")
        if self.filterImage:
            raise ValueError("filterImage: write it one level up, beside egress")
        return self

"""What an environment or a dataset lets out. Pure.

Field names are those of ``environments.yaml`` and of a dataset's document, so that an
operator, a data owner and a consumer use the same words.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

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


Wallet = Annotated[str, AfterValidator(_wallet)]
Pattern = Annotated[str, Field(min_length=1, max_length=256)]
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
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    maxBytes: Annotated[int, Field(ge=0)] | None = None
    maxFiles: Annotated[int, Field(ge=0)] | None = None
    maxRows: Annotated[int, Field(ge=0)] | None = None
    maxLogBytes: Annotated[int, Field(ge=0)] | None = None
    names: tuple[Pattern, ...] = Few
    types: tuple[Pattern, ...] = Few
    noInputCopies: bool = False
    filterImage: str = ""
    hold: Hold = Field(default=Hold.NEVER, strict=False)
    holdFor: Annotated[int, Field(ge=1, le=LONGEST_HOLD_S)] = 7 * 24 * 3600
    reviewers: tuple[Wallet, ...] = Few

    @model_validator(mode="after")
    def _somebody_decides(self) -> EgressRules:
        if self.hold is not Hold.NEVER and not self.reviewers:
            raise ValueError("reviewers: list at least one wallet that may release what is held")
        return self

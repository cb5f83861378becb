"""The section ``gbuilder`` of the dialects file: which algorithm stands behind the endpoint."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from provider.dialects.gbuilder.structure import Model
from provider.dialects.shared.sections import CommandLine, DialectSection, ImageName, Json

_INPUT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_OUTPUT: Final = re.compile(r"(?!/)(?!(.*/)?\.{0,2}(/|$))[^\x00-\x1f\x7f\\]{1,255}")
_TAKEN: Final = frozenset({"algoCustomData.json", "stages"})


def _is_input(name: str) -> str:
    if not _INPUT.fullmatch(name):
        raise ValueError("not a plain file name; write letters, digits, '.', '_' and '-'")
    if name in _TAKEN:
        raise ValueError("the container has something else of this name; write another")
    return name


def _is_output(name: str) -> str:
    if not _OUTPUT.fullmatch(name):
        raise ValueError("not a file below /data/outputs; write its name, folders with /")
    return name


class GBuilderSettings(DialectSection):
    """``image`` is ``name:tag`` or ``name@sha256:…``, an empty ``entrypoint`` runs its own.

    The uploaded file is at ``/data/inputs/<inputName>``, ``parameters`` (any JSON) beside it
    as ``algoCustomData.json``. Of what the algorithm writes to ``/data/outputs`` clients get
    ``output`` or, where it is not there, the only file that is. Files are checked for what
    ``model`` reads. ``blockOnImmediate`` is for callers that wait with their request until the
    task is over.
    """

    mount: str = "/gbuilder"
    image: ImageName
    entrypoint: CommandLine = ""
    parameters: Json = None
    inputName: Annotated[str, AfterValidator(_is_input)] = "input.jsonl"
    output: Annotated[str, AfterValidator(_is_output)] = "output.jsonl"
    model: Annotated[Model, Field(strict=False)] = Model.ANY
    blockOnImmediate: bool = False

"""The section ``gbuilder`` of the dialects file: which algorithm stands behind the endpoint."""

from __future__ import annotations

import json
import re
import shlex
from typing import Annotated, Final

from pydantic import AfterValidator, Field, JsonValue

from compute import references
from compute.models import Image
from provider.dialects.gbuilder.structure import Model
from provider.dialects.shared.sections import DialectSection

_IMAGE: Final = re.compile(
    r"(?P<image>[^@]*?[^@:/])(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(@(?P<checksum>sha256:[0-9a-f]{64}))?"
)
_INPUT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_OUTPUT: Final = re.compile(r"(?!/)(?!(.*/)?\.{0,2}(/|$))[^\x00-\x1f\x7f\\]{1,255}")
_TAKEN: Final = frozenset({"algoCustomData.json", "stages"})


def _is_image(text: str) -> str:
    found = _IMAGE.fullmatch(text)
    if found is None or not references.is_name(found["image"]):
        raise ValueError("not an image; write name:tag or name@sha256:…")
    return text


def _splits(text: str) -> str:
    try:
        shlex.split(text)
    except ValueError:
        raise ValueError("a quotation is left open; close it") from None
    return text


def _is_json(value: JsonValue) -> JsonValue:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("no JSON has such a number; write a finite one") from None
    return value


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
    image: Annotated[str, AfterValidator(_is_image)]
    entrypoint: Annotated[str, AfterValidator(_splits)] = ""
    parameters: Annotated[JsonValue, AfterValidator(_is_json)] = None
    inputName: Annotated[str, AfterValidator(_is_input)] = "input.jsonl"
    output: Annotated[str, AfterValidator(_is_output)] = "output.jsonl"
    model: Annotated[Model, Field(strict=False)] = Model.ANY
    blockOnImmediate: bool = False

    @property
    def container(self) -> Image:
        found = _IMAGE.fullmatch(self.image)
        if found is None:
            raise ValueError("the image was checked when the settings were read")
        parts = found.groupdict(default="")
        return Image(image=parts["image"], tag=parts["tag"], checksum=parts["checksum"])

"""What all APIs have alike: answers that are files, and faults of this service."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from provider.openapi.operations import Answer, shape

ANY_BYTES: Final = Annotated[bytes, Field(description="The bytes of the file.")]

FILE_HEADERS: Final = {
    "ETag": "What the content is known by; of a result its SHA-256.",
    "Content-Disposition": "The file's name.",
    "Accept-Ranges": "`bytes` where parts may be asked for.",
}
RANGE: Final = {
    "Range": "A part: `bytes=FIRST-LAST`. What is no such range is ignored.",
    "If-Range": "An ETag: the part only if the file is still that one, else all of it.",
}
CONDITIONS: Final = {
    **RANGE,
    "If-Match": "ETags, one of which the file must have.",
    "If-None-Match": "ETags that are known already.",
}
PART: Final = Answer(
    "The part of the file.",
    {"*/*": ANY_BYTES},
    {"Content-Range": "Which part of how many bytes.", **FILE_HEADERS},
)
BEYOND: Final = Answer(
    "The range begins behind the file's end.", headers={"Content-Range": "`bytes */SIZE`."}
)
UNCHANGED: Final = Answer("The file is one of those in `If-None-Match`.", headers=FILE_HEADERS)
ANOTHER: Final = Answer("The file is none of those in `If-Match`.")
FILE: Final = Answer("The file.", {"*/*": ANY_BYTES}, FILE_HEADERS)

PASSED_ON: Final = {200: FILE, 206: PART, 416: BEYOND}
"""Of a file elsewhere."""

STORED: Final = {**PASSED_ON, 304: UNCHANGED, 412: ANOTHER}
"""Of a file that lies here."""


@shape
class Fault(TypedDict):
    """A fault of this service."""

    error: Literal["Internal error"]
    requestId: str
    """By which the service's log tells what happened."""

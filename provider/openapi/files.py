"""What all APIs have alike: answers that are files, faults, what is no HTTP."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from provider.openapi.operations import TEXT, Answer, shape

AnyBytes = Annotated[bytes, Field(description="The bytes of the file.")]

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
    {"*/*": AnyBytes},
    {"Content-Range": "Which part of how many bytes.", **FILE_HEADERS},
)
BEYOND: Final = Answer(
    "The range begins behind the file's end.", headers={"Content-Range": "`bytes */SIZE`."}
)
UNCHANGED: Final = Answer("The file is one of those in `If-None-Match`.", headers=FILE_HEADERS)
ANOTHER: Final = Answer("The file is none of those in `If-Match`.")
FILE: Final = Answer("The file.", {"*/*": AnyBytes}, FILE_HEADERS)

PASSED_ON: Final = {200: FILE, 206: PART, 416: BEYOND}
"""Of a file elsewhere."""

NO_HTTP: Final = {TEXT: str}
"""Of 400: what is told of a request line or of headers that are too long, or no HTTP at all."""

STORED: Final = {**PASSED_ON, 304: UNCHANGED, 412: ANOTHER}
"""Of a file that lies here."""


@shape
class Fault(TypedDict):
    """A fault of this service."""

    error: Literal["Internal error"]
    requestId: str
    """By which the service's log tells what happened."""


@shape
class NoSuchPath(TypedDict):
    """The URL itself is wrong."""

    error: str
    context: None

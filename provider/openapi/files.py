"""What all APIs have alike: answers that are files, faults, what cannot be read."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from provider.openapi.operations import JSON, Answer, shape

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
MATCHES: Final = {
    "If-Match": "ETags, one of which the file must have.",
    "If-None-Match": "ETags that are known already.",
}
CONDITIONS: Final = {**RANGE, **MATCHES}
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


@shape
class Unreadable(TypedDict):
    """What came is no request."""

    error: str
    """What is wrong with it."""


UNREADABLE: Final = {
    414: Answer("The address is too long.", {JSON: Unreadable}),
    431: Answer("The headers are too large, or too many.", {JSON: Unreadable}),
}
"""What any request may meet before it comes to an API; there also is a 400 of this shape."""

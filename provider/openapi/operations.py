"""The words in which a dialect describes its calls; plain values, read by ``document``.

Each dialect has a module ``described`` beside its routes with a function ``api(section)``. It is
imported when somebody asks for the document, so that a service that nobody asks starts as fast
and is as small as without. Shapes of bodies and answers are types: models that check requests
where there are some, else typed dictionaries with a docstring for each field (:data:`shape`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from provider.openapi.shapes import shape

__all__ = [
    "JSON",
    "MULTIPART",
    "OCTETS",
    "TEXT",
    "Answer",
    "Api",
    "Body",
    "Operation",
    "Security",
    "shape",
]

JSON: Final = "application/json"
TEXT: Final = "text/plain"
OCTETS: Final = "application/octet-stream"
MULTIPART: Final = "multipart/form-data"

Security = Sequence[Mapping[str, Sequence[str]]]
"""As OpenAPI has it: one of these is enough, and of each all schemes are needed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back with one status. ``content`` is the shape by media type; ``headers`` are
    descriptions by name."""

    description: str
    content: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    example: Any = None


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: the shape by media type, and examples by name."""

    content: Mapping[str, Any]
    examples: Mapping[str, Any] = field(default_factory=dict)
    required: bool = True
    description: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call.

    ``path`` is below the API's mount, its variables in braces. ``route`` is the path of the
    route that serves it, where that is another one: one route may serve several calls. The
    fields of the shape ``query`` become parameters, those of ``path_values`` the variables of
    the path, ``headers`` are descriptions of request headers by name. ``refusals`` are the
    statuses of errors, in the API's own envelope. None for ``security`` is that of the API.
    """

    method: str
    path: str
    id: str
    summary: str
    description: str
    answers: Mapping[int, Answer]
    tag: str = ""
    query: Any = None
    path_values: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    refusals: Sequence[int] = (400,)
    security: Security | None = None
    route: str = ""


@dataclass(frozen=True, slots=True)
class Api:
    """The calls of one API. ``tags`` are the groups that they are shown in, with descriptions;
    the first is that of operations without one. ``refusals`` are its errors by status, of which
    ``always`` are those that any of its calls may meet."""

    tags: Mapping[str, str]
    operations: Sequence[Operation]
    refusals: Mapping[int, Answer]
    always: Sequence[int] = ()
    security: Security = ()

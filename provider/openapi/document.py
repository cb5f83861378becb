"""The OpenAPI document (3.1) of all APIs that are mounted, made from their descriptions.

What is in it is what the router serves: an operation without a route is left out, and a test
fails for it as for a route without an operation. Second spellings of a path, with repeated
slashes or one at the end, are not told apart; routes for any method only say that there is
nothing. HEAD is described by its GET.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from aiohttp import hdrs, web
from pydantic import TypeAdapter

from provider import __version__
from provider.openapi import prose
from provider.openapi.files import UNREADABLE
from provider.openapi.operations import Answer, Api, Body, Operation

VERSION: Final = "3.1.0"
RETRY_AFTER: Final = "Retry-After"

_SLASHES: Final = re.compile(r"/{2,}")
_VARIABLE: Final = re.compile(r"\{([^{}]+)\}")
_RETRIED: Final = (429, 503)
_UNNAMED: Final = re.compile(r"[^A-Za-z0-9._-]+")
"""What names of components may not have."""

_PART: Final = 206

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mounted:
    """An API and where it is; "" for the root."""

    api: Api
    prefix: str = ""


def served(app: web.Application) -> set[tuple[str, str]]:
    """Method and path of all that the router serves, each path in one spelling."""
    return {
        (route.method, _plain(route.resource.canonical))
        for route in app.router.routes()
        if route.resource is not None and route.method != hdrs.METH_ANY
    }


def described(apis: Iterable[Mounted]) -> dict[tuple[str, str], list[tuple[Mounted, Operation]]]:
    """The operations by method and path of their routes."""
    found: dict[tuple[str, str], list[tuple[Mounted, Operation]]] = {}
    for mounted in apis:
        for operation in mounted.api.operations:
            path = _plain(mounted.prefix + (operation.route or operation.path))
            found.setdefault((operation.method, path), []).append((mounted, operation))
    return found


def make(app: web.Application, apis: Sequence[Mounted], *, server: str) -> Json:
    """The document. ``server`` is the address that clients know us by, "/" for where they have
    the document from."""
    routes = served(app)
    parts = _Parts()
    paths: dict[str, Json] = {}
    for (method, path), found in described(apis).items():
        if (method, path) not in routes:
            continue
        for mounted, operation in found:
            item = paths.setdefault(_plain(mounted.prefix + operation.path), {})
            written = _Written(mounted.api, operation, parts)
            item[method.lower()] = written.operation()
            if method == "GET" and ("HEAD", path) in routes:
                item["head"] = written.head()
    document = {
        "openapi": VERSION,
        "info": {
            "title": "Ocean Compute",
            "version": __version__,
            "summary": "Algorithms come to data: start, follow and end jobs, fetch results.",
            "description": prose.ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "tags": [
            {"name": name, "description": text}
            for mounted in apis
            for name, text in mounted.api.tags.items()
        ],
        "paths": paths,
        "components": {"responses": parts.refusals, "securitySchemes": prose.SECURITY},
    }
    return parts.filled(document)


def _plain(path: str) -> str:
    return _SLASHES.sub("/", path).rstrip("/") or "/"


class _Written:
    """One operation as the document has it; shapes stand in it as marks."""

    def __init__(self, api: Api, operation: Operation, parts: _Parts) -> None:
        self._api = api
        self._operation = operation
        self._parts = parts

    def operation(self) -> Json:
        given, api = self._operation, self._api
        written: Json = {
            "operationId": given.id,
            "tags": [given.tag or next(iter(api.tags))],
            "summary": given.summary,
            "description": given.description,
            "parameters": list(self._parameters()),
            "responses": self._responses(),
        }
        if given.body is not None:
            written["requestBody"] = self._body(given.body)
        security = api.security if given.security is None else given.security
        written["security"] = [dict(each) for each in security]
        return written

    def head(self) -> Json:
        """HEAD is answered as GET is, without a body, and never with a part of one."""
        answers = {
            str(status): self._answer(status, replace(answer, content={}))
            for status, answer in self._answers().items()
            if status != _PART
        }
        own = {
            "operationId": self._operation.id + "Head",
            "summary": self._operation.summary + " (headers only)",
            "responses": answers,
        }
        return self.operation() | own

    def _parameters(self) -> Iterator[Json]:
        given = self._operation
        names = _VARIABLE.findall(given.path)
        if names:
            fields = self._parts.fields(given.path_values)
            for name in names:
                yield {"name": name, "in": "path", "required": True, **_described(fields[name][1])}
        for name, (required, schema) in self._parts.fields(given.query).items():
            yield {"name": name, "in": "query", "required": required, **_described(schema)}
        for name, text in given.headers.items():
            schema = {"type": "string"}
            yield {"name": name, "in": "header", "description": text, "schema": schema}

    def _body(self, body: Body) -> Json:
        examples = {name: {"value": value} for name, value in body.examples.items()}
        written: Json = {
            "required": body.required,
            "content": {
                media: {"schema": self._parts.mark(kind)}
                | ({"examples": examples} if examples else {})
                for media, kind in body.content.items()
            },
        }
        return written | ({"description": body.description} if body.description else {})

    def _answers(self) -> dict[int, Answer]:
        given, api = self._operation, self._api
        refusals = {status: api.refusals[status] for status in (*given.refusals, *api.always)}
        return dict(sorted({**refusals, **UNREADABLE, **given.answers}.items()))

    def _responses(self) -> Json:
        """Refusals are alike in all calls of an API, and written down once."""
        own = self._operation.answers
        tag = _UNNAMED.sub("_", next(iter(self._api.tags)))
        return {
            str(status): self._answer(status, answer)
            if status in own
            else self._parts.refusal(f"{tag}{status}", partial(self._answer, status, answer))
            for status, answer in self._answers().items()
        }

    def _answer(self, status: int, answer: Answer) -> Json:
        headers = dict(answer.headers)
        if status in _RETRIED:
            headers.setdefault(RETRY_AFTER, "After how many seconds to try again.")
        written: Json = {"description": answer.description}
        if headers:
            written["headers"] = {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in headers.items()
            }
        if answer.content:
            written["content"] = {
                media: {"schema": self._parts.mark(kind)}
                | ({} if answer.example is None else {"example": answer.example})
                for media, kind in answer.content.items()
            }
        return written


def _described(schema: Json) -> Json:
    """A parameter tells its description itself; the rest is its schema."""
    schema = dict(schema)
    text = schema.pop("description", "")
    return {"description": text, "schema": schema}


class _Mark(dict[str, Any]):
    """Where the schema of a shape belongs; ``shape`` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Parts:
    """What operations share: schemas of shapes, and refusals. All schemas are made together at
    the end, so that each is there once; until then marks stand for them."""

    def __init__(self) -> None:
        self._shapes: list[Any] = []
        self.refusals: Json = {}

    def mark(self, kind: Any) -> Json:
        """What stands for the schema of a shape."""
        for number, known in enumerate(self._shapes):
            if known is kind:
                return _Mark(number)
        self._shapes.append(kind)
        return _Mark(len(self._shapes) - 1)

    def refusal(self, name: str, make: Callable[[], Json]) -> Json:
        """A reference to an answer of this name."""
        if name not in self.refusals:
            self.refusals[name] = make()
        return {"$ref": f"#/components/responses/{name}"}

    def fields(self, kind: Any) -> dict[str, tuple[bool, Json]]:
        """Whether it has to be there, and its schema, of each field of a shape."""
        if kind is None:
            return {}
        schema = _untitled(TypeAdapter(kind).json_schema())
        required = schema.get("required", ())
        return {
            name: (name in required, each) for name, each in schema.get("properties", {}).items()
        }

    def filled(self, document: Json) -> Json:
        """The document with schemas for marks, and those that several share as components."""
        made, shared = TypeAdapter.json_schemas(
            [(number, "validation", TypeAdapter(kind)) for number, kind in enumerate(self._shapes)],
            ref_template="#/components/schemas/{model}",
        )
        schemas = {number: _untitled(schema) for (number, _), schema in made.items()}
        filled: Json = _filled(document, schemas)
        filled["components"]["schemas"] = _untitled(shared.get("$defs", {}), names=True)
        return filled


def _filled(value: Any, schemas: Mapping[Any, Any]) -> Any:
    if isinstance(value, _Mark):
        return schemas[value.number]
    if isinstance(value, dict):
        return {name: _filled(each, schemas) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, schemas) for each in value]
    return value


_OF_NAMES: Final = frozenset({"properties", "$defs", "patternProperties"})
_OF_VALUES: Final = frozenset({"examples", "default", "const", "enum"})


def _untitled(schema: Any, *, names: bool = False) -> Any:
    """Without the titles that repeat a field's name. ``names`` is True for a mapping of names to
    schemas, in which one may be called ``title``."""
    if isinstance(schema, list):
        return [_untitled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if names:
        return {name: _untitled(each) for name, each in schema.items()}
    return {
        name: each if name in _OF_VALUES else _untitled(each, names=name in _OF_NAMES)
        for name, each in schema.items()
        if name != "title"
    }

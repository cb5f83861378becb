"""Holds every answer of a service against its own description.

Watches an application in a test: an answer with a status, a media type or a field that the
OpenAPI document does not know is written down, and :meth:`Witness.testify` fails for it. Objects
may have no other fields than those described, though the document lets clients expect more.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiohttp
from aiohttp import web
from jsonschema import Draft202012Validator

from provider.openapi import document
from provider.openapi.routes import DESCRIPTION, Description

Json = dict[str, Any]

_VARIABLE = re.compile(r"\{[^{}]+\}")
_documents: dict[frozenset[Any], Json] = {}


@dataclass(frozen=True)
class Seen:
    """An answer; ``media`` is without parameters."""

    method: str
    path: str
    status: int
    media: str
    body: bytes


class Witness:
    """``seen`` are the statuses of each operation that was answered."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._wrong: list[str] = []
        self.seen: set[tuple[str, int]] = set()
        if DESCRIPTION not in app:
            app[DESCRIPTION] = Description({}, None)
        app.on_response_prepare.append(self._look)

    def testify(self) -> None:
        assert self._wrong == []

    async def _look(self, request: web.Request, response: web.StreamResponse) -> None:
        route = request.match_info.route
        if route.resource is None or route.method != request.method:
            return  # a path that there is not, or another method
        made = _document(self._app)
        body = response.body if isinstance(response, web.Response) else None
        seen = Seen(
            request.method,
            request.path,
            response.status,
            response.content_type,
            body if isinstance(body, bytes) and request.method != "HEAD" else b"",
        )
        operation = operation_of(made, seen)
        if operation is not None:
            self.seen.add((operation["operationId"], response.status))
            self._wrong += faults(made, operation, seen)


@asynccontextmanager
async def watched_session(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with a service elsewhere, of which each answer is held against its document."""
    seen: list[Seen] = []

    async def look(_: object, __: object, end: aiohttp.TraceRequestEndParams) -> None:
        answer = end.response
        body = await answer.read() if end.method != "HEAD" else b""
        seen.append(Seen(end.method, answer.url.path, answer.status, answer.content_type, body))

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(look)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        async with session.get(url + "/openapi.json") as response:
            made = strict(await response.json())
        yield session
    wrong: list[str] = []
    for each in seen:
        operation = operation_of(made, each)
        wrong += faults(made, operation, each) if operation else [f"{each.path}: not described"]
    assert wrong == []


def _document(app: web.Application) -> Json:
    """One for all applications with the same routes."""
    key = frozenset(document.served(app))
    if key not in _documents:
        _documents[key] = strict(document.make(app, app[DESCRIPTION].apis(), server="/"))
    return _documents[key]


def operation_of(made: Json, seen: Seen) -> Json | None:
    """The operation that was called; None where there is none."""
    path = re.sub("/{2,}", "/", seen.path).rstrip("/") or "/"
    for template, item in made["paths"].items():
        if seen.method.lower() in item and _form(template).fullmatch(path):
            found: Json = item[seen.method.lower()]
            return found
    return None


@lru_cache(maxsize=256)
def _form(template: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(map(re.escape, _VARIABLE.split(template))))


def faults(made: Json, operation: Json, seen: Seen) -> list[str]:
    """What is not as the operation has it; ``made`` is a :func:`strict` document."""
    name = f"{operation['operationId']} {seen.status}"
    answer = operation["responses"].get(str(seen.status))
    if answer is None:
        return [f"{name}: is not described ({seen.body[:200]!r})"]
    if "$ref" in answer:
        answer = made["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    content = answer.get("content", {})
    media = content.get(seen.media) or content.get("*/*")
    if media is None:
        return [f"{name}: is {seen.media}"] if seen.body else []
    if seen.media != "application/json" or not seen.body or "*/*" in content:
        return []
    schema = {**_closed(media["schema"]), "components": made["components"]}
    errors = Draft202012Validator(schema).iter_errors(json.loads(seen.body))
    return [f"{name} {error.json_path}: {error.message[:300]}" for error in errors]


def strict(made: Json) -> Json:
    """The document without room for fields that it does not describe."""
    schemas = _closed(made["components"]["schemas"])
    return {**made, "components": {**made["components"], "schemas": schemas}}


def _closed(schema: Any) -> Any:
    """Without room for fields that are not described."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed

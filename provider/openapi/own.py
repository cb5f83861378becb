"""The description's own calls, described."""

from __future__ import annotations

from typing import Any, Final

from provider.openapi import files
from provider.openapi.observed import ObserverRefusal as Refusal
from provider.openapi.operations import JSON, Answer, Api, Operation

HTML: Final = "text/html"

_HEADERS: Final = {"ETag": "What this version of the document is known by."}
_UNCHANGED: Final = Answer("It is still the one in `If-None-Match`.", headers=_HEADERS)
_KNOWN: Final = {"If-None-Match": "ETags that are known already."}


def api(section: object = None) -> Api:
    """The API; it has no section."""
    return Api(
        tags={"description": "What is served here."},
        operations=[
            Operation(
                "GET",
                "/openapi.json",
                "openapi",
                "This document",
                "OpenAPI 3.1 of all APIs that are served here.",
                {200: Answer("The document.", {JSON: dict[str, Any]}, _HEADERS), 304: _UNCHANGED},
                headers=_KNOWN,
                refusals=(),
            ),
            Operation(
                "GET",
                "/docs",
                "docs",
                "This document as a page",
                "One page without scripts, and without anything from elsewhere.",
                {200: Answer("The page.", {HTML: str}, _HEADERS), 304: _UNCHANGED},
                headers=_KNOWN,
                refusals=(),
            ),
        ],
        refusals={
            400: Answer("What came is no request.", {JSON: files.Unreadable}),
            429: Answer("Too many requests came.", {JSON: Refusal}),
            500: Answer("A fault of this service.", {JSON: files.Fault}),
            503: Answer("The service is about to stop.", {JSON: Refusal}),
        },
        always=(400, 429, 500, 503),
    )

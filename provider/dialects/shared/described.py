"""What the descriptions of APIs behind a door have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from provider.dialects.shared.sections import DialectSection
from provider.openapi import files
from provider.openapi.operations import JSON, Answer, Security

KEYS: Final[Security] = ({"bearerKey": []}, {"passwordKey": []}, {"headerKey": []})

_TEXTS: Final[Mapping[int, str]] = {
    400: "Something of the request is missing or wrong; the text says what.",
    401: "A key is needed, and this is none.",
    403: "Only clients on the provider's own machine, or no web pages of others, are let in; or the"
    " operator's environment does not allow this.",
    404: "There is no such thing.",
    405: "The path takes another method.",
    408: "The body did not arrive in time.",
    409: "It is there already, or in use.",
    413: "The request, or its file, is too large.",
    422: "A field is missing, of the wrong type, or has a value that is not taken.",
    429: "Too much at the moment: a queue is full, or too many requests came.",
    503: "A part of the provider's own does not answer, or it is about to stop.",
}


def security(section: DialectSection) -> Security:
    """Who is let in."""
    return KEYS if section.keys else ()


def refusals(kind: Any, changed: Mapping[int, Answer] | None = None) -> dict[int, Answer]:
    """The errors of an API whose envelope is of one shape; ``changed`` are those that differ."""
    found = {status: Answer(text, {JSON: kind}) for status, text in _TEXTS.items()}
    found[400] = Answer(_TEXTS[400], {JSON: kind | files.Unreadable})
    found[401] = Answer(_TEXTS[401], {JSON: kind}, {"WWW-Authenticate": "`Bearer`"})
    found[405] = Answer(_TEXTS[405], {JSON: kind}, {"Allow": "The methods."})
    found[500] = Answer("A fault of this service.", {JSON: files.Fault})
    return found | dict(changed or {})


def always(section: DialectSection) -> tuple[int, ...]:
    """What any call may meet. 401 where there are keys; 403 where there are none."""
    return (400, 401 if section.keys else 403, 408, 413, 429, 500, 503)

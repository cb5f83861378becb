"""Where a call's parameters are, and what counts as JSON.

The API's rule: if the URL has any query argument, only the query counts; otherwise the
JSON body does, for every method. What arrives is made harmless here once: objects only,
valid text, finite numbers, bounded depth. Everything behind may take that for granted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from provider import bounded_json
from provider.addresses import client_scheme
from provider.bounded_json import MAX_DEPTH, MAX_PARTS
from provider.errors import RequestMalformed
from provider.pace import in_time

_HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")

Parameters = Mapping[str, Any]


async def parameters(request: web.Request) -> Parameters:
    """The parameters of a call. Raises RequestMalformed."""
    if request.query_string:
        query = request.query
        if query:
            return _checked_query(query)
    return await json_body(request)


async def body_or_query(request: web.Request) -> Parameters:
    """For a start, which old servers read from the body whatever the URL said."""
    if request.can_read_body and _is_json(request):
        return await json_body(request)
    return await parameters(request)


async def json_body(request: web.Request) -> Parameters:
    """The JSON object of the body; empty when there is none. Raises RequestMalformed."""
    if not request.can_read_body or not _is_json(request):
        return {}
    raw = await read_body(request)
    return parse_object(raw) if raw.strip() else {}


async def read_body(request: web.Request) -> bytes:
    """The whole body; aiohttp's limit of its size holds."""
    if (announced := request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, announced)
    try:
        async with in_time(request):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (OSError, HttpProcessingError, web.RequestPayloadError):
        raise RequestMalformed("The request breaks off.") from None


def own_url(request: web.Request) -> str:
    """Where this request says that we are. Raises RequestMalformed.

    It is repeated with each result of an answer, so it is held to what a host may be.
    """
    host = request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        raise RequestMalformed("The Host header is missing or not a host.")
    return f"{client_scheme(request)}://{host}"


def parse_object(raw: bytes | str) -> Parameters:
    """A JSON object from hostile bytes. Raises RequestMalformed."""
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise RequestMalformed("The body must be a JSON object.")
    return value


def parse_json(raw: bytes | str) -> Any:
    """JSON without its traps. Raises RequestMalformed."""
    try:
        value = bounded_json.loads(
            raw,
            max_depth=MAX_DEPTH,
            max_parts=MAX_PARTS,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        _require_sound(value)
    except (ValueError, RecursionError):
        raise RequestMalformed("The body is not valid JSON in UTF-8.") from None
    return value


def _checked_query(query: Parameters) -> Parameters:
    values = dict(query)
    for name, value in values.items():
        if not _sound_text(name) or not _sound_text(value):
            raise RequestMalformed("The query is not valid text in UTF-8.")
    return values


def _is_json(request: web.Request) -> bool:
    kind = request.content_type
    return kind == "application/json" or kind.endswith("+json")


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _sound_text(text: str) -> bool:
    """True unless the text holds what UTF-8 cannot carry."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _require_sound(value: Any) -> None:
    """Raise ValueError for a lone surrogate anywhere, or nesting beyond MAX_DEPTH."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for each in level for child in _children(each)]
        if not level:
            return
    raise ValueError("nested too deeply")


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        if not _sound_text(value):
            raise ValueError("not valid text")
    elif isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value

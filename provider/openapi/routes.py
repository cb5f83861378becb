"""``/openapi.json`` and ``/docs``: made when first asked for, in a thread, and kept as bytes.

Everybody may read them: they tell what is served here and nothing of any job.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from provider.openapi.document import Mounted

DOCUMENT_PATH: Final = "/openapi.json"
PAGE_PATH: Final = "/docs"

_ALWAYS: Final = (
    "provider.dialects.ocean.described",
    "provider.dialects.aquarius.described",
    "provider.openapi.observed",
    "provider.openapi.own",
)
"""Modules that describe what is served by every process."""

_HEADERS: Final = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it goes out."""

    body: bytes
    media: str
    etag: str
    headers: Mapping[str, str]


class Description:
    """The document and the page of one application. ``sections`` are those of the dialects that
    are mounted, by their names; ``public_url`` None where clients know us as they will."""

    def __init__(self, sections: Mapping[str, Any], public_url: str | None) -> None:
        self._sections = dict(sections)
        self._server = public_url or "/"
        self._making = asyncio.Lock()
        self._kept: Mapping[str, Kept] = {}

    def apis(self) -> list[Mounted]:
        """All APIs with their descriptions; imports them."""
        document = importlib.import_module("provider.openapi.document")
        found: list[Mounted] = [document.Mounted(_api(module, None)) for module in _ALWAYS]
        for name, section in self._sections.items():
            described = _api(f"provider.dialects.{name}.described", section)
            prefix = "" if section.mount == "/" else section.mount
            found.append(document.Mounted(described, prefix))
        return found

    async def kept(self, app: web.Application, path: str) -> Kept:
        """What is at one of the two paths."""
        async with self._making:
            if not self._kept:
                self._kept = await asyncio.to_thread(self._made, app)
        return self._kept[path]

    def _made(self, app: web.Application) -> Mapping[str, Kept]:
        document, page = (
            importlib.import_module(f"provider.openapi.{name}") for name in ("document", "page")
        )
        made = document.make(app, self.apis(), server=self._server)
        text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
        return {
            DOCUMENT_PATH: _kept(text, "application/json", {}),
            PAGE_PATH: _kept(
                page.render(made), "text/html", {"Content-Security-Policy": page.POLICY}
            ),
        }


DESCRIPTION = web.AppKey("description", Description)


def add_routes(app: web.Application, sections: Mapping[str, Any], public_url: str | None) -> None:
    """Register the routes; see :class:`Description`."""
    app[DESCRIPTION] = Description(sections, public_url)
    for path in (DOCUMENT_PATH, PAGE_PATH):
        app.router.add_get(path, _serve)


async def _serve(request: web.Request) -> web.Response:
    kept = await request.app[DESCRIPTION].kept(request.app, request.path)
    headers = {**_HEADERS, **kept.headers, "ETag": kept.etag}
    known = request.headers.get(hdrs.IF_NONE_MATCH, "")
    if known.strip() == "*" or kept.etag in _etags(known):
        return web.Response(status=304, headers=headers)
    return web.Response(body=kept.body, content_type=kept.media, charset="utf-8", headers=headers)


def _etags(header: str) -> set[str]:
    return {each.strip().removeprefix("W/") for each in header.split(",")}


def _api(module: str, section: Any) -> Any:
    return importlib.import_module(module).api(section)


def _kept(text: str, media: str, headers: Mapping[str, str]) -> Kept:
    body = text.encode()
    return Kept(body, media, f'"{hashlib.sha256(body).hexdigest()[:32]}"', headers)

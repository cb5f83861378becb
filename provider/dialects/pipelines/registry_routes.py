"""The registry's endpoints, which are this service's own: parse, call, respond.

What is asked for by an unguessable UID is told to whoever the door lets in, as on the wire; what
changes something, gives a content or lists the pipelines needs a user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from aiohttp import web

from provider.dialects import reading
from provider.dialects.pipelines import registry_requests, requests, responses
from provider.dialects.pipelines.credentials import CredentialsWrong, Users, in_headers
from provider.dialects.pipelines.fields import Fields
from provider.dialects.pipelines.shelf import Shelf
from provider.dialects.shared import forms
from provider.dialects.shared.mounting import Route
from provider.dialects.shared.surroundings import SiblingSurroundings
from provider.downloads import FileAnswer
from provider.hangups import left
from provider.registry.models import WITH_CONTENT, Kind


class RegistryApi:
    """``most_bytes`` bounds what is uploaded."""

    def __init__(
        self, shelf: Shelf, users: Users, around: SiblingSurroundings, *, most_bytes: int
    ) -> None:
        self._shelf = shelf
        self._users = users
        self._around = around
        self._most_bytes = most_bytes

    async def create(self, kind: Kind, request: web.Request, space: str) -> web.Response:
        owner = await self._owner_by_headers(request)
        async with await self._received(kind, request) as form:
            owner = owner or await self._owner_by_fields(form.fields)
            wanted = registry_requests.item(
                kind, form.fields, space=space, owner=owner, now=self._around.now()
            )
            item = await self._shelf.add(wanted, form.file, left(request))
        detail = f"Create {kind.noun} successfully"
        return responses.envelope(detail, responses.item(item), status=201)

    async def listed(self, kind: Kind, request: web.Request, space: str) -> web.Response:
        pipeline_uid = ""
        if kind is Kind.PIPELINE:
            await self._require_user(request)
        else:
            pipeline_uid = registry_requests.pipeline(Fields(request.query))
        items = await self._shelf.listed(space, kind, pipeline_uid)
        return responses.envelope(responses.TASK_DETAIL, [responses.item(each) for each in items])

    async def one(self, kind: Kind, request: web.Request, space: str) -> web.Response:
        item = await self._shelf.get(space, kind, _uid(request))
        return responses.envelope(responses.TASK_DETAIL, responses.item(item))

    async def content(self, kind: Kind, request: web.Request, space: str) -> web.StreamResponse:
        await self._require_user(request)
        item, path = await self._shelf.content(
            space, kind, _uid(request), look_only=request.method == "HEAD"
        )
        assert item.content is not None
        return FileAnswer(path, filename=item.file_name, sha256=item.content.sha256)

    async def remove(self, kind: Kind, request: web.Request, space: str) -> web.Response:
        await self._require_user(request)
        item = await self._shelf.remove(space, kind, _uid(request))
        return responses.envelope(f"Delete {kind.noun} successfully", responses.item(item))

    async def _received(self, kind: Kind, request: web.Request) -> forms.Form:
        """The form; a pipeline, which has no content, may come as JSON."""
        if kind is Kind.PIPELINE and request.content_type == "application/json":
            return forms.Form(await reading.json_body(request))
        return await forms.receive(
            request,
            folder=self._around.uploads,
            file_fields=["file"] if kind in WITH_CONTENT else [],
            max_bytes=self._most_bytes,
        )

    async def _owner_by_headers(self, request: web.Request) -> str:
        """Who calls, before the body is read; nobody where the headers do not say."""
        claimed = in_headers(request.headers)
        return "" if claimed is None else await self._users.require(claimed)

    async def _owner_by_fields(self, fields: Mapping[str, Any]) -> str:
        if "access_key" not in fields:
            raise CredentialsWrong
        return await self._users.require(requests.credentials(fields))

    async def _require_user(self, request: web.Request) -> None:
        if not await self._owner_by_headers(request):
            raise CredentialsWrong


_Endpoint = Callable[[RegistryApi, Kind, web.Request, str], Awaitable[web.StreamResponse]]
_UID = "{uid:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}}"


def registry_routes(
    versioned: str, api_of: Callable[[web.Request], RegistryApi]
) -> Sequence[Route]:
    """The routes of all kinds."""
    routes: list[Route] = []
    for kind in Kind:
        folder = f"{versioned}/registry/{kind.value}"
        endpoints: list[tuple[str, str, _Endpoint]] = [
            ("POST", folder, RegistryApi.create),
            ("GET", folder, RegistryApi.listed),
            ("GET", f"{folder}/{_UID}", RegistryApi.one),
            ("DELETE", f"{folder}/{_UID}", RegistryApi.remove),
        ]
        if kind in WITH_CONTENT:
            endpoints += [
                (method, f"{folder}/{_UID}/content", RegistryApi.content)
                for method in ("GET", "HEAD")
            ]
        routes += [
            Route(method, path, partial(_call, api_of, endpoint, kind))
            for method, path, endpoint in endpoints
        ]
    return routes


async def _call(
    api_of: Callable[[web.Request], RegistryApi],
    endpoint: _Endpoint,
    kind: Kind,
    request: web.Request,
    space: str,
) -> web.StreamResponse:
    return await endpoint(api_of(request), kind, request, space)


def _uid(request: web.Request) -> str:
    return request.match_info["uid"].lower()

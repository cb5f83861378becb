"""The endpoints for those who decide what leaves: parse, call, respond."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from provider.dialects import reading
from provider.dialects.ocean import review_requests, review_responses
from provider.dialects.ocean.asset_routes import TOKEN_HEADER
from provider.dialects.ocean.responses import dumps
from provider.downloads import FileAnswer
from provider.reviewing import Reviewing

JSON = "application/json"


class ReviewApi:
    """computeHeld, computeHeldResult and computeRelease."""

    def __init__(self, reviewing: Reviewing) -> None:
        self._reviewing = reviewing

    async def held(self, request: web.Request) -> web.Response:
        query = review_requests.held(await reading.parameters(request), _token(request))
        jobs = await self._reviewing.held(query)
        in_full = bool(query.job_id)
        listed = review_responses.held_jobs(jobs, query.claim.address, in_full=in_full)
        return web.Response(text=dumps(listed), content_type=JSON)

    async def held_result(self, request: web.Request) -> web.StreamResponse:
        call = review_requests.look(await reading.parameters(request), _token(request))
        file, path = await self._reviewing.look(call, look_only=request.method == "HEAD")
        return FileAnswer(path, filename=file.filename, sha256=file.sha256)

    async def release(self, request: web.Request) -> web.Response:
        call = review_requests.decide(await reading.parameters(request))
        job = await self._reviewing.decide(call)
        document = review_responses.held_job(job, call.claim.address)
        return web.Response(text=dumps(document), content_type=JSON)


REVIEW_API = web.AppKey("review_api", ReviewApi)

REVIEW_ENDPOINTS: Mapping[
    str, Callable[[ReviewApi, web.Request], Awaitable[web.StreamResponse]]
] = {
    "computeHeld": ReviewApi.held,
    "computeHeldResult": ReviewApi.held_result,
    "computeRelease": ReviewApi.release,
}
"""Handlers by the names in ``serviceEndpoints``."""

REVIEW_HEAD = ("computeHeld", "computeHeldResult")
"""Those of them that HEAD reaches."""


def review_endpoint(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of a route; it finds the ReviewApi under REVIEW_API."""
    method = REVIEW_ENDPOINTS[name]

    async def endpoint(request: web.Request) -> web.StreamResponse:
        return await method(request.app[REVIEW_API], request)

    return endpoint


def _token(request: web.Request) -> str:
    return request.headers.get(TOKEN_HEADER, "")

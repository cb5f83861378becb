"""The API's endpoints: parse, call, respond."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from compute.models import Job, Load
from compute.operator import Operator
from provider.admission import container_fault
from provider.auth.caller import Callers
from provider.auth.sessions import Sessions
from provider.chain.networks import ChainSettings
from provider.dialects import reading
from provider.dialects.ocean import requests, responses
from provider.dialects.ocean.asset_routes import ASSET_HEAD, TOKEN_HEADER, asset_endpoint
from provider.dialects.ocean.responses import Renderer, dumps
from provider.downloads import FileAnswer
from provider.errors import (
    KeyedRefusal,
    ProviderError,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
)
from provider.jobs import Jobs
from provider.keys import ProviderKey
from provider.log_answers import LogAnswer
from provider.middlewares import merging_slashes
from provider.receipts.answers import receipt_answer
from provider.receipts.giving import Receipts

JSON = "application/json"

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the endpoints stand on. ``public_url`` is None where requests tell the host."""

    jobs: Jobs
    callers: Callers
    sessions: Sessions
    operator: Operator
    key: ProviderKey
    receipts: Receipts
    chains: tuple[ChainSettings, ...] = ()
    public_url: str | None = None
    now: Callable[[], float] = time.time


class OceanApi:
    """The endpoints of the Ocean Provider API."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._jobs = around.jobs
        self._renderer = Renderer()
        chain_ids = [chain.chain_id for chain in around.chains]
        self._root = dumps(responses.root(around.key.address, chain_ids)).encode()

    async def root(self, request: web.Request) -> web.Response:
        return web.Response(body=self._root, content_type=JSON)

    async def nonce(self, request: web.Request) -> web.Response:
        address = requests.user_address(await reading.parameters(request))
        if request.method == "HEAD":
            raise web.HTTPMethodNotAllowed("HEAD", ["GET"])
        return _json({"nonce": str(await self._around.callers.last_nonce(address))})

    async def create_auth_token(self, request: web.Request) -> web.Response:
        values = await reading.parameters(request)
        claim, expires_at = requests.create_token(values, self._around.now())
        return _json({"token": await self._around.sessions.open(claim, expires_at)})

    async def delete_auth_token(self, request: web.Request) -> web.Response:
        claim, token = requests.delete_token(await reading.parameters(request))
        try:
            await self._around.sessions.close(claim, token)
        except (TokenInvalid, TokenExpired, TokenRevoked) as error:
            raise ProviderError(error.public, field="token") from None
        return _json({"success": "Token has been deactivated."})

    async def compute_environments(self, request: web.Request) -> web.Response:
        asked = request.query.get("chainId")
        loads = await self._around.operator.loads()
        chains = self._around.chains
        if not chains:
            return _json(self._environments(loads, None))
        listed = {
            chain.chain_id: self._environments(loads, chain)
            for chain in chains
            if asked in (None, "", str(chain.chain_id))
        }
        return _json(responses.environments(listed))

    async def initialize_compute(self, request: web.Request) -> web.Response:
        values = await reading.parameters(request)
        call = requests.initialize(values, self._around.now())
        try:
            quote = await self._jobs.quote(call)
        except KeyedRefusal as refusal:
            if (refusal.resource, refusal.code) == ("algorithm", "not_algo"):
                raise ProviderError("DID is not a valid algorithm") from None
            raise
        return _json(responses.quote(quote))

    async def validate_container(self, request: web.Request) -> web.Response:
        values = await reading.parameters(request)
        fault = container_fault(requests.container(dict(values)))
        if fault:
            raise ProviderError(fault)
        return _json(values)

    async def compute_start(self, request: web.Request) -> web.Response:
        base_url = self._base_url(request)
        values = await reading.body_or_query(request)
        job = await self._jobs.start(requests.start(values, _token(request)))
        return self._listed(base_url, [job])

    async def compute_status(self, request: web.Request) -> web.Response:
        base_url = self._base_url(request)
        values = await reading.parameters(request)
        query, claim = requests.status(values, _token(request))
        found = await self._jobs.status(query, claim)
        if found.in_full:
            text = self._renderer.full(found.jobs, base_url, found.waiting)
            return web.Response(text=text, content_type=JSON)
        return web.Response(text=self._renderer.outline(found.outlines), content_type=JSON)

    async def compute_stop(self, request: web.Request) -> web.Response:
        base_url = self._base_url(request)
        claim, query = requests.stop(await reading.parameters(request), _token(request))
        return self._listed(base_url, await self._jobs.stop(claim, query))

    async def compute_delete(self, request: web.Request) -> web.Response:
        base_url = self._base_url(request)
        claim, query = requests.delete(await reading.parameters(request), _token(request))
        return self._listed(base_url, await self._jobs.delete(claim, query))

    async def compute_result(self, request: web.Request) -> web.StreamResponse:
        values = await reading.parameters(request)
        claim, job_id, index = requests.result(values, _token(request))
        look_only = request.method == "HEAD"
        file, path = await self._jobs.result(claim, job_id, index, look_only=look_only)
        return FileAnswer(path, filename=file.filename, sha256=file.sha256)

    async def compute_receipt(self, request: web.Request) -> web.Response:
        job_id, claim = requests.receipt(await reading.parameters(request), _token(request))
        return receipt_answer(request, await self._around.receipts.receipt(job_id, claim))

    async def compute_streamable_logs(self, request: web.Request) -> web.StreamResponse:
        call = requests.log(await reading.parameters(request), _token(request))
        opened = self._jobs.log_stream(
            call.claim, call.job_id, call.stage, offset=call.offset, follow=call.follow
        )
        async with opened as (pieces, place):
            return await LogAnswer(pieces, call.offset, place).send(request)

    def _environments(
        self, loads: dict[str, Load], chain: ChainSettings | None
    ) -> list[dict[str, object]]:
        """Those offered on a chain: all that are free, and those with a price there."""
        around = self._around
        return [
            responses.environment(
                item,
                loads.get(item.id, Load()),
                around.jobs.consumer_address(item),
                chain,
                around.now(),
            )
            for item in around.operator.environments.values()
            if chain is None or not item.prices or chain.chain_id in item.prices
        ]

    def _base_url(self, request: web.Request) -> str:
        """Read before anything is done, for a request is refused as a whole or not at all."""
        return self._around.public_url or reading.own_url(request)

    def _listed(self, base_url: str, jobs: Sequence[Job]) -> web.Response:
        return web.Response(text=self._renderer.full(jobs, base_url), content_type=JSON)


OCEAN_API = web.AppKey("ocean_api", OceanApi)

_ENDPOINTS: Mapping[str, Callable[[OceanApi, web.Request], Awaitable[web.StreamResponse]]] = {
    "nonce": OceanApi.nonce,
    "create_auth_token": OceanApi.create_auth_token,
    "delete_auth_token": OceanApi.delete_auth_token,
    "initializeCompute": OceanApi.initialize_compute,
    "computeStart": OceanApi.compute_start,
    "computeStatus": OceanApi.compute_status,
    "computeStop": OceanApi.compute_stop,
    "computeDelete": OceanApi.compute_delete,
    "computeResult": OceanApi.compute_result,
    "computeReceipt": OceanApi.compute_receipt,
    "computeStreamableLogs": OceanApi.compute_streamable_logs,
    "computeEnvironments": OceanApi.compute_environments,
    "validateContainer": OceanApi.validate_container,
}

_HEAD = ("nonce", "computeStatus", "computeResult", "computeReceipt", "computeEnvironments")
"""Endpoints that HEAD reaches; asking for a token by HEAD would only waste a nonce."""


def add_routes(app: web.Application) -> None:
    """Register all routes, and their spellings with repeated slashes.

    The endpoints find their OceanApi under OCEAN_API once the application has started.
    """
    handlers = {("GET", "/"): _endpoint(OceanApi.root)}
    for name, route in responses.ROUTES.items():
        own = _ENDPOINTS.get(name)
        handlers[route] = _endpoint(own) if own else asset_endpoint(name)
    for path in ("/", *(responses.ROUTES[name][1] for name in (*_HEAD, *ASSET_HEAD))):
        handlers["HEAD", path] = handlers["GET", path]
    for (method, path), handler in handlers.items():
        app.router.add_route(method, path, handler)
    app.router.add_route("*", "/{merged:(?:.*/)?/.*}", merging_slashes(handlers))


def _endpoint(
    method: Callable[[OceanApi, web.Request], Awaitable[web.StreamResponse]],
) -> Endpoint:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        return await method(request.app[OCEAN_API], request)

    return endpoint


def _json(document: object) -> web.Response:
    return web.Response(text=dumps(document), content_type=JSON)


def _token(request: web.Request) -> str:
    return request.headers.get(TOKEN_HEADER, "")

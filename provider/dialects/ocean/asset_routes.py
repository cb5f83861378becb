"""The endpoints about assets: parse, call, respond."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from provider.access import Access
from provider.addresses import client_address, is_private, neighbourhood
from provider.assets.published import MAX_PUBLISHED_BYTES
from provider.chain.chains import Chains
from provider.dialects import reading
from provider.dialects.ocean import asset_requests, asset_responses
from provider.dialects.ocean.responses import dumps
from provider.errors import ProviderError
from provider.hangups import left
from provider.publishing import Publishing
from provider.relays import RelayAnswer
from provider.samples import Samples

TOKEN_HEADER = "AuthToken"  # noqa: S105 (a header's name)
JSON = "application/json"
OCTETS = "application/octet-stream"
PLAIN = "text/plain"


@dataclass(frozen=True, slots=True)
class AssetSurroundings:
    """What these endpoints stand on. ``chains`` name the networks in refusals."""

    access: Access
    publishing: Publishing
    chains: Chains
    samples: Samples


class AssetApi:
    """encrypt, decrypt, fileinfo, initialize, download and computeSample of the Ocean Provider
    API."""

    def __init__(self, around: AssetSurroundings) -> None:
        self._access = around.access
        self._publishing = around.publishing
        self._chains = around.chains
        self._samples = around.samples

    async def encrypt(self, request: web.Request) -> web.Response:
        chain_id = request.query.get("chainId")
        if not chain_id:
            raise ProviderError("Missing chainId query parameter.", field="chainId")
        if request.headers.get("Content-Type") != OCTETS:
            raise ProviderError(f"Invalid request content type: should be {OCTETS}")
        content = await reading.read_body(request)
        if len(content) > MAX_PUBLISHED_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_PUBLISHED_BYTES, len(content))
        sealed = await self._publishing.seal(chain_id, content)
        return web.Response(status=201, text=sealed, content_type=PLAIN)

    async def decrypt(self, request: web.Request) -> web.Response:
        call = asset_requests.decrypt(await reading.parameters(request), _token(request))
        document = await self._publishing.open(call)
        headers = {"X-Content-Type-Options": "nosniff"}
        return web.Response(status=201, body=document, content_type=PLAIN, headers=headers)

    async def fileinfo(self, request: web.Request) -> web.Response:
        call, gone = asset_requests.fileinfo(await reading.parameters(request)), left(request)
        if call.raw is not None:
            infos = await self._access.describe_raw(call.raw, call.userdata, call.checksum, gone)
            return _json(asset_responses.file_infos(infos))
        ddo = await self._access.find(call.did)
        with asset_responses.told_by(self._network(ddo.chain_id)):
            infos = await self._access.describe(
                ddo, call.service_id, call.userdata, call.checksum, gone
            )
        return _json(asset_responses.file_infos(infos))

    async def initialize(self, request: web.Request) -> web.Response:
        wanted = asset_requests.initialize(await reading.parameters(request))
        ddo = await self._access.find(wanted.did)
        with asset_responses.told_by(self._network(ddo.chain_id)):
            quote = await self._access.quote(ddo, wanted, left(request))
        return _json(asset_responses.quote(quote))

    async def download(self, request: web.Request) -> web.StreamResponse:
        """The file. HEAD is answered with its headers, checked alike; the nonce stays good."""
        claim, wanted = asset_requests.download(await reading.parameters(request), _token(request))
        caller = await self._access.identify(claim)
        ddo = await self._access.find(wanted.did)
        with asset_responses.told_by(self._network(ddo.chain_id)):
            async with self._access.open(
                caller,
                ddo,
                wanted,
                range_=request.headers.get("Range"),
                if_range=request.headers.get("If-Range"),
                look_only=request.method == "HEAD",
            ) as part:
                return await RelayAnswer(part).send(request)

    async def compute_sample(self, request: web.Request) -> web.StreamResponse:
        """What there is of a sample; with ``fileIndex`` that file. Anybody may ask."""
        wanted = asset_requests.sample(await reading.parameters(request))
        if wanted.file_index is None:
            found = await self._samples.describe(wanted.did, wanted.service_id, left(request))
            return _json(asset_responses.sample(found))
        async with self._samples.open(
            wanted.did,
            wanted.service_id,
            wanted.file_index,
            asker=_told_apart(request),
            range_=request.headers.get("Range"),
            if_range=request.headers.get("If-Range"),
            look_only=request.method == "HEAD",
        ) as part:
            return await RelayAnswer(part).send(request)

    def _network(self, chain_id: int | None) -> str:
        return asset_responses.network_name(chain_id, self._chains)


def _told_apart(request: web.Request) -> str:
    """Who asks, by the network. A private address may be a proxy's, with everybody behind it."""
    address = client_address(request)
    return "" if not address or is_private(address) else neighbourhood(address)


ASSET_API = web.AppKey("asset_api", AssetApi)

ASSET_ENDPOINTS: Mapping[str, Callable[[AssetApi, web.Request], Awaitable[web.StreamResponse]]] = {
    "encrypt": AssetApi.encrypt,
    "decrypt": AssetApi.decrypt,
    "fileinfo": AssetApi.fileinfo,
    "initialize": AssetApi.initialize,
    "download": AssetApi.download,
    "computeSample": AssetApi.compute_sample,
}
"""Handlers by the names in ``serviceEndpoints``."""

ASSET_HEAD = ("initialize", "download", "computeSample")
"""Those of them that HEAD reaches."""


def asset_endpoint(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of a route; it finds the AssetApi under ASSET_API."""
    method = ASSET_ENDPOINTS[name]

    async def endpoint(request: web.Request) -> web.StreamResponse:
        return await method(request.app[ASSET_API], request)

    return endpoint


def _json(document: object) -> web.Response:
    return web.Response(text=dumps(document), content_type=JSON)


def _token(request: web.Request) -> str:
    return request.headers.get(TOKEN_HEADER, "")

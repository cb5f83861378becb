"""The endpoints of a metadata cache: parse, call, respond.

They tell what was published on chain, which anybody may read there, and nothing of the folder
of an operator, whose documents are nobody else's. So none of them asks who is asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from provider import bounded_json
from provider.assets.chain_catalogue import is_of_nft
from provider.assets.index import AssetIndex
from provider.assets.index.indexed import IndexedAsset
from provider.assets.published import MAX_DOCUMENT_PARTS
from provider.assets.validation import Fault, Proof, prove, validate
from provider.dialects import reading
from provider.dialects.aquarius import requests, responses
from provider.errors import AssetsUnavailable
from provider.keys import ProviderKey

JSON = "application/json"
QUERIES_AT_ONCE = 2
"""Each may hold some megabytes of documents, which take many times that as objects."""
PATIENCE_S = 1.0
"""How long a client that asks again and again anyway waits for the index to catch up."""

WITHDRAWN_STATES = frozenset({1, 2, 3})
"""End of life, deprecated, revoked: of these no document is shown any more."""

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AquariusApi:
    """The endpoints over an index; ``key`` signs what was validated."""

    def __init__(self, index: AssetIndex, key: ProviderKey) -> None:
        self._index = index
        self._key = key
        self._querying = asyncio.Semaphore(QUERIES_AT_ONCE)

    async def ddo(self, request: web.Request) -> web.Response:
        did = request.match_info["did"]
        asset = await self._find(did)
        document = None if asset is None else _shown(asset)
        if document is None:
            return await _json(responses.not_found(did, asset.problem if asset else ""), 404)
        return await _json(document)

    async def metadata(self, request: web.Request) -> web.Response:
        did = request.match_info["did"]
        asset = await self._find(did)
        document = None if asset is None else _shown(asset)
        if document is None or "metadata" not in document:
            return await _json(responses.not_found(did), 404)
        return await _json(document["metadata"])

    async def validate(self, request: web.Request) -> web.Response:
        content = await reading.read_body(request)
        outcome = await asyncio.to_thread(_validated, content, self._key)
        if isinstance(outcome, Proof):
            return await _json(responses.proof(outcome))
        return await _json(responses.faults(outcome), 400)

    async def query(self, request: web.Request) -> web.Response:
        query = requests.query(reading.parse_object(await reading.read_body(request)))
        if query is None:
            return await _json(responses.hits(0, ()))
        async with self._querying:
            found = await self._index.search(query)
            shown = [document for document in map(_shown, found.assets) if document is not None]
            return await _json(responses.hits(found.total, shown))

    async def _find(self, did: str) -> IndexedAsset | None:
        """Raises AssetsUnavailable as long as none of the chains that are followed was looked
        at."""
        if not is_of_nft(did):
            return None
        asset = await self._index.find(did, current=False)
        if asset is None:
            await self._index.catch_up(PATIENCE_S)
            asset = await self._index.find(did, current=False)
        standing = self._index.standing
        if asset is None and standing and all(each.block is None for each in standing):
            raise AssetsUnavailable
        return asset


AQUARIUS_API = web.AppKey("aquarius_api", AquariusApi)

_ENDPOINTS: Mapping[tuple[str, str], Callable[[AquariusApi, web.Request], Awaitable[Any]]] = {
    ("GET", "/api/aquarius/assets/ddo/{did:[^/]+}"): AquariusApi.ddo,
    ("GET", "/api/aquarius/assets/metadata/{did:[^/]+}"): AquariusApi.metadata,
    ("POST", "/api/aquarius/assets/ddo/validate"): AquariusApi.validate,
    ("POST", "/api/aquarius/assets/query"): AquariusApi.query,
}


def add_routes(app: web.Application) -> None:
    """Register all routes, and with a second slash in front, as clients send it whose
    configured address ends with one.

    The endpoints find their AquariusApi under AQUARIUS_API once the application has started.
    """
    for (method, path), endpoint in _ENDPOINTS.items():
        for spelling in (path, "/" + path):
            app.router.add_route(method, spelling, _endpoint(endpoint))


def _endpoint(method: Callable[[AquariusApi, web.Request], Awaitable[Any]]) -> Endpoint:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse = await method(request.app[AQUARIUS_API], request)
        return response

    return endpoint


def _validated(content: bytes, key: ProviderKey) -> Proof | list[Fault]:
    """The proof for a document that is fit, else its faults."""
    try:
        document = bounded_json.loads(
            content, max_parts=MAX_DOCUMENT_PARTS, parse_constant=_no_number
        )
    except ValueError:
        return [Fault("", "is not valid JSON in UTF-8")]
    return validate(document) or prove(key, content)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _shown(asset: IndexedAsset) -> dict[str, Any] | None:
    """None when there is nothing to show: the published document cannot be read."""
    if asset.state in WITHDRAWN_STATES:
        return asset.reduced
    return None if asset.document is None else responses.public(asset.document)


async def _json(document: object, status: int = 200) -> web.Response:
    """In a thread, since documents of publishers may be large."""
    body = await asyncio.to_thread(lambda: responses.dumps(document).encode())
    return web.Response(status=status, body=body, content_type=JSON, charset="utf-8")

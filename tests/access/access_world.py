"""What the tests of the asset endpoints share: a chain, an origin, documents, a consumer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from provider.assets.encryption import encrypt
from provider.assets.published import did_of
from provider.auth.signatures import personal_digest, to_checksum
from provider.auth.tokens import PURPOSE, Tokens
from provider.chain import fake_events
from provider.chain.fake import GENESIS_TIME, FakeChain
from provider.keys import ProviderKey

CHAIN_ID = 8996
FACTORY = "0x" + "fa" * 20
FEE_TOKEN = "0x" + "fe" * 20
NFT = to_checksum("0x" + "a1" * 20)
DATATOKEN = to_checksum("0x" + "d1" * 20)
OTHER_DATATOKEN = to_checksum("0x" + "d2" * 20)
DID = did_of(NFT, CHAIN_ID)
CONSORTIUM = "did:op:consortium"
NO_ORDER = "0x" + "0" * 64

CONTENT = b"a,b\n1,2\n3,4\n"
LOCAL = bytes(range(256)) * 1024
NOW = GENESIS_TIME + 1000.0
SERVICES = "/api/services/"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def wallet(number: int) -> ProviderKey:
    return ProviderKey(bytes([number]) * 32)


PROVIDER, ALICE, BOB, MALLORY = wallet(0x11), wallet(0x22), wallet(0x33), wallet(0x44)
DOWNLOADER = wallet(0xC2)


def sign(key: ProviderKey, text: str) -> str:
    return key.sign_digest(personal_digest(text))


def token(key: ProviderKey) -> str:
    """An AuthToken of the provider for a wallet."""
    return Tokens(PROVIDER.derive(PURPOSE), 3600).issue(key.address, int(NOW) + 600, NOW)


class Origin:
    """An HTTP server of a publisher; remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.otherwise: Handler | None = None
        self._handlers: dict[str, Handler] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app, host="127.0.0.1")

    async def start(self) -> None:
        await self._server.start_server()

    async def close(self) -> None:
        await self._server.close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.port}{path}"

    def on(self, path: str, handler: Handler) -> str:
        self._handlers[path] = handler
        return self.url(path)

    def serve(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}

        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=body, status=status, headers=named)

        return self.on(path, answer)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        handler = self._handlers.get(request.path) or self.otherwise
        return await handler(request) if handler else web.Response(status=404)


def ranged(body: bytes, etag: str = '"v1"') -> Handler:
    """An origin that knows ranges and conditions."""

    async def answer(request: web.Request) -> web.Response:
        headers = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": "text/csv"}
        wanted = request.http_range
        if "Range" not in request.headers or request.headers.get("If-Range", etag) != etag:
            return web.Response(body=body, headers=headers)
        start, stop, _ = wanted.indices(len(body))
        if start >= len(body):
            headers["Content-Range"] = f"bytes */{len(body)}"
            return web.Response(status=416, headers=headers)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return web.Response(status=206, body=body[start:stop], headers=headers)

    return answer


def sealed(files: list[dict[str, Any]], nft: str = NFT, datatoken: str = DATATOKEN) -> str:
    """``services[].files`` as a publisher has them sealed."""
    content = {"nftAddress": nft, "datatokenAddress": datatoken, "files": files}
    return encrypt(PROVIDER.public_key, json.dumps(content).encode())


def service(files: Any, kind: str = "access", **fields: Any) -> dict[str, Any]:
    return {
        "id": "0",
        "type": kind,
        "datatokenAddress": DATATOKEN,
        "serviceEndpoint": "http://127.0.0.1:8030",
        "timeout": 3600,
        "files": files,
        **fields,
    }


def document(*services: dict[str, Any], did: str = DID, **fields: Any) -> dict[str, Any]:
    return {
        "@context": ["https://w3id.org/did/v1"],
        "id": did,
        "version": "4.1.0",
        "chainId": CHAIN_ID,
        "nftAddress": NFT,
        "nft": {"address": NFT, "owner": BOB.address, "state": 0},
        "metadata": {"type": "dataset", "name": "rain"},
        "services": list(services),
        **fields,
    }


@dataclass
class World:
    """A provider with its asset endpoints, and all around it. ``now`` is its clock."""

    client: TestClient[web.Request, web.Application]
    chain: FakeChain
    origin: Origin
    folder: Path
    now: list[float]
    nonces: dict[str, int] = field(default_factory=dict)

    def add(self, raw: Mapping[str, Any]) -> None:
        """Publish a document, or another version of it."""
        name = hashlib.sha256(str(raw["id"]).encode()).hexdigest()
        (self.folder / "assets" / f"{name}.json").write_text(json.dumps(raw))

    def add_url(self, url: str, **fields: Any) -> None:
        """Publish an asset with one file behind a URL."""
        self.add(document(service(sealed([{"type": "url", "url": url}])), **fields))

    def add_consortium(self, *files: dict[str, Any], **fields: Any) -> None:
        """An asset that nobody sells, for ALICE."""
        allow = [{"type": "address", "values": [ALICE.address]}]
        free = service(list(files), datatokenAddress="")
        lists = {"credentials": {"allow": allow}, **fields}
        self.add(document(free, did=CONSORTIUM, chainId=None, nftAddress="", **lists))

    def nonce(self, key: ProviderKey) -> int:
        self.nonces[key.address] = self.nonces.get(key.address, 1) + 1
        return self.nonces[key.address]

    async def call(self, method: str, name: str, **options: Any) -> tuple[int, Any]:
        async with self.client.request(method, SERVICES + name, **options) as response:
            return response.status, await content(response)

    async def initialize(self, key: ProviderKey = ALICE, **changes: Any) -> tuple[int, Any]:
        query = {"documentId": DID, "serviceId": "0", "consumerAddress": key.address, **changes}
        return await self.call("GET", "initialize", params=query)

    async def order(self, key: ProviderKey = ALICE, **changes: Any) -> str:
        """Have a fee quoted and order with it, as a client does; the transaction."""
        status, quote = await self.initialize(key)
        assert status == 200, quote
        return self.start_order(quote["providerFee"], key, **changes)

    def start_order(self, fee: Mapping[str, Any], key: ProviderKey = ALICE, **changes: Any) -> str:
        """``startOrder`` with a quoted fee. The datatoken is the real one unless changed."""
        datatoken = changes.pop("datatoken", DATATOKEN)
        facts: dict[str, Any] = {
            "consumer": key.address,
            "payer": key.address,
            "timestamp": int(self.now[0]),
            **changes,
        }
        started = fake_events.order_started(datatoken, **facts)
        return self.chain.transact(started, paid_fee(datatoken, fee), sender=key.address)

    def download_query(
        self, key: ProviderKey = ALICE, order: str = NO_ORDER, **changes: Any
    ) -> dict[str, str]:
        """A signed download; ``changes`` to parameters, None to leave one out."""
        nonce = changes.pop("nonce", None) or self.nonce(key)
        did = changes.get("documentId", DID)
        query: dict[str, Any] = {
            "documentId": did,
            "serviceId": "0",
            "consumerAddress": key.address,
            "transferTxId": order,
            "fileIndex": "0",
            "nonce": str(nonce),
            "signature": sign(key, f"{did}{nonce}"),
            **changes,
        }
        return {name: str(value) for name, value in query.items() if value is not None}

    async def download(self, query: Mapping[str, str], **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("GET", "download", params=query, headers=named)


def paid_fee(datatoken: str, fee: Mapping[str, Any]) -> fake_events.Emitted:
    """``ProviderFee`` as the contract emits it for a quoted fee."""
    return fake_events.provider_fee(
        datatoken,
        fee_address=fee["providerFeeAddress"],
        token=fee["providerFeeToken"],
        amount=int(fee["providerFeeAmount"]),
        data=bytes.fromhex(fee["providerData"][2:]),
        v=fee["v"],
        r=bytes.fromhex(fee["r"][2:]),
        s=bytes.fromhex(fee["s"][2:]),
        valid_until=fee["validUntil"],
    )


MakeWorld = Callable[..., Coroutine[Any, Any, World]]
"""Makes providers; ``decrypters`` and ``with_chain`` by keyword."""


async def content(response: ClientResponse) -> Any:
    if response.content_type == "application/json":
        return await response.json()
    return await response.read()

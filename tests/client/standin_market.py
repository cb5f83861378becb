"""The stand-in provider with published assets, and a wallet on a chain that is not there.

The provider seals by turning bytes around, so that what it was given can be read back; it
keeps the rules of quotes that a client depends on. The wallet notes what it was asked to
do, and what it ordered is what the provider finds paid.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from standin_provider import ENDPOINTS, PROVIDER_ADDRESS, Refusal, StandIn

from provider.auth.messages import download_text

CHAIN = 8996
FEE_TOKEN = "0x" + "0c" * 20
ENVIRONMENT_ADDRESS = "0x" + "0e" * 20
NO_ORDER = "0x" + "0" * 64
DID = "did:op:" + "d1" * 32
OTHER = "did:op:" + "d2" * 32
ALGORITHM = "did:op:" + "a1" * 32


def a_document(did: str, *services: str, **changes: Any) -> dict[str, Any]:
    """A DDO with services of these ids, each with a datatoken named after it."""
    listed = [{"id": name, "type": "access", "datatokenAddress": f"0x{name}"} for name in services]
    return {"id": did, "chainId": CHAIN, "services": listed} | changes


def a_fee(amount: int = 0, valid_until: int = 2_000_000_000) -> dict[str, Any]:
    return {
        "providerFeeAddress": PROVIDER_ADDRESS,
        "providerFeeToken": FEE_TOKEN,
        "providerFeeAmount": str(amount),
        "providerData": "0x7b7d",
        "v": 27,
        "r": "0x" + "11" * 32,
        "s": "0x" + "22" * 32,
        "validUntil": valid_until,
    }


class MarketStandIn(StandIn):
    """Tests set ``documents``, ``quotes`` by DID, ``content`` by DID and index."""

    endpoints = {
        **ENDPOINTS,
        "encrypt": ("POST", "/api/services/encrypt"),
        "fileinfo": ("POST", "/api/services/fileinfo"),
        "initialize": ("GET", "/api/services/initialize"),
        "download": ("GET", "/api/services/download"),
    }

    def __init__(self) -> None:
        super().__init__()
        place = {"id": "paid", "consumerAddress": ENVIRONMENT_ADDRESS, "maxJobDuration": 600}
        self.environments = {str(CHAIN): [place], "1": [{**place, "consumerAddress": "0x1"}]}
        self.documents: dict[str, Any] = {
            DID: a_document(DID, "0", "1"),
            OTHER: a_document(OTHER, "0"),
            ALGORITHM: a_document(ALGORITHM, "0"),
        }
        self.quotes: dict[str, Any] = {}
        self.content: dict[str, list[tuple[str, bytes]]] = {DID: [("rows.csv", b"a,b\n1,2\n")]}
        self.paid: set[str] = set()
        self.sealed: list[tuple[str, bytes]] = []

    def application(self) -> web.Application:
        app = super().application()
        app.router.add_get(self.prefix + "/api/aquarius/assets/ddo/{did}", self._ddo)
        return app

    async def _ddo(self, request: web.Request) -> web.Response:
        did = request.match_info["did"]
        self.seen.append(("ddo", {"did": did}, dict(request.headers)))
        if did not in self.documents:
            error = {"error": f"Asset DID {did} not found in Elasticsearch"}
            return web.json_response(error, status=404)
        found = self.documents[did]
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return web.json_response(found)

    def _handler(self, name: str) -> Any:
        usual = super()._handler(name)

        async def handle(request: web.Request) -> web.StreamResponse:
            if name == "encrypt":
                content = await request.read()
                self.seen.append((name, dict(request.query), dict(request.headers)))
                if self.faults[name]:
                    return self._spoiled(request, self.faults[name].pop(0))
                self.sealed.append((request.query["chainId"], content))
                return web.Response(text="0x" + content[::-1].hex(), status=201)
            if name == "download":
                return await self._download(request)
            response: web.StreamResponse = await usual(request)
            return response

        return handle

    async def _download(self, request: web.Request) -> web.StreamResponse:
        values = dict(request.query)
        self.seen.append(("download", values, dict(request.headers)))
        fault = self.faults["download"].pop(0) if self.faults["download"] else None
        if fault and fault.cut is None:
            return self._spoiled(request, fault)
        owner, did = values["consumerAddress"], values["documentId"]
        try:
            text = download_text(did, values["nonce"])
            self._authorise(values, owner, "download", "", text)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)
        if did in self.quotes and values.get("transferTxId") not in self.paid:
            return web.json_response({"error": "Order could not be validated"}, status=400)
        content = self.content[did][int(values["fileIndex"])][1]
        return await self.send_file(request, content, fault)

    def _fileinfo(self, values: dict[str, Any]) -> Any:
        if "did" not in values:
            return [{"index": 0, "valid": True, "type": values["type"], "contentLength": "12"}]
        listed = []
        for index, (name, content) in enumerate(self.content.get(values["did"], ())):
            told = {
                "index": index,
                "valid": True,
                "type": "url",
                "contentLength": str(len(content)),
                "contentType": "text/csv",
                "filename": name,
            }
            if values.get("checksum"):
                told["checksum"] = hashlib.sha256(content).hexdigest()
            listed.append(told)
        return listed

    def _initialize(self, values: dict[str, Any]) -> Any:
        return self._quoted(values["documentId"], values.get("transferTxId", ""))

    def _initializeCompute(self, values: dict[str, Any]) -> Any:  # noqa: N802
        def one(item: Mapping[str, Any]) -> Any:
            return self._quoted(item["documentId"], item.get("transferTxId", ""))

        answer = {"datasets": [one(item) for item in values["datasets"]]}
        algorithm = values["algorithm"]
        return answer | ({"algorithm": one(algorithm)} if "documentId" in algorithm else {})

    def _quoted(self, did: str, order: str) -> Any:
        """The scripted quote, unless this order is paid for."""
        if did not in self.quotes:
            return {"validOrder": NO_ORDER}
        return {"validOrder": order} if order in self.paid else self.quotes[did]

    def _computeStart(self, parameters: dict[str, Any]) -> Any:  # noqa: N802
        for name in ("dataset", "algorithm"):
            item = parameters[name]
            sold = item.get("documentId") in self.quotes
            if sold and item.get("transferTxId") not in self.paid:
                raise Refusal({"error": {f"{name}.serviceId": "order_invalid"}})
        return super()._computeStart(parameters)


class NotedWallet:
    """Orders by writing down; ``fails_at`` is the order that does not come about. It has
    plenty of every token that ``balances`` does not name."""

    def __init__(self, address: str, market: MarketStandIn, chain_id: int = CHAIN) -> None:
        self.address = address
        self.chain_id = chain_id
        self.done: list[tuple[Any, ...]] = []
        self.fails_at = -1
        self.failure: Exception = LookupError("the transaction was reverted")
        self.balances: dict[str, int] = {}
        self.decimals: dict[str, int] = {}
        self._market = market

    def _transaction(self, *what: Any) -> str:
        if len(self.done) == self.fails_at:
            raise self.failure
        self.done.append(what)
        tx = f"0x{len(self.done):064x}"
        self._market.paid.add(tx)
        return tx

    async def start_order(
        self, datatoken: str, consumer: str, service_index: int, provider_fee: Mapping[str, Any]
    ) -> str:
        fee = dict(provider_fee)
        return self._transaction("start", datatoken, consumer, service_index, fee)

    async def reuse_order(
        self, datatoken: str, order_tx: str, provider_fee: Mapping[str, Any]
    ) -> str:
        return self._transaction("reuse", datatoken, order_tx, dict(provider_fee))

    async def balance_of(self, token: str) -> int:
        return self.balances.get(token, 10**30)

    async def decimals_of(self, token: str) -> int | None:
        return self.decimals.get(token)

    async def publish_nft(self, name: str, symbol: str) -> str:
        self._transaction("nft", name, symbol)
        return "0x" + "A1" * 20

    async def create_datatoken(self, nft: str, name: str, symbol: str) -> str:
        self._transaction("datatoken", nft, name, symbol)
        return f"0x{len(self.done):040x}"

    async def set_metadata(self, nft: str, **fields: Any) -> str:
        return self._transaction("metadata", nft, fields)

    def did_of(self, nft: str, chain_id: int) -> str:
        return "did:op:" + hashlib.sha256(f"{nft}{chain_id}".encode()).hexdigest()


def unsealed(text: str) -> Any:
    """What was sealed, as JSON."""
    return json.loads(bytes.fromhex(text.removeprefix("0x"))[::-1])

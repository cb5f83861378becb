"""A provider that somebody else runs, as its clients see it: checks signatures and nonces."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from aiohttp import web
from asset_documents import DATASET
from asset_origins import Origin
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak

ORDER = "0x" + "0d" * 32
QUOTE = {"datatoken": "0x1", "nonce": None, "providerFee": {"providerFeeAmount": "0"}}


def signer(text: str, signature: str) -> str:
    """Who signed a text, as clients of the API sign."""
    message = encode_defunct(primitive=keccak(text=text))
    return str(Account.recover_message(message, signature=signature))


class OtherProvider:
    """``customer`` is the wallet that ordered. Files are by index; ``slow_s`` holds the
    first of several downloads back, so that later ones could overtake it."""

    def __init__(self, origin: Origin, customer: str, *files: bytes) -> None:
        self.origin = origin
        self.customer = customer
        self.contents = list(files)
        self.tells_checksums = True
        self.slow_s = 0.0
        self.last_nonce = 0
        self.queries: list[dict[str, str]] = []
        self.questions: list[dict[str, Any]] = []
        self.endpoints: dict[str, Any] = {
            "fileinfo": ["POST", "/api/services/fileinfo"],
            "initialize": ["GET", "/api/services/initialize"],
            "Download": ["GET", "/api/services/download"],
            "decrypt": ["POST", "/api/services/decrypt"],
        }
        self.url = origin.url("/")
        origin.on("/", self._root)
        origin.on("/api/services/fileinfo", self._fileinfo)
        origin.on("/api/services/initialize", self._initialize)
        origin.on("/api/services/download", self._download)
        origin.on("/api/services/decrypt", self._decrypt)

    async def _root(self, _: web.Request) -> web.Response:
        return web.json_response({"serviceEndpoints": self.endpoints})

    async def _fileinfo(self, request: web.Request) -> web.Response:
        self.questions.append(question := await request.json())
        told = question.get("checksum") and self.tells_checksums
        return web.json_response(
            [
                {
                    "index": index,
                    "valid": True,
                    "type": "url",
                    "contentLength": str(len(content)),
                    "contentType": "text/csv",
                    "filename": f"{index}.csv",
                    **({"checksum": hashlib.sha256(content).hexdigest()} if told else {}),
                }
                for index, content in enumerate(self.contents)
            ]
        )

    async def _initialize(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        return web.json_response(QUOTE)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.queries.append(query)
        self.slow_s, delay = 0.0, self.slow_s
        await asyncio.sleep(delay)
        text = query["documentId"] + query["nonce"]
        if not self._is_customer(text, query["consumerAddress"], query):
            return web.json_response({"error": "Invalid signature"}, status=400)
        if query["transferTxId"] != ORDER:
            return web.json_response({"error": "Order could not be validated"}, status=400)
        content = self.contents[int(query["fileIndex"])]
        return web.Response(body=content, headers={"ETag": f'"{len(content)}"'})

    async def _decrypt(self, request: web.Request) -> web.Response:
        self.questions.append(asked := await request.json())
        text = f"{asked['transactionId']}{asked['decrypterAddress']}{asked['chainId']}"
        if not self._is_customer(text + asked["nonce"], asked["decrypterAddress"], asked):
            return web.json_response({"error": "Decrypter not authorized"}, status=403)
        document = json.dumps({"id": DATASET}).encode()
        return web.Response(body=document, status=201, content_type="text/plain")

    def _is_customer(self, text: str, claimed: str, asked: dict[str, Any]) -> bool:
        nonce = int(asked["nonce"])
        fresh, self.last_nonce = nonce > self.last_nonce, max(nonce, self.last_nonce)
        return fresh and claimed == self.customer == signer(text, asked["signature"])

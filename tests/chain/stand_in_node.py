"""A JSON-RPC node over a chain in memory, which can be told to behave badly."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from provider.chain.fake import FakeChain
from provider.chain.models import Block, Log, Receipt
from provider.errors import CallRefused, TransactionPending, TransactionUnknown

Json = dict[str, Any]
Misbehaviour = Callable[[Json], Awaitable[web.StreamResponse | None]]
"""An answer to a request in the node's stead; None to have it answered properly."""

SECRET = "k3y-of-the-operator"


class RpcError(Exception):
    """The node's answer is this error object."""

    def __init__(self, code: int, message: str, **more: Any) -> None:
        self.error = {"code": code, "message": message, **more}


class StandInNode:
    """Use as an async context manager. ``asked`` counts requests by method.

    ``chain_id`` is what it says; ``max_range`` and ``max_logs`` bound eth_getLogs as public
    nodes do; ``pruned_below`` is the first block that it still has receipts of;
    ``lags`` is by how many blocks it is behind.
    """

    def __init__(self, chain: FakeChain) -> None:
        self.chain = chain
        self.chain_id = chain.id
        self.asked: Counter[str] = Counter()
        self.misbehave: Misbehaviour | None = None
        self.max_range: int | None = None
        self.max_logs: int | None = None
        self.pruned_below = 0
        self.lags = 0
        self.ranges: list[tuple[int, int]] = []
        self.released = asyncio.Event()
        app = web.Application(client_max_size=1 << 20)
        app.router.add_post("/{key}", self._handle)
        self._server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self._server.make_url(f"/{SECRET}"))

    async def __aenter__(self) -> StandInNode:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Nobody listens at its port any more."""
        self.released.set()
        await self._server.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        self.asked[asked["method"]] += 1
        if self.misbehave is not None:
            answer = await self.misbehave(asked)
            if answer is not None:
                return answer
        envelope: Json = {"jsonrpc": "2.0", "id": asked["id"]}
        try:
            envelope["result"] = await self._result(asked["method"], asked["params"])
        except RpcError as error:
            envelope["error"] = error.error
        return web.json_response(envelope)

    async def _result(self, method: str, params: list[Any]) -> object:
        match method, params:
            case "eth_chainId", []:
                return hex(self.chain_id)
            case "eth_blockNumber", []:
                return hex(await self._head())
            case "eth_getBlockByNumber", [number, False]:
                return await self._block(int(number, 16))
            case "eth_getTransactionReceipt", [tx]:
                return await self._receipt(tx)
            case "eth_getTransactionByHash", [tx]:
                return await self._transaction(tx)
            case "eth_getLogs", [criteria]:
                return await self._logs(criteria)
            case "eth_call", [call, "latest"]:
                return await self._call(call["to"], bytes.fromhex(call["data"][2:]))
        raise RpcError(-32601, "the method does not exist")

    async def _head(self) -> int:
        return await self.chain.head() - self.lags

    async def _block(self, number: int) -> Json | None:
        block = await self.chain.block(number)
        return None if block is None or number > await self._head() else block_json(block)

    async def _receipt(self, tx: str) -> Json | None:
        try:
            receipt = await self.chain.receipt(tx)
        except (TransactionUnknown, TransactionPending):
            return None
        hidden = receipt.block < self.pruned_below or receipt.block > await self._head()
        return None if hidden else receipt_json(receipt)

    async def _transaction(self, tx: str) -> Json | None:
        try:
            receipt = await self.chain.receipt(tx)
        except TransactionUnknown:
            return None
        except TransactionPending:
            return {"hash": tx, "blockHash": None, "blockNumber": None}
        if receipt.block > await self._head():
            return None
        return {"hash": tx, "blockHash": receipt.block_hash, "blockNumber": hex(receipt.block)}

    async def _logs(self, criteria: Json) -> list[Json]:
        first, last = int(criteria["fromBlock"], 16), int(criteria["toBlock"], 16)
        self.ranges.append((first, last))
        if self.max_range is not None and last - first + 1 > self.max_range:
            raise RpcError(-32602, f"eth_getLogs is limited to a {self.max_range} range")
        topics = [bytes.fromhex(topic[2:]) for topic in criteria["topics"][0]]
        end = min(last, await self._head())
        found = await self.chain.logs(first, end, topics, address=criteria.get("address"))
        if self.max_logs is not None and len(found) > self.max_logs:
            raise RpcError(-32005, f"query returned more than {self.max_logs} results")
        return [log_json(log) for log in found]

    async def _call(self, to: str, data: bytes) -> str:
        try:
            return "0x" + (await self.chain.call(to, data)).hex()
        except CallRefused as refused:
            if "no such" in refused.public:
                return "0x"
            raise RpcError(3, "execution reverted", data="0x") from None


def block_json(block: Block) -> Json:
    """As a node of a proof-of-authority chain has it: 97 bytes of ``extraData``."""
    return {
        "number": hex(block.number),
        "hash": block.hash,
        "parentHash": block.parent,
        "timestamp": hex(block.timestamp),
        "extraData": "0x" + "d8" * 97,
        "transactions": [],
    }


def log_json(log: Log) -> Json:
    return {
        "address": log.address,
        "topics": ["0x" + topic.hex() for topic in log.topics],
        "data": "0x" + log.data.hex(),
        "blockNumber": hex(log.block),
        "blockHash": log.block_hash,
        "transactionHash": log.tx,
        "logIndex": hex(log.index),
        "removed": False,
    }


def receipt_json(receipt: Receipt) -> Json:
    return {
        "transactionHash": receipt.tx,
        "blockNumber": hex(receipt.block),
        "blockHash": receipt.block_hash,
        "from": receipt.sender,
        "to": receipt.to,
        "status": "0x1" if receipt.succeeded else "0x0",
        "logs": [log_json(log) for log in receipt.logs],
    }


class ManualClock:
    """Time that passes only when something waits for it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def only(method: str, answer: Misbehaviour) -> Misbehaviour:
    """That misbehaviour at one method; good at the others."""

    async def misbehave(asked: Json) -> web.StreamResponse | None:
        return await answer(asked) if asked["method"] == method else None

    return misbehave


def says(body: bytes | str, status: int = 200, **headers: str) -> Misbehaviour:
    """This body, whatever is asked."""

    async def misbehave(_: Json) -> web.StreamResponse:
        raw = body.encode() if isinstance(body, str) else body
        return web.Response(body=raw, status=status, headers=headers)

    return misbehave


def results_in(result: object) -> Misbehaviour:
    """This result, in a right envelope."""

    async def misbehave(asked: Json) -> web.StreamResponse:
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": result})

    return misbehave


def fails_with(code: int, message: str, status: int = 200, **more: Any) -> Misbehaviour:
    """This RPC error, in a right envelope."""

    async def misbehave(asked: Json) -> web.StreamResponse:
        error = {"code": code, "message": message, **more}
        envelope = {"jsonrpc": "2.0", "id": asked["id"], "error": error}
        return web.json_response(envelope, status=status)

    return misbehave

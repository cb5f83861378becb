"""A node of a chain that is not there: it agrees to everything but what it is told not to."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from eth_utils.crypto import keccak
from standin_market import CHAIN

from provider.client import contract_calls as calls

FACTORY = "0x" + "fa" * 20
ADDRESSES = {"development": {"chainId": CHAIN, "ERC721Factory": FACTORY}}


class NodeStandIn:
    """``balances`` by lower-case token, plenty of others; ``paid`` gets each transaction;
    ``refusals`` by method are messages, each for one call."""

    def __init__(self, paid: set[str]) -> None:
        self.balances: dict[str, int] = {}
        self.refusals: dict[str, list[str]] = {}
        self.sent: list[str] = []
        self._paid = paid

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        method, params = asked["method"], asked["params"]
        if self.refusals.get(method):
            message = self.refusals[method].pop(0)
            if message:
                return web.json_response({"error": {"code": -32000, "message": message}})
        result = getattr(self, "_" + method)(*params)
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": result})

    def _eth_chainId(self) -> str:  # noqa: N802
        return hex(CHAIN)

    def _eth_call(self, call: dict[str, str], block: str) -> str:
        selector = bytes.fromhex(call["data"][2:10])
        words = {
            calls.BALANCE_OF.selector: [self.balances.get(call["to"], 10**30)],
            calls.ALLOWANCE.selector: [10**30],
            calls.DECIMALS.selector: [6],
            calls.PUBLISH_MARKET_FEE.selector: [0, 0, 0],
        }[selector]
        return "0x" + "".join(f"{word:064x}" for word in words)

    def _eth_estimateGas(self, call: Any) -> str:  # noqa: N802
        return hex(100_000)

    def _eth_getTransactionCount(self, address: str, block: str) -> str:  # noqa: N802
        return hex(len(self.sent))

    def _eth_getBlockByNumber(self, block: str, full: bool) -> Any:  # noqa: N802
        return {"baseFeePerGas": "0x1"}

    def _eth_maxPriorityFeePerGas(self) -> str:  # noqa: N802
        return "0x1"

    def _eth_getTransactionByHash(self, tx: str) -> None:  # noqa: N802
        return None

    def _eth_sendRawTransaction(self, raw: str) -> str:  # noqa: N802
        tx = "0x" + keccak(hexstr=raw).hex()
        self.sent.append(tx)
        self._paid.add(tx)
        return tx

    def _eth_getTransactionReceipt(self, tx: str) -> Any:  # noqa: N802
        return {"status": "0x1", "blockNumber": "0x1", "transactionHash": tx, "logs": []}

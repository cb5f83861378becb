"""The JSON-RPC port: HTTP POST, single calls and batches (JSON-RPC 2.0).

Everything that concerns the chain runs in one thread of its own with a large stack, so
that contracts which call each other deeply have room and signals are heard meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from provider import bounded_json
from provider.devchain.errors import RpcError

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 << 20
MAX_BATCH = 1000
_MAX_PARTS = 200_000
_STACK_BYTES = 256 << 20

Call = Callable[[object, object], Any]
"""Method and parameters to the result. Raises RpcError."""


class RpcServer:
    """Answers calls on an aiohttp application; ``run`` puts other work into the same line."""

    def __init__(self, call: Call) -> None:
        self._call = call
        previous = threading.stack_size(_STACK_BYTES)
        self._line = ThreadPoolExecutor(1, thread_name_prefix="chain")
        self._line.submit(int).result()
        threading.stack_size(previous)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/{anything:.*}", self._handle)
        return app

    async def run(self, work: Callable[[], Any]) -> Any:
        """Do something with the chain when it is its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._line, work)

    def close(self) -> None:
        self._line.shutdown(cancel_futures=True)

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        answer = await self.run(lambda: self._answered(body))
        return web.Response(body=answer, content_type="application/json")

    def _answered(self, body: bytes) -> bytes:
        return json.dumps(self._answer_all(body), separators=(",", ":")).encode()

    def _answer_all(self, body: bytes) -> Any:
        try:
            asked = bounded_json.loads(body, max_parts=_MAX_PARTS)
        except ValueError:
            return _refusal(None, RpcError(-32700, "parse error"))
        if not isinstance(asked, list):
            return self._answer(asked)
        if not 1 <= len(asked) <= MAX_BATCH:
            return _refusal(None, RpcError(-32600, f"a batch has from 1 to {MAX_BATCH} calls"))
        return [self._answer(one) for one in asked]

    def _answer(self, asked: Any) -> dict[str, Any]:
        if not isinstance(asked, dict):
            return _refusal(None, RpcError(-32600, "invalid request"))
        number = asked.get("id") if isinstance(asked.get("id"), str | int) else None
        try:
            result = self._call(asked.get("method"), asked.get("params") or [])
        except RpcError as error:
            return _refusal(number, error)
        except Exception:
            logger.exception("chain_call_failed")
            return _refusal(number, RpcError(-32603, "internal error"))
        return {"jsonrpc": "2.0", "id": number, "result": result}


def _refusal(number: object, error: RpcError) -> dict[str, Any]:
    told: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        told["data"] = error.data
    return {"jsonrpc": "2.0", "id": number, "error": told}

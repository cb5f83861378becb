"""One node of a chain, over JSON-RPC, as far as a wallet needs it.

A session a call: a wallet makes few of them, and so nothing has to be closed. The URL may
hold an access key, so it is in no text and no ``repr``.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from provider import bounded_json
from provider.client.errors import ComputeClientError, plain

TIMEOUT_S = 30.0
_FIRST_TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 16 << 20
_MAX_PARTS = 500_000
_SHORTEST_SECRET = 8


class ChainUnreachableError(ComputeClientError):
    """The chain's node gives no usable answer.

    ``tx`` is the transaction that it may nevertheless have got; empty when there is none.
    """

    def __init__(self, text: str, *, tx: str = "") -> None:
        super().__init__(text, code="chain_unreachable")
        self.tx = tx


class ChainRefusedError(ComputeClientError):
    """The chain said no: a contract reverted, or the transaction is not acceptable.

    ``tx`` is the transaction that failed on the chain; empty when nothing was sent.
    """

    def __init__(self, text: str, *, tx: str = "") -> None:
        super().__init__(text, code="chain_refused")
        self.tx = tx


class ChainNode:
    """Calls of one node."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._timeout = ClientTimeout(total=timeout_s)

    async def call(self, method: str, *params: Any) -> Any:
        """The result of a call. Raises ChainRefusedError, ChainUnreachableError."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            async with (
                ClientSession(timeout=self._timeout) as session,
                session.post(self._url, json=asked, allow_redirects=False) as response,
            ):
                content = await response.content.read(_MAX_ANSWER_BYTES)
                while not response.content.at_eof() and len(content) < _MAX_ANSWER_BYTES:
                    content += await response.content.read(_MAX_ANSWER_BYTES - len(content))
        except (ClientError, OSError, TimeoutError):
            raise ChainUnreachableError("The chain's node cannot be reached.") from None
        return self._result(content, response.status)

    def _result(self, content: bytes, status: int) -> Any:
        try:
            answer = bounded_json.loads(content, max_parts=_MAX_PARTS)
        except ValueError:
            answer = None
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            message = str(answer["error"].get("message") or "no reason given")
            raise ChainRefusedError(f"The chain refused: {plain(self._without_secrets(message))}")
        if not isinstance(answer, dict) or "result" not in answer:
            raise ChainUnreachableError(f"The chain's node gave no answer (HTTP status {status}).")
        return answer["result"]

    def _without_secrets(self, message: str) -> str:
        """Nodes repeat the access key that they do not like."""
        for part in re.split(r"[/?&=@:]", self._url):
            if len(part) >= _SHORTEST_SECRET:
                message = message.replace(part, "…")
        return message


def number(value: Any) -> int:
    """A quantity of an answer. Raises ChainUnreachableError for what is none."""
    try:
        return int(value, 16)
    except (TypeError, ValueError):
        raise ChainUnreachableError("The chain's node gave an answer that is none.") from None


def data(value: Any) -> bytes:
    """Bytes of an answer. Raises ChainUnreachableError for what is none."""
    try:
        return bytes.fromhex(str(value).removeprefix("0x"))
    except ValueError:
        raise ChainUnreachableError("The chain's node gave an answer that is none.") from None


def as_text(raw: bytes) -> str:
    return "0x" + raw.hex()


def chain_id_of(url: str) -> int:
    """The id of the chain that a node is of. Waits for the answer without an event loop.

    Raises ChainRefusedError, ChainUnreachableError.
    """
    with ThreadPoolExecutor(1) as pool:
        node = ChainNode(url, timeout_s=_FIRST_TIMEOUT_S)
        return number(pool.submit(lambda: asyncio.run(node.call("eth_chainId"))).result())

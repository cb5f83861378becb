"""One node of a chain: a URL, how it has done lately, and one bounded request to it.

A node that failed rests, longer each time, and must show its chain id again before it is
believed. Its URL may hold an access key, so nothing here says more than its number in the
configuration, and what a node writes into an error is read but never shown.

Strangers decide how large some answers are: the events of blocks, the receipt of a
transaction, what a contract answers. Those being too large is no fault of a node.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from provider import bounded_json
from provider.chain.answers import Fault, Rubbish, code_of, fault_of, read_quantity

log = logging.getLogger(__name__)

MAX_ANSWER = 4 << 20
MAX_PARTS = 1_500_000
MAX_DEPTH = 32
LARGE = 256 << 10
"""Bytes from which an answer is parsed beside the event loop."""
FIRST_REST_S = 0.25
LONGEST_REST_S = 15.0
WRONG_CHAIN_REST_S = 60.0
BUSY_REST_S = 1.0
PROBE_S = 3.0
"""For a chain id, which costs a node nothing: a lost node holds up nobody for longer."""
VERIFIED_FOR_S = 600.0
RUBBISH = "answers rubbish"
TOO_MANY_PARTS = "too many parts"
"""What bounded_json says of them."""
CALL = "eth_call"
HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of an answer: its bytes, the parts of its JSON, and how many times the usual time it
    may take to come."""

    size: int
    parts: int
    patience: float = 1.0


BLOCK = Bounds(256 << 20, 8_000_000, patience=6.0)
"""For the events of one block, which cannot be asked for in smaller pieces. Its gas bounds
it: an event with a topic costs 750 of it, makes 600 to 900 bytes and about 30 parts, and
a byte of data costs 8, so this is enough for 180 million gas of nothing but events."""
_PLAIN = Bounds(MAX_ANSWER, MAX_PARTS)
_EVENTS = Bounds(8 << 20, 400_000)
"""Smaller than need be: a range is split, and parsing holds up the event loop."""
_BOUNDS = {
    "eth_getLogs": _EVENTS,
    "eth_getTransactionReceipt": _EVENTS,
    "eth_getBlockReceipts": BLOCK,
    CALL: Bounds(1 << 20, 1_000),
}


class NodeFault(Exception):
    """This node gives no usable answer; another one may. ``kind`` names no secret."""

    def __init__(self, kind: str, *, rest_s: float = 0.0) -> None:
        super().__init__(kind)
        self.kind = kind
        self.rest_s = rest_s


class WrongChain(NodeFault):
    """The node is one of another chain."""

    def __init__(self, answered: int) -> None:
        super().__init__(f"answers for chain {answered}", rest_s=WRONG_CHAIN_REST_S)
        self.answered = answered


class Excused(NodeFault):
    """No usable answer to this question, from a node that is well otherwise."""


class Behind(Excused):
    """The node has not seen a block yet that others have."""

    def __init__(self) -> None:
        super().__init__("is behind")


class RpcRefused(Exception):
    """An answer that is an error, and not this node's fault. ``error`` is its JSON."""

    def __init__(self, fault: Fault, error: object) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.error = error


class Node:
    """``number`` counts from 1, in the order of the configuration."""

    def __init__(
        self,
        chain_id: int,
        number: int,
        url: str,
        timeout_s: float,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.number = number
        self.rests_until = 0.0
        self.highest_seen = -1
        self.head = -1
        """As compared with the other nodes' lately; -1 when it was not."""
        self.is_behind = False
        self._chain_id = chain_id
        self._url = url
        self._timeout_s = timeout_s
        self._clock = clock
        self._asking = 0
        self._failures = 0
        self._failed_at = float("-inf")
        self._verified_at = float("-inf")
        self._verifying = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Node(chain={self._chain_id}, number={self.number})"

    @property
    def is_tried_out(self) -> bool:
        """True while a question finds out whether the node has recovered."""
        return self._failures > 0 and self._asking > 0

    @property
    def is_well(self) -> bool:
        """True as long as the last question to it was answered."""
        return not self._failures

    async def chain_id(self, session: aiohttp.ClientSession) -> int:
        """What the node says now. Raises NodeFault."""
        request = {"jsonrpc": "2.0", "id": 0, "method": "eth_chainId", "params": []}
        try:
            async with asyncio.timeout(PROBE_S):
                answer = await self.post(session, json.dumps(request).encode(), request)
            return read_quantity(answer)
        except TimeoutError:
            raise NodeFault("takes too long") from None
        except RpcRefused as refused:
            raise NodeFault(f"refuses to tell its chain id ({refused})") from None
        except Rubbish:
            raise NodeFault(RUBBISH) from None

    async def verify(self, session: aiohttp.ClientSession) -> None:
        """Raise WrongChain or NodeFault unless the node has shown the right chain id lately."""
        if self._is_verified():
            return
        since = self._clock()
        async with self._verifying:
            if self._is_verified():
                return
            if self._failed_at > since:
                raise NodeFault("failed a moment ago")
            answered = await self.chain_id(session)
            if answered != self._chain_id:
                raise WrongChain(answered)
            if self._verified_at < 0:
                log.info("chain node is good chain=%d node=%d", self._chain_id, self.number)
            self._verified_at = self._clock()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Have what happens inside count as the node's doing: NodeFault and Rubbish."""
        asked_at = self._clock()
        self._asking += 1
        try:
            yield
        except Excused:
            raise
        except NodeFault as fault:
            self._failed(fault, asked_at)
            raise
        except Rubbish:
            rubbish = NodeFault(RUBBISH)
            self._failed(rubbish, asked_at)
            raise rubbish from None
        else:
            self._succeeded(asked_at)
        finally:
            self._asking -= 1

    async def post(
        self,
        session: aiohttp.ClientSession,
        body: bytes,
        request: Mapping[str, Any],
        bounds: Bounds | None = None,
    ) -> object:
        """The result of a JSON-RPC request. Raises NodeFault, RpcRefused."""
        status, method = 200, str(request["method"])
        bounds = bounds or _BOUNDS.get(method, _PLAIN)
        try:
            async with asyncio.timeout(self._timeout_s * bounds.patience):
                status, raw = await self._exchange(session, body, method, bounds.size)
            return _result(await _parsed(raw, bounds.parts), status, request)
        except TimeoutError:
            raise NodeFault("takes too long") from None
        except (aiohttp.ClientError, OSError):
            raise NodeFault("cannot be reached") from None
        except ValueError as error:
            if str(error) == TOO_MANY_PARTS:
                raise _too_large(method) from None
            raise NodeFault(RUBBISH if status == 200 else f"answers with HTTP {status}") from None

    def _failed(self, fault: NodeFault, asked_at: float) -> None:
        """Rest, unless a later fault has had that effect already."""
        if asked_at < self._failed_at:
            return
        now = self._clock()
        rest = min(FIRST_REST_S * 2**self._failures, LONGEST_REST_S)
        self._failures = min(self._failures + 1, 16)
        self._failed_at = now
        self._verified_at = float("-inf")
        self.highest_seen = self.head = -1
        self.rests_until = now + max(rest, fault.rest_s)
        log.warning(
            "chain node failed chain=%d node=%d fault=%r rests_s=%.2f",
            self._chain_id,
            self.number,
            fault.kind,
            self.rests_until - now,
        )

    def _succeeded(self, asked_at: float) -> None:
        if asked_at >= self._failed_at:
            self._failures = 0

    async def _exchange(
        self, session: aiohttp.ClientSession, body: bytes, method: str, left: int
    ) -> tuple[int, bytes]:
        async with session.post(
            self._url, data=body, headers=HEADERS, allow_redirects=False
        ) as response:
            _require_usable(response, method)
            chunks = []
            async for chunk in response.content.iter_any():
                left -= len(chunk)
                if left < 0:
                    raise _too_large(method)
                chunks.append(chunk)
            return response.status, b"".join(chunks)

    def _is_verified(self) -> bool:
        return self._clock() - self._verified_at < VERIFIED_FOR_S


def _require_usable(response: aiohttp.ClientResponse, method: str) -> None:
    """A client error may carry an RPC error that says more, so its body is worth reading."""
    status = response.status
    if status == 429:
        raise NodeFault("limits our rate", rest_s=_retry_after(response))
    if status == 413:
        raise _too_large(method)
    if status >= 500 or 300 <= status < 400:
        raise NodeFault(f"answers with HTTP {status}")


def _too_large(method: str) -> Exception:
    """Where strangers decide about the size it is no fault; elsewhere it is rubbish."""
    if method in _BOUNDS:
        return RpcRefused(Fault.TOO_LARGE, {"code": -32005, "message": "too large"})
    return NodeFault("answers too much")


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds that a node wants to be left alone for, within reason."""
    text = response.headers.get("Retry-After", "")
    seconds = float(text) if text.isascii() and text.isdigit() and len(text) < 6 else BUSY_REST_S
    return min(max(seconds, BUSY_REST_S), WRONG_CHAIN_REST_S)


async def _parsed(raw: bytes, max_parts: int) -> object:
    def parse() -> object:
        return bounded_json.loads(raw, max_depth=MAX_DEPTH, max_parts=max_parts)

    return await asyncio.to_thread(parse) if len(raw) > LARGE else parse()


def _result(answer: object, status: int, request: Mapping[str, Any]) -> object:
    """Raises Rubbish for what is no JSON-RPC answer to the request."""
    if not isinstance(answer, dict):
        raise Rubbish("no object")
    error = answer.get("error")
    if error is not None:
        raise _refusal(error, str(request["method"]))
    if status != 200 or answer.get("id") != request["id"] or "result" not in answer:
        raise Rubbish("no answer")
    return answer["result"]


def _refusal(error: object, method: str) -> Exception:
    fault = fault_of(error, method)
    if fault is Fault.BUSY:
        return NodeFault("limits our rate", rest_s=0.0 if method == CALL else BUSY_REST_S)
    if fault is Fault.NODE:
        code = code_of(error)
        return NodeFault("refuses" if code is None else f"refuses with code {code}")
    return RpcRefused(fault, error)

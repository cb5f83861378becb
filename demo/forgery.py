"""A forged order: the very events of a real one, but from a contract of the forger's own.

Anyone can make a contract that emits ``OrderStarted`` and ``ProviderFee`` with any content,
the provider's own signature of another fee included. So events count only when the contract
that emitted them is the datatoken that the asset names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import ClientSession
from eth_account.signers.local import LocalAccount

from demo.processes import DemoFailedError

ORDER_STARTED = "0xe1c4fa794edfa8f619b8257a077398950357b9c6398528f94480307352f9afcc"
_PUSH3, _PUSH32, _PUSH0, _CODECOPY, _LOG0, _STOP = b"\x62", b"\x7f", b"\x5f", b"\x39", 0xA0, b"\x00"
_MINING_S = 30


class Node:
    """A node of the chain, asked in its own language."""

    def __init__(self, url: str, session: ClientSession) -> None:
        self._url = url
        self._session = session

    async def ask(self, method: str, *parameters: Any) -> Any:
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        async with self._session.post(self._url, json=question) as response:
            answer = await response.json()
        if "error" in answer:
            raise DemoFailedError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    async def logs_of(self, tx: str) -> list[Mapping[str, Any]]:
        for _ in range(_MINING_S * 10):
            if receipt := await self.ask("eth_getTransactionReceipt", tx):
                return list(receipt["logs"])
            await asyncio.sleep(0.1)
        raise DemoFailedError("a transaction did not get into a block")


async def forge(node: Node, forger: LocalAccount, genuine: str, datatoken: str) -> str:
    """A transaction of the forger with the events of a genuine order, in which the forger
    is who paid. Returns its hash."""
    logs = [
        log for log in await node.logs_of(genuine) if log["address"].lower() == datatoken.lower()
    ]
    events = [_in_the_name_of(forger.address, log) for log in logs]
    tx = await _send(node, forger, _code(events))
    if len(await node.logs_of(tx)) != len(events):
        raise DemoFailedError("the forged order has no events")
    return tx


def _in_the_name_of(forger: str, log: Mapping[str, Any]) -> tuple[list[bytes], bytes]:
    """Topics and data of an event; consumer and payer of an order replaced."""
    topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
    data = bytes.fromhex(log["data"][2:])
    if log["topics"][0] == ORDER_STARTED:
        word = bytes.fromhex(forger[2:]).rjust(32, b"\0")
        topics[1], data = word, word + data[32:]
    return topics, data


def _code(events: Sequence[tuple[list[bytes], bytes]]) -> bytes:
    """A constructor that emits the events and leaves an empty contract."""
    heads = [13 + 33 * len(topics) + 3 for topics, _ in events]
    offset = sum(heads) + 1
    code = content = b""
    for topics, data in events:
        code += _three(len(data)) + _three(offset + len(content)) + _PUSH0 + _CODECOPY
        code += b"".join(_PUSH32 + topic for topic in reversed(topics))
        code += _three(len(data)) + _PUSH0 + bytes([_LOG0 + len(topics)])
        content += data
    assert len(code) == sum(heads)
    return code + _STOP + content


def _three(number: int) -> bytes:
    return _PUSH3 + number.to_bytes(3, "big")


async def _send(node: Node, sender: LocalAccount, code: bytes) -> str:
    transaction: dict[str, Any] = {
        "chainId": int(await node.ask("eth_chainId"), 16),
        "nonce": int(await node.ask("eth_getTransactionCount", sender.address, "latest"), 16),
        "gasPrice": int(await node.ask("eth_gasPrice"), 16) * 2,
        "gas": 3_000_000,
        "value": 0,
        "data": "0x" + code.hex(),
    }
    signed = sender.sign_transaction(transaction)
    raw = "0x" + bytes(signed.raw_transaction).hex()
    return str(await node.ask("eth_sendRawTransaction", raw))

"""Transactions of one wallet: signed here, sent once, waited for.

A transaction is tried before it is sent, so that what a contract would refuse costs
nothing. Once it is signed its hash is known: when the node breaks off, the same bytes are
sent again, which can never spend twice, and it is looked for by its hash.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Protocol

from provider.auth.signatures import to_checksum
from provider.client.chain_node import (
    ChainNode,
    ChainRefusedError,
    ChainUnreachableError,
    as_text,
    data,
    number,
)
from provider.client.contract_calls import Function

WAIT_S = 180.0
_FIRST_POLL_S = 0.1
_SLOWEST_POLL_S = 2.0
_TRIES = 4
_TRY_AGAIN_S = 0.5
_GAS_MARGIN = 1.25
_TIP_WEI = 10**9
_TOO_POOR = re.compile(r"insufficient funds|gas required exceeds allowance", re.IGNORECASE)


class TransactionSigner(Protocol):
    """What is needed of an eth_account account."""

    @property
    def address(self) -> Any: ...

    def sign_transaction(self, transaction_dict: Any) -> Any: ...


class Transactions:
    """Calls of contracts by one wallet on one chain. One after the other, whoever asks.

    ``wait_s`` is how long a transaction may take into its block.
    """

    def __init__(
        self,
        node: ChainNode,
        signer: TransactionSigner,
        chain_id: int,
        *,
        wait_s: float = WAIT_S,
    ) -> None:
        self._node = node
        self._wait_s = wait_s
        self._signer = signer
        self._chain_id = chain_id
        self._verified = False
        self._turn = asyncio.Lock()

    async def view(self, to: str, function: Function, *values: object) -> tuple[Any, ...]:
        """What a function of a contract answers at the head of the chain."""
        call = {"to": to, "data": as_text(function.data(*values))}
        return function.result(data(await self._node.call("eth_call", call, "latest")))

    async def send(self, to: str, function: Function, *values: object) -> Mapping[str, Any]:
        """The receipt of a call that succeeded, once it is in a block.

        Raises ChainRefusedError when it would fail or did, ChainUnreachableError.
        """
        async with self._turn:
            await self._require_chain()
            call = {
                "from": str(self._signer.address),
                "to": to,
                "data": as_text(function.data(*values)),
            }
            try:
                tx = await self._sent(call)
            except ChainRefusedError as error:
                raise self._explained(error) from None
            receipt = await self._receipt(tx)
        if number(receipt.get("status")) != 1:
            raise ChainRefusedError(f"{function.name} failed on the chain: {tx}.", tx=tx)
        return receipt

    def _explained(self, error: ChainRefusedError) -> ChainRefusedError:
        """The refusal; where the wallet cannot pay for gas, with who needs what."""
        text = str(error)
        if not _TOO_POOR.search(text) or "revert" in text:
            return error
        return ChainRefusedError(
            f"{text.rstrip('.')}. The wallet {self._signer.address} pays for transactions in the"
            " chain's own currency (such as Ether) and has too little of it.",
            tx=error.tx,
        )

    async def _require_chain(self) -> None:
        """A signature is for one chain; the node must be of that one."""
        if not self._verified:
            found = number(await self._node.call("eth_chainId"))
            if found != self._chain_id:
                raise ChainRefusedError(f"The node is of chain {found}, not {self._chain_id}.")
            self._verified = True

    async def _sent(self, call: Mapping[str, Any]) -> str:
        """Sign and send; the hash.

        A nonce that another program of the same wallet took meanwhile is replaced.
        """
        for left in reversed(range(_TRIES)):
            signed = self._signer.sign_transaction(await self._filled(call))
            raw, tx = as_text(signed.raw_transaction), as_text(signed.hash)
            try:
                await self._broadcast(raw, tx)
            except ChainRefusedError as error:
                if "nonce too low" not in str(error) or not left:
                    raise
            else:
                return tx
        raise AssertionError("unreachable")

    async def _filled(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """The transaction with gas, fee and nonce."""
        gas = number(await self._node.call("eth_estimateGas", call))
        nonce = await self._node.call("eth_getTransactionCount", call["from"], "pending")
        return {
            "chainId": self._chain_id,
            "nonce": number(nonce),
            "to": to_checksum(call["to"]),
            "data": call["data"],
            "value": 0,
            "gas": int(gas * _GAS_MARGIN),
            **await self._price(),
        }

    async def _price(self) -> dict[str, int]:
        """What gas may cost: twice the present base fee and a tip (EIP-1559), or, on chains
        without that, what the node says."""
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        base = block.get("baseFeePerGas") if isinstance(block, dict) else None
        if base is None:
            return {"gasPrice": number(await self._node.call("eth_gasPrice"))}
        try:
            tip = number(await self._node.call("eth_maxPriorityFeePerGas"))
        except ChainRefusedError:
            tip = _TIP_WEI
        return {"maxFeePerGas": 2 * number(base) + tip, "maxPriorityFeePerGas": tip}

    async def _broadcast(self, raw: str, tx: str) -> None:
        for left in reversed(range(_TRIES)):
            try:
                await self._node.call("eth_sendRawTransaction", raw)
            except ChainUnreachableError:
                if not left:
                    raise _lost(tx) from None
                await asyncio.sleep(_TRY_AGAIN_S)
            except ChainRefusedError:
                if left == _TRIES - 1 or not await self._is_known(tx):
                    raise
                return
            else:
                return

    async def _is_known(self, tx: str) -> bool:
        """Whether an earlier attempt, whose answer was lost, came through."""
        try:
            return await self._node.call("eth_getTransactionByHash", tx) is not None
        except ChainUnreachableError:
            raise _lost(tx) from None

    async def _receipt(self, tx: str) -> Mapping[str, Any]:
        pause, waited = _FIRST_POLL_S, 0.0
        while waited < self._wait_s:
            try:
                receipt = await self._node.call("eth_getTransactionReceipt", tx)
            except (ChainUnreachableError, ChainRefusedError):
                receipt = None
            if isinstance(receipt, dict) and receipt.get("blockNumber"):
                return receipt
            await asyncio.sleep(pause)
            waited += pause
            pause = min(pause * 1.5, _SLOWEST_POLL_S)
        raise ChainUnreachableError(
            f"Transaction {tx} was sent, but is in no block yet after {self._wait_s:.0f} s.", tx=tx
        )


def _lost(tx: str) -> ChainUnreachableError:
    return ChainUnreachableError(
        f"The chain's node cannot be reached; it may have got transaction {tx}.", tx=tx
    )

"""The calls that the chain answers, by name. Each takes its parameters and returns JSON.

What wallets and the libraries of Python and JavaScript ask for is here, and the calls by
which test tools steer a development chain, under the names that Anvil, Hardhat and Ganache
share.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eth.abc import BlockHeaderAPI
from eth_account import Account
from eth_utils.crypto import keccak

from provider.devchain import wire
from provider.devchain.errors import RpcError, reverted
from provider.devchain.evm import Made
from provider.devchain.node import Node, Placed
from provider.devchain.wallets import DevWallet
from provider.devchain.wire import Json, Params, invalid, quantity

TIP = 10**9
"""Priority fee that is proposed, in wei: one gwei."""
_MAX_FEE_HISTORY = 1024
_MAX_FILTERS = 10_000
_MAX_PERCENTILES = 100

Method = Callable[[Params], Any]


@dataclass(slots=True)
class _Filter:
    """What a client polls. ``criteria`` is None for new blocks; ``seen`` the last block told."""

    criteria: Json | None
    seen: int


class Methods:
    """The calls over one node. ``wallets`` are those that it signs for itself."""

    def __init__(self, node: Node, wallets: Sequence[DevWallet]) -> None:
        self._node = node
        self._wallets = {wire.read_bytes(w.address, 20): w for w in wallets}
        self._filters: dict[int, _Filter] = {}
        self._filter_ids = itertools.count(1)
        self._table: dict[str, Method] = {**self._reads(), **self._writes(), **self._steering()}

    def call(self, method: object, params: object) -> Any:
        """Raises RpcError, and nothing else for whatever is sent."""
        found = self._table.get(method) if isinstance(method, str) else None
        if found is None:
            raise RpcError(-32601, "the method does not exist or is not available")
        return found(Params(params))

    def _reads(self) -> dict[str, Method]:
        node = self._node
        return {
            "web3_clientVersion": lambda _: f"ocean-compute-devchain/python{sys.version_info[0]}",
            "web3_sha3": lambda p: wire.data(keccak(p.bytes(0))),
            "net_version": lambda _: str(node.chain_id),
            "net_listening": lambda _: True,
            "net_peerCount": lambda _: "0x0",
            "eth_chainId": lambda _: quantity(node.chain_id),
            "eth_syncing": lambda _: False,
            "eth_accounts": lambda _: [w.address for w in self._wallets.values()],
            "eth_blockNumber": lambda _: quantity(node.height),
            "eth_gasPrice": lambda _: quantity(self._base_fee() + TIP),
            "eth_maxPriorityFeePerGas": lambda _: quantity(TIP),
            "eth_feeHistory": self._fee_history,
            "eth_getBalance": lambda p: quantity(self._state(p, 1).get_balance(p.bytes(0, 20))),
            "eth_getCode": lambda p: wire.data(self._state(p, 1).get_code(p.bytes(0, 20))),
            "eth_getStorageAt": self._storage,
            "eth_getTransactionCount": self._transaction_count,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_getBlockByNumber": lambda p: self._block_json(self._block_at(p.get(0)), p.get(1)),
            "eth_getBlockByHash": lambda p: self._block_json(self._block_of_hash(p), p.get(1)),
            "eth_getBlockTransactionCountByNumber": lambda p: _count(self._block_at(p.get(0))),
            "eth_getBlockTransactionCountByHash": lambda p: _count(self._block_of_hash(p)),
            "eth_getBlockReceipts": self._block_receipts,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": lambda p: self._logs(p.object(0)),
        }

    def _writes(self) -> dict[str, Method]:
        return {
            "eth_sendRawTransaction": lambda p: wire.data(self._node.send(p.bytes(0))),
            "eth_sendTransaction": self._send,
            "eth_newFilter": lambda p: self._new_filter(dict(p.object(0))),
            "eth_newBlockFilter": lambda _: self._new_filter(None),
            "eth_getFilterChanges": self._filter_changes,
            "eth_getFilterLogs": lambda p: self._logs(self._filter(p).criteria or {}),
            "eth_uninstallFilter": lambda p: self._filters.pop(p.number(0), None) is not None,
        }

    def _steering(self) -> dict[str, Method]:
        node = self._node
        steering: dict[str, Method] = {
            "evm_mine": self._mine,
            "evm_snapshot": lambda _: quantity(node.snapshot()),
            "evm_revert": self._revert,
            "evm_increaseTime": lambda p: quantity(node.increase_time(p.number(0))),
            "evm_setNextBlockTimestamp": lambda p: node.set_next_timestamp(p.number(0)),
            "evm_setAutomine": self._set_automatic,
        }
        for prefix in ("anvil", "hardhat"):
            steering[f"{prefix}_mine"] = lambda p: node.mine(p.number(0, 1))
        return steering

    def _base_fee(self) -> int:
        header: Any = self._node.pending_header()
        return int(header.base_fee_per_gas)

    def _header(self, tag: object) -> BlockHeaderAPI:
        """The header whose state and time a call sees.

        At the head it is the block that would be made now: a chain where blocks come with
        transactions only would otherwise answer with the time of the last one.
        """
        if tag in (None, "latest", "pending", "safe", "finalized"):
            return self._node.pending_header()
        return self._required(self._block_at(tag)).header

    def _state(self, params: Params, position: int) -> Any:
        return self._node.state(self._header(params.get(position)))

    def _block_at(self, tag: object) -> Made | None:
        if isinstance(tag, dict) and "blockHash" in tag:
            return self._node.block_of_hash(wire.read_bytes(tag["blockHash"], 32))
        if isinstance(tag, dict):
            tag = tag.get("blockNumber")
        if tag in (None, "latest", "pending", "safe", "finalized"):
            return self._node.head
        return self._node.block(0 if tag == "earliest" else wire.read_quantity(tag))

    def _block_of_hash(self, params: Params) -> Made | None:
        return self._node.block_of_hash(params.bytes(0, 32))

    @staticmethod
    def _required(made: Made | None) -> Made:
        if made is None:
            raise RpcError(-32000, "header not found")
        return made

    @staticmethod
    def _block_json(made: Made | None, full: object) -> Json | None:
        return wire.block_json(made, full=full is True) if made else None

    def _block_receipts(self, params: Params) -> list[Json] | None:
        made = self._block_at(params.get(0))
        if made is None:
            return None
        return [wire.receipt_json(Placed(made, n)) for n in range(len(made.executed))]

    def _storage(self, params: Params) -> str:
        slot = self._state(params, 2).get_storage(params.bytes(0, 20), params.number(1))
        return wire.data(slot.to_bytes(32, "big"))

    def _transaction_count(self, params: Params) -> str:
        account = params.bytes(0, 20)
        if params.get(1) == "pending":
            return quantity(self._node.next_nonce(account))
        return quantity(self._state(params, 1).get_nonce(account))

    def _transaction(self, params: Params) -> Json | None:
        tx = params.bytes(0, 32)
        if placed := self._node.placed(tx):
            return wire.transaction_json(placed.executed.transaction, placed)
        waiting = self._node.waiting(tx)
        return wire.transaction_json(waiting, None) if waiting else None

    def _receipt(self, params: Params) -> Json | None:
        placed = self._node.placed(params.bytes(0, 32))
        return wire.receipt_json(placed) if placed else None

    def _call(self, params: Params) -> str:
        request = wire.read_request(params.object(0), bytes(20))
        outcome = self._node.attempt(self._header(params.get(1)), request)
        if outcome.error is not None:
            raise reverted(outcome.error, outcome.output)
        return wire.data(outcome.output)

    def _estimate(self, params: Params) -> str:
        request = wire.read_request(params.object(0), bytes(20))
        outcome = self._node.estimate(self._header(params.get(1)), request)
        if outcome.error is not None:
            raise reverted(outcome.error, outcome.output)
        return quantity(outcome.gas_used)

    def _fee_history(self, params: Params) -> Json:
        count = min(params.number(0), _MAX_FEE_HISTORY)
        newest = self._required(self._block_at(params.get(1))).header.block_number
        oldest = max(0, newest - count + 1)
        headers: list[Any] = [self._block(number).header for number in range(oldest, newest + 1)]
        percentiles = params.get(2, [])
        if not isinstance(percentiles, list) or len(percentiles) > _MAX_PERCENTILES:
            raise invalid("percentiles must be a short array")
        following = self._node.block(newest + 1)
        last: Any = following.header if following else self._node.pending_header()
        return {
            "oldestBlock": quantity(oldest),
            "baseFeePerGas": [quantity(header.base_fee_per_gas) for header in [*headers, last]],
            "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
            "reward": [[quantity(TIP)] * len(percentiles) for _ in headers],
        }

    def _block(self, number: int) -> Made:
        return self._required(self._node.block(number))

    def _send(self, params: Params) -> str:
        given = params.object(0)
        sender = wire.read_bytes(given.get("from"), 20)
        wallet = self._wallets.get(sender)
        if wallet is None:
            raise RpcError(-32000, "no key for this sender; send a signed transaction")
        ready = self._completed(wire.checksummed(given), sender)
        try:
            signed = Account.sign_transaction(ready, wallet.key)
        except (TypeError, ValueError) as error:
            raise invalid(str(error)) from None
        return wire.data(self._node.send(bytes(signed.raw_transaction)))

    def _completed(self, given: Json, sender: bytes) -> Json:
        """A transaction with all that its sender left open."""
        if "gas" not in given:
            given["gas"] = self._estimate(Params([{**given, "from": wire.data(sender)}]))
        if "gasPrice" not in given and "maxFeePerGas" not in given:
            given |= {"maxFeePerGas": 2 * self._base_fee() + TIP, "maxPriorityFeePerGas": TIP}
        return {
            "chainId": self._node.chain_id,
            "nonce": self._node.next_nonce(sender),
            "value": 0,
            **given,
        }

    def _logs(self, criteria: Any) -> list[Json]:
        topics = criteria.get("topics") or []
        addresses = wire.read_addresses(criteria.get("address"))
        if not isinstance(topics, list):
            raise invalid("topics must be an array")
        return [
            log
            for made in self._blocks_of(criteria)
            if made.header.bloom
            for position in range(len(made.executed))
            for log in wire.logs_json(Placed(made, position))
            if wire.matches(log, addresses, topics)
        ]

    def _blocks_of(self, criteria: Any) -> list[Made]:
        if "blockHash" in criteria:
            return [self._required(self._block_at({"blockHash": criteria["blockHash"]}))]
        first = self._number(criteria.get("fromBlock"))
        last = min(self._number(criteria.get("toBlock")), self._node.height)
        return [self._block(number) for number in range(first, last + 1)]

    def _number(self, tag: object) -> int:
        if tag in (None, "latest", "pending", "safe", "finalized"):
            return self._node.height
        return 0 if tag == "earliest" else wire.read_quantity(tag)

    def _new_filter(self, criteria: Json | None) -> str:
        if len(self._filters) >= _MAX_FILTERS:
            self._filters.pop(next(iter(self._filters)))
        number = next(self._filter_ids)
        self._filters[number] = _Filter(criteria, self._node.height)
        return quantity(number)

    def _filter(self, params: Params) -> _Filter:
        found = self._filters.get(params.number(0))
        if found is None:
            raise RpcError(-32000, "filter not found")
        return found

    def _filter_changes(self, params: Params) -> list[Any]:
        polled = self._filter(params)
        first, polled.seen = polled.seen + 1, self._node.height
        if polled.criteria is None:
            numbers = range(first, self._node.height + 1)
            return [wire.data(self._block(number).header.hash) for number in numbers]
        if first > self._node.height:
            return []
        return self._logs({**polled.criteria, "fromBlock": quantity(first), "toBlock": "latest"})

    def _mine(self, _: Params) -> str:
        self._node.mine()
        return "0x0"

    def _revert(self, params: Params) -> bool:
        """Go back; filters tell what comes in place of what they told."""
        done = self._node.revert(params.number(0))
        for polled in self._filters.values():
            polled.seen = min(polled.seen, self._node.height)
        return done

    def _set_automatic(self, params: Params) -> None:
        self._node.automatic = params.get(0) is True
        if self._node.automatic:
            self._node.mine_waiting()


def _count(made: Made | None) -> str | None:
    return quantity(len(made.executed)) if made else None

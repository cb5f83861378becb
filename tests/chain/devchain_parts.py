"""A development chain in the test's own process, and contracts made by hand."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils import to_checksum_address
from support.devchain import DevChain

from provider.chain.models import Log
from provider.devchain.methods import Methods
from provider.devchain.node import Node
from provider.devchain.wallets import dev_wallets

CHAIN_ID = 8996
ETHER = 10**18

COUNTER = bytes.fromhex("5f546001015f555f545f5260205ff3")
"""Adds one to the first slot of storage and answers with it."""
REVERTS = bytes.fromhex("5f5ffd")
STOPS_AT_ODD = bytes.fromhex("fe")
CLOCK = bytes.fromhex("425f5260205ff3")
"""Answers with the time of the block."""


def logs_of(devchain: DevChain, tx: str) -> list[Log]:
    """The events of a transaction as the server's own code takes them."""
    receipt = devchain.receipt(tx)
    assert receipt is not None
    assert receipt["status"] == "0x1"
    return [
        Log(
            address=found["address"],
            topics=tuple(bytes.fromhex(topic[2:]) for topic in found["topics"]),
            data=bytes.fromhex(found["data"][2:]),
            block=int(found["blockNumber"], 16),
            block_hash=found["blockHash"],
            tx=tx,
            index=int(found["logIndex"], 16),
        )
        for found in receipt["logs"]
    ]


class Chain:
    """A node of two wallets with its calls. ``alice`` has Ether, ``pauper`` has none."""

    def __init__(self) -> None:
        self.wallets = dev_wallets(2)
        self.alice: LocalAccount = self.wallets[0].account()
        self.pauper: LocalAccount = Account.from_key("0x" + "77" * 32)
        balances = {bytes.fromhex(w.address[2:]): 1000 * ETHER for w in self.wallets}
        self.node = Node(CHAIN_ID, balances)
        self._methods = Methods(self.node, self.wallets)

    def call(self, method: str, *params: Any) -> Any:
        return self._methods.call(method, list(params))

    def signed(self, account: LocalAccount | None = None, **fields: Any) -> str:
        """A raw transaction: to nobody with nothing, unless said."""
        account = account or self.alice
        transaction = {
            "chainId": CHAIN_ID,
            "nonce": self.nonce(account),
            "to": "0x" + "00" * 20,
            "gas": 1_000_000,
            "maxFeePerGas": 3 * 10**9,
            "maxPriorityFeePerGas": 10**9,
            "value": 0,
            **fields,
        }
        if "gasPrice" in fields:
            del transaction["maxFeePerGas"], transaction["maxPriorityFeePerGas"]
        ready = {key: value for key, value in transaction.items() if value is not None}
        return "0x" + bytes(account.sign_transaction(ready).raw_transaction).hex()

    def send(self, account: LocalAccount | None = None, **fields: Any) -> str:
        return str(self.call("eth_sendRawTransaction", self.signed(account, **fields)))

    def nonce(self, account: LocalAccount) -> int:
        return int(self.call("eth_getTransactionCount", account.address, "pending"), 16)

    def contract(self, runtime: bytes) -> str:
        """A contract of this code; its checksummed address."""
        code = b"\x60" + bytes([len(runtime)]) + b"\x80\x60\x09\x5f\x39\x5f\xf3" + runtime
        receipt = self.call("eth_getTransactionReceipt", self.send(to=None, data="0x" + code.hex()))
        return to_checksum_address(receipt["contractAddress"])

    def receipt(self, tx: str) -> Any:
        return self.call("eth_getTransactionReceipt", tx)

    def block(self, tag: str = "latest", *, full: bool = False) -> Any:
        return self.call("eth_getBlockByNumber", tag, full)

    @property
    def height(self) -> int:
        return int(self.call("eth_blockNumber"), 16)

"""The contracts of the development chain, as a publisher and a customer call them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.abi import decode
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from support.devchain import DevChain

from provider.chain.fees import FeeQuote
from provider.devchain.ocean import contract

NOBODY = "0x" + "00" * 20
NO_MARKET = (NOBODY, NOBODY, 0)
ETHER = 10**18
GAS = 2_000_000


class Reverted(Exception):
    """The transaction is in a block, and failed."""

    def __init__(self, tx: str) -> None:
        super().__init__(tx)
        self.tx = tx


class Desk:
    """Publishes with one account and orders with another, and waits for each."""

    def __init__(self, chain: DevChain, publisher: LocalAccount, customer: LocalAccount) -> None:
        self.chain = chain
        self.publisher = publisher
        self.customer = customer
        self.factory: str = chain.addresses["ERC721Factory"]
        self.fee_token: str = chain.addresses["Ocean"]

    def publish(self, *, template: int = 1) -> tuple[str, str]:
        """A data NFT with metadata and one datatoken, of which the customer gets ninety."""
        owner = self.publisher.address
        made = ["Asset", "NFT", 1, NOBODY, NOBODY, "", True, owner]
        tx = self._call(owner, "ERC721Factory", self.factory, "deployERC721Contract", *made)
        nft = to_checksum_address(self._event(tx, "NFTCreated")["data"][2:66][24:])
        caps = [100 * ETHER, 0]
        parts = [template, ["Token", "DT"], [owner, NOBODY, NOBODY, NOBODY], caps, []]
        tx = self._call(owner, "ERC721Template", nft, "createERC20", *parts)
        datatoken = to_checksum_address(self._event(tx, "TokenCreated")["topics"][1][26:])
        metadata = [0, "", "", b"\x00", b"{}", bytes(32), []]
        self._call(owner, "ERC721Template", nft, "setMetaData", *metadata)
        to = self.customer.address
        self._call(owner, "ERC20Template", datatoken, "mint", to, 90 * ETHER)
        return nft, datatoken

    def approve(self, spender: str, amount: int, *, token: str = "") -> None:
        """Let a contract take the customer's tokens, those of fees unless told otherwise."""
        to = token or self.fee_token
        self._call(self.customer.address, "ERC20Template", to, "approve", spender, amount)

    def start(self, datatoken: str, fee: FeeQuote, *, consumer: str = "", index: int = 0) -> str:
        """``startOrder``. Raises Reverted."""
        who = self.customer.address
        given = [consumer or who, index, fee_tuple(fee), NO_MARKET]
        return self._call(who, "ERC20Template", datatoken, "startOrder", *given)

    def reuse(self, datatoken: str, order_tx: str, fee: FeeQuote) -> str:
        """``reuseOrder``. Raises Reverted."""
        given = [bytes.fromhex(order_tx[2:]), fee_tuple(fee)]
        return self._call(self.customer.address, "ERC20Template", datatoken, "reuseOrder", *given)

    def start_many(self, orders: Sequence[tuple[str, FeeQuote]], *, consumer: str) -> str:
        """``startMultipleTokenOrder`` of the factory, with index 0 for each."""
        listed = [(datatoken, consumer, 0, fee_tuple(fee), NO_MARKET) for datatoken, fee in orders]
        who = self.customer.address
        return self._call(who, "ERC721Factory", self.factory, "startMultipleTokenOrder", listed)

    def balance(self, owner: str, token: str = "") -> int:
        data = contract("ERC20Template").call("balanceOf", owner)
        asked = {"to": token or self.fee_token, "data": "0x" + data.hex()}
        answer = bytes.fromhex(self.chain.call("eth_call", asked, "latest")[2:])
        [amount] = decode(["uint256"], answer)
        return int(amount)

    def _call(self, sender: str, name: str, to: str, function: str, *values: Any) -> str:
        data = contract(name).call(function, *values)
        account = self.publisher if sender == self.publisher.address else self.customer
        tx = self.chain.send(account, to, data, gas=GAS)
        receipt = self.chain.receipt(tx)
        assert receipt is not None
        if receipt["status"] != "0x1":
            raise Reverted(tx)
        return tx

    def _event(self, tx: str, name: str) -> dict[str, Any]:
        fragment = next(part for part in contract("ERC721Factory").abi if part.get("name") == name)
        types = ",".join(each["type"] for each in fragment["inputs"])
        topic = "0x" + keccak(text=f"{name}({types})").hex()
        receipt = self.chain.receipt(tx)
        assert receipt is not None
        found: dict[str, Any] = next(log for log in receipt["logs"] if log["topics"][0] == topic)
        return found


def fee_tuple(fee: FeeQuote) -> tuple[object, ...]:
    """In the order of the contract's struct."""
    return (
        fee.address,
        fee.token,
        fee.amount,
        fee.v,
        fee.r,
        fee.s,
        fee.valid_until,
        fee.data,
    )

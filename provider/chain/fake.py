"""A chain in memory, for tests: blocks, events and contracts as a test writes them.

It keeps the contract of :class:`Chain` and nothing of a node: no gas, no accounts, no
code. Blocks come only when a test mines them, and time stands still but for the block's
number, so that the same test makes the same hashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eth_abi.abi import decode, encode

from provider.auth.keccak import keccak256
from provider.chain.base import Chain
from provider.chain.fake_events import Emitted
from provider.chain.models import Block, Log, Receipt
from provider.errors import (
    CallRefused,
    ChainUnavailable,
    RangeTooLarge,
    TransactionPending,
    TransactionUnknown,
)

SENDER = "0x" + "5e" * 20
GENESIS_TIME = 1_800_000_000
BLOCK_TIME = 12

Answer = Callable[..., Sequence[object] | None]


@dataclass(frozen=True, slots=True)
class _Transaction:
    """What a test sent; without ``succeeded`` there are no logs, as with real ones."""

    hash: str
    sender: str
    to: str | None
    succeeded: bool
    emitted: tuple[Emitted, ...]


@dataclass(slots=True)
class _Contract:
    """One function: how its arguments and answers are coded, and what answers."""

    inputs: list[str]
    outputs: list[str]
    answer: Answer


class FakeChain(Chain):
    """Set ``unreachable`` to have everything fail, ``max_logs`` to have searches for more
    events than that refused; ``asked`` counts questions by verb, and as ``hasty receipt``
    those for receipts that are not to be waited for."""

    def __init__(self, chain_id: int = 8996, *, confirmations: int = 1) -> None:
        self.id = chain_id
        self.unreachable = False
        self.max_logs: int | None = None
        self.asked: Counter[str] = Counter()
        self._confirmations = confirmations
        self._blocks: list[tuple[Block, list[_Transaction]]] = []
        self._waiting: dict[str, _Transaction] = {}
        self._functions: dict[tuple[str, bytes], _Contract] = {}
        self._fork = 0
        self._sent = 0
        self.mine()

    # What a test does.

    def transact(
        self,
        *emitted: Emitted,
        sender: str = SENDER,
        to: str | None = None,
        succeeded: bool = True,
        mined: bool = True,
    ) -> str:
        """Send a transaction whose contracts emit these events; its hash.

        ``to`` is the first event's contract unless told otherwise. It goes into a block of
        its own, or with ``mined=False`` waits for the next ``mine``.
        """
        self._sent += 1
        tx = _hash(f"tx {self.id} {self._sent}")
        target = to or (emitted[0].address if emitted else None)
        logs = emitted if succeeded else ()
        self._waiting[tx] = _Transaction(
            tx, sender.lower(), target and target.lower(), succeeded, tuple(logs)
        )
        if mined:
            self.mine()
        return tx

    def mine(self, count: int = 1) -> Block:
        """Add blocks, the first of them with all that waits; the last one made."""
        for _ in range(count):
            number = len(self._blocks)
            block = Block(
                number=number,
                hash=_hash(f"block {self.id} {self._fork} {number}"),
                parent=self._blocks[-1][0].hash if self._blocks else "0x" + "00" * 32,
                timestamp=GENESIS_TIME + number * BLOCK_TIME,
            )
            self._blocks.append((block, list(self._waiting.values())))
            self._waiting.clear()
        return self._blocks[-1][0]

    def reorganise(self, depth: int, *, keep: bool = False) -> None:
        """Replace the last ``depth`` blocks by one more empty ones of another fork.

        What was in them is gone, as if it had never been sent; with ``keep`` it waits to be
        mined again.
        """
        dropped = self._blocks[len(self._blocks) - depth :]
        del self._blocks[len(self._blocks) - depth :]
        self._fork += 1
        self.mine(depth + 1)
        if keep:
            self._waiting |= {tx.hash: tx for _, listed in dropped for tx in listed}

    def answers(
        self, address: str, signature: str, outputs: Sequence[str], answer: Answer | Sequence[Any]
    ) -> None:
        """Have a contract answer ``name(type,…)``: with these values, or with what a
        function makes of the arguments, None standing for a revert."""
        name, _, types = signature.rstrip(")").partition("(")
        inputs = types.split(",") if types else []
        selector = keccak256(f"{name}({','.join(inputs)})".encode())[:4]
        given = answer if callable(answer) else lambda *_: answer
        self._functions[address.lower(), selector] = _Contract(inputs, list(outputs), given)

    def publish(
        self,
        factory: str,
        nft: str,
        datatokens: Sequence[str] = (),
        *,
        owner: str = SENDER,
        state: int | None = 0,
        names: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """Have factory, NFT and datatokens answer for an asset; again to change it.

        ``state`` None stands for an NFT without metadata. ``names`` are name and symbol by
        address, for those that have others than ``Fake`` and ``FK``.
        """
        listed = {each.lower() for each in datatokens}
        known = (self._functions.get((factory.lower(), _LISTED)) or _NOBODY).answer

        def made(asked: str) -> Sequence[object] | None:
            return [nft.lower()] if asked == nft.lower() else known(asked)

        metadata = ["", "", state or 0, state is not None]
        self.answers(factory, "erc721List(address)", ["address"], made)
        self.answers(nft, "isDeployed(address)", ["bool"], lambda asked: [asked in listed])
        self.answers(nft, "getMetaData()", ["string", "string", "uint8", "bool"], metadata)
        self.answers(nft, "ownerOf(uint256)", ["address"], [owner.lower()])
        for address in (nft, *datatokens):
            name, symbol = (names or {}).get(address, ("Fake", "FK"))
            self.answers(address, "name()", ["string"], [name])
            self.answers(address, "symbol()", ["string"], [symbol])
        for token in datatokens:
            self.token(token)

    def token(self, address: str, decimals: int = 18) -> None:
        """Have a contract answer ``decimals()``."""
        self.answers(address, "decimals()", ["uint8"], [decimals])

    # What the service asks.

    async def head(self) -> int:
        self._ask("head")
        return len(self._blocks) - 1

    async def block(self, number: int) -> Block | None:
        self._ask("block")
        return self._blocks[number][0] if 0 <= number < len(self._blocks) else None

    async def receipt(self, tx: str, *, patient: bool = True) -> Receipt:
        self._ask("receipt")
        self.asked["hasty receipt"] += not patient
        receipt = next((each for each in self._receipts() if each.tx == tx.lower()), None)
        if receipt is None and tx.lower() not in self._waiting:
            raise TransactionUnknown(tx)
        has = len(self._blocks) - receipt.block if receipt else 0
        if receipt is None or has < self._confirmations:
            raise TransactionPending(tx, has, self._confirmations)
        return receipt

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        self._ask("logs")
        if last >= len(self._blocks):
            raise ChainUnavailable(self.id, "behind")
        every = [log for receipt in self._receipts() for log in receipt.logs]
        found = [
            log
            for log in every
            if first <= log.block <= last
            and log.topics[:1] in {(topic,) for topic in topics}
            and (address is None or log.address == address.lower())
        ]
        if self.max_logs is not None and len(found) > self.max_logs and first < last:
            raise RangeTooLarge(self.id, max(first, found[self.max_logs].block - 1))
        return found

    async def call(self, to: str, data: bytes) -> bytes:
        self._ask("call")
        function = self._functions.get((to.lower(), data[:4]))
        if function is None:
            raise CallRefused("There is no such contract.")
        values = function.answer(*decode(function.inputs, data[4:]))
        if values is None:
            raise CallRefused("The contract refused the call.")
        return encode(function.outputs, values)

    def _ask(self, verb: str) -> None:
        self.asked[verb] += 1
        if self.unreachable:
            raise ChainUnavailable(self.id, "unreachable")

    def _receipts(self) -> list[Receipt]:
        return [
            receipt
            for block, transactions in self._blocks
            for receipt in _receipts(block, transactions)
        ]


_LISTED = keccak256(b"erc721List(address)")[:4]
_NOBODY = _Contract(["address"], ["address"], lambda _: ["0x" + "00" * 20])


def _receipts(block: Block, transactions: Sequence[_Transaction]) -> list[Receipt]:
    index, receipts = 0, []
    for tx in transactions:
        logs = [
            Log(
                address=emitted.address.lower(),
                topics=emitted.topics,
                data=emitted.data,
                block=block.number,
                block_hash=block.hash,
                tx=tx.hash,
                index=number,
            )
            for number, emitted in enumerate(tx.emitted, index)
        ]
        index += len(logs)
        empty = Receipt(tx.hash, tx.succeeded, block.number, block.hash, tx.sender, tx.to)
        receipts.append(replace(empty, logs=tuple(logs)))
    return receipts


def _hash(text: str) -> str:
    return "0x" + keccak256(text.encode()).hex()

"""The chain as a node keeps it: blocks, transactions that wait, snapshots, a clock.

Transactions are executed at once (each send makes a block) unless ``automatic`` is off or
somebody else calls ``mine`` at intervals. Not safe for two threads at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eth.abc import BlockHeaderAPI, SignedTransactionAPI, StateAPI
from eth_typing import Address

from provider.devchain.errors import RpcError, refused
from provider.devchain.evm import GAS_LIMIT, Evm, Executed, Made, Outcome, Refusals, Request

MAX_BLOCKS_AT_ONCE = 10_000
_MAX_TIME_S = 1 << 40
_GAS_MARGIN = 1.2


@dataclass(frozen=True, slots=True)
class Placed:
    """A transaction's place: its block and its number in it."""

    made: Made
    position: int

    @property
    def executed(self) -> Executed:
        return self.made.executed[self.position]

    @property
    def first_log(self) -> int:
        """The number in the block of the transaction's first log."""
        return sum(len(done.receipt.logs) for done in self.made.executed[: self.position])


@dataclass(frozen=True, slots=True)
class _Snapshot:
    height: int
    clock_offset: int
    waiting: tuple[SignedTransactionAPI, ...]


class Node:
    """One development chain. ``balances`` are in wei, by 20-byte address."""

    def __init__(self, chain_id: int, balances: Mapping[bytes, int]) -> None:
        self.chain_id = chain_id
        self.automatic = True
        self._clock_offset = 0
        self._next_timestamp: int | None = None
        self._evm = Evm(chain_id, balances, int(time.time()))
        self._blocks = [self._evm.genesis]
        self._by_hash: dict[bytes, Made] = {self._evm.genesis.block.hash: self._evm.genesis}
        self._placed: dict[bytes, Placed] = {}
        self._waiting: dict[tuple[bytes, int], SignedTransactionAPI] = {}
        self._snapshots: dict[int, _Snapshot] = {}
        self._last_snapshot = 0

    @property
    def head(self) -> Made:
        return self._blocks[-1]

    @property
    def height(self) -> int:
        """The number of the newest block."""
        return len(self._blocks) - 1

    def block(self, number: int) -> Made | None:
        return self._blocks[number] if 0 <= number <= self.height else None

    def block_of_hash(self, block_hash: bytes) -> Made | None:
        return self._by_hash.get(block_hash)

    def placed(self, tx: bytes) -> Placed | None:
        """Where a transaction is, None for one that is in no block."""
        return self._placed.get(tx)

    def waiting(self, tx: bytes) -> SignedTransactionAPI | None:
        """A transaction that waits for its block."""
        found = (transaction for transaction in self._waiting.values() if transaction.hash == tx)
        return next(found, None)

    def state(self, header: BlockHeaderAPI) -> StateAPI:
        return self._evm.state(header)

    def _nonce(self, sender: bytes) -> int:
        """The nonce of the sender's next transaction in a block."""
        return self.state(self.head.header).get_nonce(Address(sender))

    def next_nonce(self, sender: bytes) -> int:
        """The first nonce that no transaction of this sender has, waiting ones included."""
        nonce = self._nonce(sender)
        while (sender, nonce) in self._waiting:
            nonce += 1
        return nonce

    def pending_header(self) -> BlockHeaderAPI:
        """The block that would be made now."""
        return self._evm.next_header(self.head.header, self._timestamp())

    def attempt(self, header: BlockHeaderAPI, request: Request) -> Outcome:
        return self._evm.attempt(header, request)

    def estimate(self, header: BlockHeaderAPI, request: Request) -> Outcome:
        """Try a request; ``gas_used`` of the outcome is a limit that it succeeds with."""
        outcome = self.attempt(header, request)
        if outcome.error is not None:
            return outcome
        low, high = outcome.gas_used, request.gas
        guess = min(high, int(low * _GAS_MARGIN))
        while guess < high and not self._succeeds(header, request, guess):
            guess = min(high, guess * 2)
        return Outcome(outcome.output, guess, None)

    def _succeeds(self, header: BlockHeaderAPI, request: Request, gas: int) -> bool:
        tried = Request(request.sender, request.to, request.data, request.value, gas)
        return self.attempt(header, tried).error is None

    def send(self, raw: bytes) -> bytes:
        """Take a signed transaction; its hash. Raises RpcError for one that cannot be."""
        try:
            transaction = self._evm.decode(raw)
        except ValueError as error:
            raise refused(str(error)) from None
        self._require_acceptable(transaction)
        self._waiting[transaction.sender, transaction.nonce] = transaction
        if self.automatic:
            refusals = self.mine_waiting()
            if transaction.hash in refusals:
                raise refused(refusals[transaction.hash])
        return transaction.hash

    def _require_acceptable(self, transaction: SignedTransactionAPI) -> None:
        state = self.state(self.head.header)
        lowest = state.get_nonce(transaction.sender)
        if transaction.hash in self._placed:
            raise refused("already known")
        if transaction.nonce < lowest:
            raise refused(f"nonce too low: next nonce {lowest}, tx nonce {transaction.nonce}")
        if transaction.gas > GAS_LIMIT:
            raise refused("exceeds block gas limit")
        if transaction.intrinsic_gas > transaction.gas:
            raise refused("intrinsic gas too low")
        cost = transaction.gas * transaction.max_fee_per_gas + transaction.value
        if cost > state.get_balance(transaction.sender):
            raise refused("insufficient funds for gas * price + value")

    def mine_waiting(self) -> Refusals:
        """Make blocks until no transaction that could be executed waits any more."""
        refusals: Refusals = {}
        while ready := list(self._ready()):
            refusals |= self._make(ready)
        return refusals

    def mine(self, count: int = 1) -> None:
        """Make blocks, the first with what waits, the others empty if there is no more."""
        if not 0 <= count <= MAX_BLOCKS_AT_ONCE:
            raise RpcError(-32602, f"from 0 to {MAX_BLOCKS_AT_ONCE} blocks at once")
        for _ in range(count):
            self._make(list(self._ready()), allow_empty=True)

    def _ready(self) -> Iterator[SignedTransactionAPI]:
        """Waiting transactions that can be executed, each sender's in order of nonces."""
        nonces: dict[bytes, int] = {}
        for sender, _ in list(self._waiting):
            nonce = nonces[sender] if sender in nonces else self._nonce(sender)
            while (sender, nonce) in self._waiting:
                yield self._waiting[sender, nonce]
                nonce += 1
            nonces[sender] = nonce

    def _make(self, ready: list[SignedTransactionAPI], *, allow_empty: bool = False) -> Refusals:
        made, refusals = self._evm.make(self.head.header, self._timestamp(), ready)
        done = {executed.transaction.hash for executed in made.executed}
        for transaction in ready:
            if transaction.hash in done or transaction.hash in refusals:
                del self._waiting[transaction.sender, transaction.nonce]
        if made.executed or allow_empty:
            self._append(made)
        return refusals

    def _append(self, made: Made) -> None:
        self._next_timestamp = None
        self._blocks.append(made)
        self._by_hash[made.block.hash] = made
        for position, executed in enumerate(made.executed):
            self._placed[executed.transaction.hash] = Placed(made, position)

    def _timestamp(self) -> int:
        if self._next_timestamp is not None:
            return self._next_timestamp
        return int(time.time()) + self._clock_offset

    def increase_time(self, seconds: int) -> int:
        """Set the clock forward for all blocks to come; how far it is ahead in all."""
        if seconds > _MAX_TIME_S:
            raise RpcError(-32602, "that far ahead the clock does not go")
        self._clock_offset += seconds
        return self._clock_offset

    def set_next_timestamp(self, timestamp: int) -> None:
        """Give the next block this time, and let the clock go on from it."""
        if not self.head.header.timestamp <= timestamp <= _MAX_TIME_S:
            raise RpcError(-32602, "a time between the newest block's and the year 36812")
        self._next_timestamp = timestamp
        self._clock_offset = timestamp - int(time.time())

    def snapshot(self) -> int:
        """Remember everything as it is now; the number to come back with."""
        self._last_snapshot += 1
        waiting = tuple(self._waiting.values())
        self._snapshots[self._last_snapshot] = _Snapshot(self.height, self._clock_offset, waiting)
        return self._last_snapshot

    def revert(self, number: int) -> bool:
        """Go back to a snapshot, which is used up by that, as are those after it."""
        snapshot = self._snapshots.get(number)
        if snapshot is None:
            return False
        for made in self._blocks[snapshot.height + 1 :]:
            del self._by_hash[made.block.hash]
            for executed in made.executed:
                del self._placed[executed.transaction.hash]
        del self._blocks[snapshot.height + 1 :]
        self._clock_offset, self._next_timestamp = snapshot.clock_offset, None
        self._waiting = {(tx.sender, tx.nonce): tx for tx in snapshot.waiting}
        self._snapshots = {key: kept for key, kept in self._snapshots.items() if key < number}
        return True

"""The contract of a chain: few verbs, each may be repeated and may be interrupted.

One object a chain id. Answers come from nodes that an operator configured, which may be
down, slow, behind, rate-limited, on a fork, or not what they say: what cannot be taken for
an answer is :class:`ChainUnavailable`, never a guess.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from provider.chain.models import Block, Log, Receipt


class Chain(ABC):
    """Reads of one EVM chain. ``id`` is its chain id (EIP-155)."""

    id: int

    @abstractmethod
    async def head(self) -> int:
        """The number of the newest block. Raises ChainUnavailable."""

    @abstractmethod
    async def block(self, number: int) -> Block | None:
        """The block of this number on the present fork, None beyond the head.

        Raises ChainUnavailable.
        """

    @abstractmethod
    async def receipt(self, tx: str, *, patient: bool = True) -> Receipt:
        """The receipt of a transaction (``0x`` and 64 digits, in any case).

        Only of one with as many confirmations as configured; being in a block counts as
        the first. One that no node has yet is waited for a little if ``patient``. Raises
        TransactionUnknown when no node has it, TransactionPending while
        it has too few confirmations, OrderRefused when it has more events than can be
        read, ChainUnavailable.
        """

    @abstractmethod
    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        """Events in blocks ``first`` to ``last``, both included, in the order of the chain:
        those whose first topic is one of ``topics``, of one contract or of all.

        Splits ranges that a node finds too large. Raises RangeTooLarge for more events than
        are kept at once, with the block up to which they fit; never for a single block.
        Raises ChainUnavailable.
        """

    @abstractmethod
    async def call(self, to: str, data: bytes) -> bytes:
        """What a contract's view answers at the head (``eth_call``).

        Raises CallRefused when it reverts or there is no contract, ChainUnavailable.
        """

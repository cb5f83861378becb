"""Which contracts the factory made, asked no more often than a wrong answer may need.

Everybody may deploy a contract that emits the same events as a data NFT, and pays little for
each event. A node that lags behind the one that showed an event does not know of the NFT yet,
so a refusal is asked for again one block later, then at doubling distances, and at last once
in as many blocks as the follower looks back: a few times as long as it still sees the event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from compute.store.recent import Recent
from provider.chain.chains import ChainAccess
from provider.errors import CallRefused

log = logging.getLogger(__name__)

AT_ONCE = 8
REMEMBERED = 16_384

_IN_FACTORY = {
    "type": "function",
    "name": "erc721List",
    "stateMutability": "view",
    "inputs": [{"name": "", "type": "address"}],
    "outputs": [{"name": "", "type": "address"}],
}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """As of the block ``head``; believed for ``blocks`` more."""

    head: int
    blocks: int


class Genuine:
    """Judges contracts of one chain. ``most_blocks`` is how long a refusal lasts at most."""

    def __init__(self, access: ChainAccess, most_blocks: int) -> None:
        self._contracts = access.contracts
        self._factory = access.settings.factory
        self._chain_id = access.settings.chain_id
        self._most_blocks = max(most_blocks, 1)
        self._made: Recent[str, bool] = Recent(REMEMBERED)
        self._refused: Recent[str, _Refusal] = Recent(REMEMBERED)

    def is_refused(self, contract: str, head: int) -> bool:
        """Whether it is known by now that the factory did not make this contract."""
        refusal = self._refused.get(contract)
        return refusal is not None and refusal.head <= head < refusal.head + refusal.blocks

    async def among(self, contracts: Iterable[str], head: int) -> set[str]:
        """Those that the factory made. Raises ChainUnavailable."""
        distinct = list(dict.fromkeys(contracts))
        made = {each for each in distinct if self._made.get(each)}
        unknown = [
            each for each in distinct if each not in made and not self.is_refused(each, head)
        ]
        for start in range(0, len(unknown), AT_ONCE):
            some = unknown[start : start + AT_ONCE]
            answers = await asyncio.gather(*map(self._is_made, some), return_exceptions=True)
            for contract, answer in zip(some, answers, strict=True):
                if isinstance(answer, BaseException):
                    raise answer
                if answer:
                    made.add(contract)
                    self._made.put(contract, True)
                else:
                    self._refuse(contract, head)
        return made

    def _refuse(self, contract: str, head: int) -> None:
        log.debug("index_look_alike chain=%s contract=%s", self._chain_id, contract)
        before = self._refused.get(contract)
        blocks = 1 if before is None else min(before.blocks * 2, self._most_blocks)
        self._refused.put(contract, _Refusal(head, blocks))

    async def _is_made(self, contract: str) -> bool:
        try:
            listed = await self._contracts.read(self._factory, _IN_FACTORY, [contract])
        except CallRefused:
            return False
        return isinstance(listed, str) and listed.lower() == contract

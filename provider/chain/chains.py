"""The chains that this service follows, by chain id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from provider.chain.base import Chain
from provider.chain.contracts import Contracts
from provider.chain.networks import ChainSettings
from provider.errors import UnsupportedChain


@dataclass(frozen=True, slots=True)
class ChainAccess:
    """One chain: how it is configured, its nodes, and its contracts."""

    settings: ChainSettings
    chain: Chain
    contracts: Contracts


class Chains(Mapping[int, ChainAccess]):
    """False when there is none. ``[]`` of anything but a configured id raises
    UnsupportedChain, which is no KeyError."""

    def __init__(self, accesses: Iterable[ChainAccess] = ()) -> None:
        self._accesses = {access.settings.chain_id: access for access in accesses}

    def __getitem__(self, chain_id: int) -> ChainAccess:
        if chain_id not in self:
            raise UnsupportedChain(chain_id)
        return self._accesses[chain_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._accesses)

    def __len__(self) -> int:
        return len(self._accesses)

    def __contains__(self, chain_id: object) -> bool:
        return type(chain_id) is int and chain_id in self._accesses

    def get(self, chain_id: int, default: object = None) -> ChainAccess | None:  # type: ignore[override]
        """The chain, None when it is not configured."""
        return self._accesses[chain_id] if chain_id in self else None

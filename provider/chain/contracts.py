"""What the Ocean contracts and tokens of a chain answer, asked no more often than needed.

What cannot change any more (an NFT made by the factory, a datatoken of an NFT, a token's
decimals) is kept for ever; that it is not so, for ``UNTRUE_S``, since it may be made a
moment later; what an owner can change, for ``CHANGES_S``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from provider.auth.keccak import keccak256
from provider.auth.signatures import is_address
from provider.chain import abi
from provider.chain.base import Chain
from provider.chain.encoding import decode, encode
from provider.chain.memo import FOR_EVER, Memo
from provider.errors import CallRefused

UNTRUE_S = 30.0
CHANGES_S = 5.0
REMEMBERED = 4096
NFT_TOKEN_ID = 1
"""The one token that each data NFT consists of."""
NOBODY = "0x" + "00" * 20
_MAX_NAMING = 1024


class Contracts:
    """Views of the contracts of one chain; ``factory`` is its ERC721Factory.

    All methods raise ChainUnavailable. Addresses may come in any casing and leave in lower
    case.
    """

    def __init__(
        self, chain: Chain, factory: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._chain = chain
        self._factory = factory.lower()
        self._kept: Memo[tuple[str, ...], Any] = Memo(REMEMBERED, clock=clock)

    async def is_from_factory(self, nft: str) -> bool:
        """True when the configured factory made this NFT (``erc721List``)."""

        async def load() -> bool:
            values = await self._view(self._factory, "erc721List(address)", [nft], ["address"])
            return values is not None and values[0] == nft.lower() != NOBODY

        return bool(await self._lasting("factory", nft, load))

    async def has_datatoken(self, nft: str, datatoken: str) -> bool:
        """True when this NFT made this datatoken (``isDeployed``).

        The NFT answers for itself, so this says nothing unless it is from the factory.
        """

        async def load() -> bool:
            values = await self._view(nft, "isDeployed(address)", [datatoken], ["bool"])
            return values is not None and bool(values[0])

        return bool(await self._lasting("datatoken", f"{nft}/{datatoken}", load))

    async def metadata_state(self, nft: str) -> int | None:
        """The state of an asset, 0 to 5; None when it has no metadata or is no such NFT."""

        async def load() -> int | None:
            types = ["string", "string", "uint8", "bool"]
            values = await self._view(nft, "getMetaData()", [], types)
            return values[2] if values is not None and values[3] else None

        state: int | None = await self._changing("state", nft, load)
        return state

    async def owner(self, nft: str) -> str:
        """Who owns an NFT. Raises CallRefused when it is none."""

        async def load() -> str | None:
            values = await self._view(nft, "ownerOf(uint256)", [NFT_TOKEN_ID], ["address"])
            return None if values is None else values[0]

        owner: str | None = await self._changing("owner", nft, load)
        if owner is None:
            raise CallRefused(f"{nft} is no data NFT.")
        return owner

    async def naming(self, address: str) -> tuple[str, str]:
        """Name and symbol of a token or NFT, empty texts where it has none."""

        async def load() -> tuple[str, str]:
            name = await self._view(address, "name()", [], ["string"])
            symbol = await self._view(address, "symbol()", [], ["string"])
            return _short(name), _short(symbol)

        name, symbol = await self._lasting("naming", address, load, lambda pair: any(pair))
        return name, symbol

    async def decimals(self, token: str) -> int:
        """How many decimals a token's whole has. Raises CallRefused when it tells none."""

        async def load() -> int | None:
            values = await self._view(token, "decimals()", [], ["uint8"])
            return None if values is None else values[0]

        decimals: int | None = await self._lasting(
            "decimals", token, load, lambda value: value is not None
        )
        if decimals is None:
            raise CallRefused(f"{token} is no token with decimals.")
        return decimals

    async def read(
        self, address: str, fragment: Mapping[str, Any], args: Sequence[object]
    ) -> object:
        """What one view or pure function answers, by its ABI fragment; always asked anew.

        ``args`` are JSON values in the fragment's order. Numbers come out as int, bytes as
        bytes, tuples and arrays as lists; several outputs as a list. Raises CallRefused.
        """
        function = abi.read_fragment(fragment)
        answer = await self._chain.call(address.lower(), function.data(args))
        return await asyncio.to_thread(function.result, answer)

    async def _view(
        self, to: str, signature: str, args: Sequence[object], outputs: Sequence[str]
    ) -> tuple[Any, ...] | None:
        """None for a contract without this function, one that answers otherwise, and for
        what is no address."""
        types = signature[signature.index("(") + 1 : -1]
        if not is_address(to):
            return None
        try:
            data = encode(types.split(",") if types else [], args)
            answer = await self._chain.call(to.lower(), keccak256(signature.encode())[:4] + data)
            return decode(outputs, answer)
        except (CallRefused, ValueError, OverflowError):
            return None

    async def _lasting(
        self,
        fact: str,
        about: str,
        load: Callable[[], Any],
        holds: Callable[[Any], bool] = bool,
    ) -> Any:
        return await self._kept.get(
            (fact, about.lower()), load, lambda value: FOR_EVER if holds(value) else UNTRUE_S
        )

    async def _changing(self, fact: str, about: str, load: Callable[[], Any]) -> Any:
        return await self._kept.get((fact, about.lower()), load, lambda _: CHANGES_S)


def _short(values: tuple[Any, ...] | None) -> str:
    return "" if values is None else str(values[0])[:_MAX_NAMING]

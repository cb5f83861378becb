"""A chain in memory on which assets are published, and nodes of it that misbehave."""

from __future__ import annotations

import asyncio
import json
import lzma
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from provider.assets.encryption import encrypt
from provider.assets.index.follower import AssetFollower, Pace
from provider.assets.index.models import Entry, Query
from provider.assets.index.store import IndexStore
from provider.assets.published import COMPRESSED, SEALED, did_of
from provider.auth.keccak import keccak256
from provider.auth.signatures import to_checksum
from provider.chain import fake_events
from provider.chain.base import Chain
from provider.chain.chains import ChainAccess, Chains
from provider.chain.contracts import Contracts
from provider.chain.fake import FakeChain
from provider.chain.models import Block, Log, Receipt
from provider.chain.networks import ChainSettings
from provider.errors import ChainUnavailable, RangeTooLarge
from provider.keys import ProviderKey

Follow = Callable[..., AssetFollower]
"""Makes a follower of a chain, as after a start of the service."""

AT_ONCE = Pace(poll_s=0.02, spacing_s=0.0, patience_s=0.0, reask_s=0.01)

CHAIN_ID = 8996
FACTORY = "0x" + "fa" * 20
OWNER = "0x" + "0e" * 20
KEY = ProviderKey(b"\x11" * 32)
OTHER_KEY = ProviderKey(b"\x22" * 32)
ELSEWHERE = "https://other.example"


def address(name: object) -> str:
    return "0x" + keccak256(f"address {name}".encode())[-20:].hex()


def document(nft: str, /, **changes: Any) -> dict[str, Any]:
    """A document as publishers write it; ``changes`` are top-level fields."""
    return {
        "@context": ["https://w3id.org/did/v1"],
        "id": did_of(nft, CHAIN_ID),
        "version": "4.1.0",
        "chainId": CHAIN_ID,
        "nftAddress": to_checksum(nft),
        "metadata": {
            "created": "2026-01-01T00:00:00Z",
            "updated": "2026-01-01T00:00:00Z",
            "type": "dataset",
            "name": "Río levels",
            "description": "Hourly gauges",
            "author": "Hydrology",
            "license": "CC0",
            "tags": ["water", "level"],
        },
        "services": [
            {
                "id": "compute",
                "type": "compute",
                "files": "0x04",
                "datatokenAddress": to_checksum(address(f"token of {nft}")),
                "serviceEndpoint": "https://provider.example",
                "timeout": 3600,
            }
        ],
    } | changes


class PublishingChain:
    """Publishes on ``chain``; ``access`` is how the service sees it."""

    def __init__(self, *, index_from: int | None = 0) -> None:
        self.chain = FakeChain(CHAIN_ID)
        self.settings = ChainSettings(
            chain_id=CHAIN_ID,
            name="development",
            factory=FACTORY,
            fee_token=address("fee token"),
            rpc_urls=("http://127.0.0.1:1",),
            index_from=index_from,
        )
        self.access = self.seen_through(self.chain)

    def seen_through(self, chain: Chain, *, clock: Any = None) -> ChainAccess:
        """The same chain through another node."""
        contracts = Contracts(chain, FACTORY, **({"clock": clock} if clock else {}))
        return ChainAccess(self.settings, chain, contracts)

    @property
    def chains(self) -> Chains:
        return Chains([self.access])

    def deploy(self, nft: str, *, owner: str = OWNER) -> str:
        """Have the factory make this NFT, with one datatoken."""
        token = address(f"token of {nft}")
        names = {nft: ("Rivers", "RIV"), token: ("Access to rivers", "ARIV")}
        self.chain.publish(FACTORY, nft, [token], owner=owner, names=names)
        self.chain.answers(nft, "tokenURI(uint256)", ["string"], ["data:,river"])
        return nft

    def publish(self, name: object, /, *, flags: int = 0, **changes: Any) -> str:
        """A new asset in a block of its own; its NFT. See :meth:`emit`."""
        nft = self.deploy(address(name))
        self.emit(nft, document(nft, **changes), flags=flags)
        return nft

    def emit(
        self,
        nft: str,
        content: dict[str, Any] | bytes,
        *,
        flags: int = 0,
        key: ProviderKey = KEY,
        mined: bool = True,
        **event: Any,
    ) -> str:
        """A metadata event of this NFT's contract; the transaction."""
        plain = content if isinstance(content, bytes) else json.dumps(content).encode()
        fields = {
            "data": wrapped(plain, flags, key),
            "flags": bytes([flags]),
            "metadata_hash": sha256(plain).hexdigest(),
            "updated_by": OWNER,
            "timestamp": 1_800_000_000 + self.chain._sent * 10,
        }
        return self.chain.transact(fake_events.metadata(nft, **(fields | event)), mined=mined)

    def set_state(self, nft: str, state: int) -> str:
        return self.chain.transact(
            fake_events.metadata_state(nft, state=state, updated_by=OWNER, timestamp=1_900_000_000)
        )


def wrapped(plain: bytes, flags: int, key: ProviderKey = KEY) -> bytes:
    data = lzma.compress(plain) if flags & COMPRESSED else plain
    return bytes.fromhex(encrypt(key.public_key, data)[2:]) if flags & SEALED else data


class Node(Chain):
    """One node of a chain, honest. The failing ones are derived from it."""

    def __init__(self, chain: FakeChain) -> None:
        self.id = chain.id
        self.chain = chain

    async def head(self) -> int:
        return await self.chain.head()

    async def block(self, number: int) -> Block | None:
        return await self.chain.block(number)

    async def receipt(self, tx: str, *, patient: bool = True) -> Receipt:
        return await self.chain.receipt(tx, patient=patient)

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        return await self.chain.logs(first, last, topics, address=address)

    async def call(self, to: str, data: bytes) -> bytes:
        return await self.chain.call(to, data)


class ShorterNode(Node):
    """Knows blocks only up to ``top``, and says so."""

    top: int | None = None

    async def head(self) -> int:
        head = await super().head()
        return head if self.top is None else min(head, self.top)

    async def block(self, number: int) -> Block | None:
        return await super().block(number) if number <= await self.head() else None


class ForgetfulNode(Node):
    """Shows no events while ``forgets``, as one does whose database lags behind."""

    forgets = True

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        found = await super().logs(first, last, topics, address=address)
        return [] if self.forgets else found


class ForkedNode(Node):
    """Shows events in blocks of another fork as often as ``lies`` says."""

    lies = 1

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        found = await super().logs(first, last, topics, address=address)
        if not found or not self.lies:
            return found
        self.lies -= 1
        return [replace(log, block_hash="0x" + "bd" * 32, tx="0x" + "bd" * 32) for log in found]


class TurningNode(Node):
    """Reorganises ``depth`` blocks while events are read, or before the head is told, as
    often as ``turns`` and ``turns_at_head`` say."""

    turns = 0
    turns_at_head = 0
    depth = 1

    async def head(self) -> int:
        if self.turns_at_head:
            self.turns_at_head -= 1
            self.chain.reorganise(self.depth)
        return await super().head()

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        found = await super().logs(first, last, topics, address=address)
        if self.turns:
            self.turns -= 1
            self.chain.reorganise(self.depth)
        return found


class NarrowNode(Node):
    """Refuses to look at more than ``widest`` blocks at once."""

    widest = 100

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        if last - first >= self.widest:
            raise ChainUnavailable(self.id, "timeout")
        return await super().logs(first, last, topics, address=address)


class CrowdedNode(Node):
    """Keeps no more than ``most`` events at once; says how far it came with ``tells``."""

    most = 1
    tells = False

    def __init__(self, chain: FakeChain) -> None:
        super().__init__(chain)
        self.spans: list[tuple[int, int]] = []

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        self.spans.append((first, last))
        found = await super().logs(first, last, topics, address=address)
        if len(found) > self.most:
            fits = found[self.most].block - 1
            raise RangeTooLarge(self.id, fits if self.tells and fits >= first else None)
        return found


class RememberingNode(Node):
    """Notes which blocks it was asked for events of."""

    def __init__(self, chain: FakeChain) -> None:
        super().__init__(chain)
        self.firsts: list[int] = []
        self.widths: list[int] = []

    async def logs(
        self, first: int, last: int, topics: Sequence[bytes], *, address: str | None = None
    ) -> list[Log]:
        self.firsts.append(first)
        self.widths.append(last - first + 1)
        return await super().logs(first, last, topics, address=address)


class DeadlyNode(Node):
    """Ends the one who asks, after as many questions for blocks as it is told."""

    left = 0

    async def block(self, number: int) -> Block | None:
        self.left -= 1
        if self.left < 0:
            raise asyncio.CancelledError
        return await super().block(number)


class OddNode(Node):
    """Fails in a way that nobody foresaw, or hangs."""

    odd = True
    hangs = False

    async def head(self) -> int:
        if self.hangs:
            await asyncio.Event().wait()
        if self.odd:
            raise RuntimeError("odd")
        return await super().head()


class WatchedNode(Node):
    """Notes whom it was made to call."""

    def __init__(self, chain: FakeChain) -> None:
        super().__init__(chain)
        self.called: list[str] = []

    async def call(self, to: str, data: bytes) -> bytes:
        self.called.append(to)
        return await super().call(to, data)


async def entry_of(store: IndexStore, nft: str) -> Entry | None:
    return await store.find(did_of(nft, CHAIN_ID))


async def shown(store: IndexStore, nft: str) -> Entry:
    entry = await entry_of(store, nft)
    assert entry is not None
    return entry


async def total(store: IndexStore) -> int:
    return (await store.search(Query(states=())))[0]

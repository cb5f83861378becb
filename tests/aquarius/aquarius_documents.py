"""Documents fit to be published, and a chain in memory that they are published on."""

from __future__ import annotations

import copy
import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from provider.assets.encryption import encrypt
from provider.assets.published import did_of
from provider.auth.signatures import to_checksum
from provider.chain import fake_events
from provider.chain.chains import ChainAccess, Chains
from provider.chain.contracts import Contracts
from provider.chain.fake import FakeChain
from provider.chain.networks import ChainSettings
from provider.keys import ProviderKey

CHAIN = 8996
FACTORY = "0x" + "fa" * 20
NFT = to_checksum("0x" + "a1" * 20)
OTHER_NFT = to_checksum("0x" + "a2" * 20)
DATATOKEN = to_checksum("0x" + "d1" * 20)
OWNER = to_checksum("0x" + "0e" * 20)
KEY = ProviderKey(b"\x21" * 32)
OTHER_KEY = ProviderKey(b"\x22" * 32)
SEALED_FILES = "0x04" + "ab" * 96


def service(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": "0",
        "type": "access",
        "files": SEALED_FILES,
        "datatokenAddress": DATATOKEN,
        "serviceEndpoint": "https://provider.example.com",
        "timeout": 3600,
    }
    return {**fields, **changes}


def compute_service(**changes: Any) -> dict[str, Any]:
    rules = {
        "allowRawAlgorithm": False,
        "allowNetworkAccess": True,
        "publisherTrustedAlgorithms": [],
        "publisherTrustedAlgorithmPublishers": [],
    }
    return service(**{"id": "1", "type": "compute", "compute": rules, **changes})


def document(of: str = NFT, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "@context": ["https://w3id.org/did/v1"],
        "id": did_of(of, CHAIN),
        "version": "4.1.0",
        "chainId": CHAIN,
        "nftAddress": of,
        "metadata": {
            "created": "2024-01-01T00:00:00Z",
            "updated": "2024-01-01T00:00:00.123456",
            "type": "dataset",
            "name": "Rainfall",
            "description": "Rain by the hour",
            "author": "Example Institute",
            "license": "CC0-1.0",
            "tags": ["weather"],
        },
        "credentials": {"allow": [], "deny": []},
        "services": [service(), compute_service()],
    }
    return {**fields, **changes}


def algorithm(of: str = OTHER_NFT, **changes: Any) -> dict[str, Any]:
    container = {"entrypoint": "python $ALGO", "image": "example/python", "tag": "3.11"}
    about = {
        "type": "algorithm",
        "name": "Mean",
        "algorithm": {
            "language": "python",
            "version": "1",
            "container": {**container, "checksum": "sha256:" + "c3" * 32},
        },
    }
    plain = document(of)
    return {**plain, "metadata": {**plain["metadata"], **about}, **changes}


def changed(whole: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the part at a dotted path replaced; ``...`` removes it."""
    copied: dict[str, Any] = copy.deepcopy(dict(whole))
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    part: Any = copied
    for step in steps:
        part = part[step]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return copied


def compact(whole: Mapping[str, Any], *, escaped: bool = True) -> bytes:
    """As ocean.py spells documents, or as ocean.js does without ``escaped``."""
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=escaped).encode()


@dataclass
class World:
    """One chain with its factory, and publishers on it."""

    chain: FakeChain = field(default_factory=lambda: FakeChain(CHAIN))
    index_from: int | None = 0

    def __post_init__(self) -> None:
        self.now = 1000.0

    @property
    def chains(self) -> Chains:
        settings = ChainSettings(
            chain_id=CHAIN,
            name="development",
            factory=FACTORY,
            fee_token="0x" + "fe" * 20,
            rpc_urls=("http://node.example.com",),
            index_from=self.index_from,
        )
        contracts = Contracts(self.chain, FACTORY, clock=lambda: self.now)
        return Chains([ChainAccess(settings, self.chain, contracts)])

    def publish(
        self,
        content: bytes,
        nft: str = NFT,
        *,
        state: int | None = 0,
        flags: int = 0,
        key: ProviderKey = KEY,
        metadata_hash: str | None = None,
        created: bool = True,
        from_factory: bool = True,
    ) -> str:
        """Put these bytes on chain as the document of an NFT; the transaction's hash."""
        data = lzma.compress(content) if flags & 1 else content
        if flags & 2:
            data = bytes.fromhex(encrypt(key.public_key, data)[2:])
        factory = FACTORY if from_factory else "0x" + "fb" * 20
        self.chain.publish(factory, nft, [DATATOKEN], owner=OWNER, state=state)
        return self.chain.transact(
            fake_events.metadata(
                nft,
                data=data,
                metadata_hash=metadata_hash or sha256(content).hexdigest(),
                created=created,
                updated_by=OWNER,
                state=state or 0,
                flags=bytes([flags]),
                timestamp=1_800_000_000,
            )
        )

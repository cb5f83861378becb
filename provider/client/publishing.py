"""Putting an asset on a chain: a data NFT, a datatoken for each service, and the document.

The files of a service are sealed by the provider together with the addresses of NFT and
datatoken, so that nobody can offer them under another asset. The document (DDO) is then
packed, sealed likewise and written into the NFT; the hash of its plain bytes lies beside
it. The DID follows from NFT and chain.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from provider.client.assets import AssetCalls
from provider.client.errors import AnswerNotUnderstoodError, ClientUsageError

COMPRESSED_AND_SEALED = b"\x03"
ACTIVE = 0

_VERSION = "4.1.0"


class Publisher(Protocol):
    """What is needed of :class:`provider.client.onchain.OnChain`."""

    @property
    def address(self) -> str: ...

    @property
    def chain_id(self) -> int: ...

    async def publish_nft(self, name: str, symbol: str) -> str: ...

    async def create_datatoken(self, nft: str, name: str, symbol: str) -> str: ...

    async def set_metadata(
        self,
        nft: str,
        *,
        state: int,
        decryptor_url: str,
        decryptor_address: str,
        flags: bytes,
        data: bytes,
        metadata_hash: bytes,
    ) -> str: ...

    def did_of(self, nft: str, chain_id: int) -> str: ...


@dataclass(frozen=True, slots=True)
class ServiceDraft:
    """A service to be sold. ``files`` are file objects (``{"type": "url", …}``);
    ``timeout_s`` is how long an order lasts, 0 for ever; ``compute`` are its terms."""

    type: Literal["access", "compute"]
    files: Sequence[Mapping[str, Any]] = field(repr=False)
    timeout_s: int = 0
    id: str = ""
    compute: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AssetDraft:
    """An asset to be published. ``algorithm`` is the section of that name, for one;
    ``metadata`` and ``more`` go into the document beside what is named here."""

    name: str
    services: Sequence[ServiceDraft]
    description: str = ""
    author: str = ""
    license: str = "CC0-1.0"
    algorithm: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """Where an asset lies. ``datatokens`` are in the order of its services; ``tx`` wrote the
    document."""

    did: str
    nft: str
    datatokens: tuple[str, ...]
    tx: str
    document: Mapping[str, Any] = field(repr=False)


async def publish(
    client: AssetCalls, wallet: Publisher, draft: AssetDraft, *, url: str
) -> Published:
    """Publish ``draft`` from ``wallet``, its files sealed for the provider of ``client``.

    ``url`` is where consumers find that provider. Four or more transactions, one after the
    other; a failure leaves those that were made. Raises ClientUsageError for a draft without
    a service, ComputeClientError, and what the wallet raises.
    """
    if not draft.services:
        raise ClientUsageError("An asset needs a service.")
    sealer = _Sealer(client, wallet.chain_id, await _address_of(client, wallet.chain_id), url)
    nft = await wallet.publish_nft(draft.name, "DATA")
    datatokens = [
        await wallet.create_datatoken(nft, f"{draft.name} {index}", f"DT{index}")
        for index, _ in enumerate(draft.services)
    ]
    document = await _document(sealer, wallet, draft, nft, datatokens)
    tx = await _write(sealer, wallet, nft, document)
    return Published(document["id"], nft, tuple(datatokens), tx, document)


async def revise(
    client: AssetCalls, wallet: Publisher, published: Published, *, url: str, **changes: Any
) -> Published:
    """Write the document anew with some of its sections changed."""
    address = await _address_of(client, wallet.chain_id)
    sealer = _Sealer(client, wallet.chain_id, address, url)
    metadata = {**published.document["metadata"], "updated": _now()}
    document = {**published.document, "metadata": metadata, **changes}
    tx = await _write(sealer, wallet, published.nft, document)
    return Published(published.did, published.nft, published.datatokens, tx, document)


@dataclass(frozen=True, slots=True)
class _Sealer:
    """Whose eyes the asset is for."""

    client: AssetCalls
    chain_id: int
    address: str
    url: str

    async def seal(self, content: bytes) -> str:
        return await self.client.encrypt(content, self.chain_id)


async def _document(
    sealer: _Sealer, wallet: Publisher, draft: AssetDraft, nft: str, datatokens: Sequence[str]
) -> dict[str, Any]:
    now = _now()
    metadata = {
        "created": now,
        "updated": now,
        "type": "dataset" if draft.algorithm is None else "algorithm",
        "name": draft.name,
        "description": draft.description or draft.name,
        "author": draft.author or wallet.address,
        "license": draft.license,
        **({} if draft.algorithm is None else {"algorithm": dict(draft.algorithm)}),
        **draft.metadata,
    }
    services = [
        await _service(sealer, service, index, nft, datatoken)
        for index, (service, datatoken) in enumerate(zip(draft.services, datatokens, strict=True))
    ]
    return {
        "@context": ["https://w3id.org/did/v1"],
        "id": wallet.did_of(nft, wallet.chain_id),
        "version": _VERSION,
        "chainId": wallet.chain_id,
        "nftAddress": nft,
        "metadata": metadata,
        "services": services,
        **draft.more,
    }


async def _service(
    sealer: _Sealer, draft: ServiceDraft, index: int, nft: str, datatoken: str
) -> dict[str, Any]:
    files = {
        "datatokenAddress": datatoken,
        "nftAddress": nft,
        "files": [dict(file) for file in draft.files],
    }
    document = {
        "id": draft.id or str(index),
        "type": draft.type,
        "files": await sealer.seal(json.dumps(files).encode()),
        "datatokenAddress": datatoken,
        "serviceEndpoint": sealer.url,
        "timeout": draft.timeout_s,
        **draft.more,
    }
    if draft.type == "compute":
        closed = {"allowRawAlgorithm": False, "allowNetworkAccess": False}
        document["compute"] = {**closed, **draft.compute}
    return document


async def _write(sealer: _Sealer, wallet: Publisher, nft: str, document: Mapping[str, Any]) -> str:
    content = json.dumps(document, separators=(",", ":")).encode()
    return await wallet.set_metadata(
        nft,
        state=ACTIVE,
        decryptor_url=sealer.url,
        decryptor_address=sealer.address,
        flags=COMPRESSED_AND_SEALED,
        data=bytes.fromhex((await sealer.seal(lzma.compress(content)))[2:]),
        metadata_hash=hashlib.sha256(content).digest(),
    )


async def _address_of(client: AssetCalls, chain_id: int) -> str:
    """The provider's own address on a chain, by its root document."""
    root = await client.provider()
    addresses = root.get("providerAddresses")
    address = addresses.get(str(chain_id)) if isinstance(addresses, dict) else None
    address = address or root.get("providerAddress")
    if not isinstance(address, str):
        raise AnswerNotUnderstoodError("The provider tells no address of its own.")
    return address


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

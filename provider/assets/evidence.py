"""Does the chain bear a document out that somebody else kept.

A copy of a document is a hint. The NFT and chain that it names must give the DID that was
asked for, the NFT must come from the factory, and the document must be the one whose SHA-256
that NFT's newest metadata event carries. Who keeps copies keeps them decoded, so the published
bytes are made anew in the spellings that publishers' tools use (compact JSON, with and without
escapes). Where none of them has the hash, the event's own data may be opened with our key: the
chain's document then counts, not the copy.

Owner and state are the chain's. Only what no chain knows is believed: that an asset is in
purgatory, which can do no more than refuse.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from provider.assets.encryption import decrypt
from provider.assets.published import did_of, flags_of, read_document, require_hash, unseal
from provider.auth.signatures import is_address, to_checksum
from provider.chain import events
from provider.chain.chains import ChainAccess, Chains
from provider.chain.events import MetadataEvent
from provider.errors import AssetMalformed, CallRefused, ChainUnavailable, RangeTooLarge
from provider.keys import ProviderKey

DIFFERS = "The asset's document differs from the chain's."
NOT_FROM_FACTORY = "Asset not deployed by the data NFT factory."
OF_ANOTHER_ASSET = "The metadata cache's document belongs to another asset."

REVOKED = 3
"""The state of assets in purgatory: as unusable as if their publisher had revoked them."""

ADDED = frozenset(
    {"nft", "datatokens", "event", "stats", "purgatory", "accessDetails", "indexedMetadata"}
)
"""What caches write into the documents that they keep; names that start with ``_`` as well."""


async def bear_out(
    chains: Chains, key: ProviderKey, did: str, hint: Mapping[str, Any]
) -> dict[str, Any]:
    """The document of ``did`` that the chain bears out, with the chain's ``nft`` facts.

    ``hint`` is a decoded document that claims to be it. Raises AssetMalformed when it is not
    and cannot be had from the chain either, UnsupportedChain, ChainUnavailable.
    """
    nft, chain_id = _place(did, hint)
    access = chains[chain_id]
    if not await access.contracts.is_from_factory(nft):
        raise AssetMalformed(NOT_FROM_FACTORY)
    event = await newest_event(access, nft, _block_hint(hint))
    document = await asyncio.to_thread(_document, hint, event, chain_id, key)
    return {
        **document,
        "chainId": chain_id,
        "nftAddress": to_checksum(nft),
        "nft": await _nft_facts(access, nft, in_purgatory=_in_purgatory(hint)),
        "event": {
            "tx": event.log.tx,
            "block": event.log.block,
            "from": to_checksum(event.updated_by),
            "contract": to_checksum(nft),
        },
    }


async def newest_event(access: ChainAccess, nft: str, hinted_block: int | None) -> MetadataEvent:
    """The NFT's newest metadata event. ``nft`` in lower case.

    A wrong hint costs a second search and nothing else: whatever lies after the hinted block
    is looked at in any case. Raises AssetMalformed when there is none, ChainUnavailable.
    """
    first, last = access.settings.index_from or 0, await access.chain.head()
    event = None
    if hinted_block is not None and first < hinted_block <= last:
        event = await _last_of(access, nft, hinted_block, last)
        last = hinted_block - 1
    event = event or await _last_of(access, nft, first, last)
    if event is None:
        raise AssetMalformed(DIFFERS)
    return event


async def _last_of(access: ChainAccess, nft: str, first: int, last: int) -> MetadataEvent | None:
    """From the end on, in as few pieces as have room for what an NFT was made to emit."""
    topics = (events.METADATA_CREATED, events.METADATA_UPDATED)
    width = last - first + 1
    while first <= last:
        start = max(first, last - width + 1)
        try:
            logs = await access.chain.logs(start, last, topics, address=nft)
        except RangeTooLarge:
            if start == last:
                raise ChainUnavailable(access.chain.id, "too many events in a block") from None
            width = (last - start + 1) // 2
            continue
        decoded = (events.metadata(each) for each in reversed(logs) if each.address == nft)
        event = next((event for event in decoded if event is not None), None)
        if event is not None:
            return event
        last, width = start - 1, width * 2
    return None


async def _nft_facts(access: ChainAccess, nft: str, *, in_purgatory: bool) -> dict[str, Any]:
    state = await access.contracts.metadata_state(nft)
    if state is None:
        raise AssetMalformed(DIFFERS)
    try:
        owner = await access.contracts.owner(nft)
    except CallRefused:
        raise AssetMalformed(DIFFERS) from None
    return {
        "address": to_checksum(nft),
        "owner": to_checksum(owner),
        "state": REVOKED if in_purgatory else state,
    }


def _document(
    hint: Mapping[str, Any], event: MetadataEvent, chain_id: int, key: ProviderKey
) -> dict[str, Any]:
    content = _spelling_of(hint, event.metadata_hash)
    if content is None:
        content = _opened(event, key)
    return read_document(content, event.log.address, chain_id)


def _opened(event: MetadataEvent, key: ProviderKey) -> bytes:
    try:
        content = unseal(event.data, flags_of(event.flags), lambda blob: decrypt(key, blob.hex()))
        require_hash(content, event.metadata_hash)
    except AssetMalformed:
        raise AssetMalformed(DIFFERS) from None
    return content


def _spelling_of(hint: Mapping[str, Any], metadata_hash: str) -> bytes | None:
    expected = metadata_hash.removeprefix("0x")
    found = (each for each in _spellings(hint) if sha256(each).hexdigest() == expected)
    return next(found, None)


def _spellings(hint: Mapping[str, Any]) -> Iterator[bytes]:
    """First without what caches add, then as it is: a publisher may have sent that along."""
    published = {name: value for name, value in hint.items() if not _is_added(name)}
    for document in (published, hint) if len(published) < len(hint) else (published,):
        for escaped in (True, False):
            text = json.dumps(document, separators=(",", ":"), ensure_ascii=escaped)
            try:
                yield text.encode()
            except UnicodeEncodeError:
                continue


def _is_added(name: str) -> bool:
    return name in ADDED or name.startswith("_")


def _place(did: str, hint: Mapping[str, Any]) -> tuple[str, int]:
    """The NFT, in lower case, and the chain of a hint."""
    nft, chain_id = hint.get("nftAddress"), hint.get("chainId")
    if (
        not isinstance(nft, str)
        or not is_address(nft)
        or type(chain_id) is not int
        or did_of(nft, chain_id) != did
    ):
        raise AssetMalformed(OF_ANOTHER_ASSET)
    return nft.lower(), chain_id


def _block_hint(hint: Mapping[str, Any]) -> int | None:
    event = hint.get("event")
    block = event.get("block") if isinstance(event, Mapping) else None
    return block if type(block) is int else None


def _in_purgatory(hint: Mapping[str, Any]) -> bool:
    """False only where the cache says so, or says nothing of it."""
    purgatory = hint.get("purgatory")
    if purgatory is None:
        return False
    return not isinstance(purgatory, Mapping) or purgatory.get("state", False) is not False

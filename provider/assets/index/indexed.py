"""An asset as the index tells it: the published document and the chain's facts beside it.

Pure. What the chain knows is never taken from the document: name, state and owner of the
NFT, datatokens, event and statistics are written over whatever the publisher put there. The
fields are those that clients of a metadata cache read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from provider import bounded_json
from provider.assets.index.models import ContractFacts, Entry, datatokens_of
from provider.auth.signatures import is_address, to_checksum

_LAST_TIME = 253402300799


@dataclass(frozen=True, slots=True)
class IndexedAsset:
    """One asset. ``document`` is None when what was published could not be opened or is not
    what its hash says; ``problem`` is why. ``reduced`` is what may be shown of an asset in
    any state. ``owner`` is empty when the chain could not be asked."""

    did: str
    chain_id: int
    nft: str
    state: int
    owner: str
    tx: str
    block: int
    metadata_hash: str
    reduced: dict[str, Any] = field(repr=False)
    document: dict[str, Any] | None = field(default=None, repr=False)
    problem: str = ""


def tell(entry: Entry, owner: str, facts: Mapping[str, ContractFacts]) -> IndexedAsset:
    """The asset with what is known of its contracts, by lower-case address."""
    version = entry.version
    head = {
        "id": entry.did,
        "chainId": version.chain_id,
        "nftAddress": to_checksum(version.nft),
        "nft": _nft(entry, owner, facts.get(version.nft)),
        "event": _event(entry),
    }
    document = published(entry)
    if document is not None:
        document |= head | {
            "datatokens": _datatokens(document, facts),
            "stats": {"orders": 0, "price": {"value": 0}},
            "purgatory": {"state": False, "reason": ""},
        }
    return IndexedAsset(
        did=entry.did,
        chain_id=version.chain_id,
        nft=version.nft,
        state=entry.state,
        owner=owner,
        tx=version.tx,
        block=version.block,
        metadata_hash=version.metadata_hash,
        reduced=head,
        document=document,
        problem=version.problem,
    )


def published(entry: Entry) -> dict[str, Any] | None:
    """The document as it was published; None when it could not be opened."""
    if entry.version.document is None:
        return None
    document = bounded_json.loads(entry.version.document)
    assert isinstance(document, dict)
    return document


def addresses_of(entry: Entry, document: Mapping[str, Any] | None) -> list[str]:
    """The contracts whose names are told along: NFT first, then datatokens."""
    tokens = [token for token, _ in datatokens_of(document or {})]
    return list(dict.fromkeys([entry.version.nft, *tokens]))


def _nft(entry: Entry, owner: str, facts: ContractFacts | None) -> dict[str, Any]:
    return {
        "address": to_checksum(entry.version.nft),
        "name": facts.name if facts else "",
        "symbol": facts.symbol if facts else "",
        "state": entry.state,
        "tokenURI": facts.token_uri if facts else "",
        "owner": to_checksum(owner) if is_address(owner) else "",
        "created": _time(entry.created_at),
    }


def _event(entry: Entry) -> dict[str, Any]:
    version = entry.version
    return {
        "tx": version.tx,
        "txid": version.tx,
        "block": version.block,
        "from": to_checksum(version.updated_by),
        "contract": to_checksum(version.nft),
        "datetime": _time(version.timestamp),
    }


def _datatokens(
    document: Mapping[str, Any], facts: Mapping[str, ContractFacts]
) -> list[dict[str, str]]:
    listed = []
    for token, service_id in datatokens_of(document):
        known = facts.get(token)
        name, symbol = (known.name, known.symbol) if known else ("", "")
        listed.append(
            {
                "address": to_checksum(token),
                "name": name,
                "symbol": symbol,
                "serviceId": service_id,
            }
        )
    return listed


def _time(seconds: int) -> str:
    """ISO 8601 in UTC without a zone, as metadata caches write it."""
    return datetime.fromtimestamp(min(seconds, _LAST_TIME), UTC).strftime("%Y-%m-%dT%H:%M:%S")

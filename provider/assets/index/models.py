"""What the asset index keeps, as values, and how a document is summed up for queries. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from provider.auth.signatures import is_address

MAX_TOKENS = 50
MAX_WORDS_CHARACTERS = 4096

LISTED_STATES = (0, 4)
"""Active, and ordering switched off for a while. State 5 is in use but shown to nobody."""

_CLOSE_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class Tip:
    """A block that was passed; with an empty hash, none was yet."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What queries look at, of one document."""

    kind: str = ""
    tokens: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An event that concerns one asset, and where it stands in the chain."""

    chain_id: int
    block: int
    log_index: int
    nft: str
    block_hash: str
    tx: str
    timestamp: int
    state: int
    updated_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange(Change):
    """The state alone was set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version(Change):
    """A document was published. ``document`` is its text, None with a ``problem``.

    Neither is there of a version that was not read, as another took its place.
    """

    created: bool
    flags: int
    metadata_hash: str
    decryptor_url: str
    decryptor_host: str = ""
    document: str | None = field(default=None, repr=False)
    problem: str = ""
    kind: str = ""
    tokens: str = ""
    words: str = field(default="", repr=False)
    attempts: int = 0
    retry_at: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """The present of one asset. ``created_at`` is in seconds since the epoch."""

    did: str
    state: int
    created_at: int
    version: Version


@dataclass(frozen=True, slots=True)
class ContractFacts:
    """What a contract calls itself, as read for a version published in ``block``."""

    chain_id: int
    address: str
    block: int
    name: str = ""
    symbol: str = ""
    token_uri: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Query:
    """Which assets are asked for; an empty tuple or text is no condition.

    ``text`` is words that must all occur in name, description, author or tags. Newest
    first unless ``oldest_first``; ``size`` assets from number ``first`` on.
    """

    text: str = ""
    chain_ids: tuple[int, ...] = ()
    dids: tuple[str, ...] = ()
    nfts: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    states: tuple[int, ...] = LISTED_STATES
    oldest_first: bool = False
    first: int = 0
    size: int = 10


def summary_of(document: Mapping[str, Any]) -> Summary:
    """Of any JSON object: what is not as it should be is left out."""
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping):
        metadata = {}
    tags = metadata.get("tags")
    texts = [metadata.get(name) for name in ("name", "author", "description")]
    texts[2:2] = tags if isinstance(tags, list) else []
    kind = metadata.get("type")
    return Summary(
        kind=_plain(kind)[:40].lower() if isinstance(kind, str) else "",
        tokens=_enclosed(token for token, _ in datatokens_of(document)),
        words=_enclosed(_plain(text) for text in texts if isinstance(text, str)),
    )


def datatokens_of(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lower-case address and service id of each service that names a datatoken."""
    return list(_datatokens(document))[:MAX_TOKENS]


def checkpoints_to_drop(numbers: Iterable[int], newest: int) -> list[int]:
    """Of blocks that were passed, those that need not be remembered.

    The last 64 blocks stay, and before these the oldest of each doubling of the distance:
    so a reorganisation is undone to a block that is at most four times as far back.
    """
    seen: set[int] = set()
    dropped = []
    for number in sorted(numbers):
        distance = (newest - number).bit_length()
        if newest - number < _CLOSE_BLOCKS:
            continue
        if distance in seen:
            dropped.append(number)
        seen.add(distance)
    return dropped


def _datatokens(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    services = document.get("services")
    for service in services if isinstance(services, list) else []:
        if isinstance(service, Mapping) and is_address(service.get("datatokenAddress")):
            yield service["datatokenAddress"].lower(), str(service.get("id", ""))[:256]


def _enclosed(texts: Iterable[str]) -> str:
    joined = " ".join(" ".join(texts).lower().split())[:MAX_WORDS_CHARACTERS]
    return f" {joined} " if joined else ""


def _plain(text: str) -> str:
    """Without what a database refuses: lone surrogates and zero characters."""
    return text[:MAX_WORDS_CHARACTERS].encode(errors="ignore").decode().replace("\0", " ")

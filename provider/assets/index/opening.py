"""Getting at published documents: with our key, or through the provider that has the other.

Opening takes a while for large documents, so it is done in a thread. A document that our
key does not open is asked of the provider that its event names, again and again at growing
intervals: that provider may be down, or may not have this one on its list yet.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from compute.errors import ComputeError
from provider.assets.encryption import decrypt
from provider.assets.index.models import Version, summary_of
from provider.assets.published import (
    CANNOT_DECRYPT,
    flags_of,
    read_document,
    require_hash,
    unseal,
)
from provider.chain.events import MetadataEvent
from provider.errors import AssetMalformed, ProviderError
from provider.keys import ProviderKey

log = logging.getLogger(__name__)

SEALED_ELSEWHERE = "The document is sealed by another provider, which has not opened it yet."
NEVER_OPENED = "The document is sealed by another provider, which does not open it."
FIRST_RETRY_S = 30
MOST_RETRY_S = 24 * 3600
MAX_ATTEMPTS = 16

_MOST = 2**63 - 1
_MAX_URL = 2048
_MAX_HOST = 255


class AskProvider(Protocol):
    """Has another provider open a document (``decrypt`` by transaction)."""

    async def __call__(self, *, url: str, chain_id: int, nft: str, tx: str) -> bytes:
        """The document's bytes. Raises ProviderError or ComputeError for every failure."""


class Opener:
    """Makes versions from events. Without ``ask``, what our key does not open stays shut."""

    def __init__(
        self,
        key: ProviderKey,
        ask: AskProvider | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._ask = ask
        self._now = now

    @property
    def asks(self) -> bool:
        """Whether other providers are asked at all."""
        return self._ask is not None

    @property
    def address(self) -> str:
        """Of the key that documents are opened with."""
        return self._key.address

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._now()

    async def version(self, event: MetadataEvent, chain_id: int) -> Version:
        """The version that this event published."""
        return await asyncio.to_thread(self._version, event, chain_id, int(self._now()))

    async def ask_again(self, version: Version) -> Version:
        """What became of a version that was due."""
        if self._ask is None:
            return replace(version, retry_at=None)
        try:
            document = await self._ask(
                url=version.decryptor_url,
                chain_id=version.chain_id,
                nft=version.nft,
                tx=version.tx,
            )
            read = await asyncio.to_thread(_read, version, document)
        except (ProviderError, ComputeError) as error:
            log.info(
                "index_document_still_sealed chain=%s nft=%s cause=%r",
                version.chain_id,
                version.nft,
                error.public,
            )
            return self._postponed(version)
        return replace(read, problem="", retry_at=None)

    def _version(self, event: MetadataEvent, chain_id: int, now: int) -> Version:
        version = unread(event, chain_id)
        try:
            return _read(version, unseal(event.data, version.flags, self._open))
        except AssetMalformed as error:
            problem = error.public
        if problem == CANNOT_DECRYPT and self.asks and version.decryptor_url:
            return replace(version, problem=SEALED_ELSEWHERE, retry_at=now)
        log.info(
            "index_document_refused chain=%s nft=%s tx=%s problem=%r",
            chain_id,
            version.nft,
            version.tx,
            problem,
        )
        return replace(version, problem=problem)

    def _open(self, sealed: bytes) -> bytes:
        return decrypt(self._key, "0x" + sealed.hex())

    def _postponed(self, version: Version) -> Version:
        attempts = version.attempts + 1
        if attempts >= MAX_ATTEMPTS:
            return replace(version, attempts=attempts, problem=NEVER_OPENED, retry_at=None)
        pause = min(FIRST_RETRY_S * 2**attempts, MOST_RETRY_S)
        return replace(version, attempts=attempts, retry_at=int(self._now()) + pause)


def unread(event: MetadataEvent, chain_id: int) -> Version:
    """The version that an event published, without its document."""
    url = event.decryptor_url.replace("\0", "")[:_MAX_URL]
    return Version(
        chain_id=chain_id,
        block=event.log.block,
        log_index=event.log.index,
        nft=event.log.address,
        block_hash=event.log.block_hash,
        tx=event.log.tx,
        timestamp=min(event.timestamp, _MOST),
        state=event.state,
        updated_by=event.updated_by,
        created=event.created,
        flags=flags_of(event.flags),
        metadata_hash=event.metadata_hash,
        decryptor_url=url,
        decryptor_host=_host(url),
    )


def _host(url: str) -> str:
    """Of an address; whatever names no host stands for one itself."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return (host or url)[:_MAX_HOST].lower()


def _read(version: Version, content: bytes) -> Version:
    """With the document, once it is the one of the chain. Raises AssetMalformed."""
    require_hash(content, version.metadata_hash)
    summary = summary_of(read_document(content, version.nft, version.chain_id))
    return replace(
        version,
        document=content.decode(),
        kind=summary.kind,
        tokens=summary.tokens,
        words=summary.words,
    )

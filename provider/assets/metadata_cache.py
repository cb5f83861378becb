"""Assets from a metadata cache (Aquarius API by URL), believed as far as the chain bears them out.

The operator chose the cache, so it may stand in a private network, but it leads nowhere else:
redirects are not followed. What it answers decides who may use data, hence it only counts with
evidence from the chain (:mod:`provider.assets.evidence`). A look-up is remembered for a few
seconds, since a job asks for the same assets several times in a row.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

from compute.store.recent import Recent
from provider import bounded_json
from provider.assets.catalogue import Catalogue
from provider.assets.ddo import Ddo, is_did
from provider.assets.evidence import bear_out
from provider.assets.published import MAX_DOCUMENT_PARTS, MAX_PUBLISHED_BYTES
from provider.chain.chains import Chains
from provider.chain.memo import Shared
from provider.errors import AssetsUnavailable, ChainUnavailable, UnknownAsset
from provider.keys import ProviderKey

log = logging.getLogger(__name__)

FRESH_S = 5.0
UNKNOWN_FRESH_S = 1.0
SHOWN_DID_CHARACTERS = 120
_REMEMBERED = 1024
_REMEMBERED_BYTES = 64 << 20
_UNKNOWN_BYTES = 256
_AT_ONCE = 16


class MetadataCache:
    """The HTTP side, one session; use as ``async with``. Answers are bounded in size and time."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._base = url.rstrip("/") + "/api/aquarius/assets/ddo/"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._trouble = ""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_AT_ONCE),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, did: str) -> tuple[dict[str, Any], int]:
        """The cache's document and its size in bytes. ``did`` must be a sound one.

        Raises UnknownAsset when the cache does not have it, AssetsUnavailable for all that
        is no answer.
        """
        status, content = await self._get(did)
        if status not in {200, 404}:
            raise self._unavailable(f"status {status}")
        document = _object(content) if status == 200 else None
        if status == 200 and document is None:
            raise self._unavailable("no document")
        self._trouble = ""
        if document is None:
            raise UnknownAsset(did)
        return document, len(content)

    async def _get(self, did: str) -> tuple[int, bytes]:
        """Status and, of an answer of 200, the body."""
        assert self._session is not None, "use it inside its async with"
        try:
            async with self._session.get(self._base + did, allow_redirects=False) as answer:
                return answer.status, await _body(answer) if answer.status == 200 else b""
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._unavailable(type(error).__name__) from None

    def _unavailable(self, trouble: str) -> AssetsUnavailable:
        """Said once in the log for as long as it stays the same."""
        if trouble != self._trouble:
            log.warning("metadata_cache_unavailable cause=%r", trouble)
        self._trouble = trouble
        return AssetsUnavailable()


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What a look-up came to: an asset or that there is none. ``weight`` is in bytes."""

    until: float
    ddo: Ddo | None = field(repr=False)
    weight: int


class CacheCatalogue(Catalogue):
    """Assets of a metadata cache that lie on configured chains. Use as ``async with``.

    Equal look-ups at one time are one.
    """

    def __init__(
        self,
        cache: MetadataCache,
        chains: Chains,
        key: ProviderKey,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._chains = chains
        self._key = key
        self._clock = clock
        self._asked: Shared[str, Ddo] = Shared()
        self._remembered: Recent[str, _Remembered] = Recent(
            _REMEMBERED, budget=_REMEMBERED_BYTES, weigh=lambda each: each.weight
        )

    async def __aenter__(self) -> Self:
        await self._cache.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._cache.__aexit__(kind, error, trace)

    async def resolve(self, did: str) -> Ddo:
        """Raises UnknownAsset, AssetMalformed when the chain does not bear the document out,
        UnsupportedChain, AssetsUnavailable when cache or chain is silent."""
        if not is_did(did):
            raise UnknownAsset(ascii(str(did)[:SHOWN_DID_CHARACTERS])[1:-1])
        known = self._remembered.get(did)
        if known is None or known.until <= self._clock():
            return await self._asked.run(did, lambda: self._look_up(did))
        if known.ddo is None:
            raise UnknownAsset(did)
        return known.ddo

    async def _look_up(self, did: str) -> Ddo:
        asked_at = self._clock()
        try:
            hint, size = await self._cache.ask(did)
            ddo = Ddo.parse(await bear_out(self._chains, self._key, did, hint))
        except UnknownAsset:
            self._remembered.put(did, _Remembered(asked_at + UNKNOWN_FRESH_S, None, _UNKNOWN_BYTES))
            raise
        except ChainUnavailable as error:
            log.info("asset_not_borne_out did=%s chain=%s", did, error.chain_id)
            raise AssetsUnavailable from None
        self._remembered.put(did, _Remembered(asked_at + FRESH_S, ddo, size))
        return ddo


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """Raises ValueError for more than ``MAX_PUBLISHED_BYTES``."""
    content = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        content += chunk
        if len(content) > MAX_PUBLISHED_BYTES:
            raise ValueError("too large")
    return bytes(content)


def _object(content: bytes) -> dict[str, Any] | None:
    """The JSON object in ``content``, None when it holds none."""
    try:
        document = bounded_json.loads(content, max_parts=MAX_DOCUMENT_PARTS)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None

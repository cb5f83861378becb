"""Assets that were published on the configured chains, by way of the index.

An asset that the index does not hold may have been published a moment ago, so before it is
called unknown, the index has to catch up with its chains once. Where it cannot, nothing is
known. What is no hash cannot be the DID of a data NFT and is not looked for on any chain.
"""

from __future__ import annotations

import logging
import re

from provider.assets.catalogue import Catalogue
from provider.assets.ddo import Ddo
from provider.assets.index import AssetIndex
from provider.assets.index.indexed import IndexedAsset
from provider.errors import AssetMalformed, AssetsUnavailable, ChainUnavailable, UnknownAsset

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
SHOWN_DID_CHARACTERS = 120
UNREADABLE = "The asset's published document cannot be read."

_OF_AN_NFT = re.compile(r"did:op:[0-9a-f]{64}", re.ASCII)


def is_of_nft(did: object) -> bool:
    """True for what can be the DID of a data NFT: ``did:op:`` and a SHA-256."""
    return isinstance(did, str) and _OF_AN_NFT.fullmatch(did) is not None


class IndexCatalogue(Catalogue):
    """Documents as the index tells them: with owner and state of the NFT as on chain.

    An asset that was revoked resolves, and its state makes it unusable. ``patience_s`` is how
    long the index may take to catch up.
    """

    def __init__(self, index: AssetIndex, *, patience_s: float = PATIENCE_S) -> None:
        self._index = index
        self._patience_s = patience_s

    async def resolve(self, did: str) -> Ddo:
        """Raises UnknownAsset, AssetMalformed when what was published cannot be read,
        AssetsUnavailable when it cannot be known because of a chain."""
        if not is_of_nft(did):
            raise UnknownAsset(ascii(str(did)[:SHOWN_DID_CHARACTERS])[1:-1])
        asset = await self._found(did)
        if asset is None:
            asset = await self._found_after_all(did)
        if asset.document is None:
            raise AssetMalformed(asset.problem or UNREADABLE)
        return Ddo.parse(asset.document)

    async def _found_after_all(self, did: str) -> IndexedAsset:
        caught_up = await self._index.catch_up(self._patience_s)
        asset = await self._found(did)
        if asset is None and caught_up:
            raise UnknownAsset(did)
        if asset is None:
            raise AssetsUnavailable
        return asset

    async def _found(self, did: str) -> IndexedAsset | None:
        try:
            return await self._index.find(did)
        except ChainUnavailable as error:
            log.info("asset_owner_unknown did=%s chain=%s", did, error.chain_id)
        raise AssetsUnavailable

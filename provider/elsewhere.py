"""What other providers are asked on behalf of the rest of this service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compute.errors import InputUnavailable
from provider.assets.remote import Remotes
from provider.errors import OtherProviderUnavailable, ProviderError
from provider.payments import Payable


class OtherProviders:
    """Asks them for quotes and to open documents that they sealed."""

    def __init__(self, remotes: Remotes) -> None:
        self._remotes = remotes

    async def initialize(self, item: Payable, consumer: str) -> Mapping[str, Any]:
        """What another provider wants for a service of its own, as it says it.

        Raises ProviderError, OtherProviderUnavailable.
        """
        order = {"transferTxId": item.order} if item.order else {}
        try:
            other = self._remotes.at(item.service.service_endpoint)
            return await other.initialize(item.ddo.id, item.service.id, consumer, **order)
        except InputUnavailable as error:
            if error.temporary:
                raise OtherProviderUnavailable from None
            raise ProviderError(error.public) from None

    async def open_document(self, *, url: str, chain_id: int, nft: str, tx: str) -> bytes:
        """A document that another provider sealed. Raises InputUnavailable."""
        return await self._remotes.at(url).decrypt(chain_id, nft, tx)

"""Several catalogues as one: the folder first, then the chain's index, then a metadata cache.

The order is one of trust. What the operator of this machine wrote wins over what strangers
published, so that a folder which cannot be read ends the look-up: nobody may get past the
operator's own document by way of a broken disk. After that, a catalogue that cannot tell (its
chain is silent, the document is sealed to somebody else) leaves the asset to the next one,
and only if none has it, what kept the first one from telling is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from provider.assets.catalogue import Catalogue
from provider.assets.ddo import Ddo
from provider.errors import ProviderError, UnknownAsset


class JoinedCatalogue(Catalogue):
    """``own`` is the operator's, ``published`` the others in the order they are asked.

    ``serves_local_files`` is true as the operator's own is; of a document of the others
    ``is_local`` is false, and so it names no file of this machine.
    """

    def __init__(self, own: Catalogue, published: Sequence[Catalogue] = ()) -> None:
        self._own = own
        self._published = tuple(published)
        self.serves_local_files = own.serves_local_files

    async def resolve(self, did: str) -> Ddo:
        """The first catalogue's that has it. Raises UnknownAsset when none has, else what
        the first one that could not tell raised."""
        try:
            return await self._own.resolve(did)
        except UnknownAsset as error:
            refusal: ProviderError = error
        for catalogue in self._published:
            try:
                return await catalogue.resolve(did)
            except ProviderError as error:
                if isinstance(refusal, UnknownAsset) and not isinstance(error, UnknownAsset):
                    refusal = error
        raise refusal

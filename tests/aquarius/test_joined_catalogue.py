"""Folder, index and cache as one: who wins, and what is told when nobody can tell."""

from __future__ import annotations

import pytest
from aquarius_documents import CHAIN, NFT, document

from provider.assets.catalogue import Catalogue
from provider.assets.ddo import Ddo
from provider.assets.joined_catalogue import JoinedCatalogue
from provider.assets.published import did_of
from provider.errors import (
    AssetMalformed,
    AssetsUnavailable,
    ProviderError,
    UnknownAsset,
    UnsupportedChain,
)

DID = did_of(NFT, CHAIN)


class Given(Catalogue):
    """Answers one thing, always."""

    def __init__(self, answer: Ddo | ProviderError, *, local: bool = False) -> None:
        self._answer = answer
        self.serves_local_files = local
        self.asked = 0

    async def resolve(self, did: str) -> Ddo:
        self.asked += 1
        if isinstance(self._answer, ProviderError):
            raise self._answer
        return self._answer


def ddo(*, local: bool = False) -> Ddo:
    return Ddo.parse(document(), local=local)


def unknown() -> Given:
    return Given(UnknownAsset(DID))


async def test_the_folder_wins() -> None:
    own, index = Given(ddo(local=True), local=True), Given(ddo())
    joined = JoinedCatalogue(own, [index])
    assert (await joined.resolve(DID)).is_local
    assert index.asked == 0
    assert joined.serves_local_files


async def test_then_the_index_then_the_cache() -> None:
    index, cache = Given(ddo()), Given(ddo())
    assert not (await JoinedCatalogue(unknown(), [index, cache]).resolve(DID)).is_local
    assert (index.asked, cache.asked) == (1, 0)
    await JoinedCatalogue(unknown(), [unknown(), cache]).resolve(DID)
    assert cache.asked == 1


async def test_a_folder_that_cannot_be_read_hides_nothing() -> None:
    """Its document might be stricter than the one that strangers published."""
    index = Given(ddo())
    with pytest.raises(AssetsUnavailable):
        await JoinedCatalogue(Given(AssetsUnavailable()), [index]).resolve(DID)
    assert index.asked == 0


@pytest.mark.parametrize("error", [AssetsUnavailable(), AssetMalformed("sealed")])
async def test_who_cannot_tell_leaves_it_to_the_next(error: ProviderError) -> None:
    cache = Given(ddo())
    assert (await JoinedCatalogue(unknown(), [Given(error), cache]).resolve(DID)).id == DID


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([], UnknownAsset),
        ([UnknownAsset(DID), UnknownAsset(DID)], UnknownAsset),
        ([AssetsUnavailable(), UnknownAsset(DID)], AssetsUnavailable),
        ([UnknownAsset(DID), AssetsUnavailable()], AssetsUnavailable),
        ([AssetMalformed("sealed"), AssetsUnavailable()], AssetMalformed),
        ([UnknownAsset(DID), UnsupportedChain(1)], UnsupportedChain),
    ],
)
async def test_when_none_has_it_the_first_reason_is_told(
    answers: list[ProviderError], told: type[ProviderError]
) -> None:
    joined = JoinedCatalogue(unknown(), [Given(answer) for answer in answers])
    with pytest.raises(told):
        await joined.resolve(DID)

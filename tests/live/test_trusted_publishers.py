"""Whom a dataset trusts, on a real chain: the publisher of an algorithm, and nobody who
makes himself look like one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from eth_abi import encode
from eth_utils.crypto import keccak
from live_market import CONSUMER, PUBLISHER, STRANGER, files, offers, serving, settings_of
from live_parties import Party, algorithm, code_of, dataset, named, parties, sell, service
from support.devchain import DevChain
from support.service import Service

from provider.client import Published, RefusedError, ServiceDraft

pytestmark = pytest.mark.docker

OWNER_KNOWN_ANEW_S = 5.5
NOT_BY_HIM = "does not trust the algorithm.s publisher"


@pytest.fixture
async def traders(
    devchain: DevChain, tmp_path: Path
) -> AsyncIterator[tuple[Party, Party, Party, Published, str]]:
    """Publisher, consumer, stranger; a dataset that trusts the publisher; where files lie."""
    provider = Service(tmp_path / "provider")
    provider.environments(*offers(devchain))
    async with (
        files() as origin,
        serving(provider, **settings_of(devchain)),
        parties(devchain, provider, PUBLISHER, CONSUMER, STRANGER) as (seller, buyer, stranger),
    ):
        rules = {"publisherTrustedAlgorithmPublishers": [seller.address]}
        data = await sell(seller, dataset("Rows", service(origin, **rules)), buyer, stranger)
        yield seller, buyer, stranger, data, origin.url


def give(chain: DevChain, party: Party, nft: str, to: str) -> None:
    """Give an NFT away; nobody has to accept it."""
    selector = keccak(text="safeTransferFrom(address,address,uint256)")[:4]
    types = ["address", "address", "uint256"]
    data = selector + encode(types, [party.address, to, 1])
    receipt = chain.receipt(chain.send(party.account, nft, data))
    assert receipt is not None
    assert int(receipt["status"], 16) == 1


async def quoted(party: Party, data: Published, code: Published) -> None:
    """Raises RefusedError."""
    await party.client.initialize_compute("free", named(data), code_of(code), duration_s=60)


async def test_the_publishers_own_algorithm_is_trusted_and_a_gift_to_him_is_not(
    devchain: DevChain, traders: tuple[Party, Party, Party, Published, str]
) -> None:
    seller, buyer, stranger, data, url = traders
    files_of = [{"type": "url", "url": f"{url}/count.sh", "method": "GET"}]
    access = ServiceDraft("access", files_of, 0)
    genuine = await sell(seller, algorithm("Count", access), buyer)
    await quoted(buyer, data, genuine)
    forged = await sell(stranger, algorithm("Copy", access), stranger)
    with pytest.raises(RefusedError, match=NOT_BY_HIM):
        await quoted(stranger, data, forged)
    give(devchain, stranger, forged.nft, seller.address)
    await asyncio.sleep(OWNER_KNOWN_ANEW_S)
    with pytest.raises(RefusedError, match=NOT_BY_HIM):
        await quoted(stranger, data, forged)

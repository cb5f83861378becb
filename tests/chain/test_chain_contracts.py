"""What contracts answer, and how often they are asked."""

from __future__ import annotations

import asyncio
import json
from importlib import resources
from typing import Any

import pytest
from stand_in_node import ManualClock

from provider.chain import contracts
from provider.chain.contracts import Contracts
from provider.chain.fake import FakeChain
from provider.errors import CallRefused, ChainUnavailable

FACTORY = "0x" + "fa" * 20
NFT = "0x" + "a1" * 20
OTHER = "0x" + "a2" * 20
TOKEN = "0x" + "d1" * 20
OWNER = "0x" + "ee" * 20
NOBODY = "0x" + "00" * 20


@pytest.fixture
def known(fake: FakeChain, clock: ManualClock) -> Contracts:
    return Contracts(fake, FACTORY, clock=clock)


@pytest.fixture(autouse=True)
def asset(fake: FakeChain) -> None:
    """An NFT of the factory with one datatoken."""
    names = {NFT: ("Rows", "RWS")}
    fake.publish(FACTORY, NFT, [TOKEN], owner=OWNER, state=5, names=names)


def loud(address: str) -> str:
    return "0x" + address[2:].upper()


async def test_an_nft_of_the_factory(known: Contracts) -> None:
    assert await known.is_from_factory(NFT)
    assert await known.is_from_factory(loud(NFT))
    assert not await known.is_from_factory(OTHER)


async def test_nothing_is_from_a_factory_that_is_none(fake: FakeChain) -> None:
    assert not await Contracts(fake, OTHER).is_from_factory(NFT)
    assert not await Contracts(fake, OTHER).is_from_factory(NOBODY)


async def test_the_address_of_nobody_is_from_no_factory(fake: FakeChain, known: Contracts) -> None:
    assert not await known.is_from_factory(NOBODY)


async def test_a_datatoken_of_an_nft(known: Contracts) -> None:
    assert await known.has_datatoken(NFT, loud(TOKEN))
    assert not await known.has_datatoken(NFT, OTHER)
    assert not await known.has_datatoken(OTHER, TOKEN)


async def test_facts_of_an_asset(known: Contracts) -> None:
    assert await known.metadata_state(NFT) == 5
    assert await known.owner(NFT) == OWNER
    assert await known.naming(NFT) == ("Rows", "RWS")
    assert await known.decimals(TOKEN) == 18


async def test_a_contract_that_is_none(known: Contracts) -> None:
    assert await known.metadata_state(OTHER) is None
    assert await known.naming(OTHER) == ("", "")
    with pytest.raises(CallRefused):
        await known.owner(OTHER)
    with pytest.raises(CallRefused):
        await known.decimals(OTHER)


@pytest.mark.parametrize("bad", ["", "0x", "abc", "0x" + "g" * 40, "did:op:1"])
async def test_what_is_no_address_is_no_contract(known: Contracts, bad: str) -> None:
    assert not await known.is_from_factory(bad)
    assert not await known.has_datatoken(NFT, bad)
    assert not await known.has_datatoken(bad, TOKEN)
    assert await known.metadata_state(bad) is None
    with pytest.raises(CallRefused):
        await known.owner(bad)


async def test_an_nft_without_metadata(known: Contracts, fake: FakeChain) -> None:
    fake.publish(FACTORY, OTHER, state=None)
    assert await known.metadata_state(OTHER) is None


@pytest.mark.parametrize("answer", [b"\xff" * 32, b"\x01", b"\xff" * 4096, bytes(31)])
async def test_contracts_that_answer_nonsense(fake: FakeChain, answer: bytes) -> None:
    class Nonsense(FakeChain):
        async def call(self, to: str, data: bytes) -> bytes:
            return answer

    known = Contracts(Nonsense(), FACTORY)
    assert not await known.is_from_factory(NFT)
    assert not await known.has_datatoken(NFT, TOKEN)
    assert await known.metadata_state(NFT) is None
    assert await known.naming(NFT) == ("", "")
    with pytest.raises(CallRefused):
        await known.owner(NFT)


async def test_a_name_is_of_a_sane_length(known: Contracts, fake: FakeChain) -> None:
    fake.answers(OTHER, "name()", ["string"], ["x" * 100_000])
    name, symbol = await known.naming(OTHER)
    assert (len(name), symbol) == (1024, "")


async def test_what_cannot_change_is_asked_once(
    known: Contracts, fake: FakeChain, clock: ManualClock
) -> None:
    for _ in range(3):
        await known.is_from_factory(NFT)
        await known.is_from_factory(loud(NFT))
        await known.has_datatoken(NFT, TOKEN)
        await known.decimals(TOKEN)
        clock.now += 10**9
    assert fake.asked["call"] == 3


@pytest.mark.parametrize("question", ["is_from_factory", "has_datatoken", "naming", "decimals"])
async def test_what_may_come_true_is_asked_again_after_a_while(
    known: Contracts, fake: FakeChain, clock: ManualClock, question: str
) -> None:
    new, made = "0x" + "b1" * 20, "0x" + "d7" * 20

    async def ask() -> Any:
        args = (new, made) if question == "has_datatoken" else (new,)
        try:
            return await getattr(known, question)(*args)
        except CallRefused:
            return None

    missing = await ask()
    fake.publish(FACTORY, new, [made])
    fake.token(new)
    clock.now += contracts.UNTRUE_S - 0.1
    assert await ask() == missing
    clock.now += 0.1
    assert await ask() != missing


async def test_what_an_owner_changes_is_seen_soon(
    known: Contracts, fake: FakeChain, clock: ManualClock
) -> None:
    assert (await known.metadata_state(NFT), await known.owner(NFT)) == (5, OWNER)
    fake.publish(FACTORY, NFT, [TOKEN], owner=OTHER, state=3)
    assert (await known.metadata_state(NFT), await known.owner(NFT)) == (5, OWNER)
    clock.now += contracts.CHANGES_S
    assert (await known.metadata_state(NFT), await known.owner(NFT)) == (3, OTHER)


async def test_many_who_ask_the_same_ask_once(known: Contracts, fake: FakeChain) -> None:
    found = await asyncio.gather(*(known.is_from_factory(NFT) for _ in range(20)))
    assert found == [True] * 20
    assert fake.asked["call"] == 1


async def test_a_chain_that_cannot_be_asked_leaves_nothing_behind(
    known: Contracts, fake: FakeChain
) -> None:
    fake.unreachable = True
    for question in (known.is_from_factory, known.metadata_state, known.owner, known.naming):
        with pytest.raises(ChainUnavailable):
            await question(NFT)
    fake.unreachable = False
    assert await known.is_from_factory(NFT)
    assert await known.owner(NFT) == OWNER


async def test_what_is_kept_needs_no_node(known: Contracts, fake: FakeChain) -> None:
    await known.is_from_factory(NFT)
    fake.unreachable = True
    assert await known.is_from_factory(NFT)


async def test_strangers_cannot_fill_the_memory(known: Contracts) -> None:
    for number in range(contracts.REMEMBERED + 50):
        await known.is_from_factory(f"0x{number:040x}")
    assert len(known._kept) == contracts.REMEMBERED


async def test_the_views_are_those_of_the_published_contracts(fake: FakeChain) -> None:
    """Asked with the selectors, and read with the types, of the artifacts."""
    views = {
        "ERC721Factory": ["erc721List"],
        "ERC721Template": ["isDeployed", "getMetaData", "ownerOf", "name", "symbol"],
        "ERC20Template": ["decimals"],
    }
    values: dict[str, list[object]] = {"erc721List": [NFT], "isDeployed": [True]}
    values |= {"getMetaData": ["", "", 5, True], "ownerOf": [OWNER], "decimals": [6]}
    for name, listed in views.items():
        text = (resources.files("artifacts") / f"{name}.json").read_text()
        for each in json.loads(text)["abi"]:
            if each["type"] == "function" and each["name"] in listed:
                inputs = ",".join(part["type"] for part in each["inputs"])
                outputs = [part["type"] for part in each["outputs"]]
                answer = values.get(each["name"], ["Name"])
                fake.answers(OTHER, f"{each['name']}({inputs})", outputs, answer)
    known = Contracts(fake, OTHER)
    assert await known.is_from_factory(NFT)
    assert await known.has_datatoken(OTHER, TOKEN)
    assert await known.metadata_state(OTHER) == 5
    assert await known.owner(OTHER) == OWNER
    assert await known.naming(OTHER) == ("Name", "Name")
    assert await known.decimals(OTHER) == 6


async def test_any_view_can_be_read(known: Contracts, fake: FakeChain) -> None:
    fake.answers(OTHER, "at(uint256,string)", ["uint256"], lambda place, _: [place * 2])
    fragment = {
        "type": "function",
        "name": "at",
        "stateMutability": "view",
        "inputs": [{"name": "place", "type": "uint256"}, {"name": "text", "type": "string"}],
        "outputs": [{"name": "", "type": "uint256"}],
    }
    assert await known.read(loud(OTHER), fragment, ["21", "x"]) == 42
    with pytest.raises(CallRefused):
        await known.read(NFT, fragment, ["21", "x"])
    with pytest.raises(CallRefused):
        await known.read(OTHER, fragment, ["21"])

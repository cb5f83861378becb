"""The client against a real EVM with the real contracts on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from eth_abi.abi import encode
from stand_in_node import ManualClock
from support.devchain import DevChain
from support.lookalike import Lookalike, metadata_created
from support.service import free_port

from provider.auth.keccak import keccak256
from provider.auth.signatures import to_checksum
from provider.chain import events
from provider.chain.client import Web3Chain
from provider.chain.contracts import Contracts
from provider.chain.networks import ChainSettings
from provider.errors import CallRefused, SettingsInvalid, TransactionPending, TransactionUnknown

Connect = Callable[..., Web3Chain]

NOBODY = "0x" + "00" * 20
DOCUMENT = b"sealed"
DIGEST = "0x" + "cd" * 32


@pytest.fixture
def chain(connect: Connect, devchain: DevChain) -> Web3Chain:
    return connect(devchain.url)


def call_data(contract: str, name: str, *args: object) -> bytes:
    """As the published ABI codes a call."""
    abi = json.loads((resources.files("artifacts") / f"{contract}.json").read_text())["abi"]
    (found,) = [
        each for each in abi if each.get("name") == name and len(each["inputs"]) == len(args)
    ]

    def kind(each: dict[str, Any]) -> str:
        inner = ",".join(map(kind, each.get("components", [])))
        return str(each["type"]).replace("tuple", f"({inner})", 1)

    types = [kind(each) for each in found["inputs"]]
    return keccak256(f"{name}({','.join(types)})".encode())[:4] + encode(types, args)


class Publisher:
    """Publishes with the account that the fewest others use."""

    def __init__(self, devchain: DevChain) -> None:
        self.chain = devchain
        self.account = devchain.accounts[-2]
        self.address = self.account.address.lower()

    def nft(self) -> str:
        data = call_data(
            "ERC721Factory",
            "deployERC721Contract",
            *("Rows", "RWS", 1, NOBODY, NOBODY, "", True, self.account.address),
        )
        return self._made(self.chain.addresses["ERC721Factory"], data, "NFTCreated")

    def datatoken(self, nft: str) -> str:
        people = [self.account.address] * 3 + [NOBODY]
        data = call_data(
            "ERC721Template",
            "createERC20",
            *(1, ["Access", "ACC"], people, [10**21, 0], []),
        )
        return self._made(nft, data, "TokenCreated")

    def describe(self, nft: str, state: int = 0) -> str:
        args = (state, "http://x", "0x0", b"\x02", DOCUMENT, bytes.fromhex(DIGEST[2:]), [])
        return self.send(nft, call_data("ERC721Template", "setMetaData", *args))

    def set_state(self, nft: str, state: int) -> str:
        return self.send(nft, call_data("ERC721Template", "setMetaDataState", state))

    def send(self, to: str, data: bytes) -> str:
        return self.chain.send(self.account, to_checksum(to), data)

    def _made(self, to: str, data: bytes, event: str) -> str:
        receipt = self.chain.receipt(self.send(to, data))
        assert receipt
        assert receipt["status"] == "0x1", event
        contract = "ERC721Factory" if event == "NFTCreated" else "ERC721Template"
        abi = json.loads((resources.files("artifacts") / f"{contract}.json").read_text())["abi"]
        (found,) = [each for each in abi if each.get("name") == event]
        types = ",".join(each["type"] for each in found["inputs"])
        topic = "0x" + keccak256(f"{event}({types})".encode()).hex()
        log = next(each for each in receipt["logs"] if each["topics"][0] == topic)
        word = log["topics"][1] if found["inputs"][0]["indexed"] else log["data"][:66]
        return str("0x" + word[26:66])


@pytest.fixture
def publisher(devchain: DevChain) -> Publisher:
    return Publisher(devchain)


async def test_the_chain_tells_what_it_is(chain: Web3Chain, devchain: DevChain) -> None:
    assert await chain.check() == []
    assert await chain.head() == devchain.height
    last = await chain.block(devchain.height)
    before = await chain.block(devchain.height - 1)
    assert last
    assert before
    assert last.parent == before.hash
    assert await chain.block(devchain.height + 1) is None


async def test_another_chain_id_is_seen(connect: Connect, devchain: DevChain) -> None:
    settings = ChainSettings(137, "polygon", "0x", "0x", (devchain.url,))
    async with Web3Chain(settings) as chain:
        with pytest.raises(SettingsInvalid, match="is of chain 8996"):
            await chain.check()


async def test_the_chain_is_followed_over_a_node_that_is_gone(
    connect: Connect, devchain: DevChain
) -> None:
    gone = f"http://127.0.0.1:{free_port()}/"
    assert await connect(gone, devchain.url).head() == devchain.height


async def test_an_asset_is_known_from_its_contracts(
    chain: Web3Chain, devchain: DevChain, publisher: Publisher, clock: ManualClock
) -> None:
    contracts = Contracts(chain, devchain.addresses["ERC721Factory"], clock=clock)
    nft = publisher.nft()
    token = publisher.datatoken(nft)
    assert await contracts.is_from_factory(nft)
    assert not await contracts.is_from_factory(token)
    assert not await contracts.is_from_factory(NOBODY)
    assert await contracts.has_datatoken(nft, token)
    assert not await contracts.has_datatoken(nft, nft)
    assert await contracts.owner(nft) == publisher.address
    assert await contracts.naming(nft) == ("Rows", "RWS")
    assert await contracts.decimals(token) == 18
    assert await contracts.metadata_state(nft) is None
    publisher.describe(nft, state=5)
    clock.now += 5
    assert await contracts.metadata_state(nft) == 5


async def test_contracts_that_are_none(chain: Web3Chain, devchain: DevChain) -> None:
    ocean = devchain.addresses["Ocean"]
    contracts = Contracts(chain, devchain.addresses["ERC721Factory"])
    assert not await contracts.is_from_factory(ocean)
    assert await contracts.metadata_state(ocean) is None
    assert await contracts.naming(devchain.accounts[0].address) == ("", "")
    with pytest.raises(CallRefused):
        await contracts.owner(ocean)
    with pytest.raises(CallRefused):
        await contracts.decimals(devchain.accounts[0].address)


async def test_any_view_of_a_contract_is_read(chain: Web3Chain, devchain: DevChain) -> None:
    def view(name: str, inputs: list[str], output: str) -> dict[str, Any]:
        return {
            "type": "function",
            "name": name,
            "stateMutability": "view",
            "inputs": [{"name": "", "type": each} for each in inputs],
            "outputs": [{"name": "", "type": output}],
        }

    contracts = Contracts(chain, devchain.addresses["ERC721Factory"])
    ocean = devchain.addresses["Ocean"]
    holder = devchain.accounts[0].address
    balance = await contracts.read(ocean, view("balanceOf", ["address"], "uint256"), [holder])
    assert isinstance(balance, int)
    assert balance > 0
    with pytest.raises(CallRefused):
        await contracts.read(ocean, view("missing", [], "uint256"), [])


async def test_what_a_contract_emits_is_found_and_decoded(
    chain: Web3Chain, publisher: Publisher
) -> None:
    nft = publisher.nft()
    made = await chain.receipt(publisher.describe(nft))
    changed = await chain.receipt(publisher.set_state(nft, 3))
    topics = [events.METADATA_CREATED, events.METADATA_UPDATED, events.METADATA_STATE]
    found = await chain.logs(0, await chain.head(), topics, address=nft)
    assert [log.tx for log in found] == [made.tx, changed.tx]
    event = events.metadata(found[0])
    assert event
    assert (event.created, event.updated_by, event.state) == (True, publisher.address, 0)
    assert (event.data, event.flags, event.metadata_hash) == (DOCUMENT, b"\x02", DIGEST)
    assert event.decryptor_url == "http://x"
    assert event.block_number == made.block
    state = events.metadata_state(found[1])
    assert state
    assert (state.state, state.block_number) == (3, changed.block)
    assert event.log in made.logs
    assert made.sender == publisher.address
    assert made.to == nft


async def test_a_lookalike_is_told_by_its_address(
    chain: Web3Chain, devchain: DevChain, publisher: Publisher
) -> None:
    fake = Lookalike(devchain, publisher.account)
    tx = fake.emit(metadata_created(publisher.account.address, data=b"x", timestamp=1))
    (log,) = (await chain.receipt(tx)).logs
    event = events.metadata(log)
    assert event
    assert log.address == fake.address.lower()
    contracts = Contracts(chain, devchain.addresses["ERC721Factory"])
    assert not await contracts.is_from_factory(log.address)


async def test_a_transaction_that_failed(
    chain: Web3Chain, devchain: DevChain, publisher: Publisher
) -> None:
    receipt = await chain.receipt(publisher.set_state(devchain.addresses["ERC721Factory"], 1))
    assert not receipt.succeeded
    assert receipt.logs == ()


async def test_a_contract_is_made_by_a_transaction_to_nobody(
    chain: Web3Chain, devchain: DevChain, publisher: Publisher
) -> None:
    tx = devchain.send(publisher.account, None, b"\x00")
    assert (await chain.receipt(tx)).to is None


async def test_a_transaction_waits_until_it_is_mined(
    chain: Web3Chain, devchain: DevChain, publisher: Publisher
) -> None:
    nft = publisher.nft()
    with devchain.waiting():
        tx = publisher.describe(nft)
        with pytest.raises(TransactionPending):
            await chain.receipt(tx)
        devchain.mine()
        assert (await chain.receipt(tx)).succeeded


async def test_confirmations_are_counted(
    connect: Connect, devchain: DevChain, publisher: Publisher, clock: ManualClock
) -> None:
    chain = connect(devchain.url, confirmations=3)
    tx = publisher.describe(publisher.nft())
    with pytest.raises(TransactionPending, match="1 of 3"):
        await chain.receipt(tx)
    devchain.mine(2)
    clock.now += 1
    assert (await chain.receipt(tx)).tx == tx


async def test_a_transaction_that_was_undone_is_unknown(
    chain: Web3Chain, devchain: DevChain, publisher: Publisher, clock: ManualClock
) -> None:
    nft = publisher.nft()
    with devchain.undone():
        tx = publisher.describe(nft)
        assert (await chain.receipt(tx)).succeeded
    devchain.mine()
    clock.now += 1
    with pytest.raises(TransactionUnknown):
        await chain.receipt(tx)

"""A wallet on the development chain: publishing and moving tokens."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from devchain_parts import logs_of
from eth_account import Account
from eth_utils import keccak, to_checksum_address
from support.devchain import DevChain
from support.service import free_port

from provider.chain.events import metadata, metadata_state
from provider.client import contract_calls
from provider.client.contract_calls import Function
from provider.client.errors import AnswerNotUnderstoodError, ClientUsageError
from provider.client.onchain import ETHER, ChainRefusedError, ChainUnreachableError, OnChain
from provider.devchain.ocean import contract

NOBODY = "0x" + "00" * 20
OTHER = "0x" + "22" * 20
FUNCTIONS = [each for each in vars(contract_calls).values() if isinstance(each, Function)]


@pytest.fixture
def alice(devchain: DevChain) -> OnChain:
    return OnChain(devchain.url, devchain.accounts[3], address_file=devchain.address_file)


@pytest.fixture
def bob(devchain: DevChain) -> OnChain:
    return OnChain(devchain.url, devchain.accounts[4], address_file=devchain.addresses)


def view(devchain: DevChain, address: str, function: Function, *values: object) -> Any:
    call = {"to": address, "data": "0x" + function.data(*values).hex()}
    answer = bytes.fromhex(devchain.call("eth_call", call, "latest")[2:])
    return function.result(answer)[0]


async def test_the_chain_is_asked_who_it_is(alice: OnChain, devchain: DevChain) -> None:
    assert (alice.chain_id, alice.address) == (8996, devchain.accounts[3].address)


async def test_an_nft_is_of_the_factory_and_of_its_maker(
    alice: OnChain, devchain: DevChain
) -> None:
    nft = await alice.publish_nft("Träger", "TRG", token_uri="data:,x")

    assert nft == to_checksum_address(nft)
    factory = devchain.addresses["ERC721Factory"]
    known = Function("erc721List", ("address",), ("address",))
    assert view(devchain, factory, known, nft) == nft.lower()
    owner = Function("ownerOf", ("uint256",), ("address",))
    assert view(devchain, nft, owner, 1) == alice.address.lower()
    assert view(devchain, nft, Function("name", (), ("string",))) == "Träger"
    assert view(devchain, nft, Function("tokenURI", ("uint256",), ("string",)), 1) == "data:,x"


async def test_a_datatoken_is_of_its_nft_and_minted(alice: OnChain, devchain: DevChain) -> None:
    nft = await alice.publish_nft("a", "A")

    first = await alice.create_datatoken(nft, "Rows", "ROW")
    second = await alice.create_datatoken(nft.lower(), "Rest", "RST", minted=0)

    deployed = Function("isDeployed", ("address",), ("bool",))
    assert first != second
    assert view(devchain, nft, deployed, first)
    assert view(devchain, nft, deployed, second)
    assert await alice.balance_of(first) == 100 * ETHER
    assert await alice.balance_of(second) == 0
    await alice.mint(second, OTHER, 6 * ETHER)
    assert await alice.balance_of(second, OTHER) == 6 * ETHER


async def test_only_the_owner_publishes(alice: OnChain, bob: OnChain) -> None:
    nft = await alice.publish_nft("a", "A")
    before = await bob.balance_of(nft)

    with pytest.raises(ChainRefusedError, match="NOT ERC20DEPLOYER_ROLE") as caught:
        await bob.create_datatoken(nft, "b", "B")

    assert caught.value.tx == "", "nothing was sent"
    assert await bob.balance_of(nft) == before
    with pytest.raises(ChainRefusedError, match="NOT METADATA_ROLE"):
        await bob.set_metadata_state(nft, 5)


async def test_a_document_is_written_as_it_is_given(alice: OnChain, devchain: DevChain) -> None:
    nft = await alice.publish_nft("a", "A")
    document = json.dumps({"id": "did:op:0"}).encode() * 50

    tx = await alice.set_metadata(
        nft,
        state=0,
        decryptor_url="https://provider.example",
        decryptor_address=alice.address,
        flags=b"\x02",
        data=document,
        metadata_hash=hashlib.sha256(document).digest(),
    )

    event = metadata(logs_of(devchain, tx)[0])
    assert event
    assert event.log.address == nft.lower()
    assert (event.created, event.state, event.flags) == (True, 0, b"\x02")
    assert (event.decryptor_url, event.data) == ("https://provider.example", document)
    assert event.metadata_hash == "0x" + hashlib.sha256(document).hexdigest()


async def test_the_state_is_set(alice: OnChain, devchain: DevChain) -> None:
    nft = await alice.publish_nft("a", "A")

    tx = await alice.set_metadata_state(nft, 3)

    event = metadata_state(logs_of(devchain, tx)[0])
    assert event
    assert (event.state, event.log.address) == (3, nft.lower())


async def test_tokens_are_moved_and_allowed(
    alice: OnChain, bob: OnChain, devchain: DevChain
) -> None:
    ocean = devchain.addresses["Ocean"]
    before = await alice.balance_of(ocean), await bob.balance_of(ocean)

    await alice.transfer(ocean, bob.address, 7)
    await alice.approve(ocean, bob.address, 11)

    assert await alice.balance_of(ocean) == before[0] - 7
    assert await alice.balance_of(ocean, bob.address) == before[1] + 7
    assert await alice.allowance(ocean, bob.address) == 11
    assert await bob.allowance(ocean, alice.address) == 0


async def test_one_wallet_may_do_several_things_at_once(
    alice: OnChain, bob: OnChain, devchain: DevChain
) -> None:
    ocean = devchain.addresses["Ocean"]
    before = await bob.balance_of(ocean)

    txs = await asyncio.gather(*(alice.transfer(ocean, bob.address, n) for n in (1, 2, 3, 4)))

    assert len(set(txs)) == 4
    assert await bob.balance_of(ocean) == before + 10


def test_a_did_follows_from_nft_and_chain() -> None:
    nft = "0x" + "Ab" * 20
    expected = hashlib.sha256((to_checksum_address(nft) + "8996").encode()).hexdigest()

    assert OnChain.did_of(nft, 8996) == OnChain.did_of(nft.lower(), 8996) == f"did:op:{expected}"
    assert OnChain.did_of(nft, 1) != OnChain.did_of(nft, 8996)


@pytest.mark.parametrize("found", FUNCTIONS, ids=lambda found: found.name)
def test_functions_are_those_of_the_published_contracts(found: Function) -> None:
    published = {
        f"{part['name']}({','.join(map(_kind, part['inputs']))})": tuple(
            _kind(output) for output in part["outputs"]
        )
        for artifact in ("ERC721Factory", "ERC721Template", "ERC20Template")
        for part in contract(artifact).abi
        if part["type"] == "function"
    }
    gives = published[f"{found.name}({','.join(found.takes)})"]
    assert found.gives in {gives, ()}


@pytest.mark.parametrize(
    ("topic", "artifact", "event"),
    [
        (contract_calls.NFT_CREATED, "ERC721Factory", "NFTCreated"),
        (contract_calls.TOKEN_CREATED, "ERC721Template", "TokenCreated"),
    ],
)
def test_events_are_those_of_the_published_contracts(
    topic: bytes, artifact: str, event: str
) -> None:
    part = next(p for p in contract(artifact).abi if p["type"] == "event" and p["name"] == event)
    assert keccak(text=f"{event}({','.join(map(_kind, part['inputs']))})") == topic


def _kind(part: dict[str, Any]) -> str:
    inner = f"({','.join(map(_kind, part.get('components', [])))})"
    return str(part["type"]).replace("tuple", inner)


@pytest.mark.parametrize("bad", ["", "0x12", "0x" + "zz" * 20, "8996", "0x" + "1" * 41])
async def test_what_is_no_address_is_not_sent(alice: OnChain, bad: str) -> None:
    for call in (
        alice.transfer(bad, alice.address, 1),
        alice.transfer(NOBODY, bad, 1),
        alice.create_datatoken(bad, "a", "A"),
        alice.balance_of(NOBODY, bad or "x"),
    ):
        with pytest.raises(ClientUsageError, match="address"):
            await call


@pytest.mark.parametrize("amount", [-1, 1 << 256, 1.5, "1"])
async def test_what_is_no_amount_is_not_sent(alice: OnChain, amount: Any) -> None:
    with pytest.raises(ClientUsageError, match="transfer"):
        await alice.transfer(NOBODY, alice.address, amount)


async def test_where_there_is_no_contract(alice: OnChain, devchain: DevChain) -> None:
    with pytest.raises(AnswerNotUnderstoodError, match="no contract with balanceOf"):
        await alice.balance_of("0x" + "45" * 20)
    sent = devchain.nonce(alice.address)
    with pytest.raises(AnswerNotUnderstoodError):
        await alice.create_datatoken("0x" + "45" * 20, "a", "A")
    assert devchain.nonce(alice.address) <= sent + 1


async def test_a_wallet_without_ether(devchain: DevChain) -> None:
    poor = OnChain(devchain.url, Account.create(), address_file=devchain.address_file)
    with pytest.raises(ChainRefusedError, match="insufficient funds"):
        await poor.publish_nft("a", "A")


def test_settings_that_cannot_be(devchain: DevChain, tmp_path: Path) -> None:
    key = devchain.accounts[3]
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "deep.json").write_text("[" * 200_000)
    (tmp_path / "other.json").write_text('{"mainnet": {"chainId": 1, "ERC721Factory": "0x1"}}')
    for url in ("", "localhost:8545", "file:///etc/passwd", "ws://127.0.0.1:1", "http://[::"):
        with pytest.raises(ClientUsageError, match="no http or https address"):
            OnChain(url, key, address_file={})
    for name, text in {
        "none.json": "cannot be read",
        "list.json": "is not an address file",
        "deep.json": "is not an address file",
        "other.json": "names no ERC721Factory on chain 8996",
    }.items():
        with pytest.raises(ClientUsageError, match=text):
            OnChain(devchain.url, key, address_file=tmp_path / name)
    with pytest.raises(ClientUsageError, match="private key"):
        OnChain(devchain.url, "0x" + "00" * 32, address_file=devchain.address_file)


def test_a_signer_that_signs_no_transactions(devchain: DevChain) -> None:
    class Texts:
        address = NOBODY

        def sign_message(self, signable_message: Any) -> Any:
            raise NotImplementedError

        sign_typed_data = sign_message

    with pytest.raises(ClientUsageError, match="cannot sign transactions"):
        OnChain(devchain.url, Texts(), address_file=devchain.address_file)


async def test_a_node_that_is_not_there(devchain: DevChain) -> None:
    url = f"http://127.0.0.1:{free_port()}/SECRET-of-mine"
    with pytest.raises(ChainUnreachableError) as caught:
        OnChain(url, devchain.accounts[3], address_file=devchain.address_file)
    assert "SECRET" not in str(caught.value)
    known = OnChain(url, devchain.accounts[3], address_file=devchain.address_file, chain_id=8996)
    with pytest.raises(ChainUnreachableError):
        await known.publish_nft("a", "A")


async def test_nothing_secret_is_told(
    alice: OnChain, devchain: DevChain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await alice.approve(devchain.addresses["Ocean"], alice.address, 1)
    key = bytes(devchain.accounts[3].key).hex()
    assert key not in caplog.text
    assert key not in repr(vars(alice))

"""What the start asks of nodes, what is told of them, and web3 over the same transport."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from bad_answers import FAULTS, RUBBISH
from stand_in_node import SECRET, ManualClock, StandInNode, fails_with, says
from support.service import free_port
from web3 import AsyncWeb3
from web3.exceptions import ContractLogicError
from web3.middleware import ExtraDataToPOAMiddleware

from provider.chain.client import Web3Chain
from provider.chain.fake import FakeChain
from provider.chain.networks import ChainSettings
from provider.chain.rpc import FailoverProvider
from provider.errors import ChainUnavailable, SettingsInvalid

Connect = Callable[..., Web3Chain]

TOKEN = "0x" + "d1" * 20


async def test_web3_may_talk_over_the_same_nodes(
    node: StandInNode, spare: StandInNode, fake: FakeChain
) -> None:
    node.misbehave = FAULTS["is broken"]
    fake.answers(TOKEN, "decimals()", ["uint8"], lambda: None)
    settings = ChainSettings(8996, "dev", "0x", "0x", (node.url, spare.url))
    provider = FailoverProvider(settings)
    web3 = AsyncWeb3(provider, middleware=[ExtraDataToPOAMiddleware])
    try:
        assert await web3.is_connected()
        assert await web3.eth.chain_id == 8996
        block = await web3.eth.get_block(0)
        assert len(block["proofOfAuthorityData"]) == 97  # type: ignore[typeddict-item]
        with pytest.raises(ContractLogicError):
            await web3.eth.call({"to": AsyncWeb3.to_checksum_address(TOKEN), "data": "0x313ce567"})
    finally:
        await provider.disconnect()


async def test_a_web3_without_nodes_is_not_connected() -> None:
    url, clock = f"http://127.0.0.1:{free_port()}/", ManualClock()
    settings = ChainSettings(8996, "dev", "0x", "0x", (url,))
    provider = FailoverProvider(settings, clock=clock, sleep=clock.sleep)
    assert not await provider.is_connected()
    await provider.disconnect()


async def test_the_start_names_nodes_that_cannot_be_asked(
    connect: Connect, node: StandInNode, spare: StandInNode
) -> None:
    spare.misbehave = says("", status=502)
    gone = f"http://127.0.0.1:{free_port()}/{SECRET}"
    found = await connect(node, spare, gone).check()
    assert found == [
        "NETWORK_URL: node 2 for chain 8996 answers with HTTP 502.",
        "NETWORK_URL: node 3 for chain 8996 cannot be reached.",
    ]


@pytest.mark.parametrize(
    "bad", [each for each in (*RUBBISH, *FAULTS) if each != "a number no block has"]
)
async def test_the_start_survives_any_node(connect: Connect, node: StandInNode, bad: str) -> None:
    node.misbehave = (RUBBISH | FAULTS)[bad]
    (sentence,) = await connect(node).check()
    assert sentence.startswith("NETWORK_URL: node 1 for chain 8996 ")


async def test_the_start_is_refused_with_a_node_of_another_chain(
    connect: Connect, node: StandInNode, spare: StandInNode
) -> None:
    spare.chain_id = 137
    with pytest.raises(SettingsInvalid) as caught:
        await connect(node, spare).check()
    assert "node 2 for chain 8996 is of chain 137" in caught.value.public
    assert SECRET not in caught.value.public


async def test_a_chain_is_built_without_a_node() -> None:
    settings = ChainSettings(1, "x", "0x", "0x", ("http://192.0.2.1/",))
    await Web3Chain(settings).aclose()


async def test_after_its_end_a_chain_has_no_connection(connect: Connect, node: StandInNode) -> None:
    async with connect(node) as chain:
        await chain.head()
    await chain.aclose()
    await node.stop()


async def test_no_address_of_a_node_is_told(
    connect: Connect, node: StandInNode, spare: StandInNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    node.misbehave = fails_with(-32000, f"key {SECRET} is not valid")
    spare.misbehave = says(SECRET)
    gone = f"http://127.0.0.1:{free_port()}/{SECRET}"
    chain = connect(node, spare, gone)
    with pytest.raises(ChainUnavailable) as caught:
        await chain.head()
    with pytest.raises(ChainUnavailable):
        await chain.receipt("0x" + "ab" * 32)
    told = [caught.value.public, caught.value.cause, *await chain.check()]
    told += [repr(each) for each in (chain, chain._provider, *chain._provider.nodes)]
    told += [record.getMessage() for record in caplog.records if "aiohttp" not in record.name]
    assert len(told) > 8
    assert not [each for each in told if SECRET in each or str(node.url) in each]
    assert any("chain node failed chain=8996 node=3" in each for each in told)

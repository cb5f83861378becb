"""Nodes that are well although a contract fails, and nodes that answer but are far behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from bad_answers import FAULTS, RUBBISH, too_much
from stand_in_node import (
    ManualClock,
    StandInNode,
    fails_with,
    only,
)

from provider.chain import fake_events, nodes, rpc
from provider.chain.client import Web3Chain
from provider.chain.fake import SENDER, FakeChain
from provider.errors import CallRefused, ChainUnavailable

Connect = Callable[..., Web3Chain]

TOKEN = "0x" + "d1" * 20
ORDER = fake_events.order_started(TOKEN, consumer=SENDER, payer=SENDER, timestamp=1)

VIEW = bytes.fromhex("313ce567")
CONTRACTS = {
    "reverts with a reason of its own": fails_with(3, "execution reverted: rate limit exceeded"),
    "reverts without that word": fails_with(3, "Too Many Requests"),
    "runs into a limit": fails_with(-32000, "stack limit reached 1024 (1023)"),
    "reads beyond what was returned": fails_with(-32000, "return data out of bounds"),
    "needs no end of gas": fails_with(-32000, "gas uint64 overflow"),
    "writes": fails_with(-32000, "write protection"),
    "takes too long for the node": fails_with(-32000, "execution aborted (timeout = 5s)"),
    "answers too much": too_much(1 << 20),
    "answers more than anything may": too_much(nodes.MAX_ANSWER),
}


@pytest.mark.parametrize("bad", CONTRACTS)
async def test_a_contract_cannot_make_a_node_rest(
    connect: Connect, node: StandInNode, spare: StandInNode, bad: str
) -> None:
    node.misbehave = only("eth_call", CONTRACTS[bad])
    chain = connect(node, spare)
    for _ in range(3):
        with pytest.raises(CallRefused):
            await chain.call(TOKEN, VIEW)
    assert await chain.head() == 0
    assert node.asked == {"eth_chainId": 1, "eth_call": 3, "eth_blockNumber": 1}
    assert not spare.asked


@pytest.mark.parametrize("bad", ["limits the rate in JSON", "has an internal error", "is broken"])
async def test_a_call_that_fails_is_no_fault_of_a_node_that_is_well(
    connect: Connect, node: StandInNode, spare: StandInNode, fake: FakeChain, bad: str
) -> None:
    fake.token(TOKEN)
    node.misbehave = only("eth_call", FAULTS[bad])
    assert await connect(node, spare).call(TOKEN, VIEW)
    chain = connect(node)
    with pytest.raises(ChainUnavailable, match="try again"):
        await chain.call(TOKEN, VIEW)
    asked = node.asked["eth_call"]
    assert await chain.head() == 0
    assert asked == 2, "once for each of the two"


async def test_a_call_that_hangs_is_no_fault_of_a_node_that_is_well(
    connect: Connect, node: StandInNode, clock: ManualClock
) -> None:
    async def hang(_: dict[str, Any]) -> web.StreamResponse | None:
        await node.released.wait()
        return None

    node.misbehave = only("eth_call", hang)
    chain = connect(node, rpc_timeout_s=2.0)
    with pytest.raises(ChainUnavailable) as caught:
        await chain.call(TOKEN, VIEW)
    assert caught.value.cause == "node 1 takes too long"
    waited = clock.now
    assert await chain.head() == 0
    assert clock.now == waited


@pytest.mark.parametrize("bad", ["limits the rate in JSON", "is broken", "limits the rate"])
async def test_a_node_that_fails_at_more_than_a_call_rests(
    connect: Connect, node: StandInNode, spare: StandInNode, fake: FakeChain, bad: str
) -> None:
    fake.token(TOKEN)
    chain = connect(node, spare)
    await chain.head()
    node.misbehave = FAULTS[bad]
    assert await chain.call(TOKEN, VIEW)
    asked = node.asked.total()
    assert await chain.call(TOKEN, VIEW)
    assert node.asked.total() == asked


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing heads may take as long as a busy machine needs for it."""
    monkeypatch.setattr(rpc, "COMPARED_WITHIN_S", 30.0)
    monkeypatch.setattr(rpc, "PROBE_S", 60.0)


async def compared(chain: Web3Chain, clock: ManualClock) -> None:
    """Have the heads of all nodes compared."""
    clock.now += rpc.COMPARE_EVERY_S
    await chain.head()


async def being_compared(chain: Web3Chain, clock: ManualClock, *nodes: StandInNode) -> None:
    """Have these nodes asked for their heads."""
    clock.now += rpc.COMPARE_EVERY_S
    before = [each.asked["eth_blockNumber"] for each in nodes]
    await chain.block(0)
    async with asyncio.timeout(30):
        while any(
            each.asked["eth_blockNumber"] <= had for each, had in zip(nodes, before, strict=True)
        ):
            await asyncio.sleep(0.001)


async def test_a_node_that_is_far_behind_is_not_believed(
    connect: Connect,
    node: StandInNode,
    spare: StandInNode,
    fake: FakeChain,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="provider.chain.rpc")
    fake.mine(100)
    chain = connect(node, spare)
    assert await chain.head() == 100
    frozen = node.lags = 500
    fake.mine(frozen)
    await compared(chain, clock)
    assert await chain.head() == 600
    assert "chain node lags chain=8996 node=1 blocks=500" in caplog.text
    node.lags = rpc.MOST_BEHIND
    await compared(chain, clock)
    assert await chain.head() == 600 - rpc.MOST_BEHIND, "as much may be"
    assert [record.msg.count("lags") for record in caplog.records] == [1, 1]
    node.lags = rpc.MOST_BEHIND + 1
    await compared(chain, clock)
    assert await chain.head() == 600


async def test_the_first_question_for_the_head_is_compared_already(
    connect: Connect, node: StandInNode, spare: StandInNode, fake: FakeChain, clock: ManualClock
) -> None:
    chain = connect(node, spare)
    await chain.head()
    node.lags = 500
    fake.mine(500)
    assert await chain.head() == 0
    clock.now += rpc.COMPARE_EVERY_S
    assert await chain.head() == 500


async def test_a_comparison_that_hangs_holds_up_nobody_for_long(
    connect: Connect,
    node: StandInNode,
    spare: StandInNode,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(_: dict[str, Any]) -> web.StreamResponse | None:
        await spare.released.wait()
        return None

    monkeypatch.setattr(rpc, "COMPARED_WITHIN_S", 0.2)
    spare.misbehave = only("eth_blockNumber", hang)
    chain = connect(node, spare, rpc_timeout_s=60.0)
    clock.now += rpc.COMPARE_EVERY_S
    async with asyncio.timeout(30):
        assert await chain.head() == 0


async def test_a_node_that_is_far_behind_is_better_than_none(
    connect: Connect, node: StandInNode, spare: StandInNode, fake: FakeChain, clock: ManualClock
) -> None:
    fake.mine(100)
    node.lags = 50
    chain = connect(node, spare)
    await compared(chain, clock)
    assert await chain.head() == 100
    await spare.stop()
    assert await chain.head() == 50


async def test_heads_are_compared_no_more_often_than_needed(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock
) -> None:
    chain = connect(node, spare)
    await compared(chain, clock)
    for _ in range(20):
        clock.now += rpc.COMPARE_EVERY_S / 21
        await chain.block(0)
    await asyncio.sleep(0.05)
    assert spare.asked["eth_blockNumber"] == 1


async def test_one_node_is_compared_with_nobody(
    connect: Connect, node: StandInNode, clock: ManualClock
) -> None:
    chain = connect(node)
    for _ in range(3):
        clock.now += rpc.COMPARE_EVERY_S
        await chain.block(0)
    await asyncio.sleep(0.05)
    assert "eth_blockNumber" not in node.asked


@pytest.mark.parametrize("bad", ["is broken", "does not know the method", "a decimal number"])
async def test_a_node_without_a_head_is_found_out_by_comparing(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock, bad: str
) -> None:
    chain = connect(node, spare)
    await chain.block(0)
    spare.misbehave = only("eth_blockNumber", (RUBBISH | FAULTS)[bad])
    await compared(chain, clock)
    assert await chain.head() == 0


async def test_a_client_can_be_closed_while_heads_are_compared(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock
) -> None:
    async def hang(_: dict[str, Any]) -> web.StreamResponse | None:
        await spare.released.wait()
        return None

    spare.misbehave = only("eth_blockNumber", hang)
    chain = connect(node, spare, rpc_timeout_s=60.0)
    await being_compared(chain, clock, node, spare)
    async with asyncio.timeout(30):
        await chain.aclose()

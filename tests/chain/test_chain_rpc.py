"""Nodes that behave badly: another one answers, or the chain is unavailable; never a guess."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from bad_answers import FAULTS, RUBBISH
from stand_in_node import (
    ManualClock,
    StandInNode,
    only,
    results_in,
    says,
)
from support.service import free_port

from provider.chain import fake_events, nodes, receipts
from provider.chain.client import Web3Chain
from provider.chain.events import ORDER_STARTED
from provider.chain.fake import SENDER, FakeChain
from provider.errors import ChainUnavailable, TransactionUnknown

Connect = Callable[..., Web3Chain]

TOKEN = "0x" + "d1" * 20
ORDER = fake_events.order_started(TOKEN, consumer=SENDER, payer=SENDER, timestamp=1)


@pytest.mark.parametrize("bad", [*RUBBISH, *FAULTS])
async def test_another_node_answers_for_a_bad_one(
    connect: Connect, node: StandInNode, spare: StandInNode, fake: FakeChain, bad: str
) -> None:
    fake.mine(7)
    node.misbehave = only("eth_blockNumber", (RUBBISH | FAULTS)[bad])
    chain = connect(node, spare)
    assert await chain.head() == 7
    assert node.asked["eth_blockNumber"] == 1
    assert await chain.head() == 7
    assert node.asked["eth_blockNumber"] == 1, "it is left alone for a while"


@pytest.mark.parametrize("bad", [*RUBBISH, *FAULTS])
async def test_without_another_node_the_chain_is_unavailable(
    connect: Connect, node: StandInNode, bad: str
) -> None:
    node.misbehave = only("eth_blockNumber", (RUBBISH | FAULTS)[bad])
    with pytest.raises(ChainUnavailable) as caught:
        await connect(node).head()
    assert caught.value.status == 503
    assert "node 1" in caught.value.cause
    assert caught.value.public == "Chain 8996 cannot be asked at the moment; try again."


async def test_rubbish_does_not_hold_up_the_others(connect: Connect, node: StandInNode) -> None:
    node.misbehave = only("eth_blockNumber", RUBBISH["too many parts"])
    chain, longest = connect(node), 0.0
    asking = asyncio.ensure_future(chain.head())
    while not asking.done():
        before = time.process_time()
        await asyncio.sleep(0.001)
        longest = max(longest, time.process_time() - before)
    with pytest.raises(ChainUnavailable):
        await asking
    assert longest < 0.5


async def test_a_node_that_hangs_is_given_up(
    connect: Connect, node: StandInNode, spare: StandInNode
) -> None:
    async def hang(_: dict[str, Any]) -> web.StreamResponse | None:
        await node.released.wait()
        return None

    node.misbehave = hang
    chain = connect(node, spare, rpc_timeout_s=2.0)
    began = time.perf_counter()
    assert await chain.head() == 0
    assert 1.0 < time.perf_counter() - began < 30
    await asyncio.gather(*(chain.head() for _ in range(20)))
    assert node.asked.total() == 1, "nobody else waits for it"


async def test_many_who_wait_for_a_hanging_node_wait_once(
    connect: Connect, node: StandInNode
) -> None:
    async def hang(_: dict[str, Any]) -> web.StreamResponse | None:
        await node.released.wait()
        return None

    node.misbehave = hang
    chain = connect(node, rpc_timeout_s=0.5)
    began = time.perf_counter()
    found = await asyncio.gather(*(chain.head() for _ in range(50)), return_exceptions=True)
    assert all(isinstance(each, ChainUnavailable) for each in found)
    assert time.perf_counter() - began < 15, "fifty times would be 25 s"


async def test_one_question_finds_out_for_all_whether_a_lost_node_is_back(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock
) -> None:
    async def hang(asked: dict[str, Any]) -> web.StreamResponse | None:
        await told.wait()
        return await FAULTS["is broken"](asked)

    told = asyncio.Event()
    node.misbehave = FAULTS["is broken"]
    chain = connect(node, spare)
    await chain.head()
    node.misbehave = hang
    clock.now += 60
    trying = asyncio.ensure_future(chain.head())
    while node.asked.total() < 2:
        await asyncio.sleep(0.001)
    await asyncio.gather(*(chain.head() for _ in range(20)))
    assert not trying.done()
    told.set()
    assert await trying == 0
    assert node.asked.total() == 2


async def test_a_node_that_hangs_but_for_its_chain_id_is_tried_by_one_at_a_time(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock
) -> None:
    async def hang(asked: dict[str, Any]) -> web.StreamResponse | None:
        await told.wait()
        return await FAULTS["is broken"](asked)

    told = asyncio.Event()
    node.misbehave = only("eth_blockNumber", FAULTS["is broken"])
    chain = connect(node, spare)
    await chain.head()
    node.misbehave = only("eth_blockNumber", hang)
    clock.now += 60
    trying = asyncio.ensure_future(chain.head())
    while node.asked["eth_blockNumber"] < 2:
        await asyncio.sleep(0.001)
    await asyncio.gather(*(chain.head() for _ in range(20)))
    assert not trying.done()
    told.set()
    assert await trying == 0
    assert node.asked["eth_blockNumber"] == 2


async def test_a_node_that_recovered_serves_all_again(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock
) -> None:
    node.misbehave = FAULTS["is broken"]
    chain = connect(node, spare)
    await chain.head()
    node.misbehave = None
    clock.now += 60
    await chain.head()
    await asyncio.gather(*(chain.head() for _ in range(20)))
    assert node.asked["eth_blockNumber"] >= 21
    assert spare.asked["eth_blockNumber"] <= 2, "the second time to compare the heads"


async def test_at_first_all_wait_for_the_first_node(
    connect: Connect, node: StandInNode, spare: StandInNode
) -> None:
    chain = connect(node, spare)
    await asyncio.gather(*(chain.head() for _ in range(20)))
    assert not spare.asked


async def test_a_body_that_trickles_is_given_up(
    connect: Connect, node: StandInNode, spare: StandInNode
) -> None:
    class Trickle(web.StreamResponse):
        async def write_eof(self, data: bytes = b"") -> None:
            while not node.released.is_set():
                await self.write(b" ")
                await asyncio.sleep(0.05)

    async def trickle(_: dict[str, Any]) -> web.StreamResponse:
        return Trickle()

    node.misbehave = only("eth_blockNumber", trickle)
    async with asyncio.timeout(30):
        assert await connect(node, spare, rpc_timeout_s=2.0).head() == 0


async def test_a_port_where_nobody_listens(connect: Connect, spare: StandInNode) -> None:
    assert await connect(f"http://127.0.0.1:{free_port()}/", spare).head() == 0


async def test_a_broken_connection_is_tried_again(connect: Connect, node: StandInNode) -> None:
    broken = 0

    async def breaks(_: dict[str, Any]) -> web.StreamResponse | None:
        nonlocal broken
        broken += 1
        if broken > 1:
            return None
        return CutOff()

    node.misbehave = only("eth_blockNumber", breaks)
    assert await connect(node).head() == 0
    assert broken == 2


class CutOff(web.StreamResponse):
    """Promises more than it sends, then hangs up."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        self.content_length = 1000
        writer = await super().prepare(request)
        assert request.transport
        request.transport.close()
        return writer


async def test_a_short_body_is_no_answer(
    connect: Connect, node: StandInNode, spare: StandInNode
) -> None:
    async def cut(_: dict[str, Any]) -> web.StreamResponse:
        return CutOff()

    node.misbehave = only("eth_blockNumber", cut)
    assert await connect(node, spare).head() == 0


async def test_a_node_of_another_chain_is_not_believed(
    connect: Connect, node: StandInNode, spare: StandInNode, fake: FakeChain
) -> None:
    node.chain_id = 1
    tx = fake.transact(ORDER)
    chain = connect(node, spare)
    assert (await chain.receipt(tx)).tx == tx
    assert set(node.asked) == {"eth_chainId"}
    assert spare.asked["eth_getTransactionReceipt"] == 1


async def test_with_nodes_of_another_chain_only_nothing_is_known(
    connect: Connect, node: StandInNode, clock: ManualClock
) -> None:
    node.chain_id = 1
    chain = connect(node)
    with pytest.raises(ChainUnavailable) as caught:
        await chain.head()
    assert caught.value.cause == "node 1 answers for chain 1"
    clock.now += nodes.WRONG_CHAIN_REST_S - 3
    with pytest.raises(ChainUnavailable):
        await chain.head()
    assert node.asked.total() == 1
    node.chain_id = 8996
    clock.now += 3
    assert await chain.head() == 0


async def test_a_node_that_changes_its_chain_is_found_out_after_a_fault(
    connect: Connect, node: StandInNode, clock: ManualClock
) -> None:
    chain = connect(node)
    await chain.head()
    node.misbehave = FAULTS["is broken"]
    with pytest.raises(ChainUnavailable):
        await chain.head()
    node.misbehave, node.chain_id = None, 1
    clock.now += 60
    with pytest.raises(ChainUnavailable, match="8996"):
        await chain.head()


async def test_a_node_that_changes_its_chain_is_found_out_in_time(
    connect: Connect, node: StandInNode, clock: ManualClock
) -> None:
    chain = connect(node)
    await chain.head()
    node.chain_id = 1
    clock.now += nodes.VERIFIED_FOR_S
    with pytest.raises(ChainUnavailable):
        await chain.head()


async def test_the_chain_id_is_asked_once_for_many(connect: Connect, node: StandInNode) -> None:
    chain = connect(node)
    await asyncio.gather(*(chain.head() for _ in range(20)))
    assert node.asked == {"eth_chainId": 1, "eth_blockNumber": 20}


async def test_the_first_node_is_preferred_again_once_it_is_well(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock
) -> None:
    node.misbehave = FAULTS["is broken"]
    chain = connect(node, spare)
    await chain.head()
    node.misbehave = None
    clock.now += nodes.FIRST_REST_S
    asked = spare.asked.total()
    await chain.head()
    assert spare.asked.total() == asked


async def test_a_node_rests_longer_each_time_up_to_a_bound(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock
) -> None:
    node.misbehave = FAULTS["is broken"]
    chain, rests = connect(node, spare), []
    for _ in range(9):
        await chain.head()
        began, asked = clock.now, node.asked.total()
        while node.asked.total() == asked:
            clock.now += 0.25
            await chain.head()
        rests.append(clock.now - began)
    assert rests == [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15]


async def test_faults_at_one_time_count_as_one(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock
) -> None:
    all_there = asyncio.Event()

    async def fail_together(asked: dict[str, Any]) -> web.StreamResponse | None:
        if node.asked["eth_blockNumber"] == 20:
            clock.now += 1
            all_there.set()
        await all_there.wait()
        return await says("", status=500)(asked)

    node.misbehave = only("eth_blockNumber", fail_together)
    chain = connect(node, spare)
    await asyncio.gather(*(chain.head() for _ in range(20)))
    node.misbehave = None
    clock.now += nodes.FIRST_REST_S
    await chain.head()
    assert node.asked["eth_blockNumber"] == 21


async def test_nobody_is_sent_on_to_another_address(
    connect: Connect, node: StandInNode, spare: StandInNode
) -> None:
    node.misbehave = says("", status=307, Location=spare.url)
    with pytest.raises(ChainUnavailable) as caught:
        await connect(node).head()
    assert caught.value.cause == "node 1 answers with HTTP 307"
    assert not spare.asked


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        ("too large", "answers too much"),
        ("too deep", "answers rubbish"),
        ("limits the rate", "limits our rate"),
        ("wants another key", "answers with HTTP 401"),
        ("lost its state", "refuses with code -32000"),
    ],
)
async def test_the_operator_is_told_what_is_wrong(
    connect: Connect, node: StandInNode, bad: str, cause: str
) -> None:
    node.misbehave = only("eth_blockNumber", (RUBBISH | FAULTS)[bad])
    with pytest.raises(ChainUnavailable) as caught:
        await connect(node).head()
    assert caught.value.cause == f"node 1 {cause}"


async def test_a_rate_limit_is_kept(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock
) -> None:
    node.misbehave = says("", status=429, **{"Retry-After": "7"})
    chain = connect(node, spare)
    await chain.head()
    clock.now += 6.9
    await chain.head()
    assert node.asked.total() == 1
    clock.now += 0.1
    await chain.head()
    assert node.asked.total() == 2


@pytest.mark.parametrize(("header", "rest_s"), [("999999999", 1), ("soon", 1), ("99999", 60)])
async def test_a_node_cannot_send_us_away_for_ever(
    connect: Connect,
    node: StandInNode,
    spare: StandInNode,
    clock: ManualClock,
    header: str,
    rest_s: float,
) -> None:
    node.misbehave = says("", status=429, **{"Retry-After": header})
    chain = connect(node, spare)
    await chain.head()
    clock.now += rest_s
    await chain.head()
    assert node.asked.total() == 2


async def test_a_short_rate_limit_of_the_only_node_is_waited_for(
    connect: Connect, node: StandInNode
) -> None:
    answers = iter([says("", status=429)])

    async def once(asked: dict[str, Any]) -> web.StreamResponse | None:
        answer = next(answers, None)
        return await answer(asked) if answer else None

    node.misbehave = once
    assert await connect(node).head() == 0


async def test_when_all_are_gone_the_answer_comes_at_once(
    connect: Connect, clock: ManualClock
) -> None:
    chain = connect(f"http://127.0.0.1:{free_port()}/", f"http://127.0.0.1:{free_port()}/")
    for _ in range(8):
        with pytest.raises(ChainUnavailable):
            await chain.head()
    waited = clock.now
    with pytest.raises(ChainUnavailable) as caught:
        await chain.head()
    assert clock.now == waited
    assert caught.value.cause == "all nodes rest after failures"


async def test_a_reorganising_node_that_gives_another_block_is_not_believed(
    connect: Connect, node: StandInNode, spare: StandInNode, fake: FakeChain
) -> None:
    fake.mine(3)
    other = await fake.block(2)
    assert other

    async def another(asked: dict[str, Any]) -> web.StreamResponse:
        block = {"number": "0x2", "hash": other.hash, "parentHash": other.parent}
        answer = results_in({**block, "timestamp": "0x1"})
        found = await answer(asked)
        assert found
        return found

    node.misbehave = only("eth_getBlockByNumber", another)
    assert await connect(node, spare).block(3) == await fake.block(3)


async def test_blocks_of_a_proof_of_authority_chain_are_read(
    connect: Connect, node: StandInNode, fake: FakeChain
) -> None:
    assert await connect(node).block(0) == await fake.block(0)


async def test_what_one_node_does_not_have_another_may(
    connect: Connect, node: StandInNode, spare: StandInNode, fake: FakeChain
) -> None:
    tx = fake.transact(ORDER)
    fake.mine(100)
    node.pruned_below = 50
    chain = connect(node, spare)
    assert (await chain.receipt(tx)).block == 1
    assert node.asked["eth_getTransactionReceipt"] == 1


async def test_what_no_node_has_a_receipt_of_is_not_unknown(
    connect: Connect, node: StandInNode, fake: FakeChain
) -> None:
    tx = fake.transact(ORDER)
    fake.mine(100)
    node.pruned_below = 50
    with pytest.raises(ChainUnavailable) as caught:
        await connect(node).receipt(tx)
    assert caught.value.cause == "a transaction is mined but has no receipt"


async def test_a_transaction_is_unknown_only_when_every_node_was_asked(
    connect: Connect, node: StandInNode, spare: StandInNode, clock: ManualClock
) -> None:
    chain, tx = connect(node, spare), "0x" + "ab" * 32
    with pytest.raises(TransactionUnknown):
        await chain.receipt(tx)
    clock.now += receipts.UNKNOWN_S
    spare.misbehave = FAULTS["is broken"]
    with pytest.raises(ChainUnavailable):
        await chain.receipt(tx)


async def test_a_node_that_is_behind_is_not_asked_for_events(
    connect: Connect, node: StandInNode, spare: StandInNode, fake: FakeChain
) -> None:
    fake.transact(ORDER)
    fake.transact(ORDER)
    node.lags = 1
    chain = connect(node, spare)
    assert len(await chain.logs(0, 2, [ORDER_STARTED])) == 2
    assert node.ranges == []
    assert len(await chain.logs(0, 1, [ORDER_STARTED])) == 1
    assert node.ranges == [(0, 1)], "it is well otherwise"
    block = await chain.block(2)
    assert block
    assert block.number == 2

"""Receipts are asked for once, and hold only as long as their block does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from stand_in_node import ManualClock, StandInNode, only, receipt_json, results_in, says

from provider.chain import fake_events, receipts
from provider.chain.client import Web3Chain
from provider.chain.fake import SENDER, FakeChain
from provider.errors import ChainUnavailable, OrderRefused, TransactionPending, TransactionUnknown

Connect = Callable[..., Web3Chain]

TOKEN = "0x" + "d1" * 20
ORDER = fake_events.order_started(TOKEN, consumer=SENDER, payer=SENDER, timestamp=1)
GET = "eth_getTransactionReceipt"


@pytest.fixture
def tx(fake: FakeChain) -> str:
    """An order in the newest block."""
    return fake.transact(ORDER)


async def test_a_receipt_is_asked_for_once(connect: Connect, node: StandInNode, tx: str) -> None:
    chain = connect(node)
    for _ in range(5):
        await chain.receipt(tx)
    assert node.asked[GET] == 1


async def test_many_who_want_the_same_receipt_ask_once(
    connect: Connect, node: StandInNode, tx: str
) -> None:
    chain = connect(node)
    found = await asyncio.gather(*(chain.receipt(tx) for _ in range(30)))
    assert len(found) == 30
    assert node.asked == {"eth_chainId": 1, GET: 1}


async def test_who_gives_up_does_not_spoil_it_for_others(
    connect: Connect, node: StandInNode, tx: str
) -> None:
    go = asyncio.Event()

    async def slow(_: dict[str, Any]) -> web.StreamResponse | None:
        await go.wait()
        return None

    node.misbehave = only(GET, slow)
    chain = connect(node)
    first, second = (asyncio.ensure_future(chain.receipt(tx)) for _ in range(2))
    while not node.asked[GET]:
        await asyncio.sleep(0.001)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    assert (await second).tx == tx
    assert node.asked[GET] == 1


async def test_a_young_receipt_is_checked_against_its_block_once_a_second(
    connect: Connect, node: StandInNode, clock: ManualClock, tx: str
) -> None:
    chain = connect(node)
    for _ in range(4):
        await chain.receipt(tx)
    assert node.asked["eth_getBlockByNumber"] == 1
    clock.now += 1
    await chain.receipt(tx)
    await chain.receipt(tx)
    assert node.asked["eth_getBlockByNumber"] == 2
    assert node.asked[GET] == 1


async def test_a_deep_receipt_needs_no_node_any_more(
    connect: Connect, node: StandInNode, fake: FakeChain, clock: ManualClock, tx: str
) -> None:
    chain = connect(node)
    await chain.receipt(tx)
    fake.mine(receipts.FINAL_DEPTH - 2)
    clock.now += 1
    await chain.receipt(tx)
    fake.mine()
    clock.now += 1
    await chain.receipt(tx)
    await node.stop()
    clock.now += 100
    assert (await chain.receipt(tx)).tx == tx


async def test_a_young_receipt_cannot_be_told_without_a_node(
    connect: Connect, node: StandInNode, fake: FakeChain, clock: ManualClock, tx: str
) -> None:
    chain = connect(node)
    await chain.receipt(tx)
    fake.mine(receipts.FINAL_DEPTH - 2)
    clock.now += 1
    await chain.receipt(tx)
    await node.stop()
    clock.now += 1
    with pytest.raises(ChainUnavailable):
        await chain.receipt(tx)


async def test_enough_confirmations(
    connect: Connect, node: StandInNode, fake: FakeChain, clock: ManualClock, tx: str
) -> None:
    chain = connect(node, confirmations=3)
    for has in (1, 2):
        with pytest.raises(TransactionPending, match=f"{has} of 3"):
            await chain.receipt(tx)
        fake.mine()
        clock.now += 1
    assert (await chain.receipt(tx)).block == 1


async def test_a_head_that_is_behind_counts_as_the_first_confirmation(
    connect: Connect, node: StandInNode, tx: str
) -> None:
    node.misbehave = only("eth_blockNumber", results_in("0x0"))
    assert (await connect(node).receipt(tx)).block == 1
    with pytest.raises(TransactionPending, match="1 of 2"):
        await connect(node, confirmations=2).receipt(tx)


async def test_a_kept_receipt_that_loses_its_confirmations_is_asked_for_anew(
    connect: Connect, node: StandInNode, fake: FakeChain, clock: ManualClock, tx: str
) -> None:
    fake.mine(2)
    chain = connect(node, confirmations=3)
    await chain.receipt(tx)
    fake.reorganise(3, keep=True)
    fake.mine()
    clock.now += 1
    with pytest.raises(TransactionPending, match="1 of 3"):
        await chain.receipt(tx)


async def test_a_kept_receipt_counts_its_confirmations_each_time(
    connect: Connect, node: StandInNode, fake: FakeChain, clock: ManualClock, tx: str
) -> None:
    fake.mine(2)
    chain = connect(node, confirmations=3)
    await chain.receipt(tx)
    node.lags = 1
    clock.now += 1
    with pytest.raises(TransactionPending, match="2 of 3"):
        await chain.receipt(tx)


async def test_a_reorganisation_is_seen_within_a_second(
    connect: Connect, node: StandInNode, fake: FakeChain, clock: ManualClock, tx: str
) -> None:
    chain = connect(node)
    await chain.receipt(tx)
    await chain.receipt(tx)
    fake.reorganise(1)
    await chain.receipt(tx)
    clock.now += 1
    with pytest.raises(TransactionUnknown):
        await chain.receipt(tx)


async def test_a_chain_that_became_shorter_has_no_such_receipt(
    connect: Connect, node: StandInNode, clock: ManualClock, tx: str
) -> None:
    chain = connect(node)
    await chain.receipt(tx)
    node.lags = 1
    clock.now += 1
    with pytest.raises(TransactionUnknown):
        await chain.receipt(tx)


async def test_a_receipt_of_a_spare_node_on_another_fork_is_dropped(
    connect: Connect,
    node: StandInNode,
    spare: StandInNode,
    fake: FakeChain,
    clock: ManualClock,
) -> None:
    fork = FakeChain()
    fork.reorganise(1)
    spare.chain = fork
    tx = fork.transact(ORDER)
    fake.mine(4)
    assert tx == fake.transact(ORDER)
    node.misbehave = says("", status=500)
    chain = connect(node, spare)
    assert (await chain.receipt(tx)).block == 2
    node.misbehave = None
    clock.now += 20
    assert (await chain.receipt(tx)).block == 5


async def test_a_receipt_that_comes_late_is_waited_for(
    connect: Connect, node: StandInNode, fake: FakeChain, clock: ManualClock
) -> None:
    tx = fake.transact(ORDER, mined=False)

    async def late(_: dict[str, Any]) -> web.StreamResponse | None:
        if node.asked[GET] == 4:
            fake.mine()
        return None

    node.misbehave = only(GET, late)
    began = clock.now
    assert (await connect(node).receipt(tx)).tx == tx
    assert 0 < clock.now - began < 1


async def test_nobody_waits_for_ever(
    connect: Connect, node: StandInNode, clock: ManualClock
) -> None:
    began = clock.now
    with pytest.raises(TransactionUnknown):
        await connect(node).receipt("0x" + "ab" * 32)
    assert clock.now - began == pytest.approx(2)
    assert node.asked[GET] == len(receipts.WAITS_S) + 1


async def test_a_pending_transaction_is_not_an_unknown_one(
    connect: Connect, node: StandInNode, fake: FakeChain
) -> None:
    tx = fake.transact(ORDER, mined=False)
    with pytest.raises(TransactionPending):
        await connect(node).receipt(tx)


async def test_a_receipt_without_a_block_is_of_a_pending_transaction(
    connect: Connect, node: StandInNode, fake: FakeChain
) -> None:
    tx = fake.transact(ORDER, mined=False)
    node.misbehave = only(GET, results_in({"transactionHash": tx, "blockHash": None}))
    with pytest.raises(TransactionPending):
        await connect(node).receipt(tx)


async def test_malformed_hashes_bother_no_node(connect: Connect, node: StandInNode) -> None:
    for tx in ("", "0x", "0x" + "g" * 64, "0x" + "a" * 10_000, "0x" + "1" * 63 + "\u0661"):
        with pytest.raises(TransactionUnknown) as caught:
            await connect(node).receipt(tx)
        assert len(caught.value.public) < 200
    assert not node.asked


async def changed(fake: FakeChain, tx: str, change: Callable[[dict[str, Any]], None]) -> Any:
    answer = receipt_json(await fake.receipt(tx))
    change(answer)
    return results_in(answer)


def _log(answer: dict[str, Any]) -> dict[str, Any]:
    log: dict[str, Any] = answer["logs"][0]
    return log


LIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "another transaction": lambda answer: answer.update(transactionHash="0x" + "ab" * 32),
    "no hash": lambda answer: answer.update(transactionHash=None),
    "no status": lambda answer: answer.pop("status"),
    "status 2": lambda answer: answer.update(status="0x2"),
    "status true": lambda answer: answer.update(status=True),
    "no logs": lambda answer: answer.update(logs=None),
    "logs of an object": lambda answer: answer.update(logs={}),
    "a log of another transaction": lambda answer: _log(answer).update(
        transactionHash="0x" + "ab" * 32
    ),
    "a log of another block": lambda answer: _log(answer).update(blockNumber="0x7"),
    "a log of another fork": lambda answer: _log(answer).update(blockHash="0x" + "ab" * 32),
    "a log without an address": lambda answer: _log(answer).update(address=None),
    "a short address": lambda answer: _log(answer).update(address="0x12"),
    "odd data": lambda answer: _log(answer).update(data="0x1"),
    "a short topic": lambda answer: _log(answer).update(topics=["0x12"]),
    "five topics": lambda answer: _log(answer).update(topics=["0x" + "12" * 32] * 5),
    "no sender": lambda answer: answer.pop("from"),
    "to nowhere": lambda answer: answer.update(to="nowhere"),
    "a negative block": lambda answer: answer.update(blockNumber="-0x1"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_receipt_that_contradicts_itself_is_rubbish(
    connect: Connect, node: StandInNode, spare: StandInNode, fake: FakeChain, tx: str, lie: str
) -> None:
    node.misbehave = only(GET, await changed(fake, tx, LIES[lie]))
    assert await connect(node, spare).receipt(tx) == await fake.receipt(tx)
    with pytest.raises(ChainUnavailable) as caught:
        await connect(node).receipt(tx)
    assert caught.value.cause == "node 1 answers rubbish"


async def test_hashes_and_addresses_leave_in_lower_case(
    connect: Connect, node: StandInNode, fake: FakeChain, tx: str
) -> None:
    def loud(answer: dict[str, Any]) -> None:
        for part in (answer, *answer["logs"]):
            for name, value in part.items():
                if isinstance(value, str):
                    part[name] = "0x" + value[2:].upper()

    node.misbehave = only(GET, await changed(fake, tx, loud))
    assert await connect(node).receipt(tx) == await fake.receipt(tx)


async def test_fields_that_only_some_chains_have_do_not_matter(
    connect: Connect, node: StandInNode, fake: FakeChain, tx: str
) -> None:
    def rollup(answer: dict[str, Any]) -> None:
        answer |= {"l1Fee": None, "effectiveGasPrice": "", "type": "0x7e", "logsBloom": 5}

    node.misbehave = only(GET, await changed(fake, tx, rollup))
    assert await connect(node).receipt(tx) == await fake.receipt(tx)


UNKNOWN = "0x" + "ab" * 32
LOOK_UP = "eth_getTransactionByHash"


async def test_who_does_not_wait_asks_each_question_once(
    connect: Connect, node: StandInNode, clock: ManualClock
) -> None:
    began = clock.now
    with pytest.raises(TransactionUnknown):
        await connect(node).receipt(UNKNOWN, patient=False)
    assert (node.asked[GET], node.asked[LOOK_UP]) == (1, 1)
    assert clock.now == began


async def test_who_does_not_wait_is_told_what_is_pending(
    connect: Connect, node: StandInNode, fake: FakeChain
) -> None:
    chain = connect(node)
    tx = fake.transact(ORDER, mined=False)
    with pytest.raises(TransactionPending):
        await chain.receipt(tx, patient=False)
    fake.mine()
    assert (await chain.receipt(tx, patient=False)).tx == tx


async def test_what_no_node_knew_is_not_asked_for_again_at_once(
    connect: Connect, node: StandInNode, clock: ManualClock
) -> None:
    chain = connect(node)
    for patient in (False, False, True, True, False):
        with pytest.raises(TransactionUnknown):
            await chain.receipt(UNKNOWN, patient=patient)
    assert node.asked[LOOK_UP] == 2
    clock.now += receipts.UNKNOWN_S
    with pytest.raises(TransactionUnknown):
        await chain.receipt(UNKNOWN.upper().replace("X", "x"), patient=False)
    assert node.asked[LOOK_UP] == 3


async def test_a_quote_does_not_spoil_the_start_that_follows(
    connect: Connect, node: StandInNode, fake: FakeChain
) -> None:
    """Nor does what was unknown stay so once it is there."""
    chain = connect(node)
    ahead = FakeChain()
    tx = ahead.transact(ORDER)
    with pytest.raises(TransactionUnknown):
        await chain.receipt(tx, patient=False)
    assert fake.transact(ORDER) == tx
    assert (await chain.receipt(tx)).tx == tx
    assert (await chain.receipt(tx, patient=False)).tx == tx


async def test_few_transactions_are_looked_up_at_the_same_time(
    connect: Connect, node: StandInNode
) -> None:
    """Whoever asks, and however many they are; all get their answer in the end."""
    running, most = 0, 0

    async def counted(_: dict[str, Any]) -> web.StreamResponse | None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return None

    node.misbehave = counted
    chain = connect(node)
    questions = [chain.receipt(f"0x{number:064x}", patient=False) for number in range(60)]
    found = await asyncio.gather(*questions, return_exceptions=True)
    assert {type(each) for each in found} == {TransactionUnknown}
    assert 1 < most <= receipts.LOOKUPS


async def test_who_waits_for_a_receipt_keeps_nobody_from_looking_one_up(
    connect: Connect, node: StandInNode, tx: str
) -> None:
    later, waiting = asyncio.Event(), 0

    async def sleep(_: float) -> None:
        nonlocal waiting
        waiting += 1
        await later.wait()

    found = receipts.Receipts(connect(node), 1, sleep=sleep)
    count = 2 * receipts.LOOKUPS
    late = [asyncio.ensure_future(found.get(f"0x{number:064x}")) for number in range(count)]
    async with asyncio.timeout(30):
        while waiting < count:
            await asyncio.sleep(0.001)
        assert (await found.get(tx, patient=False)).tx == tx
    later.set()
    told = await asyncio.gather(*late, return_exceptions=True)
    assert {type(each) for each in told} == {TransactionUnknown}


@pytest.mark.parametrize("patient", [True, False])
async def test_a_receipt_that_is_too_large_to_be_read_is_refused(
    connect: Connect, node: StandInNode, tx: str, patient: bool
) -> None:
    """Strangers decide how many events a transaction has: the node is not at fault."""
    node.misbehave = only(GET, results_in({"logs": "0" * (9 << 20)}))
    chain = connect(node)
    with pytest.raises(OrderRefused, match="too many events"):
        await chain.receipt(tx, patient=patient)
    node.misbehave = None
    assert (await chain.receipt(tx, patient=patient)).tx == tx
    assert node.asked[GET] == 2

"""Events in ranges: as large as nodes put up with, and none missed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from stand_in_node import (
    ManualClock,
    Misbehaviour,
    StandInNode,
    fails_with,
    log_json,
    only,
    receipt_json,
    results_in,
    says,
)

from provider.chain import fake_events, searches, spans
from provider.chain.answers import Fault, fault_of
from provider.chain.base import Chain
from provider.chain.client import Web3Chain
from provider.chain.events import METADATA_CREATED, METADATA_STATE
from provider.chain.fake import FakeChain
from provider.chain.models import Log
from provider.chain.spans import Span
from provider.errors import ChainUnavailable, RangeTooLarge

Connect = Callable[..., Web3Chain]

NFT = "0x" + "a1" * 20
EVENT = fake_events.metadata(NFT, data=b"document", metadata_hash="0x" + "cd" * 32)
GET = "eth_getLogs"


@pytest.fixture
def events(fake: FakeChain) -> FakeChain:
    """40 blocks with an event in each."""
    for _ in range(40):
        fake.transact(EVENT)
    return fake


def blocks(found: list[Log]) -> list[int]:
    return [log.block for log in found]


def test_a_span_halves_until_it_fits() -> None:
    span, sizes = Span(), []
    while span.size > 150:
        sizes.append(span.size)
        span.refused(span.size)
    assert sizes == [2000, 1000, 500, 250]
    for _ in range(spans.TRY_MORE_AFTER - 1):
        span.fitted(span.size)
        assert span.size == 125


def test_a_span_tries_more_now_and_then() -> None:
    span = Span()
    span.refused(2000)
    for _ in range(spans.TRY_MORE_AFTER):
        span.fitted(span.size)
    assert span.size == 2000


def test_a_span_grows_up_to_a_bound() -> None:
    span = Span()
    for _ in range(10):
        span.fitted(span.size)
    assert span.size == spans.LARGEST_SPAN


def test_a_short_range_says_nothing_of_longer_ones() -> None:
    span = Span()
    span.fitted(3)
    assert span.size == spans.FIRST_SPAN


def test_a_span_never_vanishes() -> None:
    span = Span()
    for _ in range(20):
        span.refused(span.size)
    assert span.size == 1


@pytest.mark.parametrize("limit", [1, 3, 10, 39])
async def test_a_range_that_is_too_long_is_split(
    connect: Connect, node: StandInNode, events: FakeChain, limit: int
) -> None:
    node.max_range = limit
    found = await connect(node).logs(1, 40, [METADATA_CREATED])
    assert blocks(found) == list(range(1, 41))


async def test_what_was_learnt_is_kept(
    connect: Connect, node: StandInNode, events: FakeChain
) -> None:
    node.max_range = 10
    chain = connect(node)
    await chain.logs(1, 40, [METADATA_CREATED])
    node.ranges.clear()
    await chain.logs(1, 10, [METADATA_CREATED])
    assert all(last - first < 10 for first, last in node.ranges)


async def test_a_range_with_too_many_events_is_split(
    connect: Connect, node: StandInNode, events: FakeChain
) -> None:
    node.max_logs = 7
    found = await connect(node).logs(1, 40, [METADATA_CREATED])
    assert blocks(found) == list(range(1, 41))


async def test_an_answer_that_is_too_large_is_split(
    connect: Connect, node: StandInNode, events: FakeChain
) -> None:
    async def large(asked: dict[str, Any]) -> web.StreamResponse | None:
        first, last = node.ranges[-1] if node.ranges else (1, 40)
        criteria = asked["params"][0]
        wanted = int(criteria["toBlock"], 16) - int(criteria["fromBlock"], 16) + 1
        assert first <= last
        return web.Response(status=413) if wanted > 20 else None

    node.misbehave = only(GET, large)
    found = await connect(node).logs(1, 40, [METADATA_CREATED])
    assert blocks(found) == list(range(1, 41))


async def test_a_node_that_refuses_single_blocks_is_at_fault(
    connect: Connect, node: StandInNode, spare: StandInNode, events: FakeChain
) -> None:
    node.max_range = 0
    found = await connect(node, spare).logs(1, 40, [METADATA_CREATED])
    assert blocks(found) == list(range(1, 41))
    with pytest.raises(ChainUnavailable):
        await connect(node).logs(1, 40, [METADATA_CREATED])


async def test_a_client_error_may_hold_the_reason(
    connect: Connect, node: StandInNode, events: FakeChain
) -> None:
    async def picky(asked: dict[str, Any]) -> web.StreamResponse | None:
        criteria = asked["params"][0]
        if int(criteria["toBlock"], 16) - int(criteria["fromBlock"], 16) < 10:
            return None
        return await fails_with(-32600, "up to a 10 block range", status=400)(asked)

    node.misbehave = only(GET, picky)
    assert len(await connect(node).logs(1, 40, [METADATA_CREATED])) == 40


async def test_a_node_too_slow_for_a_range_is_asked_for_less_next_time(
    connect: Connect, node: StandInNode, events: FakeChain, clock: ManualClock
) -> None:
    async def slow(_: dict[str, Any]) -> web.StreamResponse | None:
        clock.now += 30
        return await says("", status=504)({})

    node.misbehave = only(GET, slow)
    chain = connect(node)
    with pytest.raises(ChainUnavailable):
        await chain.logs(1, 40, [METADATA_CREATED])
    node.misbehave = None
    clock.now += 60
    await chain.logs(1, 40, [METADATA_CREATED])
    assert node.ranges[0] == (1, 20)


async def test_a_node_that_is_gone_says_nothing_of_ranges(
    connect: Connect, node: StandInNode, events: FakeChain, clock: ManualClock
) -> None:
    node.misbehave = says("", status=502)
    chain = connect(node)
    for _ in range(5):
        with pytest.raises(ChainUnavailable):
            await chain.logs(1, 40, [METADATA_CREATED])
    node.misbehave = None
    clock.now += 60
    await chain.logs(1, 40, [METADATA_CREATED])
    assert node.ranges == [(1, 40)]


async def test_many_events_are_read(connect: Connect, node: StandInNode, fake: FakeChain) -> None:
    for _ in range(3):
        fake.transact(*[EVENT] * 700)
    assert len(await connect(node).logs(1, 3, [METADATA_CREATED])) == 2100


def sent(raw: Callable[[dict[str, Any]], list[str]]) -> Misbehaviour:
    """A right envelope around these pieces of JSON: quicker than making all of it anew."""

    async def misbehave(asked: dict[str, Any]) -> web.StreamResponse:
        body = f'{{"jsonrpc":"2.0","id":{asked["id"]},"result":[{",".join(raw(asked))}]}}'
        return web.Response(body=body.encode())

    return misbehave


def flood(log: dict[str, Any], count: int) -> list[str]:
    """An event over and over, each with an index of its own."""
    before, _, after = json.dumps(log | {"logIndex": "INDEX"}).partition("INDEX")
    return [before + hex(index) + after for index in range(count)]


async def in_steps(chain: Chain, first: int, last: int) -> tuple[list[Log], list[int]]:
    """All events of a range, as an index asks for them, and the ends of the steps it took."""
    found: list[Log] = []
    ends: list[int] = []
    end = last
    while first <= last:
        try:
            found += await chain.logs(first, end, [METADATA_CREATED])
        except RangeTooLarge as error:
            end = error.last or 0
            if not first <= end < last:
                raise
        else:
            ends.append(end)
            first, end = end + 1, last
    return found, ends


async def test_a_block_filled_with_events_is_passed(
    connect: Connect, node: StandInNode, events: FakeChain
) -> None:
    true = {log.block: log_json(log) for log in await events.logs(1, 40, [METADATA_CREATED])}
    full = flood(true[20] | {"data": "0x"}, 60_000)

    def answer(asked: dict[str, Any]) -> list[str]:
        first, last = (int(asked["params"][0][end], 16) for end in ("fromBlock", "toBlock"))
        others = [json.dumps(true[number]) for number in range(first, last + 1) if number != 20]
        return others + (full if first <= 20 <= last else [])

    node.misbehave = only(GET, sent(answer))
    found, _ = await in_steps(connect(node), 18, 23)
    assert list(dict.fromkeys(blocks(found))) == [18, 19, 20, 21, 22, 23]
    assert len(found) == 60_005
    assert node.asked["eth_chainId"] == 1, "no fault of the node"


async def test_a_range_with_too_many_parts_is_split(
    connect: Connect, node: StandInNode, events: FakeChain
) -> None:
    async def wide(asked: dict[str, Any]) -> web.StreamResponse | None:
        criteria = asked["params"][0]
        if int(criteria["toBlock"], 16) - int(criteria["fromBlock"], 16) < 10:
            return None
        return await sent(lambda _: ["0"] * 400_000)(asked)

    node.misbehave = only(GET, wide)
    assert len(await connect(node).logs(1, 40, [METADATA_CREATED])) == 40
    assert node.asked["eth_chainId"] == 1


TOPICS = [METADATA_CREATED, METADATA_STATE]


async def test_a_block_that_is_refused_is_asked_for_topic_by_topic(
    connect: Connect, node: StandInNode, fake: FakeChain
) -> None:
    fake.transact(EVENT, fake_events.metadata_state(NFT, state=1), EVENT)
    node.max_logs = 2
    assert await connect(node).logs(1, 1, TOPICS) == await fake.logs(1, 1, TOPICS)
    assert len(node.ranges) == 3
    assert "eth_getBlockReceipts" not in node.asked


@pytest.mark.parametrize("address", [None, NFT, "0x" + "99" * 20])
async def test_a_block_that_is_refused_is_read_from_its_receipts(
    connect: Connect, node: StandInNode, fake: FakeChain, address: str | None
) -> None:
    other = fake_events.metadata("0x" + "99" * 20, data=b"", metadata_hash="0x" + "cd" * 32)
    fake.transact(EVENT, fake_events.metadata_state(NFT, state=1), mined=False)
    fake.transact(other, EVENT)
    txs = list(dict.fromkeys(log.tx for log in await fake.logs(1, 1, TOPICS)))
    receipts = [receipt_json(await fake.receipt(tx)) for tx in txs]
    assert len(receipts) == 2
    refuse, give = fails_with(-32005, "more than 1 results"), results_in(receipts)

    async def misbehave(asked: dict[str, Any]) -> web.StreamResponse | None:
        if asked["method"] == GET:
            return await refuse(asked)
        return await give(asked) if asked["params"] == ["0x1"] else None

    node.misbehave = misbehave
    for topics in (TOPICS, [METADATA_CREATED]):
        true = await fake.logs(1, 1, topics, address=address)
        assert await connect(node).logs(1, 1, topics, address=address) == true


@pytest.mark.parametrize("rubbish", [None, {}, [1], [{}], [{"logs": [1]}]])
async def test_receipts_of_a_block_that_are_none(
    connect: Connect, node: StandInNode, events: FakeChain, rubbish: object
) -> None:
    refuse, give = fails_with(-32005, "more than 1 results"), results_in(rubbish)

    async def misbehave(asked: dict[str, Any]) -> web.StreamResponse | None:
        if asked["method"] == "eth_getBlockReceipts":
            return await give(asked)
        return await refuse(asked) if asked["method"] == GET else None

    node.misbehave = misbehave
    with pytest.raises(ChainUnavailable):
        await connect(node).logs(1, 1, TOPICS)


async def test_receipts_of_another_block_are_not_believed(
    connect: Connect, node: StandInNode, events: FakeChain
) -> None:
    [log] = await events.logs(2, 2, TOPICS)
    give = results_in([receipt_json(await events.receipt(log.tx))])
    refuse = fails_with(-32005, "more than 1 results")

    async def misbehave(asked: dict[str, Any]) -> web.StreamResponse | None:
        if asked["method"] == "eth_getBlockReceipts":
            return await give(asked)
        return await refuse(asked) if asked["method"] == GET else None

    node.misbehave = misbehave
    with pytest.raises(ChainUnavailable):
        await connect(node).logs(1, 1, TOPICS)


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_more_than_is_kept_is_refused_with_what_fits(
    connect: Connect, node: StandInNode, events: FakeChain, limit: int
) -> None:
    events.transact(*[EVENT] * 50)
    events.transact(EVENT)
    node.max_range = limit
    chain = connect(node, most_kept=10 * searches.weight(await events.logs(1, 1, TOPICS)))
    found, ends = await in_steps(chain, 1, 42)
    assert blocks(found) == [*range(1, 41), *[41] * 50, 42]
    if limit == 1:
        assert ends == [10, 20, 30, 40, 41, 42], "ten fit, and a block alone always does"


async def test_data_counts_as_well_as_numbers(
    connect: Connect, node: StandInNode, fake: FakeChain
) -> None:
    heavy = fake_events.metadata(NFT, data=bytes(50_000), metadata_hash="0x" + "cd" * 32)
    for _ in range(5):
        fake.transact(heavy)
    node.max_range = 1
    with pytest.raises(RangeTooLarge) as caught:
        await connect(node, most_kept=120_000).logs(1, 5, [METADATA_CREATED])
    assert (caught.value.last, caught.value.status) == (2, 503)


async def test_a_range_behind_empty_blocks_gets_smaller(
    connect: Connect, node: StandInNode, fake: FakeChain
) -> None:
    fake.mine(10)
    fake.transact(*[EVENT] * 23)
    fake.mine(2)
    node.max_range = 2
    found, ends = await in_steps(connect(node, most_kept=5_000), 1, 13)
    assert ends == [10, 12, 13] or ends[:2] == [10, 11]
    assert len(found) == 23


async def test_the_chain_in_memory_refuses_too(events: FakeChain) -> None:
    events.max_logs = 10
    with pytest.raises(RangeTooLarge) as caught:
        await events.logs(5, 40, [METADATA_CREATED])
    assert caught.value.last == 14
    assert len(await events.logs(5, 14, [METADATA_CREATED])) == 10
    events.max_logs = 0
    with pytest.raises(RangeTooLarge) as caught:
        await events.logs(5, 40, [METADATA_CREATED])
    assert caught.value.last == 5
    assert blocks(await events.logs(5, 5, [METADATA_CREATED])) == [5]


def _first(answer: list[dict[str, Any]], **changes: object) -> list[dict[str, Any]]:
    answer[0].update(changes)
    return answer


LIES: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "a block before": lambda logs: _first(logs, blockNumber="0x1"),
    "a block after": lambda logs: _first(logs, blockNumber="0x9"),
    "another event": lambda logs: _first(logs, topics=["0x" + METADATA_STATE.hex()]),
    "no topic": lambda logs: _first(logs, topics=[]),
    "another contract": lambda logs: _first(logs, address="0x" + "99" * 20),
    "no list": lambda logs: {"logs": logs},
    "nothing": lambda _: None,
    "texts": lambda _: ["log"],
    "no index": lambda logs: _first(logs, logIndex=None),
}


@pytest.mark.parametrize("lie", LIES)
async def test_events_that_nobody_asked_for_are_rubbish(
    connect: Connect, node: StandInNode, spare: StandInNode, events: FakeChain, lie: str
) -> None:
    true = [log_json(log) for log in await events.logs(2, 4, [METADATA_CREATED])]
    node.misbehave = only(GET, results_in(LIES[lie](true)))
    found = await connect(node, spare).logs(2, 4, [METADATA_CREATED], address=NFT)
    assert blocks(found) == [2, 3, 4]
    with pytest.raises(ChainUnavailable):
        await connect(node).logs(2, 4, [METADATA_CREATED], address=NFT)


async def test_removed_and_doubled_events_do_not_count(
    connect: Connect, node: StandInNode, events: FakeChain
) -> None:
    true = [log_json(log) for log in await events.logs(2, 4, [METADATA_CREATED])]
    removed = true[0] | {"removed": True}
    node.misbehave = only(GET, results_in([true[2], removed, true[1], true[1]]))
    found = await connect(node).logs(2, 4, [METADATA_CREATED])
    assert blocks(found) == [3, 4]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32005, "query returned more than 10000 results"),
        (-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K"),
        (-32000, "block range is too wide"),
        (-32000, "exceed maximum block range: 5000"),
        (-32614, "eth_getLogs is limited to a 10,000 range"),
        (-32701, "Please specify an address in your request or, to remove restrictions, ... limit"),
        (-32000, "query timeout exceeded"),
        (-32062, "Block range is too large"),
    ],
)
def test_spellings_of_too_large(code: int, message: str) -> None:
    error = {"code": code, "message": message}
    assert fault_of(error, GET) is Fault.TOO_LARGE
    assert fault_of(error, "eth_blockNumber") is Fault.NODE


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32005, "daily request count exceeded, request rate limited"),
        (-32005, "project ID request rate exceeded"),
        (429, "Your app has exceeded its compute units per second capacity"),
        (-32000, "Too Many Requests"),
        (-32029, ""),
        (-32000, "rate limit exceeded"),
        (-32097, "monthly quota used up"),
    ],
)
@pytest.mark.parametrize("method", [GET, "eth_call"])
def test_spellings_of_too_often(code: int, message: str, method: str) -> None:
    assert fault_of({"code": code, "message": message}, method) is Fault.BUSY


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (3, "execution reverted: not an owner"),
        (-32000, "execution reverted"),
        (-32015, "VM execution error."),
        (-32603, "Error: VM Exception while processing transaction: reverted with reason"),
        (-32000, "invalid opcode: INVALID"),
        (-32000, "out of gas"),
        (-32000, "stack underflow (0 <=> 1)"),
        (-32000, "stack limit reached 1024 (1023)"),
        (-32000, "return data out of bounds"),
        (-32000, "gas uint64 overflow"),
        (-32000, "write protection"),
        (-32000, "invalid jump destination"),
        (-32000, "execution aborted (timeout = 5s)"),
        (-32603, "EVM error OpcodeNotFound"),
        (3, "execution reverted: rate limit"),
        (-32000, "execution reverted: Too Many Requests, quota exceeded"),
        (3, "rate limit"),
        (-32603, "VM Exception while processing transaction: reverted with 'capacity'"),
    ],
)
def test_spellings_of_a_revert(code: int, message: str) -> None:
    error = {"code": code, "message": message}
    assert fault_of(error, "eth_call") is Fault.REVERTED
    assert fault_of(error, "eth_blockNumber") in (Fault.NODE, Fault.BUSY)


@pytest.mark.parametrize(
    "error", ["reverted", [], {}, {"code": "3"}, {"message": 3}, {"code": [], "message": None}, 0]
)
def test_an_error_of_no_shape_is_the_nodes_own(error: object) -> None:
    assert fault_of(error, "eth_call") is Fault.NODE

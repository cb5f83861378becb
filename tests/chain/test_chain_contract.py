"""What every chain owes, whatever is behind it."""

from __future__ import annotations

import pytest
from stand_in_node import ManualClock, StandInNode

from provider.chain import fake_events
from provider.chain.base import Chain
from provider.chain.events import METADATA_CREATED, METADATA_STATE, ORDER_STARTED
from provider.chain.fake import SENDER, FakeChain
from provider.chain.models import Log
from provider.errors import CallRefused, ChainUnavailable, TransactionPending, TransactionUnknown

NFT = "0x" + "a1" * 20
OTHER = "0x" + "a2" * 20
TOKEN = "0x" + "d1" * 20
EVENT = fake_events.metadata(NFT, data=b"document", metadata_hash="0x" + "cd" * 32)
ORDER = fake_events.order_started(TOKEN, consumer=SENDER, payer=SENDER, timestamp=1)


@pytest.fixture(params=["fake", "web3"])
def chain(request: pytest.FixtureRequest, fake: FakeChain) -> Chain:
    if request.param == "fake":
        return fake
    connect, node = request.getfixturevalue("connect"), request.getfixturevalue("node")
    made: Chain = connect(node)
    return made


async def test_the_head_is_the_newest_block(chain: Chain, fake: FakeChain) -> None:
    fake.mine(3)
    assert await chain.head() == 3


async def test_a_block_tells_its_place(chain: Chain, fake: FakeChain) -> None:
    fake.mine(2)
    first, second = await chain.block(1), await chain.block(2)
    assert first
    assert second
    assert (second.number, second.parent) == (2, first.hash)
    assert second.timestamp > first.timestamp


@pytest.mark.parametrize("number", [-1, 1, 2**70])
async def test_there_is_no_block_beyond_the_chain(chain: Chain, number: int) -> None:
    assert await chain.block(number) is None


async def test_a_receipt_holds_what_its_contracts_emitted(chain: Chain, fake: FakeChain) -> None:
    fake.mine()
    tx = fake.transact(ORDER, EVENT)
    receipt = await chain.receipt(tx)
    assert (receipt.tx, receipt.succeeded, receipt.block) == (tx, True, 2)
    assert (receipt.sender, receipt.to) == (SENDER, TOKEN)
    assert [log.address for log in receipt.logs] == [TOKEN, NFT]
    assert [log.index for log in receipt.logs] == [0, 1]
    assert receipt.logs[1].data == EVENT.data
    block = await chain.block(2)
    assert block
    assert receipt.block_hash == block.hash


async def test_a_hash_counts_in_any_casing(chain: Chain, fake: FakeChain) -> None:
    tx = fake.transact(ORDER)
    assert (await chain.receipt("0x" + tx[2:].upper())).tx == tx


async def test_a_failed_transaction_has_a_receipt_without_events(
    chain: Chain, fake: FakeChain
) -> None:
    receipt = await chain.receipt(fake.transact(ORDER, succeeded=False))
    assert not receipt.succeeded
    assert receipt.logs == ()


async def test_a_transaction_without_a_contract_is_one_that_made_one(
    chain: Chain, fake: FakeChain
) -> None:
    assert (await chain.receipt(fake.transact())).to is None


@pytest.mark.parametrize("tx", ["0x" + "ab" * 32, "", "0x", "ab" * 32, "0x" + "ab" * 33, "☃"])
async def test_what_nobody_sent_is_unknown(chain: Chain, tx: str) -> None:
    with pytest.raises(TransactionUnknown):
        await chain.receipt(tx)


async def test_what_is_in_no_block_yet_is_pending(chain: Chain, fake: FakeChain) -> None:
    tx = fake.transact(ORDER, mined=False)
    with pytest.raises(TransactionPending, match="0 of 1"):
        await chain.receipt(tx)
    fake.mine()
    assert await chain.receipt(tx)


async def test_what_a_reorganisation_removed_is_unknown(
    chain: Chain, fake: FakeChain, clock: ManualClock
) -> None:
    tx = fake.transact(ORDER)
    await chain.receipt(tx)
    fake.reorganise(1)
    clock.now += 1
    with pytest.raises(TransactionUnknown):
        await chain.receipt(tx)


async def test_what_is_mined_again_has_another_block(
    chain: Chain, fake: FakeChain, clock: ManualClock
) -> None:
    tx = fake.transact(ORDER)
    before = await chain.receipt(tx)
    fake.reorganise(1, keep=True)
    clock.now += 1
    with pytest.raises(TransactionPending):
        await chain.receipt(tx)
    fake.mine()
    after = await chain.receipt(tx)
    assert after.block > before.block
    assert after.block_hash != before.block_hash


async def test_events_come_in_the_order_of_the_chain(chain: Chain, fake: FakeChain) -> None:
    fake.transact(EVENT, mined=False)
    fake.transact(ORDER, EVENT)
    fake.transact(EVENT)
    found = await chain.logs(0, 2, [METADATA_CREATED])
    assert [(log.block, log.index) for log in found] == [(1, 0), (1, 2), (2, 0)]


async def test_only_the_wanted_events_come(chain: Chain, fake: FakeChain) -> None:
    state = fake_events.metadata_state(OTHER, state=3)
    fake.transact(EVENT, ORDER, state)
    both = await chain.logs(0, 1, [METADATA_CREATED, METADATA_STATE])
    assert [log.address for log in both] == [NFT, OTHER]
    for address in (OTHER, "0x" + OTHER[2:].upper()):
        one = await chain.logs(0, 1, [METADATA_CREATED, METADATA_STATE], address=address)
        assert [log.address for log in one] == [OTHER]
    assert await chain.logs(0, 1, [b"\x01" * 32]) == []


async def test_both_ends_of_a_range_count(chain: Chain, fake: FakeChain) -> None:
    for _ in range(4):
        fake.transact(EVENT)

    async def blocks(first: int, last: int) -> list[int]:
        return [log.block for log in await chain.logs(first, last, [METADATA_CREATED])]

    assert await blocks(2, 3) == [2, 3]
    assert await blocks(4, 4) == [4]
    assert await blocks(4, 3) == []


async def test_events_of_blocks_to_come_cannot_be_told(chain: Chain) -> None:
    with pytest.raises(ChainUnavailable):
        await chain.logs(0, 1, [ORDER_STARTED])


async def test_an_event_of_a_receipt_is_the_same_as_of_a_search(
    chain: Chain, fake: FakeChain
) -> None:
    tx = fake.transact(EVENT)
    logs: tuple[Log, ...] = (await chain.receipt(tx)).logs
    assert list(logs) == await chain.logs(1, 1, [METADATA_CREATED], address=NFT)


async def test_a_view_answers(chain: Chain, fake: FakeChain) -> None:
    fake.token(TOKEN, decimals=6)
    assert await chain.call(TOKEN, bytes.fromhex("313ce567")) == (6).to_bytes(32)
    assert await chain.call("0x" + TOKEN[2:].upper(), bytes.fromhex("313ce567"))


async def test_a_revert_and_a_missing_contract_are_refusals(chain: Chain, fake: FakeChain) -> None:
    with pytest.raises(CallRefused):
        await chain.call(TOKEN, bytes.fromhex("313ce567"))
    fake.answers(TOKEN, "decimals()", ["uint8"], lambda: None)
    with pytest.raises(CallRefused):
        await chain.call(TOKEN, bytes.fromhex("313ce567"))


@pytest.mark.parametrize("verb", ["head", "block", "receipt", "logs", "call"])
async def test_a_chain_that_cannot_be_asked_says_so(
    request: pytest.FixtureRequest, chain: Chain, fake: FakeChain, verb: str
) -> None:
    if chain is fake:
        fake.unreachable = True
    else:
        node: StandInNode = request.getfixturevalue("node")
        await node.stop()
    questions = {
        "head": lambda: chain.head(),
        "block": lambda: chain.block(0),
        "receipt": lambda: chain.receipt("0x" + "ab" * 32),
        "logs": lambda: chain.logs(0, 0, [ORDER_STARTED]),
        "call": lambda: chain.call(TOKEN, b"1234"),
    }
    with pytest.raises(ChainUnavailable) as caught:
        await questions[verb]()
    assert caught.value.chain_id == 8996

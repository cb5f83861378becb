"""The development chain's blocks, transactions, clock and way back."""

from __future__ import annotations

import time

import pytest
from devchain_parts import CLOCK, COUNTER, ETHER, REVERTS, STOPS_AT_ODD, Chain

from provider.devchain.errors import RpcError
from provider.devchain.evm import GAS_LIMIT, Evm

OTHER = "0x" + "22" * 20


@pytest.fixture
def chain() -> Chain:
    return Chain()


def stored(chain: Chain, contract: str) -> int:
    return int(chain.call("eth_getStorageAt", contract, "0x0", "latest"), 16)


def test_a_transaction_makes_a_block_at_once(chain: Chain) -> None:
    tx = chain.send(to=OTHER, value=ETHER)

    receipt = chain.receipt(tx)
    assert (chain.height, receipt["blockNumber"], receipt["status"]) == (1, "0x1", "0x1")
    assert int(chain.call("eth_getBalance", OTHER, "latest"), 16) == ETHER
    assert chain.block()["parentHash"] == chain.block("0x0")["hash"]
    assert chain.block()["transactions"] == [tx]


def test_many_transactions_do_not_carry_the_clock_away(chain: Chain) -> None:
    for _ in range(10):
        chain.send()

    assert int(chain.block()["timestamp"], 16) <= time.time()


def test_times_never_go_back(chain: Chain) -> None:
    chain.node.increase_time(1000)
    chain.send()
    chain.node.increase_time(0)
    chain.node.set_next_timestamp(int(chain.block()["timestamp"], 16) + 5)
    chain.send()
    chain.send()

    times = [int(chain.block(hex(number))["timestamp"], 16) for number in range(4)]
    assert times == sorted(times)
    assert times[2] == times[1] + 5


@pytest.mark.parametrize("kind", ["legacy", "access list", "dynamic fee"])
def test_every_kind_of_transaction(chain: Chain, kind: str) -> None:
    counter = chain.contract(COUNTER)
    fields = {
        "legacy": {"gasPrice": 2 * 10**9},
        "access list": {
            "gasPrice": 2 * 10**9,
            "type": 1,
            "accessList": [{"address": counter, "storageKeys": ["0x" + "00" * 32]}],
        },
        "dynamic fee": {},
    }

    tx = chain.send(to=counter, **fields[kind])

    assert stored(chain, counter) == 1
    found = chain.call("eth_getTransactionByHash", tx)
    assert int(found["type"], 16) == list(fields).index(kind)
    assert found["from"] == chain.alice.address.lower()
    assert len(found.get("accessList", [])) == (kind == "access list")
    assert int(chain.receipt(tx)["type"], 16) == int(found["type"], 16)


def test_a_transaction_that_fails_is_in_a_block_and_undone(chain: Chain) -> None:
    contract = chain.contract(REVERTS)

    receipt = chain.receipt(chain.send(to=contract, value=5))

    assert (receipt["status"], receipt["logs"]) == ("0x0", [])
    assert int(chain.call("eth_getBalance", contract, "latest"), 16) == 0


def test_gas_is_counted_by_transaction(chain: Chain) -> None:
    with_automatic_off(chain)
    first, second = chain.send(nonce=0), chain.send(nonce=1)
    chain.node.mine()

    one, two = chain.receipt(first), chain.receipt(second)
    assert one["blockHash"] == two["blockHash"]
    assert (one["transactionIndex"], two["transactionIndex"]) == ("0x0", "0x1")
    assert (one["gasUsed"], two["gasUsed"]) == (hex(21000), hex(21000))
    assert two["cumulativeGasUsed"] == hex(42000)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"gas": 20_999}, "intrinsic gas too low"),
        ({"gas": GAS_LIMIT + 1}, "exceeds block gas limit"),
        ({"value": 10**6 * ETHER}, "insufficient funds"),
        ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 0}, "fee"),
        ({"chainId": 1}, "another chain"),
    ],
)
def test_what_cannot_be_is_not_taken(chain: Chain, fields: dict[str, int], reason: str) -> None:
    with pytest.raises(RpcError, match=reason):
        chain.send(**fields)

    assert chain.height == 0
    assert chain.nonce(chain.alice) == 0


@pytest.mark.parametrize("raw", ["0x", "0x00", "0xc0", "0x02c0", "0x03" + "ab" * 40, "0xf8"])
def test_what_is_no_transaction_is_not_taken(chain: Chain, raw: str) -> None:
    with pytest.raises(RpcError, match="not a valid signed transaction"):
        chain.call("eth_sendRawTransaction", raw)


def test_a_changed_signature_is_another_sender_or_none(chain: Chain) -> None:
    raw = chain.signed()
    with pytest.raises(RpcError):
        chain.call("eth_sendRawTransaction", raw[:-2] + ("00" if raw[-2:] != "00" else "01"))


def test_a_nonce_is_used_once(chain: Chain) -> None:
    raw = chain.signed()
    chain.call("eth_sendRawTransaction", raw)

    with pytest.raises(RpcError, match="already known"):
        chain.call("eth_sendRawTransaction", raw)
    with pytest.raises(RpcError, match="nonce too low: next nonce 1, tx nonce 0"):
        chain.send(nonce=0, value=1)


def test_a_nonce_ahead_waits_for_those_before(chain: Chain) -> None:
    later = chain.send(nonce=1)
    assert chain.receipt(later) is None
    assert chain.call("eth_getTransactionByHash", later)["blockNumber"] is None

    first = chain.send(nonce=0)

    assert chain.receipt(first)["status"] == chain.receipt(later)["status"] == "0x1"


def test_waiting_transactions_can_be_replaced(chain: Chain) -> None:
    with_automatic_off(chain)
    old = chain.send(nonce=0, value=1)
    new = chain.send(nonce=0, value=2)
    chain.node.mine()

    assert chain.receipt(old) is None
    assert chain.call("eth_getTransactionByHash", old) is None
    assert chain.receipt(new)["status"] == "0x1"


def with_automatic_off(chain: Chain) -> None:
    chain.call("evm_setAutomine", False)


def test_transactions_wait_while_blocks_are_not_automatic(chain: Chain) -> None:
    with_automatic_off(chain)
    tx = chain.send()
    assert (chain.receipt(tx), chain.height, chain.nonce(chain.alice)) == (None, 0, 1)
    assert chain.call("eth_getTransactionCount", chain.alice.address, "latest") == "0x0"

    chain.call("evm_setAutomine", True)

    assert (chain.receipt(tx)["status"], chain.height) == ("0x1", 1)


def test_what_does_not_fit_comes_in_the_next_block(chain: Chain) -> None:
    with_automatic_off(chain)
    sent = [chain.send(nonce=number, gas=GAS_LIMIT // 2 + 1) for number in range(3)]
    chain.call("evm_setAutomine", True)

    assert [chain.receipt(tx)["blockNumber"] for tx in sent] == ["0x1", "0x1", "0x1"], (
        "only gas that is used counts"
    )
    with_automatic_off(chain)
    burner = "0x" + STOPS_AT_ODD.hex()
    sent = [chain.send(nonce=n, to=None, data=burner, gas=GAS_LIMIT - 10) for n in (3, 4)]
    chain.call("evm_setAutomine", True)
    assert [chain.receipt(tx)["blockNumber"] for tx in sent] == ["0x2", "0x3"]


def test_a_transaction_that_became_impossible_is_dropped(chain: Chain) -> None:
    with_automatic_off(chain)
    all_but_fees = 1000 * ETHER - 4 * 10**15
    chain.send(nonce=0, value=all_but_fees)
    second = chain.send(nonce=1, value=all_but_fees)
    chain.node.mine()

    assert chain.receipt(second) is None
    assert chain.call("eth_getTransactionByHash", second) is None
    chain.call("evm_setAutomine", True)
    assert chain.receipt(chain.send(nonce=1))["status"] == "0x1"


def test_a_block_is_never_made_again(chain: Chain) -> None:
    later = int(time.time()) + 100
    hashes = set()
    for _ in range(2):
        snapshot = chain.call("evm_snapshot")
        chain.node.set_next_timestamp(later)
        chain.node.mine()
        hashes.add(chain.block()["hash"])
        chain.call("evm_revert", snapshot)
    assert len(hashes) == 2


def test_a_clock_that_is_set_back_does_not_matter() -> None:
    evm = Evm(8996, {}, timestamp=1000)
    made, _ = evm.make(evm.genesis.header, 990, [])
    assert made.header.timestamp == 1000


def test_empty_blocks_differ(chain: Chain) -> None:
    chain.node.mine(3)

    hashes = {chain.block(hex(number))["hash"] for number in range(4)}
    assert (chain.height, len(hashes)) == (3, 4)


@pytest.mark.parametrize("count", [-1, 10_001])
def test_blocks_at_once_are_bounded(chain: Chain, count: int) -> None:
    with pytest.raises(RpcError):
        chain.node.mine(count)
    assert chain.height == 0


def test_a_snapshot_brings_everything_back(chain: Chain) -> None:
    counter = chain.contract(COUNTER)
    chain.send(to=counter)
    snapshot = chain.call("evm_snapshot")
    before = chain.block()
    chain.call("evm_increaseTime", 5000)
    gone = chain.send(to=counter)
    lost = chain.block()["hash"]

    assert chain.call("evm_revert", snapshot) is True

    assert chain.block() == before
    assert stored(chain, counter) == 1
    assert chain.receipt(gone) is None
    assert chain.call("eth_getBlockByHash", lost, False) is None
    assert chain.nonce(chain.alice) == 2
    chain.send(to=counter)
    assert stored(chain, counter) == 2
    assert int(chain.block()["timestamp"], 16) < time.time() + 60


def test_a_snapshot_is_used_up(chain: Chain) -> None:
    first, second = chain.call("evm_snapshot"), chain.call("evm_snapshot")

    assert chain.call("evm_revert", first) is True
    assert chain.call("evm_revert", second) is False
    assert chain.call("evm_revert", first) is False
    assert chain.call("evm_revert", "0x63") is False


def test_going_back_and_on_is_a_reorganisation(chain: Chain) -> None:
    snapshot = chain.call("evm_snapshot")
    raw = chain.signed()
    tx = chain.call("eth_sendRawTransaction", raw)
    before = chain.receipt(tx)["blockHash"]
    chain.call("evm_revert", snapshot)
    chain.node.mine()
    chain.call("eth_sendRawTransaction", raw)

    after = chain.receipt(tx)
    assert after["blockNumber"] == "0x2"
    assert after["blockHash"] != before


def test_the_past_can_be_asked(chain: Chain) -> None:
    counter = chain.contract(COUNTER)
    chain.send(to=counter)
    chain.send(to=counter)

    answers = [
        int(chain.call("eth_call", {"to": counter, "data": "0x"}, tag), 16)
        for tag in ("0x1", "0x2", "latest")
    ]
    assert answers == [1, 2, 3], "a call that is tried changes nothing"
    assert chain.call("eth_getCode", counter, "0x0") == "0x"


def test_calls_see_the_time_of_now(chain: Chain) -> None:
    clock = chain.contract(CLOCK)
    chain.call("evm_increaseTime", 10_000)

    answer = int(chain.call("eth_call", {"to": clock}, "latest"), 16)

    assert answer >= int(time.time()) + 9_990
    assert int(chain.call("eth_call", {"to": clock}, "0x1"), 16) < time.time() + 60


def test_an_estimate_is_enough(chain: Chain) -> None:
    counter = chain.contract(COUNTER)
    for fields in ({"to": counter}, {"data": "0x" + "00" * 100}, {"to": OTHER, "value": "0x5"}):
        call = {"from": chain.alice.address, **fields}
        gas = int(chain.call("eth_estimateGas", call), 16)
        sent = {**call, "gas": hex(gas)}
        receipt = chain.receipt(chain.call("eth_sendTransaction", sent))
        assert receipt["status"] == "0x1"
        assert int(receipt["gasUsed"], 16) <= gas < 2 * int(receipt["gasUsed"], 16)


@pytest.mark.parametrize(
    ("runtime", "message"),
    [(REVERTS, "execution reverted"), (STOPS_AT_ODD, "EVM error: InvalidInstruction")],
)
@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
def test_what_would_fail_is_told(chain: Chain, method: str, runtime: bytes, message: str) -> None:
    contract = chain.contract(runtime)

    with pytest.raises(RpcError) as caught:
        chain.call(method, {"to": contract})

    assert (caught.value.code, caught.value.message, caught.value.data) == (3, message, "0x")


def test_a_wallet_without_ether_can_send_nothing(chain: Chain) -> None:
    with pytest.raises(RpcError, match="insufficient funds"):
        chain.send(chain.pauper)


def test_the_node_signs_for_its_wallets_only(chain: Chain) -> None:
    tx = chain.call("eth_sendTransaction", {"from": chain.wallets[1].address, "to": OTHER})
    assert chain.call("eth_getTransactionByHash", tx)["from"] == chain.wallets[1].address.lower()

    with pytest.raises(RpcError, match="no key for this sender"):
        chain.call("eth_sendTransaction", {"from": chain.pauper.address, "to": OTHER})

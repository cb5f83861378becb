"""The development chain's port: what is answered to clients, and to rubbish."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from support.devchain import CallFailed, DevChain
from support.lookalike import Event, Lookalike

from provider.devchain.server import MAX_BATCH, MAX_BODY_BYTES

TOPIC_A, TOPIC_B = b"\xaa" * 32, b"\xbb" * 32
NOBODY = "0x" + "00" * 20


def text(topic: bytes) -> str:
    return "0x" + topic.hex()


def answer(devchain: DevChain, body: Any) -> Any:
    return json.loads(devchain.post(body))


def test_a_batch_is_answered_in_its_order(devchain: DevChain) -> None:
    asked = [
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId", "params": []},
        {"jsonrpc": "2.0", "id": 7, "method": "nonsense"},
        {"jsonrpc": "2.0", "id": 8, "method": "net_version"},
    ]

    answers = answer(devchain, asked)

    assert answers[0] == {"jsonrpc": "2.0", "id": "a", "result": "0x2324"}
    assert (answers[1]["id"], answers[1]["error"]["code"]) == (7, -32601)
    assert answers[2]["result"] == "8996"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"\xff\xfe", -32700),
        (b'{"id": 1', -32700),
        (b"[" * 1_000_000, -32700),
        (b'{"a":' * 500_000, -32700),
        (b"[" + b"[]," * 300_000 + b"[]]", -32700),
        (b'{"id":' + b"9" * 5000 + b"}", -32700),
        (b"null", -32600),
        (b"5", -32600),
        (b'"eth_chainId"', -32600),
        (b"[]", -32600),
        (b"[" + b"1," * MAX_BATCH + b"1]", -32600),
        (b"{}", -32601),
        (b'{"method": ["eth_chainId"]}', -32601),
        (b'{"method": "eth_chainId", "params": {"a": 1}}', -32602),
    ],
)
def test_rubbish_is_refused(devchain: DevChain, body: bytes, code: int) -> None:
    assert answer(devchain, body)["error"]["code"] == code
    assert devchain.call("eth_chainId") == "0x2324"


def test_a_body_is_bounded(devchain: DevChain) -> None:
    with pytest.raises(HTTPError) as caught:
        devchain.post(b" " * (MAX_BODY_BYTES + 1))
    assert caught.value.code == 413
    caught.value.close()
    assert devchain.call("eth_chainId") == "0x2324"


def test_only_posts_are_calls(devchain: DevChain) -> None:
    with pytest.raises(HTTPError) as caught, urlopen(devchain.url, timeout=60):
        pass
    assert caught.value.code == 405
    caught.value.close()


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("eth_getBalance", ["0x00", "latest"], -32602),
        ("eth_getBalance", ["beef", "latest"], -32602),
        ("eth_getBalance", [5, "latest"], -32602),
        ("eth_getBalance", [NOBODY, "0xffffff"], -32000),
        ("eth_getBalance", [NOBODY, "someday"], -32602),
        ("eth_getBalance", [NOBODY, "0x" + "f" * 65], -32602),
        ("eth_call", [[]], -32602),
        ("eth_call", [{"to": 5}], -32602),
        ("eth_call", [{"to": NOBODY, "value": hex(1 << 200)}], 3),
        ("eth_call", [{"to": NOBODY, "gas": "0x1"}], 3),
        ("eth_call", [{"to": NOBODY, "data": "0xabc"}], -32602),
        ("eth_getBlockByHash", ["0x1234", False], -32602),
        ("eth_getLogs", [{"topics": "0x"}], -32602),
        ("eth_getLogs", [{"fromBlock": "0x0", "topics": [5]}], -32602),
        ("eth_getLogs", [{"fromBlock": "0x0", "address": [5]}], -32602),
        ("eth_getLogs", [{"blockHash": "0x" + "00" * 32}], -32000),
        ("eth_feeHistory", ["0x1", "latest", 5], -32602),
        ("eth_feeHistory", ["0x1", "latest", [1] * 101], -32602),
        ("eth_getFilterChanges", ["0x99999"], -32000),
        ("eth_sendTransaction", [{"from": NOBODY}], -32000),
        ("evm_increaseTime", [1 << 200], -32602),
        ("evm_increaseTime", [-1], -32602),
        ("evm_setNextBlockTimestamp", [1 << 200], -32602),
        ("evm_setNextBlockTimestamp", [1], -32602),
    ],
)
def test_parameters_are_checked(
    devchain: DevChain, method: str, params: list[Any], code: int
) -> None:
    with pytest.raises(CallFailed) as caught:
        devchain.call(method, *params)
    assert caught.value.error["code"] == code


@pytest.mark.parametrize(
    "fields", [{"to": 5}, {"gas": "many"}, {"unheard": 1}, {"accessList": "x"}, {"type": "0x9"}]
)
def test_transactions_for_the_node_to_sign_are_checked(
    devchain: DevChain, fields: dict[str, Any]
) -> None:
    sender = devchain.accounts[-1].address
    with pytest.raises(CallFailed) as caught:
        devchain.call("eth_sendTransaction", {"from": sender, **fields})
    assert caught.value.error["code"] == -32602


def test_a_contract_says_why_it_refuses(devchain: DevChain) -> None:
    mint = "0x40c10f19" + "00" * 12 + "22" * 20 + "00" * 32
    call = {"from": devchain.accounts[-1].address, "to": devchain.addresses["Ocean"], "data": mint}

    with pytest.raises(CallFailed) as caught:
        devchain.call("eth_call", call, "latest")

    error = caught.value.error
    assert error["code"] == 3
    assert error["message"] == "execution reverted: Ownable: caller is not the owner"
    assert error["data"].startswith("0x08c379a0")


def test_contracts_that_call_themselves_deeply_do_no_harm(devchain: DevChain) -> None:
    runtime = bytes.fromhex("5f5f5f5f5f305af100")
    code = b"\x60\x09\x80\x60\x09\x5f\x39\x5f\xf3" + runtime
    account = devchain.accounts[-1]
    made = devchain.receipt(devchain.send(account, None, code))
    assert made is not None

    receipt = devchain.receipt(devchain.send(account, made["contractAddress"], gas=59_000_000))

    assert receipt is not None
    assert receipt["status"] == "0x1"
    assert int(receipt["gasUsed"], 16) > 80_000


@pytest.fixture(scope="module")
def emitter(devchain: DevChain) -> Lookalike:
    return Lookalike(devchain, devchain.accounts[-1])


@pytest.fixture(scope="module")
def emitted(devchain: DevChain, emitter: Lookalike) -> list[int]:
    """The blocks in which events with topics A, A B, and B lie."""
    emitter.emit(Event([TOPIC_A], b"1" * 32), Event([TOPIC_A, TOPIC_B]))
    first = devchain.height
    emitter.emit(Event([TOPIC_B], b"3" * 40))
    return [first, first + 1]


@pytest.mark.parametrize(
    ("topics", "found"),
    [
        ([], [0, 1, 2]),
        ([None], [0, 1, 2]),
        ([text(TOPIC_A)], [0, 1]),
        ([text(TOPIC_A).upper().replace("X", "x")], [0, 1]),
        ([[text(TOPIC_A), text(TOPIC_B)]], [0, 1, 2]),
        ([None, text(TOPIC_B)], [1]),
        ([text(TOPIC_A), [text(TOPIC_A)]], []),
        ([text(TOPIC_A), None, None], []),
        ([[]], [0, 1, 2]),
    ],
)
def test_events_are_found_by_topics(
    devchain: DevChain, emitter: Lookalike, emitted: list[int], topics: list[Any], found: list[int]
) -> None:
    first, last = emitted
    criteria = {
        "fromBlock": hex(first),
        "toBlock": hex(last),
        "address": emitter.address,
        "topics": topics,
    }

    logs = devchain.call("eth_getLogs", criteria)

    every = devchain.call("eth_getLogs", {**criteria, "topics": []})
    assert len(every) == 3
    assert logs == [every[index] for index in found]


def test_events_tell_their_place(
    devchain: DevChain, emitter: Lookalike, emitted: list[int]
) -> None:
    block = devchain.call("eth_getBlockByNumber", hex(emitted[0]), False)

    logs = devchain.call("eth_getLogs", {"blockHash": block["hash"], "address": [emitter.address]})

    assert [log["logIndex"] for log in logs] == ["0x0", "0x1"]
    assert {log["blockNumber"] for log in logs} == {hex(emitted[0])}
    assert {log["transactionHash"] for log in logs} == set(block["transactions"])
    assert logs[0]["data"] == "0x" + "31" * 32
    assert int(block["logsBloom"], 16) > 0


@pytest.mark.parametrize("address", [NOBODY, ["0x" + "44" * 20]])
def test_events_of_others_are_not_found(
    devchain: DevChain, emitted: list[int], address: Any
) -> None:
    criteria = {"fromBlock": "earliest", "toBlock": "latest", "address": address}
    assert devchain.call("eth_getLogs", criteria) == []


def test_a_range_beyond_the_head_ends_there(devchain: DevChain) -> None:
    assert devchain.call("eth_getLogs", {"fromBlock": hex(10**9), "toBlock": hex(10**12)}) == []
    assert devchain.call("eth_getLogs", {"fromBlock": "0x5", "toBlock": "0x2"}) == []


def test_a_filter_tells_each_event_once(devchain: DevChain, emitter: Lookalike) -> None:
    number = devchain.call("eth_newFilter", {"address": emitter.address, "topics": [text(TOPIC_B)]})
    blocks = devchain.call("eth_newBlockFilter")
    assert devchain.call("eth_getFilterChanges", number) == []

    emitter.emit(Event([TOPIC_B]))
    emitter.emit(Event([TOPIC_A]))

    assert len(devchain.call("eth_getFilterChanges", number)) == 1
    assert devchain.call("eth_getFilterChanges", number) == []
    assert len(devchain.call("eth_getFilterChanges", blocks)) == 2
    assert devchain.call("eth_uninstallFilter", number) is True
    assert devchain.call("eth_uninstallFilter", number) is False


def test_a_filter_follows_a_reorganisation(devchain: DevChain, emitter: Lookalike) -> None:
    number = devchain.call("eth_newFilter", {"address": emitter.address})
    with devchain.undone():
        emitter.emit(Event([TOPIC_A]))
        assert len(devchain.call("eth_getFilterChanges", number)) == 1
    emitter.emit(Event([TOPIC_B]))
    (log,) = devchain.call("eth_getFilterChanges", number)
    assert log["topics"] == [text(TOPIC_B)]


def test_blocks_with_their_transactions(devchain: DevChain) -> None:
    tx = devchain.send(devchain.accounts[-1], NOBODY, value=1)
    number = hex(devchain.height)

    block = devchain.call("eth_getBlockByNumber", number, True)

    assert block["transactions"] == [devchain.call("eth_getTransactionByHash", tx)]
    assert devchain.call("eth_getBlockReceipts", number) == [devchain.receipt(tx)]
    assert devchain.call("eth_getBlockTransactionCountByNumber", number) == "0x1"
    assert devchain.call("eth_getBlockTransactionCountByHash", block["hash"]) == "0x1"
    assert devchain.call("eth_getBlockTransactionCountByNumber", "0xffffff") is None
    assert devchain.call("eth_getBlockReceipts", "0xffffff") is None


def test_what_there_is_not_is_null(devchain: DevChain) -> None:
    nothing = "0x" + "ee" * 32
    assert devchain.call("eth_getBlockByNumber", "0xffffff", False) is None
    assert devchain.call("eth_getBlockByHash", nothing, False) is None
    assert devchain.call("eth_getTransactionByHash", nothing) is None
    assert devchain.receipt(nothing) is None


@pytest.mark.parametrize(("count", "percentiles"), [(1, []), (3, [25, 75]), (2000, None)])
def test_fees_of_the_past(devchain: DevChain, count: int, percentiles: list[int] | None) -> None:
    history = devchain.call("eth_feeHistory", hex(count), "latest", percentiles)

    blocks = min(count, devchain.height + 1)
    assert int(history["oldestBlock"], 16) == devchain.height - blocks + 1
    assert len(history["baseFeePerGas"]) == blocks + 1
    assert len(history["gasUsedRatio"]) == len(history["reward"]) == blocks
    assert {len(rewards) for rewards in history["reward"]} == {len(percentiles or [])}
    first = devchain.call("eth_getBlockByNumber", history["oldestBlock"], False)
    assert history["baseFeePerGas"][0] == first["baseFeePerGas"]


def test_the_price_of_gas_is_enough(devchain: DevChain) -> None:
    price = int(devchain.call("eth_gasPrice"), 16)
    base = int(devchain.call("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    assert price >= base
    assert devchain.call("eth_maxPriorityFeePerGas") == hex(10**9)


def test_what_libraries_ask_besides(devchain: DevChain) -> None:
    assert devchain.call("eth_syncing") is False
    assert devchain.call("net_listening") is True
    assert devchain.call("net_peerCount") == "0x0"
    assert devchain.call("web3_clientVersion").startswith("ocean-compute-devchain/")
    assert devchain.call("eth_accounts") == [account.address for account in devchain.accounts]
    empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert devchain.call("web3_sha3", "0x") == empty

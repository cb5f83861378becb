"""A wallet whose node loses, refuses and garbles: nothing is paid twice, nothing is guessed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from node_in_between import GONE, LOST, SECRET, NodeInBetween
from support.devchain import DevChain

from provider.client.chain_node import ChainNode, chain_id_of
from provider.client.contract_calls import TRANSFER
from provider.client.errors import AnswerNotUnderstoodError, ComputeClientError
from provider.client.onchain import ChainRefusedError, ChainUnreachableError, OnChain
from provider.client.transactions import Transactions

SEND = "eth_sendRawTransaction"
OTHER = "0x" + "33" * 20


@pytest.fixture
async def node(devchain: DevChain) -> AsyncIterator[NodeInBetween]:
    async with NodeInBetween(devchain.url) as between:
        yield between


@pytest.fixture
def wallet(node: NodeInBetween, devchain: DevChain) -> OnChain:
    account = devchain.accounts[5]
    return OnChain(node.url, account, address_file=devchain.addresses, chain_id=8996)


class Pay:
    """Transfers of one base unit, and how many arrived."""

    def __init__(self, wallet: OnChain, devchain: DevChain) -> None:
        self._wallet = wallet
        self._chain = devchain
        self._token = devchain.addresses["Ocean"]
        self._before = self._balance()
        self._nonce = devchain.nonce(wallet.address)

    async def __call__(self) -> str:
        return await self._wallet.transfer(self._token, OTHER, 1)

    @property
    def arrived(self) -> int:
        return self._balance() - self._before

    @property
    def sent(self) -> int:
        return self._chain.nonce(self._wallet.address) - self._nonce

    def _balance(self) -> int:
        call = {"to": self._token, "data": "0x70a08231" + "00" * 12 + OTHER[2:]}
        return int(self._chain.call("eth_call", call, "latest"), 16)


@pytest.fixture
def pay(wallet: OnChain, devchain: DevChain) -> Pay:
    """Whatever tests came before, the wallet's last transaction is none of these transfers."""
    devchain.send(devchain.accounts[5], OTHER, value=1)
    return Pay(wallet, devchain)


async def test_a_lost_answer_does_not_pay_twice(node: NodeInBetween, pay: Pay) -> None:
    node.spoil[SEND] = lambda time: LOST if time == 1 else None

    tx = await pay()

    assert node.asked[SEND] == 2, "the same bytes again, which the chain has already"
    assert (pay.arrived, pay.sent) == (1, 1)
    assert len(tx) == 66


async def test_a_lost_request_is_sent_again(node: NodeInBetween, pay: Pay) -> None:
    node.spoil[SEND] = lambda time: GONE if time <= 2 else None

    await pay()

    assert (pay.arrived, pay.sent) == (1, 1)


async def test_what_may_have_been_sent_is_named(
    node: NodeInBetween, pay: Pay, devchain: DevChain
) -> None:
    node.spoil[SEND] = lambda time: LOST

    with pytest.raises(ChainUnreachableError, match="may have got transaction 0x") as caught:
        await pay()

    assert devchain.receipt(caught.value.tx)
    assert caught.value.tx in str(caught.value)
    assert (pay.arrived, pay.sent) == (1, 1)


async def test_a_refusal_after_a_lost_answer_is_looked_into(node: NodeInBetween, pay: Pay) -> None:
    node.spoil[SEND] = lambda time: GONE if time == 1 else {"code": -32000, "message": "no"}

    with pytest.raises(ChainRefusedError, match="The chain refused: no"):
        await pay()

    assert (pay.arrived, pay.sent) == (0, 0)


async def test_a_lost_answer_and_then_none(node: NodeInBetween, pay: Pay) -> None:
    node.spoil[SEND] = lambda time: LOST if time == 1 else None
    node.spoil["eth_getTransactionByHash"] = lambda _: GONE

    with pytest.raises(ChainUnreachableError) as caught:
        await pay()

    assert caught.value.tx
    assert pay.arrived == 1


async def test_a_nonce_that_another_program_took_is_replaced(node: NodeInBetween, pay: Pay) -> None:
    low = lambda answer: hex(int(answer["result"], 16) - 1)  # noqa: E731
    node.spoil["eth_getTransactionCount"] = lambda time: low if time <= 2 else None

    await pay()

    assert node.asked[SEND] == 3
    assert (pay.arrived, pay.sent) == (1, 1)


async def test_a_nonce_that_stays_too_low(node: NodeInBetween, pay: Pay) -> None:
    node.spoil[SEND] = lambda _: {"code": -32000, "message": "nonce too low"}
    with pytest.raises(ChainRefusedError, match="nonce too low"):
        await pay()
    assert pay.sent == 0


async def test_a_receipt_that_takes_its_time(node: NodeInBetween, pay: Pay) -> None:
    spoiled = [GONE, {"code": 5, "message": "busy"}, b"", lambda _: None, lambda _: {}]
    node.spoil["eth_getTransactionReceipt"] = lambda t: spoiled[t - 1] if t <= 5 else None

    await pay()

    assert node.asked["eth_getTransactionReceipt"] == 6
    assert pay.arrived == 1


async def test_a_transaction_that_stays_out_of_blocks(
    node: NodeInBetween, devchain: DevChain
) -> None:
    node.spoil["eth_getTransactionReceipt"] = lambda _: lambda _: None
    sender = Transactions(ChainNode(node.url), devchain.accounts[5], 8996, wait_s=0.3)
    with pytest.raises(ChainUnreachableError, match="is in no block yet after") as caught:
        await sender.send(devchain.addresses["Ocean"], TRANSFER, OTHER, 1)
    assert len(caught.value.tx) == 66


async def test_a_transaction_that_fails_in_its_block(node: NodeInBetween, pay: Pay) -> None:
    node.spoil["eth_getTransactionReceipt"] = lambda _: (
        lambda answer: {
            **answer["result"],
            "status": "0x0",
        }
    )
    with pytest.raises(ChainRefusedError, match="transfer failed on the chain: 0x") as caught:
        await pay()
    assert len(caught.value.tx) == 66


async def test_a_node_of_another_chain_gets_nothing(node: NodeInBetween, pay: Pay) -> None:
    node.spoil["eth_chainId"] = lambda _: lambda _: "0x1"
    with pytest.raises(ChainRefusedError, match="The node is of chain 1, not 8996"):
        await pay()
    assert SEND not in node.asked


@pytest.mark.parametrize("method", ["eth_chainId", "eth_estimateGas", "eth_getTransactionCount"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"result": "0xzz"}',
        b'{"result": null}',
        b'{"result": {}}',
        b"[" * 500_000,
        b'{"result": ' + b"[0," * 300_000,
    ],
)
async def test_rubbish_is_no_answer(
    node: NodeInBetween, pay: Pay, method: str, body: bytes
) -> None:
    node.spoil[method] = lambda _: body
    with pytest.raises(ChainUnreachableError):
        await pay()
    assert pay.sent == 0


@pytest.mark.parametrize("result", ["0x", "0x12", "nothing", None, "0x" + "zz" * 32])
async def test_rubbish_is_no_balance(wallet: OnChain, node: NodeInBetween, result: Any) -> None:
    node.spoil["eth_call"] = lambda _: lambda _: result
    with pytest.raises((AnswerNotUnderstoodError, ChainUnreachableError)):
        await wallet.balance_of(OTHER)


async def test_a_chain_without_base_fees(node: NodeInBetween, pay: Pay) -> None:
    node.spoil["eth_getBlockByNumber"] = lambda _: lambda _: {"number": "0x1"}

    await pay()

    assert node.asked["eth_gasPrice"] == 1
    assert pay.arrived == 1


async def test_a_chain_that_proposes_no_tip(node: NodeInBetween, pay: Pay) -> None:
    node.spoil["eth_maxPriorityFeePerGas"] = lambda _: {"code": -32601, "message": "unknown"}
    await pay()
    assert pay.arrived == 1


async def test_the_access_key_is_told_to_nobody(node: NodeInBetween, pay: Pay) -> None:
    told: list[ComputeClientError] = []
    for spoiled in (GONE, b"", {"code": 1, "message": f"key {SECRET} is unknown at {node.url}"}):
        node.spoil["eth_chainId"] = lambda _, spoiled=spoiled: spoiled
        with pytest.raises(ComputeClientError) as caught:
            await pay()
        told.append(caught.value)
    assert len(told) == 3
    assert not [error for error in told if SECRET in str(error) + repr(error)]
    assert "is unknown at" in str(told[2])


async def test_a_node_that_answers_too_late(node: NodeInBetween) -> None:
    node.delay_s = 5
    with pytest.raises(ChainUnreachableError, match="cannot be reached"):
        await ChainNode(node.url, timeout_s=0.1).call("eth_chainId")


def test_the_chain_id_is_asked_without_a_loop(devchain: DevChain) -> None:
    assert chain_id_of(devchain.url) == 8996


async def test_the_chain_id_is_asked_inside_of_a_loop(devchain: DevChain) -> None:
    assert chain_id_of(devchain.url) == 8996


async def test_transactions_of_one_wallet_take_turns(devchain: DevChain) -> None:
    account = devchain.accounts[5]
    sender = Transactions(ChainNode(devchain.url), account, 8996)
    token = devchain.addresses["Ocean"]

    receipts = await asyncio.gather(
        *(sender.send(token, TRANSFER, OTHER, amount) for amount in range(1, 6))
    )

    assert [receipt["status"] for receipt in receipts] == ["0x1"] * 5
    assert len({receipt["blockNumber"] for receipt in receipts}) == 5

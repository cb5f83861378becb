"""From quotes to orders: what is bought, in which order, for whom, and what never is."""

from __future__ import annotations

import time
from typing import Any

import pytest
from standin_market import (
    ALGORITHM,
    CHAIN,
    DID,
    ENVIRONMENT_ADDRESS,
    FEE_TOKEN,
    NO_ORDER,
    OTHER,
    MarketStandIn,
    NotedWallet,
    a_document,
    a_fee,
)

from provider.client import (
    AnswerNotUnderstoodError,
    ClientUsageError,
    ComputeClient,
    Dataset,
    FeeTooHighError,
    NotFoundError,
    PublishedAlgorithm,
    Purchase,
    RawAlgorithm,
    RefusedError,
)
from provider.client.chain_node import ChainRefusedError
from provider.client.ordering import ItemQuote, service_index

TX = "0x" + "ab" * 32
RAW = RawAlgorithm("print(1)", "busybox", "sh $ALGO", tag="1")


def sold(datatoken: str, amount: int = 0) -> dict[str, Any]:
    return {"datatoken": datatoken, "providerFee": a_fee(amount)}


# reading a quote


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"validOrder": TX}, ItemQuote(valid_order=TX)),
        ({"validOrder": NO_ORDER}, ItemQuote()),
        ({"validOrder": None}, ItemQuote()),
        ({}, ItemQuote()),
        (sold("0xd"), ItemQuote("0xd", a_fee())),
        ({**sold("0xd", 7), "validOrder": TX}, ItemQuote("0xd", a_fee(7), TX)),
        ({**sold("0xd"), "nonce": "12"}, ItemQuote("0xd", a_fee())),
    ],
)
def test_a_quote_is_read(document: Any, expected: ItemQuote) -> None:
    assert ItemQuote.from_wire(document) == expected


def without(name: str) -> dict[str, Any]:
    fee = a_fee()
    del fee[name]
    return {"datatoken": "0xd", "providerFee": fee}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "0x",
        {"validOrder": 7},
        {"datatoken": ["0xd"]},
        {"providerFee": a_fee()},
        {"datatoken": "0xd", "providerFee": []},
        *(without(name) for name in a_fee()),
        *(
            {"datatoken": "0xd", "providerFee": {**a_fee(), "providerFeeAmount": amount}}
            for amount in ("", "-1", "1.5", "1e18", "٣", 1.0, True, None, "9" * 79, str(1 << 256))
        ),
    ],
)
def test_what_is_no_quote_is_told(document: Any) -> None:
    with pytest.raises(AnswerNotUnderstoodError):
        ItemQuote.from_wire(document)


@pytest.mark.parametrize("amount", [0, 5, 10**30, (1 << 256) - 1])
def test_amounts_are_whole_and_exact(amount: int) -> None:
    for told in (amount, str(amount)):
        fee = {**a_fee(), "providerFeeAmount": told}
        assert ItemQuote.from_wire({"datatoken": "0xd", "providerFee": fee}).amount == amount


def test_a_service_is_found_by_its_place() -> None:
    document = a_document(DID, "one", "two")
    assert service_index(document, "two", CHAIN) == 1
    with pytest.raises(ClientUsageError, match="no service 'three'"):
        service_index(document, "three", CHAIN)
    with pytest.raises(ClientUsageError, match="chain 8996, the wallet is on 1"):
        service_index(document, "one", 1)
    with pytest.raises(ClientUsageError):
        service_index({"chainId": CHAIN, "services": "none"}, "one", CHAIN)


# a job


async def test_a_paid_job_is_ordered_and_started(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata", 500), ALGORITHM: sold("0xalgo")}
    told: list[Purchase] = []
    job = await shop.start(
        "paid",
        Dataset(DID, "1"),
        PublishedAlgorithm(ALGORITHM),
        pay=payer,
        told=told.append,
    )
    assert job.status == 1
    assert payer.done == [
        ("start", "0xdata", ENVIRONMENT_ADDRESS, 1, a_fee(500)),
        ("start", "0xalgo", ENVIRONMENT_ADDRESS, 0, a_fee()),
    ]
    (sent,) = market.calls("computeStart")
    assert sent["dataset"]["transferTxId"] == told[0].tx
    assert sent["algorithm"]["transferTxId"] == told[1].tx
    assert told == [
        Purchase(DID, "1", f"0x{1:064x}", fee=500, token=FEE_TOKEN),
        Purchase(ALGORITHM, "0", f"0x{2:064x}", fee=0, token=FEE_TOKEN),
    ]


async def test_what_is_not_sold_is_not_ordered(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    await shop.start("paid", DID, RAW, pay=payer)
    assert payer.done == []
    (sent,) = market.calls("computeStart")
    assert "transferTxId" not in sent["dataset"]


async def test_a_job_without_a_wallet_to_pay_asks_for_no_quote(
    shop: ComputeClient, market: MarketStandIn
) -> None:
    await shop.start("paid", DID, RAW)
    assert market.calls("initializeCompute") == []


async def test_several_datasets_are_ordered_in_their_order(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata", 5), OTHER: sold("0xother")}
    ordered = await shop.order_for("paid", [OTHER, DID], RAW, pay=payer)
    assert [what[:2] for what in payer.done] == [("start", "0xother"), ("start", "0xdata")]
    assert [(item.did, item.transfer_tx_id) for item in ordered.datasets] == [
        (OTHER, ordered.purchases[0].tx),
        (DID, ordered.purchases[1].tx),
    ]
    assert ordered.algorithm is RAW


async def test_a_valid_order_is_used_again(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata", 5)}
    first = await shop.order_for("paid", DID, RAW, pay=payer)
    second = await shop.order_for("paid", first.datasets, RAW, pay=payer)
    assert second.datasets == first.datasets
    assert (len(payer.done), second.purchases) == (1, ())


async def test_an_order_whose_fee_ran_out_is_renewed(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: {**sold("0xdata", 5), "validOrder": TX}}
    ordered = await shop.order_for("paid", Dataset(DID, transfer_tx_id="0xlater"), RAW, pay=payer)
    assert payer.done == [("reuse", "0xdata", TX, a_fee(5))]
    (purchase,) = ordered.purchases
    assert (purchase.renewed, purchase.fee) == (True, 5)
    assert ordered.datasets[0].transfer_tx_id == purchase.tx
    (asked,) = market.calls("initializeCompute")
    assert asked["datasets"][0]["transferTxId"] == "0xlater"


@pytest.mark.parametrize(("given", "expected"), [(None, 600), (120, 120)])
async def test_how_long_is_paid_for(
    shop: ComputeClient,
    market: MarketStandIn,
    payer: NotedWallet,
    given: int | None,
    expected: int,
) -> None:
    await shop.order_for("paid", DID, RAW, pay=payer, duration_s=given)
    (asked,) = market.calls("initializeCompute")
    assert asked["consumerAddress"] == shop.address
    assert asked["compute"]["env"] == "paid"
    assert abs(asked["compute"]["validUntil"] - time.time() - expected) < 60


async def test_a_fee_beyond_what_is_allowed_buys_nothing(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata", 60), ALGORITHM: sold("0xalgo", 40)}
    algorithm = PublishedAlgorithm(ALGORITHM)
    with pytest.raises(FeeTooHighError, match=f"100 base units of {FEE_TOKEN}.* at most 99"):
        await shop.start("paid", DID, algorithm, pay=payer, most_fee=99)
    assert payer.done == []
    assert market.calls("computeStart") == []
    await shop.start("paid", DID, algorithm, pay=payer, most_fee=100)
    assert len(payer.done) == 2


async def test_a_broken_quote_buys_nothing(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata"), ALGORITHM: without("v")}
    with pytest.raises(AnswerNotUnderstoodError):
        await shop.order_for("paid", DID, PublishedAlgorithm(ALGORITHM), pay=payer)
    assert payer.done == []


@pytest.mark.parametrize("answer", [{"datasets": []}, {"datasets": [{}, {}]}, {"datasets": None}])
async def test_a_quote_for_something_else_buys_nothing(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet, answer: Any
) -> None:
    market._initializeCompute = lambda values: answer  # type: ignore[method-assign]
    with pytest.raises(AnswerNotUnderstoodError, match="other datasets"):
        await shop.order_for("paid", DID, RAW, pay=payer)
    assert payer.done == []


async def test_another_wallet_cannot_pay(shop: ComputeClient, market: MarketStandIn) -> None:
    stranger = NotedWallet("0x" + "5a" * 20, market)
    with pytest.raises(ClientUsageError, match="must be the one that signs"):
        await shop.order_for("paid", DID, RAW, pay=stranger)


async def test_a_wallet_on_another_chain_buys_nothing(
    shop: ComputeClient, market: MarketStandIn, wallet: Any
) -> None:
    market.quotes = {DID: sold("0xdata")}
    elsewhere = NotedWallet(wallet.address, market, chain_id=1)
    with pytest.raises(ClientUsageError, match="sold on chain 8996"):
        await shop.order_for("paid", DID, RAW, pay=elsewhere)
    assert elsewhere.done == []


async def test_an_environment_that_the_chain_does_not_offer(
    shop: ComputeClient, payer: NotedWallet
) -> None:
    with pytest.raises(NotFoundError, match="No environment 'small' is offered on chain 8996"):
        await shop.order_for("small", DID, RAW, pay=payer)


async def test_a_failed_order_starts_nothing_and_tells_what_was_bought(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata"), OTHER: sold("0xother")}
    payer.fails_at = 1
    told: list[Purchase] = []
    with pytest.raises(LookupError, match="reverted"):
        await shop.start("paid", [DID, OTHER], RAW, pay=payer, told=told.append)
    assert [purchase.did for purchase in told] == [DID]
    assert market.calls("computeStart") == []


async def test_an_order_that_was_not_paid_is_refused_by_the_provider(
    shop: ComputeClient, market: MarketStandIn
) -> None:
    market.quotes = {DID: sold("0xdata")}
    with pytest.raises(RefusedError):
        await shop.start("paid", Dataset(DID, transfer_tx_id=TX), RAW)


# a download


async def test_access_is_ordered_for_oneself(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: {**sold("0xdata"), "nonce": None}}
    bought = await shop.order_access(Dataset(DID, "1"), pay=payer)
    assert payer.done == [("start", "0xdata", shop.address, 1, a_fee())]
    assert bought == Dataset(DID, "1", transfer_tx_id=f"0x{1:064x}")
    again = await shop.order_access(bought, pay=payer)
    assert (again, len(payer.done)) == (bought, 1)


async def test_access_that_costs_too_much_is_not_ordered(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata", 1)}
    with pytest.raises(FeeTooHighError):
        await shop.order_access(DID, pay=payer, most_fee=0)
    assert payer.done == []


# what the wallet has


async def test_each_order_of_a_datatoken_needs_one_of_it(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata"), OTHER: sold("0xdata")}
    payer.balances = {"0xdata": 2 * 10**18 - 1}
    with pytest.raises(ChainRefusedError) as caught:
        await shop.order_for("paid", [DID, Dataset(OTHER)], RAW, pay=payer)
    for part in (f"{DID}#0", f"{OTHER}#0", "costs 2 of the datatoken 0xdata", "has 1.999"):
        assert part in str(caught.value)
    assert payer.done == []
    payer.balances = {"0xdata": 2 * 10**18}
    await shop.order_for("paid", [DID, OTHER], RAW, pay=payer)
    assert len(payer.done) == 2


async def test_the_algorithms_datatoken_is_looked_for_before_the_first_order(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata"), ALGORITHM: sold("0xalgo")}
    payer.balances = {"0xalgo": 0}
    with pytest.raises(ChainRefusedError, match=f"order of {ALGORITHM}#0 .*0xalgo.* has 0"):
        await shop.order_for("paid", DID, ALGORITHM, pay=payer)
    assert payer.done == []


async def test_a_renewed_order_needs_no_datatoken(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: {**sold("0xdata", 5), "validOrder": TX}}
    payer.balances = {"0xdata": 0}
    await shop.order_for("paid", DID, RAW, pay=payer)
    assert [what[0] for what in payer.done] == ["reuse"]


async def test_the_fees_of_all_orders_are_looked_at_together(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata", 60), OTHER: sold("0xother", 40)}
    payer.balances, payer.decimals = {FEE_TOKEN: 99}, {FEE_TOKEN: 1}
    expected = rf"fee is 100 base units of {FEE_TOKEN} \(10 whole tokens\).* has 99 \(9.9\)"
    with pytest.raises(ChainRefusedError, match=expected):
        await shop.order_for("paid", [DID, OTHER], RAW, pay=payer)
    assert payer.done == []
    payer.balances = {FEE_TOKEN: 100}
    await shop.order_for("paid", [DID, OTHER], RAW, pay=payer)
    assert len(payer.done) == 2


async def test_a_fee_for_nobody_is_not_looked_for(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    quote = sold("0xdata", 60)
    quote["providerFee"]["providerFeeAddress"] = "0x" + "0" * 40
    market.quotes, payer.balances = {DID: quote}, {FEE_TOKEN: 0}
    await shop.order_for("paid", DID, RAW, pay=payer)
    assert len(payer.done) == 1


async def test_a_service_that_is_not_there_stops_all_orders(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata"), OTHER: sold("0xother")}
    with pytest.raises(ClientUsageError, match="no service '9'"):
        await shop.order_for("paid", [DID, f"{OTHER}#9"], RAW, pay=payer)
    assert payer.done == []


async def test_what_was_ordered_before_a_failure_is_noted_on_it(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.quotes = {DID: sold("0xdata"), OTHER: sold("0xother")}
    payer.fails_at, payer.failure = 1, ChainRefusedError("no")
    with pytest.raises(ChainRefusedError) as caught:
        await shop.order_for("paid", [DID, OTHER], RAW, pay=payer)
    (note,) = caught.value.__notes__
    assert f"{DID}#0" in note
    assert f"0x{1:064x}" in note


# an algorithm by its DID


async def test_an_algorithm_is_given_by_its_did(
    shop: ComputeClient, market: MarketStandIn, payer: NotedWallet
) -> None:
    market.documents[ALGORITHM] = a_document(ALGORITHM, "0", "1")
    market.quotes = {ALGORITHM: sold("0xalgo")}
    ordered = await shop.order_for("paid", DID, f"{ALGORITHM}#1", pay=payer)
    expected = PublishedAlgorithm(ALGORITHM, "1", transfer_tx_id=f"0x{1:064x}")
    assert ordered.algorithm == expected
    await shop.initialize_compute("paid", DID, ALGORITHM)
    assert market.calls("initializeCompute")[-1]["algorithm"] == {
        "documentId": ALGORITHM,
        "serviceId": "0",
    }
    await shop.start("paid", f"{DID}#1", f"{ALGORITHM}#1", pay=payer)
    (sent,) = market.calls("computeStart")
    assert (sent["algorithm"]["documentId"], sent["algorithm"]["serviceId"]) == (ALGORITHM, "1")


@pytest.mark.parametrize("wrong", [None, 7, b"did:op:1", {"did": DID}, Dataset(DID), "train.py"])
async def test_what_is_no_algorithm(shop: ComputeClient, payer: NotedWallet, wrong: Any) -> None:
    with pytest.raises(ClientUsageError, match=r"[Aa]lgorithm"):
        await shop.start("paid", DID, wrong)
    with pytest.raises(ClientUsageError, match=r"[Aa]lgorithm"):
        await shop.order_for("paid", DID, wrong, pay=payer)
    with pytest.raises(ClientUsageError, match=r"[Aa]lgorithm"):
        await shop.initialize_compute("paid", DID, wrong)


@pytest.mark.parametrize("wrong", [None, 7, {"did": DID}, [7], [DID, None], RAW])
async def test_what_is_no_dataset(shop: ComputeClient, wrong: Any) -> None:
    with pytest.raises(ClientUsageError, match="A dataset is"):
        await shop.start("paid", wrong, RAW)

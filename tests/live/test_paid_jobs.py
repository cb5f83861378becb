"""Jobs that cost money: what is asked, what arrives, how long it lasts, and what may follow."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from math import ceil

import pytest
import pytest_asyncio
from eth_abi.abi import decode
from eth_utils.crypto import keccak
from live_market import CONSUMER, PROVIDER, PUBLISHER, ROWS, files, offers, serving, settings_of
from live_parties import (
    TOKEN,
    Party,
    algorithm,
    code_of,
    dataset,
    named,
    parties,
    raw,
    sell,
    service,
)
from support.consumer import Refused
from support.devchain import DevChain
from support.lookalike import PROVIDER_FEE
from support.service import Service

from provider.client import Dataset, Ordered, Published, Purchase, RefusedError

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

OTHER_ROWS = "a,b\n5,6\n"
PER_MINUTE = Decimal("1.5") * TOKEN
ENDLESS = "sleep 100"
PRINT = "cat /data/inputs/*/0 > /data/outputs/rows.csv"
GRACE_S = 40
FEE_TOPIC = "0x" + keccak(text=PROVIDER_FEE).hex()


@dataclass
class Shop:
    """One provider, a publisher with his assets, a consumer with datatokens and OCEAN."""

    chain: DevChain
    consumer: Party
    first: Published
    second: Published
    count: Published

    async def earned(self) -> int:
        provider = self.chain.accounts[PROVIDER].address
        return await self.consumer.wallet.balance_of(self.chain.addresses["Ocean"], provider)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(devchain: DevChain, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    provider = Service(tmp_path_factory.mktemp("paid") / "provider")
    free, paid = offers(devchain)
    provider.environments(free, paid, {**paid, "id": "narrow", "maxJobs": 1})
    async with (
        files(other_csv=OTHER_ROWS) as origin,
        serving(provider, **settings_of(devchain)),
        parties(devchain, provider, PUBLISHER, CONSUMER) as (publisher, consumer),
    ):
        first = dataset("Rows", service(origin, allowRawAlgorithm=True))
        second = dataset("More rows", service(origin, file="other.csv"))
        count = algorithm("Count", service(origin, "access", "count.sh"))
        sold = [await sell(publisher, draft, consumer) for draft in (first, second, count)]
        yield Shop(devchain, consumer, *sold)


async def test_the_provider_gets_the_price_of_each_second_to_the_unit(shop: Shop) -> None:
    before, told = await shop.earned(), list[Purchase]()
    job = await shop.consumer.client.start(
        "paid",
        named(shop.first),
        code_of(shop.count),
        pay=shop.consumer.wallet,
        duration_s=100,
        told=told.append,
    )
    assert [each.fee > 0 for each in told] == [True, False]
    amount, seconds = _paid_for(shop, told[0])
    assert 60 <= seconds <= 101
    assert amount == told[0].fee == ceil(PER_MINUTE * seconds / 60)
    assert await shop.earned() - before == told[0].fee
    finished = await shop.consumer.finish(job)
    assert finished.succeeded, finished
    assert (await shop.consumer.results(finished))["rows.csv"] == ROWS
    assert finished.raw["agreementId"] == told[0].tx


def _paid_for(shop: Shop, purchase: Purchase) -> tuple[int, int]:
    """Amount and seconds of a fee, as the datatoken logged them."""
    receipt = shop.chain.receipt(purchase.tx)
    assert receipt is not None
    [log] = [each for each in receipt["logs"] if each["topics"][0] == FEE_TOPIC]
    kinds = ["uint256", "bytes", "uint8", "bytes32", "bytes32", "uint256"]
    amount, data, *_, valid_until = decode(kinds, bytes.fromhex(log["data"][2:]))
    return amount, ceil(valid_until - json.loads(data)["timestamp"])


async def test_a_job_is_over_when_the_paid_time_is_and_may_go_on_when_it_is_renewed(
    shop: Shop,
) -> None:
    client, seconds = shop.consumer.client, 12
    asked_at = time.time()
    ordered = await client.order_for(
        "paid", named(shop.first), raw(ENDLESS), pay=shop.consumer.wallet, duration_s=seconds
    )
    ends_at = int(asked_at) + seconds + 1
    job = await shop.consumer.finish(await client.start("paid", ordered.datasets, raw(ENDLESS)))
    assert (job.status, job.reason) == (41, "paid_time_over"), job
    assert job.ended is not None
    assert job.ended <= ends_at + GRACE_S
    with pytest.raises(RefusedError) as refused:
        await client.start("paid", ordered.datasets, raw(PRINT))
    assert (refused.value.status, refused.value.code) == (400, "order_invalid")
    await _renewed(shop, ordered)


async def _renewed(shop: Shop, ordered: Ordered) -> None:
    """A new fee, no new datatoken."""
    client, told = shop.consumer.client, list[Purchase]()
    tokens = await shop.consumer.wallet.balance_of(shop.first.datatokens[0])
    again = await client.start(
        "paid",
        ordered.datasets,
        raw(PRINT),
        pay=shop.consumer.wallet,
        duration_s=90,
        told=told.append,
    )
    assert (await shop.consumer.finish(again)).succeeded
    assert [each.renewed for each in told] == [True]
    assert told[0].fee >= ceil(PER_MINUTE * 60 / 60)
    assert await shop.consumer.wallet.balance_of(shop.first.datatokens[0]) == tokens


async def test_one_order_carries_one_job_at_a_time_and_another_one_after_it(shop: Shop) -> None:
    client = shop.consumer.client
    ordered = await client.order_for(
        "paid", named(shop.first), raw(ENDLESS), pay=shop.consumer.wallet, duration_s=300
    )
    first = await client.start("paid", ordered.datasets, raw(ENDLESS))
    nonce = await shop.consumer.nonce()
    with pytest.raises(Refused) as refused:
        await shop.consumer.start_plainly("paid", ordered.datasets[0])
    assert refused.value.status == 409
    assert "has not finished" in refused.value.body["error"]
    assert await shop.consumer.nonce() == nonce
    await client.stop(first.id)
    assert (await shop.consumer.finish(first)).status == 7
    for _ in range(2):
        job = await client.start("paid", ordered.datasets, raw(PRINT))
        finished = await shop.consumer.finish(job)
        assert finished.succeeded, finished
        assert finished.raw["agreementId"] == ordered.purchases[0].tx


async def test_a_free_environment_costs_datatokens_alone(shop: Shop) -> None:
    wallet, ocean = shop.consumer.wallet, shop.chain.addresses["Ocean"]
    had = [await wallet.balance_of(token) for token in (ocean, *shop.first.datatokens)]
    ordered = await shop.consumer.client.order_for(
        "free", named(shop.first), raw(PRINT), pay=wallet, duration_s=60
    )
    assert [each.fee for each in ordered.purchases] == [0]
    job = await shop.consumer.client.start("free", ordered.datasets, raw(PRINT))
    assert (await shop.consumer.finish(job)).succeeded
    has = [await wallet.balance_of(token) for token in (ocean, *shop.first.datatokens)]
    assert has == [had[0], had[1] - TOKEN]
    with pytest.raises(RefusedError) as refused:
        await shop.consumer.client.start("paid", ordered.datasets, raw(PRINT))
    assert refused.value.code == "order_invalid"


async def test_two_datasets_and_an_algorithm_are_paid_with_one_fee(shop: Shop) -> None:
    client = shop.consumer.client
    chosen = [named(shop.first), named(shop.second)]
    told: list[Purchase] = []
    ordered = await client.order_for(
        "paid",
        chosen,
        code_of(shop.count),
        pay=shop.consumer.wallet,
        duration_s=60,
        told=told.append,
    )
    assert [each.fee > 0 for each in told] == [True, False, False]
    assert len({each.tx for each in ordered.purchases}) == 3
    without = [ordered.datasets[0], Dataset(shop.second.did)]
    with pytest.raises(RefusedError) as refused:
        await client.start("paid", without, ordered.algorithm)
    assert refused.value.status == 400
    job = await shop.consumer.finish(
        await client.start("paid", ordered.datasets, ordered.algorithm)
    )
    assert job.succeeded, job
    found = await shop.consumer.results(job)
    assert sorted(found["rows.csv"].splitlines()) == sorted((ROWS + OTHER_ROWS).splitlines())
    told_dids = [f"did:op:{each}" for each in json.loads(found["dids.json"])]
    assert told_dids == [shop.first.did, shop.second.did]


async def test_what_waits_until_its_paid_time_is_over_never_runs(shop: Shop) -> None:
    client, wallet = shop.consumer.client, shop.consumer.wallet
    blocking = await client.start(
        "narrow", named(shop.first), raw(ENDLESS), pay=wallet, duration_s=90
    )
    waiting = await client.start("narrow", named(shop.first), raw(PRINT), pay=wallet, duration_s=12)
    job = await shop.consumer.finish(waiting)
    assert (job.status, job.reason) == (2, "paid_time_over"), job
    assert not job.results
    await client.stop(blocking.id)
    assert (await shop.consumer.finish(blocking)).status == 7

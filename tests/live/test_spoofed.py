"""Orders that are none, on a real chain: each is refused in the words that clients know,
starts nothing, hands out nothing, and uses up nobody's nonce."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from eth_abi.packed import encode_packed
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak
from live_market import (
    CONSUMER,
    PUBLISHER,
    ROWS,
    STRANGER,
    Origin,
    files,
    offers,
    serving,
    settings_of,
)
from live_parties import TOKEN, Party, dataset, named, parties, raw, sell, service
from support.consumer import Refused
from support.devchain import DevChain
from support.lookalike import Event, Lookalike
from support.service import Service

from provider.client import Dataset, Published, RefusedError
from provider.client.contract_calls import APPROVE

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

COMPUTE, ACCESS = 0, 1
ORDER_STARTED = "0xe1c4fa794edfa8f619b8257a077398950357b9c6398528f94480307352f9afcc"
NO_FEE = "Cannot find the event for the provider fee in tx id {}."
NOT_THEIRS = "sender of order transaction is not the consumer/payer."
FAILED = "order transaction failed."
UNKNOWN = "Transaction {} is not known on this chain."
OTHER_ENVIRONMENT = "Mismatch between ordered c2d environment and selected one."
PENDING = "Transaction {} has 0 of 1 confirmations; try again in a moment."
NOT_IN_USE = ("ASSET_DISABLED", "Asset is not consumable.")
"""Which of them depends on who notices first: the index, or the contract when it is asked."""
OTHER_PROVIDER = "does not match the provider address"
NEVER_SENT = "0x" + "5a" * 32


@dataclass
class Shop:
    """A provider, two assets with a service of each kind, genuine orders of the consumer for
    the first one, and a stranger who has datatokens of his own."""

    chain: DevChain
    provider: Service
    origin: Origin
    publisher: Party
    consumer: Party
    stranger: Party
    asset: Published
    other: Published
    compute: Dataset
    access: Dataset

    async def fee(self) -> dict[str, Any]:
        """For the consumer's computing on the first asset."""
        return dict(await self.consumer.fee("free", named(self.asset), 300))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(devchain: DevChain, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    provider = Service(tmp_path_factory.mktemp("spoofed") / "provider")
    provider.environments(*offers(devchain))
    async with (
        files() as origin,
        serving(provider, **settings_of(devchain)),
        parties(devchain, provider, PUBLISHER, CONSUMER, STRANGER) as (seller, buyer, stranger),
    ):
        services = service(origin, allowRawAlgorithm=True), service(origin, "access")
        asset, other = [
            await sell(seller, dataset(name, *services), buyer, stranger)
            for name in ("Rows", "Other rows")
        ]
        compute = (await _ordered(buyer, "free", named(asset))).datasets[0]
        access = await buyer.client.order_access(named(asset, ACCESS), pay=buyer.wallet)
        yield Shop(
            devchain, provider, origin, seller, buyer, stranger, asset, other, compute, access
        )


async def _ordered(party: Party, environment: str, asset: Dataset) -> Any:
    return await party.client.order_for(
        environment, asset, raw("true"), pay=party.wallet, duration_s=300
    )


async def _refused_start(
    shop: Shop, who: Party, asset: Dataset, why: str, environment: str = "free"
) -> None:
    """400, the code that clients know, and the reason in the provider's log."""
    lines, before = len(shop.provider.log().splitlines()), await _belongings(who)
    with pytest.raises(Refused) as refused:
        await who.start_plainly(environment, asset)
    assert refused.value.status == 400
    assert refused.value.body == {"error": {"dataset.serviceId": "order_invalid"}}
    assert why.format(asset.transfer_tx_id) in "\n".join(shop.provider.log().splitlines()[lines:])
    assert await _belongings(who) == before


async def _refused_download(who: Party, asset: Dataset, why: str) -> None:
    before = await _belongings(who)
    with pytest.raises(Refused) as refused:
        await who.download_plainly(asset)
    tx = asset.transfer_tx_id
    assert refused.value.status == 400
    assert refused.value.body["error"].endswith(
        f": Order with tx_id {tx} could not be validated due to error: {why.format(tx)}"
    )
    assert await _belongings(who) == before


async def _belongings(who: Party) -> tuple[str, list[str]]:
    """The nonce and the jobs that the provider keeps of somebody."""
    query = {"consumerAddress": who.address}
    jobs = await who.plain.call("GET", "/api/services/compute", params=query)
    return await who.nonce(), sorted(str(job) for job in jobs)


async def test_a_genuine_order_is_good(shop: Shop) -> None:
    """Else all that follows would prove nothing."""
    job = await shop.consumer.client.start("free", shop.compute, raw("true"))
    assert (await shop.consumer.finish(job)).succeeded
    assert await shop.consumer.download_plainly(shop.access) == ROWS


async def test_the_same_events_from_another_contract(shop: Shop) -> None:
    forger = shop.stranger
    contract = Lookalike(shop.chain, forger.account)
    spoofed = []
    for asset in (shop.compute, shop.access):
        events = _forged(shop.chain, str(asset.transfer_tx_id), forger.address)
        assert len(events) >= 2
        spoofed.append(replace(asset, transfer_tx_id=contract.emit(*events)))
    await _refused_start(shop, forger, spoofed[COMPUTE], NO_FEE)
    await _refused_download(forger, spoofed[ACCESS], NO_FEE)


def _forged(chain: DevChain, genuine: str, forger: str) -> list[Event]:
    """What the datatokens said in a genuine order, with the forger as consumer and payer."""
    receipt = chain.receipt(genuine)
    assert receipt is not None
    events = []
    for log in receipt["logs"]:
        topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
        data = bytes.fromhex(log["data"][2:])
        if log["topics"][0] == ORDER_STARTED:
            word = bytes.fromhex(forger[2:]).rjust(32, b"\0")
            topics[1], data = word, word + data[32:]
        events.append(Event(topics, data))
    return events


async def test_the_order_of_somebody_else(shop: Shop) -> None:
    await _refused_start(shop, shop.stranger, shop.compute, NOT_THEIRS)
    await _refused_download(shop.stranger, shop.access, NOT_THEIRS)


async def test_the_order_of_another_service_of_the_asset(shop: Shop) -> None:
    swapped = replace(shop.compute, transfer_tx_id=shop.access.transfer_tx_id)
    await _refused_start(shop, shop.consumer, swapped, NO_FEE)
    swapped = replace(shop.access, transfer_tx_id=shop.compute.transfer_tx_id)
    await _refused_download(shop.consumer, swapped, NO_FEE)


async def test_the_order_of_another_asset(shop: Shop) -> None:
    other = named(shop.other, COMPUTE, shop.compute.transfer_tx_id)
    await _refused_start(shop, shop.consumer, other, NO_FEE)
    other = named(shop.other, ACCESS, shop.access.transfer_tx_id)
    await _refused_download(shop.consumer, other, NO_FEE)


async def test_an_order_for_another_environment(shop: Shop) -> None:
    await _refused_start(shop, shop.consumer, shop.compute, OTHER_ENVIRONMENT, "paid")


async def test_a_fee_that_was_quoted_for_another_service(shop: Shop) -> None:
    """The contract takes it, for it only looks at the signature."""
    fee = await shop.fee()
    tx = shop.consumer.send_order(shop.asset.datatokens[ACCESS], shop.consumer.address, ACCESS, fee)
    assert _status(shop.chain, tx) == "0x1"
    await _refused_download(shop.consumer, named(shop.asset, ACCESS, tx), NO_FEE)
    await _refused_start(shop, shop.consumer, named(shop.asset, COMPUTE, tx), NO_FEE)


async def test_a_renewal_of_an_order_of_somebody_else(shop: Shop) -> None:
    """Anybody may call the contract's ``reuseOrder`` with any order; that buys nothing."""
    fee = await shop.stranger.fee("free", named(shop.asset), 300)
    tx = shop.stranger.send_reuse(
        shop.asset.datatokens[COMPUTE], str(shop.compute.transfer_tx_id), fee
    )
    assert _status(shop.chain, tx) == "0x1"
    await _refused_start(shop, shop.stranger, named(shop.asset, COMPUTE, tx), NOT_THEIRS)


async def test_a_reverted_order(shop: Shop) -> None:
    fee = await shop.fee() | {"providerFeeAmount": "1"}
    tx = shop.consumer.send_order(
        shop.asset.datatokens[COMPUTE], shop.consumer.address, COMPUTE, fee
    )
    assert _status(shop.chain, tx) == "0x0"
    await _refused_start(shop, shop.consumer, named(shop.asset, COMPUTE, tx), FAILED)
    await _refused_download(shop.consumer, named(shop.asset, ACCESS, tx), FAILED)


async def test_a_transaction_that_is_no_order(shop: Shop) -> None:
    data = APPROVE.data(shop.stranger.address, TOKEN)
    tx = shop.chain.send(shop.consumer.account, shop.asset.datatokens[COMPUTE], data)
    assert _status(shop.chain, tx) == "0x1"
    await _refused_start(shop, shop.consumer, named(shop.asset, COMPUTE, tx), NO_FEE)


async def test_an_unknown_transaction(shop: Shop) -> None:
    await _refused_start(shop, shop.consumer, named(shop.asset, COMPUTE, NEVER_SENT), UNKNOWN)
    await _refused_download(shop.consumer, named(shop.asset, ACCESS, NEVER_SENT), UNKNOWN)


async def test_a_pending_order_becomes_good_when_it_is_mined(shop: Shop) -> None:
    fee = await shop.fee()
    with shop.chain.waiting():
        tx = shop.consumer.send_order(
            shop.asset.datatokens[COMPUTE], shop.consumer.address, COMPUTE, fee
        )
        asset, before = named(shop.asset, COMPUTE, tx), await _belongings(shop.consumer)
        with pytest.raises(Refused) as refused:
            await shop.consumer.start_plainly("free", asset)
        assert (refused.value.status, refused.value.body) == (400, {"error": PENDING.format(tx)})
        assert await _belongings(shop.consumer) == before
    shop.chain.mine()
    job = await shop.consumer.client.start("free", asset, raw("true"))
    assert (await shop.consumer.finish(job)).succeeded


async def test_an_order_that_a_reorganisation_undid(shop: Shop) -> None:
    """Known and used once; then the chain goes back and grows past it without the order."""
    with shop.chain.undone():
        ordered = await _ordered(shop.consumer, "free", named(shop.asset))
        job = await shop.consumer.client.start("free", ordered.datasets, raw("true"))
        assert (await shop.consumer.finish(job)).succeeded
        height = shop.chain.height
    shop.chain.mine(height - shop.chain.height + 2)
    await _refused_start(shop, shop.consumer, ordered.datasets[0], UNKNOWN)
    again = await shop.consumer.client.start("free", shop.compute, raw("true"))
    assert (await shop.consumer.finish(again)).succeeded


async def test_an_order_whose_time_is_over_is_made_anew(shop: Shop) -> None:
    """The service is sold for some seconds; a renewal of the fee would not lengthen them."""
    services = [service(shop.origin, timeout_s=10, allowRawAlgorithm=True)]
    brief = await sell(shop.publisher, dataset("Brief", *services), shop.consumer)
    ordered = await _ordered(shop.consumer, "free", named(brief))
    over_at = time.time() + 11
    job = await shop.consumer.client.start("free", ordered.datasets, raw("true"))
    assert (await shop.consumer.finish(job)).succeeded
    await asyncio.sleep(max(0.0, over_at - time.time()))
    expired = ordered.datasets[0]
    await _refused_start(shop, shop.consumer, expired, "The order has expired.")
    again = await _ordered(shop.consumer, "free", expired)
    assert [each.renewed for each in again.purchases] == [False]
    job = await shop.consumer.client.start("free", again.datasets, raw("true"))
    assert (await shop.consumer.finish(job)).succeeded


async def test_an_order_of_an_asset_that_is_revoked(shop: Shop) -> None:
    """It buys nothing while the asset is; it was paid, so it counts again when it is back."""
    wallet = shop.publisher.wallet
    await wallet.set_metadata_state(shop.asset.nft, 3)
    assert await _comes_true(shop, usable=False)
    before = await _belongings(shop.consumer)
    with pytest.raises(Refused) as refused:
        await shop.consumer.start_plainly("free", shop.compute)
    assert refused.value.status == 400
    assert any(text in str(refused.value.body) for text in NOT_IN_USE)
    with pytest.raises(Refused) as refused:
        await shop.consumer.download_plainly(shop.access)
    assert refused.value.status == 400
    assert await _belongings(shop.consumer) == before
    await wallet.set_metadata_state(shop.asset.nft, 0)
    assert await _comes_true(shop, usable=True)
    job = await shop.consumer.client.start("free", shop.compute, raw("true"))
    assert (await shop.consumer.finish(job)).succeeded


async def _comes_true(shop: Shop, *, usable: bool) -> bool:
    """Within the seconds for which a state is kept in mind, quotes are as ``usable`` says."""
    client = shop.consumer.client
    async with asyncio.timeout(90):
        while True:
            try:
                await client.initialize_compute("free", shop.compute, raw("true"), duration_s=60)
            except RefusedError:
                if not usable:
                    return True
            else:
                if usable:
                    return True
            await asyncio.sleep(0.2)


async def test_an_order_of_a_provider_with_another_key(shop: Shop) -> None:
    """The fee is the provider's word; here somebody else signed it."""
    fee = await shop.fee()
    forged = _signed_by(shop.stranger, fee)
    tx = shop.consumer.send_order(
        shop.asset.datatokens[COMPUTE], shop.consumer.address, COMPUTE, forged
    )
    assert _status(shop.chain, tx) == "0x1"
    await _refused_start(shop, shop.consumer, named(shop.asset, COMPUTE, tx), OTHER_PROVIDER)


def _signed_by(who: Party, fee: Mapping[str, Any]) -> dict[str, Any]:
    """The same terms as a fee that somebody else asks, validly signed."""
    packed = encode_packed(
        ["bytes", "address", "address", "uint256", "uint256"],
        [
            bytes.fromhex(str(fee["providerData"]).removeprefix("0x")),
            who.address,
            fee["providerFeeToken"],
            int(fee["providerFeeAmount"]),
            int(fee["validUntil"]),
        ],
    )
    signed = who.account.sign_message(encode_defunct(keccak(packed)))
    return {
        **fee,
        "providerFeeAddress": who.address,
        "v": signed.v,
        "r": "0x" + signed.r.to_bytes(32, "big").hex(),
        "s": "0x" + signed.s.to_bytes(32, "big").hex(),
    }


def _status(chain: DevChain, tx: str) -> str:
    receipt = chain.receipt(tx)
    assert receipt is not None
    return str(receipt["status"])

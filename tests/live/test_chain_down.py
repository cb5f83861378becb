"""The chain's node goes away, hangs, comes back, and is one of another chain."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from live_market import CONSUMER, PUBLISHER, ROWS, files, offers, serving, settings_of
from live_parties import Party, dataset, named, parties, raw, sell, service
from support.consumer import Refused
from support.devchain import DevChain
from support.service import DATASET, Service, dataset_document
from support.tcp_gate import TcpGate

from provider.client import Dataset, ProviderUnreachableError, Published

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

TEXTS = (
    "Chain 8996 cannot be asked at the moment; try again.",
    "Assets cannot be looked up at the moment; try again.",
)
PRINT = "cat /data/inputs/*/0 > /data/outputs/rows.csv"
FREE = Dataset(DATASET, "compute")
ANSWERS_S = 20.0
"""How long an order may keep its asker waiting: two questions at a time-out of a second."""


@dataclass
class Shop:
    chain: DevChain
    gate: TcpGate
    provider: Service
    consumer: Party
    asset: Published
    order: Dataset


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(devchain: DevChain, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """The asset is published and ordered by way of the open gate; then the provider starts
    anew, with nothing in its database, while the gate is shut."""
    folder = tmp_path_factory.mktemp("down")
    gate, provider = TcpGate(devchain.url), Service(folder / "provider")
    earlier = Service(folder / "earlier")
    provider.environments(*offers(devchain))
    free = dataset_document(DATASET, [{"type": "localfile", "path": "rows.csv"}])
    free["services"][0]["datatokenAddress"] = ""
    provider.publish(free)
    settings = settings_of(devchain, NETWORK_URL=gate.url, RPC_TIMEOUT="1")
    async with files() as origin, gate:
        earlier.environments(*offers(devchain))
        async with (
            serving(earlier, **settings),
            parties(devchain, earlier, PUBLISHER, CONSUMER) as (publisher, buyer),
        ):
            draft = dataset("Rows", service(origin, allowRawAlgorithm=True))
            asset = await sell(publisher, draft, buyer)
            ordered = await buyer.client.order_for(
                "free", named(asset), raw("true"), pay=buyer.wallet, duration_s=600
            )
        await gate.shut()
        async with (
            serving(provider, **settings),
            parties(devchain, provider, CONSUMER) as (consumer,),
        ):
            yield Shop(devchain, gate, provider, consumer, asset, ordered.datasets[0])


async def _finished(shop: Shop, asset: Dataset) -> str:
    """What a job over an asset gives."""
    started = await shop.consumer.start_plainly("free", asset, PRINT)
    job = await shop.consumer.plain.follow(started[0]["jobId"])
    assert job["status"] == 70, job
    found = await shop.consumer.plain.files(job)
    return found["rows.csv"].decode()


async def _refused(shop: Shop) -> None:
    """A new order: 503 in time, and nothing is kept of the attempt."""
    asset = replace(shop.order, transfer_tx_id="0x" + secrets.token_hex(32))
    nonce, asked_at = await shop.consumer.nonce(), time.monotonic()
    with pytest.raises(Refused) as refused:
        await shop.consumer.start_plainly("free", asset)
    assert refused.value.status == 503
    assert refused.value.body["error"] in TEXTS
    assert time.monotonic() - asked_at < ANSWERS_S
    assert await shop.consumer.nonce() == nonce


async def _serves_what_needs_no_chain(shop: Shop) -> None:
    """Environments, a job over the operator's own data, its status and its result."""
    environments = await shop.consumer.plain.call("GET", "/api/services/computeEnvironments")
    assert "free" in json.dumps(environments)
    assert await _finished(shop, FREE) == ROWS


async def _comes_back(shop: Shop) -> None:
    """Wait until a start is not put off any more: it must not take long."""
    async with asyncio.timeout(90):
        while await _is_put_off(shop):
            await asyncio.sleep(0.25)
    assert await _finished(shop, shop.order) == ROWS


async def _is_put_off(shop: Shop) -> bool:
    try:
        await shop.consumer.client.initialize_compute("free", shop.order, raw("true"))
    except ProviderUnreachableError as put_off:
        if put_off.status != 503:
            raise
        return True
    return False


async def test_it_starts_and_serves_while_no_node_can_be_reached(shop: Shop) -> None:
    await _serves_what_needs_no_chain(shop)
    await _refused(shop)
    with pytest.raises(Refused) as refused:
        await shop.consumer.plain.call("GET", f"/api/aquarius/assets/ddo/{shop.asset.did}")
    assert refused.value.status == 503


async def test_it_works_without_a_restart_once_the_node_is_there(shop: Shop) -> None:
    await shop.gate.open()
    await _comes_back(shop)
    assert (await shop.consumer.client.asset(shop.asset.did))["id"] == shop.asset.did


async def test_a_node_that_is_lost_takes_orders_along_and_nothing_else(shop: Shop) -> None:
    started = await shop.consumer.start_plainly("free", shop.order, f"sleep 4; {PRINT}")
    await shop.consumer.plain.follow(started[0]["jobId"], {40})
    await shop.gate.shut()
    try:
        await _refused(shop)
        running = await shop.consumer.plain.status(started[0]["jobId"])
        assert running["status"] in {40, 50, 60, 70}
        job = await shop.consumer.plain.follow(started[0]["jobId"])
        assert job["status"] == 70, job
        assert (await shop.consumer.plain.files(job))["rows.csv"].decode() == ROWS
        await _serves_what_needs_no_chain(shop)
    finally:
        await shop.gate.open()


async def test_a_node_that_hangs_keeps_nobody_waiting(shop: Shop) -> None:
    await shop.gate.silence()
    try:
        asked_at = time.monotonic()
        await shop.consumer.plain.call("GET", "/api/services/computeEnvironments")
        assert time.monotonic() - asked_at < 2.9, "a node is given up after three"
        await _refused(shop)
        await _serves_what_needs_no_chain(shop)
    finally:
        await shop.gate.open()
    await _comes_back(shop)


async def test_a_node_of_another_chain_stops_the_start(shop: Shop, tmp_path: Path) -> None:
    """The configuration says chain 1; the node says otherwise."""
    networks = json.loads(shop.chain.address_file.read_text())
    networks["development"]["chainId"] = 1
    address_file = tmp_path / "address.json"
    address_file.write_text(json.dumps(networks))
    lied_to = Service(tmp_path / "provider")
    settings = settings_of(shop.chain, NETWORK_URL=shop.chain.url, CHAIN_ID="1")
    with pytest.raises(AssertionError):
        await lied_to.start(**settings | {"ADDRESS_FILE": str(address_file)})
    assert lied_to.stop() == 2
    log = lied_to.log()
    assert "NETWORK_URL: node 1 for chain 1 is of chain 8996" in log
    assert shop.chain.url not in log
    assert "Traceback" not in log

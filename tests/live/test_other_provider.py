"""Two providers on one chain: a job at the first one uses what only the other one keeps.

The other one seals its assets with its own key, gives files to those who ordered them, opens
its documents for the first one alone, and stands behind a gate that can be shut.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from live_market import (
    CONSUMER,
    COUNT,
    OTHER,
    PROVIDER,
    PUBLISHER,
    ROWS,
    STRANGER,
    Origin,
    files,
    offers,
    serving,
    settings_of,
)
from live_parties import Party, algorithm, code_of, dataset, named, parties, sell, service
from support.consumer import Refused
from support.devchain import DevChain
from support.service import Service, free_port
from support.tcp_gate import TcpGate

from provider.client import (
    ComputeClient,
    NotFoundError,
    Ordered,
    Patience,
    Published,
    RefusedError,
)

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

FAR_ROWS = "a,b\n5,6\n"
CHECKSUM = hashlib.sha256(COUNT.encode()).hexdigest()
TOO_LATE = "Another provider that one of the assets needs does not answer; try again."


@dataclass
class Street:
    """``main`` is here and trusts what ``count`` (there) and ``local`` (here) are by their
    files' checksum; ``extra`` is there for access, ``guarded`` there for computing alone."""

    chain: DevChain
    origin: Origin
    gate: TcpGate
    here: Service
    there: Service
    seller: Party
    buyer: Party
    buyer_there: Party
    main: Published
    extra: Published
    guarded: Published
    count: Published
    local: Published

    async def order(self, items: list[Any], code: Published, place: str = "free") -> Ordered:
        return await self.buyer.client.order_for(
            place, items, code_of(code), pay=self.buyer.wallet, duration_s=120
        )

    async def compute(
        self, items: list[Any], code: Published, place: str = "free"
    ) -> dict[str, str]:
        ordered = await self.order(items, code, place)
        assert [each.fee > 0 for each in ordered.purchases].count(True) == (place == "paid")
        job = await self.buyer.client.start(place, ordered.datasets, ordered.algorithm)
        finished = await self.buyer.finish(job)
        assert finished.succeeded, finished
        return await self.buyer.results(finished)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(
    devchain: DevChain, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Street]:
    folder = tmp_path_factory.mktemp("street")
    here, there = Service(folder / "here"), Service(folder / "there")
    for each in (here, there):
        each.environments(*offers(devchain))
    first = devchain.accounts[PROVIDER].address
    port = str(free_port())
    gate = TcpGate(f"http://127.0.0.1:{port}")
    far = settings_of(
        devchain,
        OTHER,
        LISTEN_PORT=port,
        PUBLIC_URL=gate.url,
        AUTHORIZED_DECRYPTERS=f"{first},{devchain.accounts[OTHER].address}",
        COMPUTE_DOWNLOADERS=first,
    )
    own = str(free_port())
    near = settings_of(devchain, LISTEN_PORT=own, PUBLIC_URL=f"http://127.0.0.1:{own}")
    async with (
        files(far_csv=FAR_ROWS) as origin,
        gate,
        serving(there, **far),
        serving(here, **near),
        parties(devchain, there, STRANGER, CONSUMER) as (far_seller, buyer_there),
        parties(devchain, here, PUBLISHER, CONSUMER) as (seller, buyer),
    ):
        drafts = (
            dataset("Far", service(origin, "access", "far.csv")),
            dataset("Far and guarded", service(origin, "compute", "far.csv")),
            algorithm("Far code", service(origin, "access", "count.sh")),
        )
        extra, guarded, count = [
            await sell(far_seller, draft, buyer, url=gate.url) for draft in drafts
        ]
        near_code = algorithm("Near code", service(origin, "access", "count.sh"))
        local = await sell(seller, near_code, buyer)
        trusted = [{"did": one.did, "filesChecksum": CHECKSUM} for one in (count, local)]
        draft = dataset("Near", service(origin, publisherTrustedAlgorithms=trusted))
        main = await sell(seller, draft, buyer)
        for far_one in (extra, guarded, count):
            await seller.client.wait_for_asset(far_one.did, far_one.tx, timeout_s=120)
        yield Street(
            devchain,
            origin,
            gate,
            here,
            there,
            seller,
            buyer,
            buyer_there,
            main,
            extra,
            guarded,
            count,
            local,
        )


async def test_documents_that_the_other_one_sealed_are_opened_by_it(street: Street) -> None:
    found = await street.buyer.client.asset(street.extra.did)
    assert found["metadata"]["name"] == "Far"
    opened = f"document_opened nft={street.extra.nft.lower()}"
    assert opened in street.there.log()
    assert opened not in street.here.log()


async def test_a_dataset_and_an_algorithm_of_the_other_one_are_used_in_a_job(
    street: Street,
) -> None:
    """Its checksum of the algorithm's files, asked of it, is what the dataset trusts. It
    gives the files to the environment's address, for which they were ordered."""
    items = [named(street.main), named(street.extra)]
    found = await street.compute(items, street.count, "paid")
    assert sorted(found["rows.csv"].splitlines()) == sorted((ROWS + FAR_ROWS).splitlines())
    used = {f"did:op:{each}" for each in json.loads(found["dids.json"])}
    assert used == {street.main.did, street.extra.did}
    served = [line for line in street.there.log().splitlines() if "file_served" in line]
    consumer = street.chain.accounts[PROVIDER].address.lower()
    assert len(served) == 2
    assert all(f"consumer={consumer}" in line.lower() for line in served)


async def test_a_compute_service_of_the_other_one_is_given_to_this_provider_alone(
    street: Street,
) -> None:
    found = await street.compute([named(street.guarded)], street.local)
    assert found["rows.csv"] == FAR_ROWS
    with pytest.raises(RefusedError) as refused:
        await street.buyer_there.client.initialize(named(street.guarded))
    assert refused.value.status == 400
    tx = await _own_order(street)
    with pytest.raises(Refused) as denied:
        await street.buyer_there.download_plainly(named(street.guarded, 0, tx))
    assert denied.value.status == 400
    assert "is not an access service" in denied.value.body["error"]


async def _own_order(street: Street) -> str:
    """An order for computing at the other one, by the consumer for himself."""
    fee = await street.buyer_there.client.initialize_compute(
        "free", named(street.guarded), code_of(street.count), duration_s=60
    )
    return await street.buyer.wallet.start_order(
        street.guarded.datatokens[0], street.buyer.address, 0, fee["datasets"][0]["providerFee"]
    )


async def test_an_order_for_the_consumer_himself_gets_this_provider_nothing(
    street: Street,
) -> None:
    """The other one gives files to whom they were ordered for: the job fails, and says so."""
    client, wallet = street.buyer.client, street.buyer.wallet
    quote = await street.buyer_there.client.initialize(named(street.extra))
    tx = await wallet.start_order(
        street.extra.datatokens[0], street.buyer.address, 0, quote["providerFee"]
    )
    ordered = await street.order([named(street.main)], street.local)
    items = [*ordered.datasets, named(street.extra, 0, tx)]
    job = await street.buyer.finish(await client.start("free", items, ordered.algorithm))
    assert job.status == 31, job
    assert "The other provider of this asset refused (400)." in job.detail
    assert "sender of order transaction is not the consumer/payer" in job.detail


async def test_an_algorithm_that_changed_at_the_other_one_is_not_trusted(street: Street) -> None:
    trusted = [{"did": street.count.did, "filesChecksum": "00" * 32}]
    draft = dataset("Picky", service(street.origin, publisherTrustedAlgorithms=trusted))
    picky = await sell(street.seller, draft, street.buyer)
    with pytest.raises(RefusedError) as refused:
        await street.order([named(picky)], street.count)
    assert (refused.value.status, refused.value.code) == (400, "algorithm_file_checksum_mismatch")


async def test_an_index_that_is_not_allowed_gets_no_document(street: Street) -> None:
    """A third provider, which the other one does not open documents for."""
    folder = street.here.root.parent / "third"
    third = Service(folder)
    third.environments(*offers(street.chain))
    async with serving(third, **settings_of(street.chain, STRANGER)):
        patience = Patience(attempts=4, first_s=0.5)
        async with ComputeClient(third.url, street.buyer.account, patience=patience) as client:
            with pytest.raises(NotFoundError):
                await client.wait_for_asset(street.extra.did, timeout_s=2)
        async with asyncio.timeout(90):
            while "Decrypter not authorized" not in third.log():
                await asyncio.sleep(0.1)


async def test_while_the_other_one_is_away_nothing_is_quoted_and_staging_waits(
    street: Street,
) -> None:
    items = [named(street.main), named(street.extra)]
    ordered = await street.order(items, street.local)
    await street.gate.shut()
    try:
        body = _quote_body(street, items)
        with pytest.raises(Refused) as refused:
            await street.buyer.plain.call("POST", "/api/services/initializeCompute", json=body)
        assert (refused.value.status, refused.value.body) == (503, {"error": TOO_LATE})
        job = await street.buyer.client.start("free", ordered.datasets, ordered.algorithm)
        while not (tried := _lines(street, "step_failed", job.id)):
            await asyncio.sleep(0.1)
    finally:
        await street.gate.open()
    assert "The connection to the origin of this input broke." in tried[0]
    assert street.gate.url not in tried[0]
    assert (await street.buyer.finish(job)).succeeded


def _lines(street: Street, event: str, job_id: str) -> list[str]:
    lines = street.here.log().splitlines()
    return [line for line in lines if event in line and job_id in line]


def _quote_body(street: Street, items: list[Any]) -> dict[str, Any]:
    return {
        "datasets": [each.to_wire() for each in items],
        "algorithm": code_of(street.local).to_wire(),
        "compute": {"env": "free", "validUntil": int(time.time()) + 60},
        "consumerAddress": street.buyer.address,
    }


async def test_an_order_of_another_kind_of_service_there_is_refused_there(
    street: Street,
) -> None:
    """What the first provider cannot judge, the other one does: an order of its other asset."""
    ordered = await street.order([named(street.main), named(street.extra)], street.local)
    wrong = replace(named(street.guarded), transfer_tx_id=ordered.datasets[1].transfer_tx_id)
    with pytest.raises(RefusedError) as refused:
        await street.buyer.client.start("free", [ordered.datasets[0], wrong], ordered.algorithm)
    assert (refused.value.status, refused.value.code) == (400, "order_invalid")

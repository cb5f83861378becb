"""A start over a network that loses answers: never two jobs, and never a silent loss."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector
from standin_provider import Fault, Naps, StandIn

from provider.client import (
    ComputeClient,
    NotAuthorisedError,
    NotFoundError,
    ProviderBusyError,
    ProviderUnreachableError,
    PublishedAlgorithm,
    RawAlgorithm,
    RefusedError,
    StartUnclearError,
)

DID = "did:op:" + "1" * 64
REQUEST = {"environment": "small", "dataset": {"documentId": DID}, "algorithm": {}}
LOST = [Fault(after=True), Fault(502, after=True), Fault(504, after=True), Fault(500, after=True)]


@pytest.mark.parametrize("fault", LOST)
async def test_a_lost_answer_leads_to_the_one_job_that_was_started(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm, fault: Fault
) -> None:
    stand_in.spoil("computeStart", fault)
    job = await client.start("small", DID, algorithm)
    assert [job.id] == list(stand_in.jobs)
    first, second = stand_in.calls("computeStart")
    assert first == second


@pytest.mark.parametrize("fault", [Fault(), Fault(502), Fault(503)])
async def test_a_lost_request_is_sent_again_as_it_was(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm, fault: Fault
) -> None:
    stand_in.spoil("computeStart", fault, fault)
    job = await client.start("small", DID, algorithm)
    assert [job.id] == list(stand_in.jobs)
    sent = stand_in.calls("computeStart")
    assert len(sent) == 3
    assert sent[0] == sent[1] == sent[2]


async def test_a_typed_start_is_sent_again_as_it_was(
    make_client: Any, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.spoil("computeStart", Fault(after=True))
    async with make_client(typed=True) as client:
        job = await client.start("small", DID, algorithm)
    assert [job.id] == list(stand_in.jobs)


async def test_without_any_answer_the_start_is_unclear(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.spoil("computeStart", Fault(after=True), *[Fault()] * 3)
    with pytest.raises(StartUnclearError, match="not started twice"):
        await client.start("small", DID, algorithm)
    assert len(stand_in.jobs) == 1


async def test_when_the_list_cannot_be_had_either_the_start_is_unclear(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.spoil("computeStart", Fault(after=True))
    stand_in.spoil("computeStatus", *[Fault(503)] * 4)
    with pytest.raises(StartUnclearError):
        await client.start("small", DID, algorithm)
    assert len(stand_in.jobs) == 1


async def test_an_overtaken_start_that_never_was_is_made_anew(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm, wallet: Any
) -> None:
    """The first copy is lost before the provider; another program then uses its nonce."""
    await client.nonce()
    stand_in.spoil("computeStart", Fault(502))
    stand_in.spoil("computeStart", Fault(400, body=_overtaken()))
    stand_in.nonces[wallet.address.lower()] = 50
    job = await client.start("small", DID, algorithm)
    assert [job.id] == list(stand_in.jobs)
    assert len({call["nonce"] for call in stand_in.calls("computeStart")}) == 2


def _overtaken() -> Any:
    return {"errors": {"signature": "Invalid signature expected nonce (60) > current nonce (51)."}}


async def test_a_nonce_used_elsewhere_is_no_unclear_start(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm, wallet: Any
) -> None:
    await client.jobs()
    stand_in.nonces[wallet.address.lower()] = 90
    job = await client.start("small", DID, algorithm)
    assert [job.id] == list(stand_in.jobs)
    assert [call["nonce"] for call in stand_in.calls("computeStart")] == ["3", "91"]


async def test_older_and_other_jobs_are_not_taken_for_the_lost_one(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm, wallet: Any
) -> None:
    known = await client.start("small", DID, algorithm)
    stand_in.add_job(wallet.address, REQUEST, age_s=3600)
    stand_in.add_job(wallet.address, REQUEST | {"environment": "large"})
    stand_in.add_job(wallet.address, REQUEST | {"dataset": {"documentId": "did:op:2"}})
    stand_in.add_job(wallet.address, REQUEST | {"algorithm": {"documentId": "did:op:3"}})
    stand_in.add_job("0x" + "00" * 20, REQUEST)
    before = set(stand_in.jobs)
    stand_in.spoil("computeStart", Fault(after=True))
    job = await client.start("small", DID, algorithm)
    assert {job.id} == set(stand_in.jobs) - before
    assert job.id != known.id


async def test_two_jobs_that_may_be_it_are_named(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm, wallet: Any
) -> None:
    other = stand_in.add_job(wallet.address, REQUEST)
    stand_in.spoil("computeStart", Fault(after=True))
    with pytest.raises(StartUnclearError) as unclear:
        await client.start("small", DID, algorithm)
    assert set(unclear.value.candidates) == set(stand_in.jobs)
    assert other.id in unclear.value.candidates


async def test_a_provider_without_a_clock_still_finds_the_job(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.dates = False
    stand_in.spoil("computeStart", Fault(after=True))
    job = await client.start("small", DID, algorithm)
    assert [job.id] == list(stand_in.jobs)


async def test_a_full_queue_is_a_clear_no(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm, naps: Naps
) -> None:
    stand_in.spoil("computeStart", Fault(429, body={"error": "queue full"}))
    with pytest.raises(ProviderBusyError, match="queue full"):
        await client.start("small", DID, algorithm)
    assert naps.taken == []


async def test_after_a_lost_answer_a_full_queue_is_not_believed(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.spoil("computeStart", Fault(after=True), Fault(429))
    job = await client.start("small", DID, algorithm)
    assert [job.id] == list(stand_in.jobs)


@pytest.mark.parametrize(
    ("status", "kind"), [(400, RefusedError), (401, NotAuthorisedError), (403, NotAuthorisedError)]
)
async def test_a_refused_start_is_not_repeated(
    client: ComputeClient,
    stand_in: StandIn,
    algorithm: RawAlgorithm,
    status: int,
    kind: type[RefusedError],
) -> None:
    body = {"error": {"dataset": "not_trusted_algo"}}
    stand_in.spoil("computeStart", Fault(status, body=body))
    with pytest.raises(kind, match="does not trust this algorithm") as refusal:
        await client.start("small", DID, algorithm)
    assert refusal.value.code == "not_trusted_algo"
    assert len(stand_in.calls("computeStart")) == 1


async def test_a_provider_that_cannot_be_reached_started_nothing(
    make_client: Any, stand_in: StandIn, algorithm: RawAlgorithm, server: Any
) -> None:
    async with (
        ClientSession(connector=TCPConnector(force_close=True)) as session,
        make_client(session=session) as client,
    ):
        await client.jobs()
        await server.close()
        with pytest.raises(ProviderUnreachableError) as failure:
            await client.start("small", DID, algorithm)
    assert not failure.value.maybe_received
    assert stand_in.jobs == {}


async def test_a_connection_that_broke_before_the_provider_vanished_is_unclear(
    client: ComputeClient, algorithm: RawAlgorithm, server: Any
) -> None:
    await client.jobs()
    await server.close()
    with pytest.raises(StartUnclearError):
        await client.start("small", DID, algorithm)


async def test_a_provider_that_cannot_serve_now_says_so_itself(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.spoil("computeStart", *[Fault(503, body={"error": "no database"})] * 4)
    with pytest.raises(ProviderUnreachableError, match="no database") as failure:
        await client.start("small", DID, algorithm)
    assert failure.value.status == 503


async def test_a_full_queue_behind_a_pause_says_so_itself(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.spoil("computeStart", Fault(503), *[Fault(429, body={"error": "queue full"})] * 3)
    with pytest.raises(ProviderBusyError, match="queue full"):
        await client.start("small", DID, algorithm)


async def test_a_start_that_was_accepted_behind_a_503_is_found_and_not_repeated(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    stand_in.spoil("computeStart", Fault(503, after=True))
    job = await client.start("small", DID, algorithm)
    assert [job.id] == list(stand_in.jobs)


async def test_an_unclear_start_tells_the_last_answer(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm
) -> None:
    last = [Fault(429, body={"error": "queue full"})] * 3
    stand_in.spoil("computeStart", Fault(after=True), *last)
    with pytest.raises(StartUnclearError, match="queue full"):
        await client.start("small", DID, algorithm)


@pytest.mark.parametrize(
    ("resource", "asked"),
    [
        ("dataset.serviceId", f"service 's1' of {DID}"),
        ("datasets[1].documentId", "service '0' of did:op:2"),
        ("algorithm.serviceId", "service 'a1' of did:op:3"),
    ],
)
async def test_what_was_not_found_is_named(
    client: ComputeClient, stand_in: StandIn, resource: str, asked: str
) -> None:
    body = {"error": {resource: "not_found"}}
    for operation in ("computeStart", "initializeCompute"):
        stand_in.spoil(operation, Fault(400, body=body))
    datasets = [f"{DID}#s1", "did:op:2"]
    published = PublishedAlgorithm("did:op:3", "a1")
    with pytest.raises(NotFoundError, match=re.escape(asked)):
        await client.start("small", datasets, published)
    with pytest.raises(NotFoundError, match=re.escape(asked)):
        await client.initialize_compute("small", datasets, published)


@pytest.mark.parametrize("resource", ["datasets[7].serviceId", "algorithm", "order"])
async def test_what_was_not_asked_for_is_not_named(
    client: ComputeClient, stand_in: StandIn, algorithm: RawAlgorithm, resource: str
) -> None:
    stand_in.spoil("computeStart", Fault(400, body={"error": {resource: "not_found"}}))
    with pytest.raises(NotFoundError) as refusal:
        await client.start("small", DID, algorithm)
    assert "Asked for" not in str(refusal.value)

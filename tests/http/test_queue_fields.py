"""What a queued job waits for, as a consumer reads it; and who does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ocean_consumer import ALICE, BOB, COMPUTE, CONTAINER, SERVICES, Api

from compute.fairness import Reason, Shortage, Waiting
from provider.dialects.ocean import queueing

QUEUE_FIELDS = {
    "queuePosition",
    "queueReason",
    "queueDetail",
    "queueShort",
    "queueDelayedUntil",
    "queueWaitEnds",
    "queuePlaceFreesBy",
}
SLOW = {"meta": {"rawcode": "x", "container": {**CONTAINER, "entrypoint": "sleep 60"}}}
OPEN = {"documentId": "did:op:open", "serviceId": "compute"}


async def full(api: Api) -> list[str]:
    """Three that run, which are all places, and two that wait, of two wallets."""
    started = [await api.start(dataset=OPEN, algorithm=SLOW) for _ in range(4)]
    return [*started, await api.start(BOB, dataset=OPEN, algorithm=SLOW)]


async def waiting(api: Api, job_id: str, **expected: Any) -> dict[str, Any]:
    async with asyncio.timeout(90):
        while True:
            job = await api.status(job_id)
            if all(job.get(name) == value for name, value in expected.items()):
                return job
            await asyncio.sleep(0.02)


async def test_a_queued_job_tells_what_it_waits_for(api: Api) -> None:
    ids = await full(api)
    await waiting(api, ids[2], status=40)
    job = await waiting(api, ids[4], queuePosition=2, queueReason="place")
    assert set(job) >= QUEUE_FIELDS
    assert (job["status"], job["statusText"]) == (1, "Warming up")
    assert job["queueDetail"] == "number 2 in the queue: all places are taken"
    assert (job["queueShort"], job["queueDelayedUntil"]) == ([], None)
    created = float(job["dateCreated"])
    assert float(job["queueWaitEnds"]) == pytest.approx(created + 24 * 3600, abs=0.001)
    assert float(job["queuePlaceFreesBy"]) < created + 120
    assert (await waiting(api, ids[3], queuePosition=1))["queueReason"] == "place"
    running = await api.status(ids[0])
    assert not QUEUE_FIELDS & set(running)


async def test_a_queued_job_is_stopped_at_once_and_the_next_one_moves_up(api: Api) -> None:
    ids = await full(api)
    await waiting(api, ids[4], queuePosition=2)
    status, [job] = await api.call("PUT", COMPUTE, params=api.job_query(ALICE, ids[3]))
    assert (status, job["status"], job["statusText"]) == (200, 7, "Job stopped")
    assert not QUEUE_FIELDS & set(job)
    await waiting(api, ids[4], queuePosition=1)


async def test_a_signer_sees_it_in_a_list_and_a_stranger_does_not(api: Api) -> None:
    ids = await full(api)
    await waiting(api, ids[3], queuePosition=1)
    _, signed = await api.call("GET", COMPUTE, params=api.job_query(ALICE))
    assert {job["jobId"]: job.get("queuePosition") for job in signed}[ids[3]] == 1
    _, listed = await api.call("GET", COMPUTE, params={"consumerAddress": ALICE.address})
    assert len(listed) == 4
    assert not any(QUEUE_FIELDS & set(job) for job in listed)


async def test_environments_tell_how_many_wait_and_may(api: Api) -> None:
    await full(api)
    _, [small, members] = await api.call("GET", SERVICES + "computeEnvironments")
    assert small["currentJobs"] + small["queuedJobs"] == 5
    assert (small["maxJobsPerConsumer"], small["maxQueueWait"]) == (3, 24 * 3600)
    assert members["maxJobsPerConsumer"] == 1


@pytest.mark.parametrize(
    ("told", "detail"),
    [
        (Waiting(Reason.NEXT, 1), "number 1 in the queue: about to start"),
        (Waiting(Reason.PLACE, 3), "number 3 in the queue: all places are taken"),
        (
            Waiting(Reason.CONSUMER_LIMIT, 9),
            "number 9 in the queue: as many jobs of this wallet are running as one may have",
        ),
        (Waiting(Reason.DELAY, None, until=5.0), "waits for the time it was put off to"),
        (
            Waiting(Reason.MACHINE, 1, (Shortage("cpu", 2.0, 0.5), Shortage("ram", 1.25, 0.0))),
            "number 1 in the queue: the machine is full; it needs 2 CPU (free: 0.5), "
            "1.25 GB of memory (free: 0)",
        ),
        (Waiting(Reason.MACHINE, 1), "number 1 in the queue: no machine is there to run it"),
    ],
)
def test_the_sentence_for_people(told: Waiting, detail: str) -> None:
    assert queueing.detail(told) == detail
    document = queueing.fields(told)
    assert set(document) == QUEUE_FIELDS
    assert (document["queuePosition"], document["queueReason"]) == (
        told.position,
        told.reason.value,
    )
    assert document["queueDelayedUntil"] == (None if told.until is None else "5.000000")


def test_shortages_are_told_in_numbers() -> None:
    told = Waiting(Reason.MACHINE, 1, (Shortage("disk", 0.125, 0.0001),))
    assert queueing.fields(told)["queueShort"] == [{"resource": "disk", "needed": 0.125, "free": 0}]

"""Ten thousand jobs of five hundred wallets that wait for one place."""

from __future__ import annotations

import asyncio

import pytest
from support.consumer import Consumer, Refused, raw
from support.crowd import crowded
from support.service import DATASET, Service

pytestmark = pytest.mark.docker

COPIES = 10_000
EACH = 20
OWNERS = COPIES // EACH
BUSY = {"maxJobs": 1, "maxQueue": COPIES + 1, "maxQueuePerConsumer": EACH, "maxJobDuration": 600}


async def told(consumer: Consumer, job_id: str, **expected: object) -> None:
    """Wait until a job, whosever it is, is told so: places are those of a moment ago."""
    async with asyncio.timeout(90):
        while True:
            (job,) = await consumer.call("GET", f"/api/services/compute?jobId={job_id}")
            if all(job.get(name) == value for name, value in expected.items()):
                return
            await asyncio.sleep(0.1)


async def position(consumer: Consumer, job_id: str, expected: int) -> None:
    await told(consumer, job_id, queuePosition=expected, queueReason="place", status=1)


async def test_places_are_told_and_kept_and_one_in_the_middle_stops_at_once(
    service: Service, checksum: str
) -> None:
    service.environments(BUSY)
    await service.start()
    quick = raw("true", checksum=checksum)
    async with Consumer(service.url) as consumer, Consumer(service.url) as newcomer:
        running = await consumer.start(raw("sleep 600", checksum=checksum), [DATASET])
        await consumer.follow(running["jobId"], until={40})
        first = await consumer.start(quick, [DATASET])
        assert service.stop() == 0
        with crowded(service.data / "ocean-compute.db") as crowd:
            copies = crowd.multiply(first["jobId"], COPIES, consumer.address, each=EACH)
        await service.restart()

        # Owners take turns: in each round one job of each, in the order of the owners' first.
        await position(consumer, first["jobId"], 1)
        await position(consumer, copies[0], OWNERS + 1)
        await position(consumer, copies[EACH - 1], EACH * OWNERS + 1)
        await position(consumer, copies[123 * EACH + 7], 7 * OWNERS + 123 + 1)

        with pytest.raises(Refused, match="queue of this compute environment is full") as refused:
            await newcomer.start(quick, [DATASET])
        assert refused.value.status == 429
        stopped = await consumer.stop(copies[9])
        assert (stopped["status"], stopped["statusText"]) == (7, "Job stopped")
        assert stopped["dateFinished"]
        late = await newcomer.start(quick, [DATASET])
        await position(newcomer, late["jobId"], OWNERS + 1)

        await newcomer.stop(late["jobId"])
        with pytest.raises(Refused, match="This wallet has as many jobs waiting") as refused:
            await consumer.start(quick, [DATASET])
        assert refused.value.status == 429

        # A place goes to the next in turn, and nobody else moves ahead.
        await consumer.stop(running["jobId"])
        assert (await consumer.follow(first["jobId"]))["status"] == 70
        await told(consumer, copies[EACH], status=70)
        assert (await consumer.status(copies[EACH - 1]))["status"] == 1
    assert service.stop() == 0
    assert "Traceback" not in service.log(), service.log()
    service.sweep()

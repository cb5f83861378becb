"""Kills, restarts and an engine that goes away: nothing lost, nothing twice, nothing left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from support.consumer import Consumer, raw
from support.engine_proxy import EngineProxy
from support.service import DATASET, Service, dataset_document, free_port
from support.starts import Starts, starts

__all__ = ["starts"]
pytestmark = pytest.mark.docker

REMOTE = "did:op:" + "e2" * 32


@pytest_asyncio.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[EngineProxy]:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.open()
    yield proxy
    await proxy.cut()


class Origin:
    """An HTTP origin of a dataset that can be told to stall."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": '"1"'})
        await response.prepare(request)
        await response.write(b"a,b\n")
        self.asked.set()
        await self.go_on.wait()
        await response.write(b"1,2\n")
        return response


@pytest_asyncio.fixture
async def origin(service: Service) -> AsyncIterator[Origin]:
    origin = Origin()
    app = web.Application()
    app.router.add_get("/rows.csv", origin.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/rows.csv"
    service.publish(dataset_document(REMOTE, [{"type": "url", "url": url, "method": "GET"}]))
    yield origin
    origin.go_on.set()
    await runner.cleanup()


async def finish_after_restart(
    starts: Starts, service: Service, consumer: Consumer, job: dict[str, Any], number: int = 70
) -> dict[str, Any]:
    """Restart, wait for the end, and look for what should not be there."""
    await service.restart()
    ended = await consumer.follow(job["jobId"])
    assert ended["status"] == number, (ended, service.log())
    assert starts.of_jobs(service.operator_id()) == {job["jobId"]: 1}
    assert not service.leftovers()
    return ended


CODE = "cat /data/inputs/*/0 > /data/outputs/copy.csv; sleep 1; echo done"
LONGER = CODE.replace("sleep 1", "sleep 4")
"""Runs long enough to be seen running on a busy machine."""


@pytest.mark.parametrize(
    ("phase", "call"),
    [
        ("queued or started: looking up the image", r"GET /v[0-9.]+/images/"),
        ("provisioned: creating the container", r"POST /v[0-9.]+/containers/create"),
        ("provisioned: starting the container", r"POST /v[0-9.]+/containers/[^/]+/start"),
        ("running: saving the log", r"GET /v[0-9.]+/containers/[^/]+/logs"),
        ("publishing: removing the container", r"DELETE /v[0-9.]+/containers/"),
    ],
)
@pytest.mark.parametrize("delivered", [False, True], ids=["call-lost", "answer-lost"])
async def test_killed_while_the_engine_is_asked(
    starts: Starts,
    service: Service,
    proxy: EngineProxy,
    checksum: str,
    phase: str,
    call: str,
    delivered: bool,
) -> None:
    await service.start(DOCKER_HOST=proxy.url)
    hold = proxy.hold(call)
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw(CODE, checksum=checksum), [DATASET])
        async with asyncio.timeout(90):
            await hold.arrived.wait()
        if delivered:
            hold.release()
            await asyncio.sleep(0.02)
        service.kill()
        hold.release()
        ended = await finish_after_restart(starts, service, consumer, job)
        assert (await consumer.files(ended))["copy.csv"] == b"a,b\n1,2\n3,4\n"


async def test_killed_while_staging(
    starts: Starts, service: Service, origin: Origin, checksum: str
) -> None:
    await service.start(ALLOWED_PRIVATE_NETWORKS="127.0.0.0/8")
    origin.go_on.clear()
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw(CODE, checksum=checksum), [REMOTE])
        await origin.asked.wait()
        await consumer.follow(job["jobId"], until={20})
        service.kill()
        origin.go_on.set()
        ended = await finish_after_restart(starts, service, consumer, job)
        assert (await consumer.files(ended))["copy.csv"] == b"a,b\n1,2\n"


async def test_killed_while_running_and_ended_meanwhile(
    starts: Starts, service: Service, checksum: str
) -> None:
    await service.start()
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw(LONGER, checksum=checksum), [DATASET])
        await consumer.follow(job["jobId"], until={40})
        service.kill()
        await asyncio.sleep(4.5)
        await finish_after_restart(starts, service, consumer, job)


async def test_killed_while_running_and_still_running(
    starts: Starts, service: Service, checksum: str
) -> None:
    await service.start()
    code = "sleep 4; echo done > /data/outputs/done"
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw(code, checksum=checksum), [DATASET])
        await consumer.follow(job["jobId"], until={40})
        service.kill()
        ended = await finish_after_restart(starts, service, consumer, job)
        assert (await consumer.files(ended))["done"] == b"done\n"


async def test_killed_while_jobs_wait_in_the_queue(
    starts: Starts, service: Service, checksum: str
) -> None:
    service.environments({"maxJobs": 1})
    await service.start()
    async with Consumer(service.url) as consumer:
        jobs = [
            await consumer.start(raw("sleep 0.5", checksum=checksum), [DATASET]) for _ in range(4)
        ]
        service.kill()
        await service.restart()
        ended = [await consumer.follow(job["jobId"]) for job in jobs]
        assert [job["status"] for job in ended] == [70] * 4
        finished = [float(job["dateFinished"]) for job in ended]
        assert finished == sorted(finished), "the queue is first in, first out"
        assert starts.of_jobs(service.operator_id()) == {job["jobId"]: 1 for job in jobs}
        assert not service.leftovers()


async def test_killed_while_stopping(starts: Starts, service: Service, checksum: str) -> None:
    service.environments({"stopGrace": 20})
    await service.start()
    code = "trap '' TERM; while :; do sleep 1; done"
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw(code, checksum=checksum), [DATASET])
        await consumer.follow(job["jobId"], until={40})
        stop = asyncio.ensure_future(consumer.stop(job["jobId"]))
        async with asyncio.timeout(90):
            while (await consumer.status(job["jobId"]))["stopreq"] != 1:
                await asyncio.sleep(0.05)
        service.kill()
        stop.cancel()
        await asyncio.gather(stop, return_exceptions=True)
        service.environments({"stopGrace": 0.5})
        await finish_after_restart(starts, service, consumer, job, number=7)


async def test_a_consumed_nonce_stays_consumed_after_a_kill(
    service: Service, checksum: str
) -> None:
    await service.start()
    async with Consumer(service.url) as consumer:
        body = consumer.start_body(raw("true", checksum=checksum), [DATASET], "test")
        await consumer.call("POST", "/api/services/compute", json=body)
        service.kill()
        await service.restart()
        answer = await consumer.call("GET", "/api/services/nonce?userAddress=" + consumer.address)
        assert answer["nonce"] == body["nonce"]
        with pytest.raises(Exception, match="400"):
            await consumer.call("POST", "/api/services/compute", json=body)
        jobs = await consumer.call(
            "GET", "/api/services/compute?consumerAddress=" + consumer.address
        )
        assert len(jobs) == 1
        await consumer.follow(jobs[0]["jobId"])


async def test_engine_gone_at_the_start_and_back_later(
    service: Service, proxy: EngineProxy, checksum: str
) -> None:
    await proxy.cut()
    await service.start(DOCKER_HOST=proxy.url)
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw(CODE, checksum=checksum), [DATASET])
        # Before the engine has said which machine it is nothing leaves the queue.
        await asyncio.sleep(1)
        assert (await consumer.status(job["jobId"]))["status"] == 1
        other = await consumer.start(raw(CODE, checksum=checksum), [DATASET])
        assert (await consumer.stop(other["jobId"]))["status"] == 7, "stops need no engine"
        await proxy.open()
        assert (await consumer.follow(job["jobId"]))["status"] == 70
        assert not service.leftovers()


async def test_engine_gone_while_running_and_back_later(
    starts: Starts, service: Service, proxy: EngineProxy, checksum: str
) -> None:
    await service.start(DOCKER_HOST=proxy.url)
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw(LONGER, checksum=checksum), [DATASET])
        await consumer.follow(job["jobId"], until={40})
        await proxy.cut()
        await asyncio.sleep(1.5)
        assert (await consumer.status(job["jobId"]))["status"] == 40, "unknown is not gone"
        await proxy.open()
        assert (await consumer.follow(job["jobId"]))["status"] == 70
        assert starts.of_jobs(service.operator_id()) == {job["jobId"]: 1}
        assert not service.leftovers()


async def test_a_terminated_service_leaves_jobs_running_for_the_next_start(
    starts: Starts, service: Service, checksum: str
) -> None:
    await service.start()
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw(LONGER, checksum=checksum), [DATASET])
        await consumer.follow(job["jobId"], until={40})
        assert service.stop() == 0
        await finish_after_restart(starts, service, consumer, job)


async def test_a_second_service_on_the_same_data_is_refused(service: Service) -> None:
    await service.start()
    rival = service.spawn(LISTEN_PORT=str(free_port()))
    assert await asyncio.to_thread(rival.wait, 120) == 2
    assert "cannot start" in service.log()
    async with Consumer(service.url) as consumer:
        assert (await consumer.call("GET", "/"))["serviceEndpoints"]

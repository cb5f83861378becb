"""What the service stands on goes away and comes back: database, disk, engine. Until then it
says so, and then all that was accepted comes to its end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio
from support import postgres
from support.consumer import Consumer, Refused, raw
from support.engine_proxy import EngineProxy
from support.postgres import PostgresServer
from support.service import DATASET, Service, containers, engine
from support.starts import Starts, starts

__all__ = ["starts"]
pytestmark = pytest.mark.docker

COMPUTE = "/api/services/compute"
NONCE = "/api/services/nonce"
BURST = 14
REPORT = "echo 42 > /data/outputs/answer; sleep 3; echo done"
UNTIL_TOLD = (
    "trap 'echo done; exit 0' TERM; echo 42 > /data/outputs/answer; while :; do sleep 0.1; done"
)
"""Ends well once it is told to terminate."""


class Answer(NamedTuple):
    status: int
    retry_after: str
    text: str


async def ask(url: str, method: str, path: str, **sent: Any) -> Answer:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url + path, **sent) as response,
    ):
        retry_after = response.headers.get("Retry-After", "")
        return Answer(response.status, retry_after, await response.text())


def stopping(consumer: Consumer, job_id: str) -> dict[str, str]:
    """Signed parameters of a stop."""
    nonce = consumer.nonce()
    return {
        "consumerAddress": consumer.address,
        "jobId": job_id,
        "nonce": nonce,
        "signature": consumer.sign(consumer.address, job_id, nonce),
    }


async def end_of_its_own(service: Service) -> None:
    """Have the one container of the service end, and wait until it has."""
    (name,) = containers(service.operator_id())
    with engine() as client:
        await asyncio.to_thread(client.stop, name.lstrip("/"), timeout=60)
        assert client.inspect_container(name)["State"]["ExitCode"] == 0


# The database


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may treat as it likes."""
    if not postgres.is_installed():
        pytest.skip("no PostgreSQL server is installed (scripts/postgres.sh)")
    with postgres.running() as server:
        yield server


async def test_a_database_that_is_gone_for_long_is_told_and_then_all_is_well(
    service: Service, own_server: PostgresServer, checksum: str
) -> None:
    await service.start(DATABASE_URL=own_server.fresh())
    url = service.url
    async with Consumer(url) as consumer:
        job = await consumer.start(raw(REPORT, checksum=checksum), [DATASET])
        job_id = job["jobId"]
        await consumer.follow(job_id, until={40})
        body = consumer.start_body(raw("true", checksum=checksum), [DATASET], "test")
        own_server.kill()
        asked = {
            "status": ask(url, "GET", COMPUTE, params={"jobId": job_id}),
            "list": ask(url, "GET", COMPUTE, params={"consumerAddress": consumer.address}),
            "nonce": ask(url, "GET", NONCE, params={"userAddress": consumer.address}),
            "start": ask(url, "POST", COMPUTE, json=body),
            "stop": ask(url, "PUT", COMPUTE, params=stopping(consumer, job_id)),
            "ready": ask(url, "GET", "/health/ready"),
            "live": ask(url, "GET", "/health/live"),
        }
        async with asyncio.timeout(90):
            found = dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))
        assert found.pop("live").status == 200
        ready = found.pop("ready")
        assert ready.status == 503
        assert '"store": "down"' in ready.text
        for name, answer in found.items():
            assert answer.status == 503, (name, answer)
            assert int(answer.retry_after) > 0, (name, answer)
            assert "The database could not be" in answer.text, (name, answer)
            assert own_server.password not in answer.text
        await asyncio.to_thread(own_server.start)
        await asyncio.to_thread(own_server.wait)
        await until_ready(url)
        (again,) = await consumer.call("POST", COMPUTE, json=body)
        ended = await consumer.follow(job_id)
        assert ended["status"] == 70
        assert (await consumer.files(ended))["answer"] == b"42\n"
        assert (await consumer.follow(again["jobId"]))["status"] == 70
        assert len(await consumer.call("GET", f"{COMPUTE}?consumerAddress={consumer.address}")) == 2
    assert service.stop() == 0
    assert not service.leftovers()
    assert "Traceback" not in service.log(), service.log()


async def until_ready(url: str) -> None:
    """Until requests should be sent here again."""
    async with asyncio.timeout(90):
        while (await ask(url, "GET", "/health/ready")).status != 200:
            await asyncio.sleep(0.1)


# The disk


class SmallDisk:
    """A file system in memory, with something on it that takes the room of others."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        path.mkdir(parents=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(path)], check=True
        )

    @property
    def free(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def leave(self, free: int) -> None:
        """Take all but ``free`` bytes."""
        with (self.path / "ballast").open("ab") as ballast:
            taken = ballast.seek(0, os.SEEK_END)
            os.posix_fallocate(ballast.fileno(), taken, self.free - free)

    def make_room(self) -> None:
        (self.path / "ballast").unlink()


@pytest_asyncio.fixture
async def disk(service: Service) -> AsyncIterator[SmallDisk]:
    """The service's data lies on a disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    yield SmallDisk(service.data, 256 << 20)
    service.stop()
    # This unmounts the disk, too.
    service.sweep()


async def test_a_full_disk_refuses_and_loses_nothing(
    service: Service, disk: SmallDisk, checksum: str
) -> None:
    service.environments({"maxJobs": 1})
    await service.start()
    url = service.url
    async with Consumer(url) as consumer:
        running = await consumer.start(raw(UNTIL_TOLD, checksum=checksum), [DATASET])
        await consumer.follow(running["jobId"], until={40})
        waiting = await consumer.start(raw("true", checksum=checksum), [DATASET])
        body = consumer.start_body(raw("true", checksum=checksum), [DATASET], "test")

        disk.leave(32 << 20)
        with pytest.raises(Refused, match="no disk space") as refused:
            await consumer.call("POST", COMPUTE, json=body)
        assert refused.value.status == 429
        await asyncio.sleep(1.1)
        ready = await ask(url, "GET", "/health/ready")
        assert (ready.status, '"disk": "down"' in ready.text) == (503, True)

        disk.leave(0)
        answer = await until_a_write_fails(url)
        assert answer.status == 503, answer
        assert int(answer.retry_after) > 0
        assert "The database could not be written: disk full." in answer.text
        assert (await consumer.status(waiting["jobId"]))["status"] == 1
        await end_of_its_own(service)
        await asyncio.sleep(1)
        assert (await consumer.status(running["jobId"]))["status"] < 70

        disk.make_room()
        (again,) = await consumer.call("POST", COMPUTE, json=body)
        ended = await consumer.follow(running["jobId"])
        assert ended["status"] == 70, service.log()
        assert (await consumer.files(ended))["answer"] == b"42\n"
        for job in (waiting, again):
            assert (await consumer.follow(job["jobId"]))["status"] == 70
        assert (await ask(url, "GET", "/health/ready")).status == 200
    assert service.stop() == 0
    assert [line for line in service.leftovers() if line != str(service.data)] == []
    assert "Traceback" not in service.log(), service.log()


async def until_a_write_fails(url: str) -> Answer:
    """Write something small again and again: what the log of the database has room for still
    goes well."""
    consumer = Consumer(url)
    for _ in range(2000):
        nonce = consumer.nonce()
        params = {
            "address": consumer.address,
            "nonce": nonce,
            "expiration": str(int(time.time()) + 3600),
            "signature": consumer.sign(consumer.address, nonce),
        }
        answer = await ask(url, "GET", "/api/services/createAuthToken", params=params)
        if answer.status != 200:
            return answer
    raise AssertionError("a full disk takes all that is written")


# The engine


@pytest_asyncio.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[EngineProxy]:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.open()
    yield proxy
    await proxy.cut()


async def test_an_engine_that_goes_twice_in_a_burst_runs_each_job_once(
    starts: Starts, service: Service, proxy: EngineProxy, checksum: str
) -> None:
    service.environments({"maxJobs": 6, "maxQueue": 100, "maxQueuePerConsumer": 100})
    await service.start(DOCKER_HOST=proxy.url)
    algorithm = raw("date > /data/outputs/ran; sleep 0.3", checksum=checksum)

    async def come_and_go() -> None:
        for _ in range(2):
            await asyncio.sleep(0.5)
            await proxy.cut()
            await asyncio.sleep(0.5)
            await proxy.open()

    async with Consumer(service.url) as consumer:
        going = asyncio.create_task(come_and_go())
        jobs = [await consumer.start(algorithm, [DATASET]) for _ in range(BURST)]
        await going
        for job in jobs:
            ended = await consumer.follow(job["jobId"])
            assert ended["status"] == 70, (ended, service.log())
            assert (await consumer.files(ended))["ran"].endswith(b"\n")
    assert starts.of_jobs(service.operator_id()) == {job["jobId"]: 1 for job in jobs}
    assert service.stop() == 0
    assert not service.leftovers()
    assert "Traceback" not in service.log(), service.log()

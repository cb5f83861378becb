"""The filter image between outputs and results, and inputs that cannot be had."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import pytest
import pytest_asyncio
from aiohttp import web
from support.consumer import Consumer, raw
from support.service import DATASET, IMAGE, Service, dataset_document, engine

pytestmark = pytest.mark.docker

REMOTE = "did:op:" + "e3" * 32
LOCAL = "127.0.0.0/8"


@pytest.fixture(scope="module")
def filters() -> Iterator[None]:
    """Filter images: one drops what is secret, one fails, one takes its time."""
    commands = {
        "drop": "rm -f /data/outputs/secret*; echo seen >> /data/logs/algorithm.log",
        "fail": "exit 1",
        "slow": "sleep 4; rm -f /data/outputs/secret*",
    }
    names = [f"ocean-compute-test/filter-{name}:1" for name in commands]
    with engine() as client:
        made = client.create_container(f"{IMAGE}:1", "true")["Id"]
        for name, command in zip(names, commands.values(), strict=True):
            change = f'CMD ["sh", "-c", "{command}"]'
            client.commit(made, *name.split(":"), changes=[change])
        client.remove_container(made)
        yield
        for name in names:
            client.remove_image(name)


@pytest_asyncio.fixture
async def filtering(service: Service, filters: None) -> Service:
    service.environments(
        *(
            {"id": name, "filterImage": f"ocean-compute-test/filter-{name}:1"}
            for name in ("drop", "fail", "slow")
        )
    )
    await service.start()
    return service


CODE = "echo a > /data/outputs/open; echo b > /data/outputs/secret; echo c > /data/logs/own"


async def test_a_filter_decides_what_leaves(filtering: Service, checksum: str) -> None:
    async with Consumer(filtering.url) as consumer:
        job = await consumer.start(raw(CODE, checksum=checksum), [DATASET], "drop")
        job = await consumer.follow(job["jobId"])
        assert job["status"] == 70, job
        files = await consumer.files(job)
        assert files == {"open": b"a\n", "algorithm.log": b"seen\n"}
        assert not filtering.leftovers()


async def test_outputs_of_a_failed_algorithm_pass_the_filter_too(
    filtering: Service, checksum: str
) -> None:
    async with Consumer(filtering.url) as consumer:
        job = await consumer.start(raw(CODE + "; exit 1", checksum=checksum), [DATASET], "drop")
        job = await consumer.follow(job["jobId"])
        assert job["status"] == 41
        assert [entry["filename"] for entry in job["results"]] == ["open", "algorithm.log"]


async def test_nothing_leaves_when_the_filter_fails(filtering: Service, checksum: str) -> None:
    async with Consumer(filtering.url) as consumer:
        job = await consumer.start(raw(CODE, checksum=checksum), [DATASET], "fail")
        job = await consumer.follow(job["jobId"])
        assert (job["status"], job["results"]) == (61, [])
        assert job["terminationDetails"]["reason"] == "filter_failed"
        assert not filtering.leftovers()


async def test_killed_while_filtering(filtering: Service, checksum: str) -> None:
    async with Consumer(filtering.url) as consumer:
        job = await consumer.start(raw(CODE, checksum=checksum), [DATASET], "slow")
        await consumer.follow(job["jobId"], until={50})
        filtering.kill()
        await filtering.restart()
        job = await consumer.follow(job["jobId"])
        assert job["status"] == 70
        assert [entry["filename"] for entry in job["results"]] == ["open", "algorithm.log"]
        assert not filtering.leftovers()


@pytest.mark.parametrize(
    ("code", "environment", "number"), [(CODE + "; sleep 30", "drop", 40), (CODE, "slow", 50)]
)
async def test_nothing_leaves_when_the_environment_and_its_filter_are_removed(
    filtering: Service, checksum: str, code: str, environment: str, number: int
) -> None:
    async with Consumer(filtering.url) as consumer:
        job = await consumer.start(raw(code, checksum=checksum), [DATASET], environment)
        await consumer.follow(job["jobId"], until={number})
        filtering.stop()
        filtering.environments({"id": "other"})
        await filtering.restart()
        job = await consumer.follow(job["jobId"])
        assert (job["status"], job["results"]) == (61, [])
        assert job["terminationDetails"]["reason"] == "environment_removed"
        assert not filtering.leftovers()


class Origin:
    """An HTTP origin with one path a fault."""

    def __init__(self) -> None:
        self.url = ""
        self.served = 0
        self.stumbles = 0

    async def gone(self, request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    async def script(self, request: web.Request) -> web.Response:
        self.stumbles -= 1
        if self.stumbles >= 0:
            raise web.HTTPServiceUnavailable
        if request.headers.get("If-None-Match") == '"1"':
            raise web.HTTPNotModified
        self.served += 1
        return web.Response(text="echo fetched", headers={"ETag": '"1"'})


@pytest_asyncio.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    app = web.Application()
    for name in ("gone", "endless", "script"):
        app.router.add_get(f"/{name}", getattr(origin, name))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield origin
    await runner.cleanup()


@pytest.mark.parametrize("fault", ["gone", "endless"])
async def test_a_dataset_that_cannot_be_had(
    service: Service, origin: Origin, checksum: str, fault: str
) -> None:
    file = {"type": "url", "url": f"{origin.url}/{fault}", "method": "GET"}
    service.publish(dataset_document(REMOTE, [file]))
    await service.start(ALLOWED_PRIVATE_NETWORKS=LOCAL, MAX_INPUT_GB="0.001")
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw("true", checksum=checksum), [REMOTE])
        job = await consumer.follow(job["jobId"])
        assert job["status"] == 31, job
        assert job["terminationDetails"]["reason"] == "input_unavailable"
        assert job["failure"]["tries"] == 1
        assert not service.leftovers()
        assert origin.url not in service.log()


async def test_a_dataset_on_a_private_address_is_not_fetched(
    service: Service, origin: Origin, checksum: str
) -> None:
    file = {"type": "url", "url": f"{origin.url}/script", "method": "GET"}
    service.publish(dataset_document(REMOTE, [file]))
    await service.start()
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw("true", checksum=checksum), [REMOTE])
        job = await consumer.follow(job["jobId"])
        assert (job["status"], origin.served) == (31, 0)


async def test_an_algorithm_is_fetched_from_its_url(
    service: Service, origin: Origin, checksum: str
) -> None:
    await service.start(ALLOWED_PRIVATE_NETWORKS=LOCAL)
    algorithm = raw("", checksum=checksum)
    del algorithm["meta"]["rawcode"]
    algorithm["meta"]["url"] = f"{origin.url}/script"
    origin.stumbles = 1
    async with Consumer(service.url) as consumer:
        job = await consumer.start(algorithm, [DATASET])
        job = await consumer.follow(job["jobId"])
        assert (await consumer.files(job)) == {"algorithm.log": b"fetched\n"}
        assert job["failure"] is None
        with closing(sqlite3.connect(service.data / "ocean-compute.db")) as database:
            notes = [note for (note,) in database.execute("SELECT note FROM job_history")]
        assert [note[:15] for note in notes if note.startswith("try ")] == ["try 1 of 5 fail"]
        algorithm["meta"]["url"] = f"{origin.url}/gone"
        job = await consumer.start(algorithm, [DATASET])
        assert (await consumer.follow(job["jobId"]))["status"] == 32


async def test_a_dataset_is_fetched_once_for_many_jobs(
    service: Service, origin: Origin, checksum: str
) -> None:
    file = {"type": "url", "url": f"{origin.url}/script", "method": "GET"}
    service.publish(dataset_document(REMOTE, [file]))
    await service.start(ALLOWED_PRIVATE_NETWORKS=LOCAL)
    async with Consumer(service.url) as consumer:
        started = [await consumer.start(raw("true", checksum=checksum), [REMOTE]) for _ in range(3)]
        ended = await asyncio.gather(*(consumer.follow(job["jobId"]) for job in started))
        assert [job["status"] for job in ended] == [70] * 3
        assert origin.served == 1
        cached = list((service.data / "cache" / "contents").iterdir())
        assert len(cached) == 1, "the consumers' own algorithms are not kept"

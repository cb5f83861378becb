"""SIGTERM in the middle of everything: refused, finished or handed over, and always in time."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from limits.all_dialects import sections
from support.consumer import Consumer, Refused, raw
from support.engine_proxy import EngineProxy
from support.service import DATASET, Service, dataset_document

pytestmark = pytest.mark.docker

Json = dict[str, Any]
REMOTE = "did:op:" + "e3" * 32
START = "/api/services/compute"
RESULT = "/api/services/computeResult"
LARGE = 24 << 20


async def stopped(service: Service) -> float:
    """Tell the service to end; the seconds it took. It says that all is well."""
    began = time.monotonic()
    assert await asyncio.to_thread(service.stop) == 0, service.log()
    return time.monotonic() - began


@asynccontextmanager
async def stopping(service: Service) -> AsyncIterator[asyncio.Task[float]]:
    """The service has been told to end; what is inside happens meanwhile."""
    ending = asyncio.create_task(stopped(service))
    async with asyncio.timeout(60):
        while " stopping " not in service.log():
            await asyncio.sleep(0.02)
    yield ending
    await ending


async def ended(service: Service, consumer: Consumer, job: Json, number: int = 70) -> Json:
    """After a restart: the job comes to its end, and nothing is left over."""
    await service.restart()
    found = await consumer.follow(job["jobId"])
    assert found["status"] == number, (found, service.log())
    async with asyncio.timeout(60):
        while service.leftovers():
            await asyncio.sleep(0.1)
    return found


def form() -> aiohttp.FormData:
    data = aiohttp.FormData({"task_id": "late"})
    data.add_field("task_file", b'{"data": "Ada"}\n', filename="in.jsonl")
    return data


LATE_STARTS: dict[str, Callable[[], Json]] = {
    "/gbuilder/tasks": lambda: {"data": form()},
    "/aaas/auto/run?module=lab&name=count&task_id=late": dict,
    "/labelling/api/tasks/": lambda: {
        "json": {
            "MODEL_TYPE": "keyword_model",
            "PREDICT_TYPE": "content",
            "START_TIME": "2020-01-01",
            "END_TIME": "2021-01-01",
            "PATTERN": {"word": ["like"]},
            "INPUT_SCHEMA": "forum",
            "INPUT_TABLE": "posts",
            "OUTPUT_SCHEMA": "labels",
            "COUNTDOWN": 0,
            "SITE_CONFIG": {"drivername": "sqlite", "db": "forum"},
        }
    },
}


async def test_nothing_new_is_taken_on_and_the_rest_is_answered_while_it_drains(
    service: Service, checksum: str
) -> None:
    service.dialects(sections(service.root))
    await service.start(DRAIN_DELAY="8", STOP_GRACE="2")
    async with Consumer(service.url) as consumer, aiohttp.ClientSession() as session:
        job = await consumer.start(raw("sleep 14", checksum=checksum), [DATASET])
        await consumer.follow(job["jobId"], until={40})
        late = consumer.start_body(raw("true", checksum=checksum), [DATASET], "test")
        async with stopping(service) as ending:
            for path, options in LATE_STARTS.items():
                async with session.post(service.url + path, **options()) as answer:
                    text = await answer.text()
                    assert (answer.status, path) == (503, path), text
                    assert answer.headers["Retry-After"] == "10"
                    assert "being stopped or restarted" in text
            with pytest.raises(Refused, match="Nothing of this request was used up") as refused:
                await consumer.call("POST", START, json=late)
            assert refused.value.status == 503
            async with session.get(service.url + f"{START}?jobId={job['jobId']}") as answer:
                assert answer.status == 200
                assert (await answer.json())[0]["status"] == 40
                assert answer.headers["Connection"] == "close"
            async with asyncio.timeout(8):
                while True:
                    async with session.get(service.url + "/health/ready") as ready:
                        if ready.status == 503:
                            break
            async with session.get(service.url + "/health/live") as live:
                assert live.status == 200
        assert 8 <= ending.result() < 40
        await ended(service, consumer, job)
        [taken] = await consumer.call("POST", START, json=late)
        assert (await consumer.follow(taken["jobId"]))["status"] == 70


@pytest_asyncio.fixture(params=["25"])
async def large(service: Service, checksum: str, request: pytest.FixtureRequest) -> Json:
    """A running service with such a STOP_GRACE, and a job of it with a large result."""
    service.environments({"diskGB": 0.2, "maxJobDuration": 60})
    await service.start(STOP_GRACE=request.param)
    async with Consumer(service.url) as consumer:
        code = f"head -c {LARGE} /dev/urandom > /data/outputs/large"
        job = await consumer.start(raw(code, checksum=checksum), [DATASET])
        found = await consumer.follow(job["jobId"])
        assert found["status"] == 70, found
        return {"consumer": consumer, **found}


async def test_a_download_may_come_to_its_end(service: Service, large: Json) -> None:
    params = large["consumer"].result_params(large["jobId"], 0)
    async with (
        aiohttp.ClientSession(read_bufsize=1 << 14) as session,
        session.get(service.url + RESULT, params=params) as answer,
    ):
        assert answer.status == 200
        got = len(await answer.content.readany())
        async with stopping(service) as ending:
            assert not ending.done()
            while piece := await answer.content.read(1 << 20):
                got += len(piece)
                await asyncio.sleep(0.05)
        assert got == LARGE == int(answer.headers["Content-Length"])
        assert ending.result() < 25
    assert "stopped_by_force" not in service.log()


@pytest.mark.parametrize("large", ["5"], indirect=True)
async def test_a_download_that_nobody_takes_is_cut_in_time(service: Service, large: Json) -> None:
    params = large["consumer"].result_params(large["jobId"], 0)
    async with (
        aiohttp.ClientSession(read_bufsize=1 << 14) as session,
        session.get(service.url + RESULT, params=params) as answer,
    ):
        await answer.content.readany()
        assert await stopped(service) < 40
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await answer.read()
    assert " stopped" in service.log().splitlines()[-1], "in order, not by force"


async def test_strangers_who_take_no_answers_do_not_keep_it_from_an_orderly_end(
    service: Service,
) -> None:
    await service.start(OUTPUT_QUOTA="watch", STOP_GRACE="4")
    port = int(service.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    writer.write(b"GET /docs HTTP/1.1\r\nHost: here\r\n\r\n" * 1000)
    await asyncio.sleep(1)
    await stopped(service)
    writer.transport.abort()
    assert reader, "has not read a byte"
    assert "stopped_by_force" not in service.log()
    assert service.log().splitlines()[-1].endswith("stopped")
    shown = service.command("audit", "show").stdout
    assert "service_stopped" in shown, "what closes last had its time"


async def test_a_slow_upload_is_cut_in_time_and_leaves_no_file(service: Service) -> None:
    service.dialects(sections(service.root))
    await service.start(STOP_GRACE="3")

    async def slowly() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="task_file"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield b"x" * (300 << 10)
            await asyncio.sleep(0.5)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with aiohttp.ClientSession(headers=headers) as session:
        upload = asyncio.create_task(session.post(service.url + "/gbuilder/tasks", data=slowly()))
        async with asyncio.timeout(60):
            while not list((service.data / "uploads").iterdir()):
                await asyncio.sleep(0.05)
        assert await stopped(service) < 40
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await upload
    assert not list((service.data / "uploads").iterdir())
    await service.restart()


async def test_who_follows_a_log_is_let_go_at_once(service: Service) -> None:
    configured = sections(service.root)
    configured["aaas"]["modules"]["lab"]["count"]["entrypoint"] = "sh -c 'echo one; sleep 4'"
    service.dialects(configured)
    await service.start(STOP_GRACE="25")
    async with aiohttp.ClientSession() as session:
        url = f"{service.url}/aaas/auto"
        async with session.get(f"{url}/run?module=lab&name=count&task_id=a") as answer:
            assert answer.status == 200
        query = "task_id=a&follow=1&interval=60&lines=9"
        async with session.get(f"{url}/task_log?{query}") as answer:
            assert await answer.content.readline() == b"one\n"
            assert await stopped(service) < 22
            assert await answer.read() == b""
        await service.restart()
        async with asyncio.timeout(60):
            while service.leftovers():
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[EngineProxy]:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.open()
    yield proxy
    await proxy.cut()


@pytest_asyncio.fixture
async def silent(service: Service) -> AsyncIterator[tuple[asyncio.Event, asyncio.Event]]:
    """A dataset whose origin stops in the middle: set once it is asked, and to go on."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a,b\n")
        asked.set()
        await go_on.wait()
        await response.write(b"1,2\n")
        return response

    app = web.Application()
    app.router.add_get("/rows.csv", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/rows.csv"
    service.publish(dataset_document(REMOTE, [{"type": "url", "url": url, "method": "GET"}]))
    yield asked, go_on
    go_on.set()
    await runner.cleanup()


COPY = "cat /data/inputs/*/0 > /data/outputs/copy.csv"


async def test_inputs_on_their_way_are_fetched_by_the_next_start(
    service: Service, silent: tuple[asyncio.Event, asyncio.Event], checksum: str
) -> None:
    asked, go_on = silent
    await service.start(ALLOWED_PRIVATE_NETWORKS="127.0.0.0/8", STOP_GRACE="25")
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw(COPY, checksum=checksum), [REMOTE])
        await asked.wait()
        assert await stopped(service) < 22
        go_on.set()
        found = await ended(service, consumer, job)
        assert (await consumer.files(found))["copy.csv"] == b"a,b\n1,2\n"


async def test_a_pull_is_given_up_and_begun_again_by_the_next_start(
    service: Service, proxy: EngineProxy
) -> None:
    service.environments({"images": {"allow": ["*"], "pull": "missing"}})
    await service.start(DOCKER_HOST=proxy.url, STOP_GRACE="25")
    hold = proxy.hold(r"POST /v[0-9.]+/images/create")
    absent = raw("true", image="ocean-compute-test/absent", checksum="sha256:" + "ab" * 32)
    async with Consumer(service.url) as consumer:
        job = await consumer.start(absent, [DATASET])
        async with asyncio.timeout(60):
            await hold.arrived.wait()
        assert await stopped(service) < 22
        hold.release()
        await ended(service, consumer, job, 11)


@pytest.mark.parametrize(
    "call",
    [
        r"GET /v[0-9.]+/images/",
        r"POST /v[0-9.]+/containers/create",
        r"POST /v[0-9.]+/containers/[^/]+/start",
        r"GET /v[0-9.]+/containers/[^/]+/logs",
    ],
)
async def test_an_engine_that_hangs_does_not_keep_it(
    service: Service, proxy: EngineProxy, checksum: str, call: str
) -> None:
    await service.start(DOCKER_HOST=proxy.url, STOP_GRACE="3")
    hold = proxy.hold(call)
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw(COPY, checksum=checksum), [DATASET])
        async with asyncio.timeout(60):
            await hold.arrived.wait()
        assert await stopped(service) < 40
        hold.release()
        found = await ended(service, consumer, job)
        assert (await consumer.files(found))["copy.csv"] == b"a,b\n1,2\n3,4\n"


async def test_a_database_that_hangs_does_not_keep_it(service: Service, checksum: str) -> None:
    await service.start(STOP_GRACE="3")
    other = sqlite3.connect(service.data / "ocean-compute.db", isolation_level=None)
    async with Consumer(service.url) as consumer:
        body = consumer.start_body(raw("true", checksum=checksum), [DATASET], "test")
        other.execute("BEGIN IMMEDIATE")
        start = asyncio.create_task(consumer.call("POST", START, json=body))
        await asyncio.sleep(1)
        assert not start.done()
        assert await stopped(service) < 40
        with pytest.raises((aiohttp.ClientError, ConnectionError, Refused)):
            await start
        other.execute("ROLLBACK")
        other.close()
        await service.restart()
        [job] = await consumer.call("POST", START, json=body)
        assert (await consumer.follow(job["jobId"]))["status"] == 70


async def test_the_second_signal_ends_it_at_once(service: Service, large: Json) -> None:
    await stopped(service)
    await service.start(STOP_GRACE="25")
    pid = service.pid
    params = large["consumer"].result_params(large["jobId"], 0)
    async with (
        Consumer(service.url, large["consumer"].account) as consumer,
        aiohttp.ClientSession(read_bufsize=1 << 14) as session,
    ):
        async with session.get(service.url + RESULT, params=params) as answer:
            await answer.content.readany()
            async with stopping(service) as ending:
                await asyncio.sleep(1)
                assert not ending.done()
                os.kill(pid, signal.SIGTERM)
                assert await ending < 22
        await service.restart()
        assert (await consumer.status(large["jobId"]))["status"] == 70


BUSY = """
import asyncio, logging, sys
from provider.stopping import Stopping
async def main():
    stopping = Stopping(0.0, {grace})
    stopping.listen()
    print("ready", flush=True)
    {busy}
logging.basicConfig()
with asyncio.Runner(loop_factory={factory}) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("factory", ["None", "__import__('uvloop').new_event_loop"])
@pytest.mark.parametrize(
    ("busy", "by_force"),
    [
        ("while True: pass", True),
        ("await asyncio.sleep(600)", True),
        ("await asyncio.to_thread(__import__('time').sleep, 600)", True),
        ("await stopping.begun.wait(); stopping.closed()", False),
        (
            "asyncio.get_running_loop().run_in_executor(None, __import__('time').sleep, 600);"
            " await stopping.begun.wait(); stopping.closed()",
            False,
        ),
    ],
)
async def test_whatever_the_loop_does_the_process_ends(
    factory: str, busy: str, by_force: bool
) -> None:
    code = BUSY.format(busy=busy, factory=factory, grace=1.5 if by_force else 60.0)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(50):
        _, said = await process.communicate()
    assert process.returncode == 0, said
    assert (b"stopped_by_force" in said) is by_force

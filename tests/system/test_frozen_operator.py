"""An operator that is paused in the middle of a step, and goes on after another has its job.

It must not touch what is the other's by then: inputs of a container that runs, a mount that
results are written to, a folder that was removed.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from support.consumer import Consumer, raw
from support.engine_proxy import EngineProxy
from support.service import DATASET, HASTY, Service, dataset_document

pytestmark = pytest.mark.docker

REMOTE = "did:op:" + "e3" * 32
PATIENCE_S = 120

LOOKS = """
for i in 1 2 3 4; do
  cat /data/inputs/*/0 /data/transformations/algorithm > /tmp/seen || exit 9
  sleep 1
done
echo all > /data/outputs/told
"""


class Origin:
    """Keeps whoever asks first waiting for the second half."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        first = not self.asked.is_set()
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a,b\n")
        self.asked.set()
        if first:
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
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/rows.csv"
    service.publish(dataset_document(REMOTE, [{"type": "url", "url": url, "method": "GET"}]))
    yield origin
    origin.go_on.set()
    await runner.cleanup()


@pytest_asyncio.fixture
async def desk(service: Service, empty_postgres_url: str) -> AsyncIterator[Service]:
    """A process that only serves; operators are the tests'."""
    service.program = HASTY
    await service.start(
        DATABASE_URL=empty_postgres_url, OPERATE="false", ALLOWED_PRIVATE_NETWORKS="127.0.0.0/8"
    )
    yield service
    service.stop()
    service.sweep()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.05)


async def operating(desk: Service, **environ: str) -> subprocess.Popen[bytes]:
    before = desk.log().count("operating address=")
    process = desk.spawn("operate", **environ)
    await until(lambda: desk.log().count("operating address=") > before)
    return process


def end(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    assert [process.wait(90) for process in processes] == [0] * len(processes)


@pytest.mark.parametrize("when", [{40}, {70}], ids=["it-runs", "it-is-over"])
async def test_paused_while_staging(
    desk: Service, origin: Origin, checksum: str, when: set[int]
) -> None:
    paused = await operating(desk)
    async with Consumer(desk.url) as consumer:
        job = await consumer.start(raw(LOOKS, checksum=checksum), [REMOTE, DATASET])
        await origin.asked.wait()
        paused.send_signal(signal.SIGSTOP)
        other = await operating(desk)
        await consumer.follow(job["jobId"], until=when)
        origin.go_on.set()
        paused.send_signal(signal.SIGCONT)
        await asyncio.sleep(2)
        ended = await consumer.follow(job["jobId"])
        assert ended["status"] == 70, (ended, desk.log())
        assert (await consumer.files(ended))["told"] == b"all\n"
    end(paused, other)
    assert desk.leftovers() == []
    assert "Traceback" not in desk.log(), desk.log()


@pytest.mark.parametrize(
    "call",
    [r"POST /v[0-9.]+/containers/create", r"GET /v[0-9.]+/containers/[^/]+/logs"],
    ids=["creating", "saving-the-log"],
)
async def test_paused_while_the_engine_is_asked(
    desk: Service, checksum: str, tmp_path: Path, call: str
) -> None:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.open()
    paused = await operating(desk, DOCKER_HOST=proxy.url)
    hold = proxy.hold(call)
    async with Consumer(desk.url) as consumer:
        code = "cat /data/inputs/*/0 > /data/outputs/rows"
        job = await consumer.start(raw(code, checksum=checksum), [DATASET])
        async with asyncio.timeout(PATIENCE_S):
            await hold.arrived.wait()
        paused.send_signal(signal.SIGSTOP)
        other = await operating(desk)
        ended = await consumer.follow(job["jobId"])
        hold.release()
        paused.send_signal(signal.SIGCONT)
        await asyncio.sleep(2)
        assert ended["status"] == 70, (ended, desk.log())
        assert b"1,2" in (await consumer.files(ended))["rows"]
    end(paused, other)
    await proxy.cut()
    assert desk.leftovers() == []
    assert "Traceback" not in desk.log(), desk.log()

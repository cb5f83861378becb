"""The service as a whole: how it starts, refuses to start, ends, and what it logs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from ocean_consumer import ALICE, COMPUTE, CONTAINER, OPEN, Api, Serve, settings_of, sign
from yarl import URL

from compute.engines.fake import FakeEngine, FakeRun, FakeWorld
from compute.errors import StoreUnavailable
from compute.space import WatchedSpace
from provider import logs
from provider.app import create_app
from provider.listening import Door
from provider.middlewares import guard
from provider.serving import DEAF_S, _listen

SLEEPING: dict[str, Any] = {
    "dataset": {"documentId": OPEN, "serviceId": "compute"},
    "algorithm": {"meta": {"rawcode": "x", "container": {**CONTAINER, "entrypoint": "sleep 1"}}},
}


def started(folder: Path, world: FakeWorld) -> TestClient[web.Request, web.Application]:
    app = create_app(settings_of(folder), engine=FakeEngine(world), space=WatchedSpace())
    return TestClient(TestServer(app))


async def test_ending_leaves_containers_running_and_a_restart_adopts_them(folder: Path) -> None:
    running = asyncio.Event()

    async def until_told(run: FakeRun) -> int:
        running.set()
        await run.stopping.wait()
        return 143

    world = FakeWorld()
    world.add_image("example/python:3")
    world.programs["sleep"] = until_told
    async with started(folder, world) as client:
        api = Api(client, world)
        job_id = await api.start(**SLEEPING)
        await asyncio.wait_for(running.wait(), 60)
    assert len(world.containers) == 1
    async with started(folder, world) as client:
        api.client = client
        assert (await api.status(job_id))["status"] == 40
        query = api.job_query(ALICE, job_id)
        status, [job] = await api.call("PUT", COMPUTE, params=query)
        assert (status, job["status"]) == (200, 7)
        assert (await api.call("PUT", COMPUTE, params=query))[0] == 400
    assert sum(world.starts.values()) == 1
    await world.end()


async def test_two_services_never_share_one_database(folder: Path, serve: Serve) -> None:
    await serve()
    second = started(folder, FakeWorld())
    with pytest.raises(StoreUnavailable, match="another"):
        await second.start_server()
    await second.close()


def environ_of(folder: Path, **variables: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PROVIDER_PRIVATE_KEY": "11" * 32,
        "DATA_DIR": str(folder / "data"),
        "ENVIRONMENTS_FILE": str(folder / "environments.yaml"),
        "ASSETS_DIR": str(folder / "assets"),
        "LISTEN_PORT": "0",
        "OUTPUT_QUOTA": "watch",
        "DOCKER_HOST": "unix:///nowhere.sock",
        **variables,
    }


COMMAND = [
    sys.executable,
    "-c",
    "from provider.serving import serve; from provider.settings import Settings; import sys;"
    "sys.exit(serve(Settings.from_environ()))",
]


async def test_it_serves_until_told_to_end_even_while_the_engine_is_away(folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, env=environ_of(folder, LOG_FORMAT="json"), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(120):
        while True:
            line = json.loads(await process.stderr.readline())
            if line["message"].startswith("ready "):
                break
        url = line["message"].split("url=")[1].split()[0]
        async with aiohttp.request("GET", url) as response:
            assert response.status == 200
        process.send_signal(signal.SIGTERM)
        await process.stderr.read()
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"ENVIRONMENTS_FILE": "/nowhere.yaml"}, "/nowhere.yaml"),
        ({"DATA_DIR": "/proc/none"}, "DATA_DIR"),
        ({"LISTEN_HOST": "192.0.2.1"}, "cannot start"),
        ({"DATABASE_URL": "mysql://db/x"}, "postgresql://"),
        ({"OPERATE": "false"}, "PostgreSQL"),
    ],
)
def test_what_stops_the_start_is_said_in_one_text(
    folder: Path, variables: dict[str, str], text: str
) -> None:
    done = subprocess.run(
        COMMAND, env=environ_of(folder, **variables), capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert text in done.stderr.splitlines()[-1]


async def test_a_fault_of_ours_is_a_bare_500_and_its_log_line_repeats_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(request: web.Request) -> web.Response:
        raise RuntimeError(request.query_string)

    app = web.Application(middlewares=[guard(lambda error: None)])
    app.router.add_get("/", broken)
    async with TestClient(TestServer(app)) as client:
        headers = {"X-Request-Id": "trace-7"}
        async with client.get("/?note=hush&signature=0xsecret", headers=headers) as response:
            assert response.status == 500
            assert await response.json() == {"error": "Internal error", "requestId": "trace-7"}
    assert "trace-7" in caplog.text
    assert "in broken" in caplog.text
    assert "hush" not in caplog.text
    assert "0xsecret" not in caplog.text


async def test_no_log_line_holds_a_signature_or_a_token(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="provider")
    caplog.set_level(logging.DEBUG, logger="compute")
    body = api.start_body()
    _, [job] = await api.call("POST", COMPUTE, json=body)
    await api.finished(job["jobId"])
    query = api.result_query(ALICE, job["jobId"])
    await api.call("GET", "/api/services/computeResult", params=query)
    await api.call("GET", "/api/services/computeResult", params=query)
    assert "path='/api/services/compute'" in caplog.text
    for secret in (body["signature"], query["signature"], sign(ALICE, "x")[:20]):
        assert secret not in caplog.text


async def test_a_path_cannot_break_a_log_line(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="provider")
    await api.call("GET", URL("/x%0aERROR%20forged" + "y" * 1000, encoded=True))
    [line] = [each.getMessage() for each in caplog.records if "path=" in each.getMessage()]
    assert "\n" not in line
    assert "forged" in line
    assert len(line) < 400


async def test_a_request_that_cannot_be_read_is_logged_without_its_content(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    with configured("info", "text"):
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
            writer.write(
                b"GET /?signature=0xsecret HTTP/1.1\r\nAuthToken: hush\r\nbad\0line\r\n\r\n"
            )
            assert b" 400 " in await asyncio.wait_for(reader.readline(), 60)
            writer.close()
            await writer.wait_closed()
        [line] = capsys.readouterr().err.splitlines()
    assert "WARNING" in line
    assert "request_unreadable error=" in line
    assert "secret" not in line
    assert "hush" not in line


def test_a_fault_in_the_http_library_tells_its_place_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = "hush"
    with configured("info", "json"):
        try:
            raise RuntimeError(message)
        except RuntimeError:
            logging.getLogger("aiohttp.server").exception("Unhandled exception")
        line = json.loads(capsys.readouterr().err)
    assert line["level"] == "error"
    assert "RuntimeError" in line["message"]
    assert message not in line["message"]


@contextmanager
def configured(level: Literal["info"], style: str) -> Iterator[None]:
    """The service's log on standard error, and the tests' own back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure(level, style)
    yield
    root.handlers, root.level = before
    for floor in ("provider", "compute"):
        logging.getLogger(floor).setLevel(logging.NOTSET)


def test_log_lines_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    with configured("info", "json"):
        logging.getLogger("provider.x").info("ready url=%s", 'a"b')
        logging.getLogger("provider.x").debug("not shown")
        logging.getLogger("library").info("not shown")
        [line] = capsys.readouterr().err.splitlines()
    document = json.loads(line)
    assert (document["level"], document["message"]) == ("info", 'ready url=a"b')
    assert document["time"].endswith("Z")


async def test_it_ends_soon_while_silent_origins_are_asked(folder: Path) -> None:
    asked: list[asyncio.StreamWriter] = []

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(writer)

    origin = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = origin.sockets[0].getsockname()[1]
    variables = {"LOG_FORMAT": "json", "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8"}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, env=environ_of(folder, **variables), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(120), aiohttp.ClientSession() as session:
        line = {"message": ""}
        while not line["message"].startswith("ready "):
            line = json.loads(await process.stderr.readline())
        url = line["message"].split("url=")[1].split()[0] + "/api/services/fileinfo"
        body = {"type": "url", "url": f"http://127.0.0.1:{port}/x"}
        answers = [asyncio.ensure_future(session.post(url, json=body)) for _ in range(60)]
        while not asked:
            await asyncio.sleep(0.01)
        for each in answers[:30]:
            each.cancel()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            log = (await process.stderr.read()).decode()
        assert await process.wait() == 0
        await asyncio.gather(*answers, return_exceptions=True)
    assert "request_failed" not in log
    for writer in asked:
        writer.close()
    origin.close()


async def test_who_takes_nothing_is_cut_by_the_kernel(folder: Path) -> None:
    settings = settings_of(folder, LISTEN_HOST="127.0.0.1", LISTEN_PORT="0")
    runner = web.ServerRunner(web.Server(_never))
    await runner.setup()
    listening = await _listen(Door(runner.server, 10), settings)
    try:
        cut = listening.sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert cut == DEAF_S * 1000
    finally:
        listening.close()
        await runner.cleanup()


async def _never(_: web.BaseRequest) -> web.Response:
    return web.Response()

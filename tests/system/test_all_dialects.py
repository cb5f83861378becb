"""One job of each of the five APIs at once: seen, counted, killed over, stopped like any other."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import docker
import pytest
import pytest_asyncio
from dialects.pipelines.pipeline_caller import ACCESS_KEY, DELETE, PREPROCESS, SECRET_KEY, Caller
from support.consumer import Consumer, raw
from support.service import DATASET, IMAGE, Service, engine, image_id
from support.starts import Starts, starts
from support.witness import watched_session

from compute.engines.base import OPERATOR_LABEL
from provider.apikeys import hash_key

__all__ = ["starts"]
pytestmark = pytest.mark.docker

PATIENCE_S = 150.0
SHELL = f"{IMAGE}:1"
LINE = '{"data": "Ada", "entity": [], "entity_type": []}'
Json = dict[str, Any]


class Clients:
    """A client of each API, and the jobs that it has started."""

    def __init__(self, service: Service, session: aiohttp.ClientSession, pause_s: int) -> None:
        self._service = service
        self._session = session
        self._pause_s = pause_s
        self.caller = Caller(service.url, session)
        self.consumer = Consumer(service.url)
        self.ocean_job = self.pipelines_task = self.labelling_task = ""

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        async with self._session.request(method, self._service.url + path, **options) as answer:
            assert answer.status == 200, (path, await answer.text())
            return await answer.json()

    async def start(self) -> None:
        pause = pausing(self._pause_s)
        async with self.consumer:
            algorithm = raw(f"{pause}; echo 1 > /data/outputs/n", checksum=image_id())
            job = await self.consumer.start(algorithm, [DATASET])
        self.ocean_job = job["jobId"]
        form = aiohttp.FormData({"task_id": "one"})
        form.add_field("task_file", b'{"data": "Ada"}\n', filename="in.jsonl")
        await self._call("POST", "/gbuilder/tasks", data=form)
        await self.caller.furnish()
        body = await self.caller.body(f"{pause}; echo 1 > $OUTPUTS/n")
        self.pipelines_task = (await self.caller.good(PREPROCESS, body))["uid"]
        created = await self._call("POST", "/labelling/api/tasks/", json=_labelling_body())
        self.labelling_task = created["error_message"]["task_id"]
        await self._call("GET", "/aaas/auto/run?module=lab&name=count&task_id=one")

    async def states(self) -> Json:
        """What each API says of its job."""
        async with self.consumer:
            ocean = await self.consumer.status(self.ocean_job)
        gbuilder = await self._call("GET", "/gbuilder/tasks/one")
        task = await self.caller.good("KlnZtRyqy3rPAZWL", {"uid": self.pipelines_task})
        row = await self._call("GET", f"/labelling/api/tasks/{self.labelling_task}")
        info = (await self._call("GET", "/aaas/auto/task_info?task_id=one"))["data"]
        return {
            "ocean": ocean["status"],
            "gbuilder": gbuilder["status"],
            "pipelines": (task["execute_step"], task["status"]),
            "labelling": (row["error_message"]["stat"], row["error_message"]["prod_stat"]),
            "aaas": ("process" in info, info.get("done_flag"), info.get("exception")),
        }

    async def until(self, wanted: Json, *, let_go: bool = False) -> None:
        seen: Json = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while seen != wanted:
                    if let_go:
                        await asyncio.to_thread(self._let_go)
                    seen = await self.states()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"{seen} instead of {wanted}\n{self._service.log()[-3000:]}")

    def _let_go(self) -> None:
        """End the pause of what runs now."""
        filters = {"label": f"{OPERATOR_LABEL}={self._service.operator_id()}"}
        with engine() as client:
            for container in client.containers(filters=filters):
                with contextlib.suppress(docker.errors.APIError):
                    told = client.exec_create(container["Id"], ["touch", "/tmp/go"])
                    client.exec_start(told["Id"])

    async def stop(self) -> None:
        """Each by its own wire."""
        task = {"TASK_ID": self.labelling_task}
        async with self.consumer:
            await self.consumer.stop(self.ocean_job)
        await self._call("DELETE", "/gbuilder/tasks/one")
        await self.caller.good(DELETE, {"task_uid": self.pipelines_task, **_USER})
        await self._call("POST", "/labelling/api/tasks/abort/", json=task)
        told = await self._call("GET", "/aaas/auto/end_task?task_id=one")
        assert told["data"] == 2

    async def active(self) -> int:
        environments = await self._call("GET", "/api/services/computeEnvironments")
        return sum(each["currentJobs"] for each in environments)


_USER = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}

RUNNING = {
    "ocean": 40,
    "gbuilder": 0,
    "pipelines": ("run_task", "running"),
    "labelling": ("PENDING", None),
    "aaas": (True, None, None),
}
DONE = {
    "ocean": 70,
    "gbuilder": 2,
    "pipelines": ("upload", "finished"),
    "labelling": ("SUCCESS", "finish"),
    "aaas": (True, 1, None),
}
STOPPED = {
    "ocean": 7,
    "gbuilder": 3,
    "pipelines": ("run_task", "deleted"),
    "labelling": ("BREAK", None),
    "aaas": (True, 3, None),
}


def pausing(pause_s: int) -> str:
    """For so long at most: until it is let go."""
    return (
        f"i=0; while [ $i -lt {5 * pause_s} ] && ! [ -e /tmp/go ]; do sleep 0.2; i=$((i+1)); done"
    )


def _labelling_body() -> Json:
    return {
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


def sections(root: Path, pause_s: int) -> Json:
    """All four, on one environment; algorithms are one line of shell each."""
    database = root / "forum.sqlite"
    database.write_bytes(b"")
    progress = json.dumps({"received": 1, "labelled": 1})

    def shell(script: str) -> str:
        return f"sh -c '{pausing(pause_s)}; {script}'"

    return {
        "gbuilder": {
            "environment": "test",
            "image": SHELL,
            "entrypoint": shell("cp /data/inputs/input.jsonl /data/outputs/output.jsonl"),
        },
        "pipelines": {
            "environment": "test",
            "users": {ACCESS_KEY: hash_key(SECRET_KEY)},
        },
        "labelling": {
            "environment": "test",
            "image": SHELL,
            "entrypoint": shell(f'echo "{progress}" > /data/outputs/progress.json').replace(
                progress, progress.replace('"', '\\"')
            ),
            "files": {"forum": str(database)},
        },
        "aaas": {
            "environment": "test",
            "modules": {"lab": {"count": {"image": SHELL, "entrypoint": shell("true")}}},
        },
    }


@pytest_asyncio.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Callable[[int], Awaitable[Service]]]:
    service = Service(tmp_path / "own")

    async def start(pause_s: int) -> Service:
        images = {"allow": ["*"], "pull": "never", "build": True}
        service.environments({"images": images, "maxJobs": 5})
        service.dialects(sections(tmp_path, pause_s))
        await service.start()
        return service

    yield start
    service.stop()
    service.sweep()


async def test_a_kill_with_one_job_of_each_in_flight(
    starts: Starts,
    serve: Callable[[int], Awaitable[Service]],
) -> None:
    service = await serve(50)
    async with watched_session(service.url) as session:
        clients = Clients(service, session, 50)
        await clients.start()
        await clients.until(RUNNING)
        assert await clients.active() == 5
        service.kill()
        await service.restart()
        await clients.until(DONE, let_go=True)
        assert await clients.active() == 0
    seen = starts.of_containers(service.operator_id())
    assert len(seen) == 7
    assert set(seen.values()) == {1}
    log = service.log()
    assert log.count("job_queued") == 5
    assert log.count("job_ended") == 5
    assert "Traceback" not in log
    assert service.leftovers() == []


async def test_a_stop_of_each_by_its_own_wire(
    serve: Callable[[int], Awaitable[Service]],
) -> None:
    service = await serve(60)
    async with watched_session(service.url) as session:
        clients = Clients(service, session, 60)
        await clients.start()
        await clients.until(RUNNING)
        await clients.stop()
        await clients.until(STOPPED)
        assert await clients.active() == 0
    assert "Traceback" not in service.log()
    assert service.leftovers() == []


async def test_all_of_them_at_the_root(serve: Callable[[int], Awaitable[Service]]) -> None:
    service = await serve(0)
    config = sections(service.root, 0)
    service.stop()
    service.dialects({name: {**section, "mount": "/"} for name, section in config.items()})
    await service.restart()
    answers = {}
    async with aiohttp.ClientSession() as session:
        for path in ("/status", "/api/tasks/", "/auto/all_task", "/api/services/nonce", "/"):
            async with session.get(service.url + path) as response:
                answers[path] = response.status
    assert answers == {
        "/status": 200,
        "/api/tasks/": 200,
        "/auto/all_task": 200,
        "/api/services/nonce": 400,
        "/": 200,
    }

"""SIGKILL at bad moments: tasks end, outputs get their contents, nothing else is left."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
import pytest
from pipeline_caller import PREPROCESS, TASK, TRAIN, Caller, build_file, unpacked
from pipeline_service import SECTION, a_service, end
from support.service import IMAGE, Service

pytestmark = pytest.mark.docker


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    made = a_service(tmp_path / "service", SECTION)
    try:
        await made.start()
        yield made
    finally:
        end(made)


@asynccontextmanager
async def calling(service: Service) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(service.url, session)


async def test_a_task_in_flight_ends_and_its_output_can_be_used(service: Service) -> None:
    async with calling(service) as caller:
        await caller.furnish()
        uids = caller.uids
        body = await caller.body("echo begun; sleep 2; echo over")
        started = await caller.good(PREPROCESS, body)
        await caller.printed(started["uid"], "preprocessing", "preprocessing", "begun")
    service.kill()
    await service.restart()
    async with calling(service) as caller:
        caller.uids = uids
        task = await caller.ended(started["uid"])
        assert (task["execute_step"], task["status"]) == ("upload", "finished")
        log = await caller.printed(started["uid"], "preprocessing", "preprocessing", "over")
        assert log["preprocessing"] == "begun\nover\n"
        trained = await caller.good(TRAIN, await caller.model_body(started["training_dataset_uid"]))
        assert (await caller.ended(trained["uid"]))["status"] == "finished"
    assert service.leftovers() == []


def forget_outcome(service: Service, task_uid: str) -> Path:
    """Have the database as it is between the end of a job and the outcome of its task; where
    the content was."""
    with closing(sqlite3.connect(service.data / "ocean-compute.db")) as database, database:
        [(uid, kind, sha256)] = database.execute(
            "SELECT uid, kind, sha256 FROM registry_items WHERE task_uid = ?", (task_uid,)
        )
        database.execute(
            "UPDATE registry_items SET state = 'pending', size = NULL, sha256 = '' WHERE uid = ?",
            (uid,),
        )
        database.execute("INSERT INTO registry_uses VALUES (?, ?, '')", (task_uid, uid))
    return service.data / "registry" / kind / f"{uid}-{sha256}"


def forget_row(service: Service, uid: str) -> None:
    """Have the database as it is between a build and the row of its build file."""
    with closing(sqlite3.connect(service.data / "ocean-compute.db")) as database, database:
        database.execute("DELETE FROM registry_items WHERE uid = ?", (uid,))


async def test_an_end_that_nobody_saw_is_settled_at_the_next_start(service: Service) -> None:
    async with calling(service) as caller:
        await caller.furnish()
        first, second, third = [
            (await caller.good(PREPROCESS, await caller.body()))["uid"] for _ in range(3)
        ]
        for uid in (first, second, third):
            assert (await caller.ended(uid))["status"] == "finished"
        unknown = await caller.add("build_files", build_file("running"), sequence="running")
    service.stop()
    forget_row(service, unknown)
    paths = {uid: forget_outcome(service, uid) for uid in (first, second, third)}
    content = paths[first].read_bytes()
    paths[first].unlink()
    paths[second].write_bytes(b"half of it")
    paths[third].unlink()
    shutil.rmtree(service.data / "results" / third.replace("-", ""))
    strays = [service.data / "registry" / "models" / third, service.data / "uploads" / "output-x"]
    for stray in strays:
        stray.write_text("left by a crash")
    (service.data / "uploads" / "context-x").mkdir()
    await service.restart()
    assert not any(stray.exists() for stray in strays)
    assert not (service.data / "uploads" / "context-x").exists()
    assert not any(unknown in name for name in service.built_images())
    assert len(service.built_images()) == 3
    async with calling(service) as caller:
        for uid in (first, second):
            task = await caller.good(TASK, {"uid": uid})
            assert task["status"] == "finished"
            path = f"datasets/{task['training_dataset_uid']}/content"
            assert await caller.registry("GET", path) == (200, content)
        task = await caller.good(TASK, {"uid": third})
        assert (task["execute_step"], task["status"]) == ("upload", "failed")
        assert "deleted with its results" in task["reason"]
    assert list((service.data / "uploads").iterdir()) == []
    assert unpacked(content) == {"data": "a,b\n1,2\n"}


async def test_a_build_ends_with_the_service_or_when_its_caller_hangs_up(service: Service) -> None:
    endless = f"FROM {IMAGE}:1\nRUN sleep 600\n".encode()
    async with calling(service) as caller:
        caller.uids["pipeline"] = await caller.add("pipelines")
        fields = {"name": "slow", "sequence": "running", "pipeline_uid": caller.uids["pipeline"]}
        left = asyncio.create_task(caller.post("build_files", endless, **fields))
        await being_built(service)
        left.cancel()
        await caller.add("build_files", build_file("running"), sequence="running")
        kept = asyncio.create_task(caller.post("build_files", endless, **fields))
        await being_built(service)
        service.stop()
        status, answer = await kept
        assert status == 503
        assert answer["detail"].endswith("the service ends; try again.")
    assert list((service.data / "uploads").iterdir()) == []


async def being_built(service: Service) -> None:
    async with asyncio.timeout(30):
        while not any((service.data / "uploads").glob("context-*")):
            await asyncio.sleep(0.05)

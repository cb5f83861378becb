"""Several processes serve one registry: what one takes in or makes, all have, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from pipeline_caller import PREPROCESS, TASK, TRAIN, Caller, build_file, unpacked
from pipeline_service import SECTION
from support.serves import Serves

from provider.registry.models import new_uid

pytestmark = pytest.mark.docker


@pytest.fixture
async def serves(tmp_path: Path, postgres_url: str) -> AsyncIterator[Serves]:
    """Only the first one operates jobs."""
    made = Serves(tmp_path / "service")
    images = {"allow": ["ocean-compute-test/*"], "pull": "never", "build": True}
    made.service.environments({"images": images, "maxJobs": 2})
    made.service.dialects({"pipelines": SECTION})
    try:
        await made.start(postgres_url, {"OPERATE": "false"}, {"OPERATE": "false"})
        yield made
        assert set(made.stop()) <= {0}, made.service.log()
        assert "Traceback" not in made.service.log(), made.service.log()
    finally:
        made.stop()
        made.service.sweep()


@pytest.fixture
async def callers(serves: Serves) -> AsyncIterator[list[Caller]]:
    async with aiohttp.ClientSession() as session:
        made = [Caller(url, session) for url in serves.urls]
        for each in made:
            each.uids = made[0].uids
        yield made


async def test_what_one_process_takes_in_and_makes_all_have(
    serves: Serves, callers: list[Caller]
) -> None:
    here, there, third = callers
    await there.furnish()
    started = await third.good(PREPROCESS, await here.body())
    told = [await each.ended(started["uid"]) for each in callers]
    assert [task["status"] for task in told] == ["finished"] * 3
    path = f"datasets/{started['training_dataset_uid']}/content"
    contents = [await each.registry("GET", path) for each in callers]
    assert contents[0][0] == 200
    assert contents[1:] == contents[:-1]
    assert unpacked(contents[0][1]) == {"data": "a,b\n1,2\n"}
    kept = list((serves.service.data / "registry" / "datasets").iterdir())
    assert len(kept) == 2, "the one that was handed in, and the one that was made"
    body = await third.model_body(started["training_dataset_uid"])
    trained = await there.good(TRAIN, body)
    assert (await here.ended(trained["uid"]))["status"] == "finished"


async def test_an_item_is_added_once_whoever_is_asked(callers: list[Caller]) -> None:
    callers[0].uids["pipeline"] = await callers[1].add("pipelines")
    fields = {"name": "thing", "extension": "sh", "pipeline_uid": callers[0].uids["pipeline"]}
    for _ in range(5):
        uid = new_uid()
        answers = await asyncio.gather(
            *(
                each.post("configs", f"echo {number}".encode(), uid=uid, **fields)
                for number, each in enumerate(callers * 2)
            )
        )
        assert sorted(status for status, _ in answers) == [201, *[409] * 5], answers
        kept = {await each.registry("GET", f"configs/{uid}/content") for each in callers}
        assert len(kept) == 1
        winner = [status for status, _ in answers].index(201)
        assert kept == {(200, f"echo {winner}".encode())}


async def test_builds_of_all_processes_leave_each_other_s_images(
    serves: Serves, callers: list[Caller]
) -> None:
    here, there, third = callers
    here.uids["pipeline"] = await there.add("pipelines")
    unwanted = await there.add("build_files", build_file("running"), sequence="running")

    async def removed() -> None:
        assert (await third.registry("DELETE", f"build_files/{unwanted}"))[0] == 200

    *built, _ = await asyncio.gather(
        *(each.add("build_files", build_file("running"), sequence="running") for each in callers),
        removed(),
    )
    images = serves.service.built_images()
    assert all(any(uid in name for name in images) for uid in built)
    await there.add("build_files", build_file("running"), sequence="running")
    assert not any(unwanted in name for name in serves.service.built_images())


async def test_what_a_killed_process_had_in_the_making_goes_with_the_next_start(
    serves: Serves, callers: list[Caller]
) -> None:
    uploads = serves.service.data / "uploads"
    folders = sorted(path for path in uploads.iterdir() if path.is_dir())
    assert len(folders) == 3
    for folder in folders:
        (folder / "upload-half").write_text("half")
    serves.kill(1)
    serves.service.stop()
    assert [(folder / "upload-half").exists() for folder in folders].count(True) == 2
    await serves.service.restart()
    assert [(folder / "upload-half").exists() for folder in folders].count(True) == 1
    task = await callers[2].parse(TASK, {"uid": new_uid()})
    assert task[0] == 404

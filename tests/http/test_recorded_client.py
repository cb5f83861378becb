"""What ocean.py 3.1.2 sent to an Ocean Provider 2.1.6, sent to this one, signatures and all.

The signatures cover job ids, so two jobs of those ids are queued before the service starts;
its clock begins where it stood then. The client asks for the nonce before each call, so of
its many signed questions about status only those are here after which the next nonce fits.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from ocean_consumer import (
    CONTAINER,
    PROGRAMS,
    Api,
    algorithm_ddo,
    ddo,
    furnish,
    service,
    settings_of,
)

from compute.engines.fake import FakeEngine, FakeWorld
from compute.models import AlgorithmItem, DatasetItem, Image, Job, JobSpec
from compute.space import WatchedSpace
from compute.store.database import open_database
from compute.store.jobs import JobStore
from provider.app import create_app
from provider.migrations import VERSIONS

RECORDED_AT = 1795189635.0
CONSUMER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
DATASET = "did:op:fbc79e065bc4ae2a2cb6916fe59a2d89a9b2126c872ffd2cc994182e3e3afc19"
ALGORITHM = "did:op:587ae498b0eaff14cde91197248328ccf59c37ac3059e463bcf1951b7541f9d5"
FIRST, SECOND = "801d687733b348a2b52602f96c057188", "4a2169f946404f9d95202db828e74795"
DATA_ORDER = "0x1317d4be9b214aa8ae5742fe30d312e948238f29d5088297f498c327f2148721"
ALGORITHM_ORDER = "0x047cf05619aefc71820b73f0806e8d6b43463ddb429b6274e41d702732ca08c4"

ENVIRONMENTS = """
environments:
  - {id: ocean-compute, maxJobs: 10, images: {pull: never}}
"""
RECORDED = {
    each["name"]: each
    for each in json.loads(Path(__file__).with_name("recordings.json").read_text())
}


def job(job_id: str, entrypoint: str) -> Job:
    image = Image(image=CONTAINER["image"], tag=CONTAINER["tag"])
    spec = JobSpec(
        datasets=(DatasetItem(did=DATASET, service_id="1"),),
        algorithm=AlgorithmItem(did=ALGORITHM, service_id="0", image=image, entrypoint=entrypoint),
        max_duration_s=3600,
    )
    return Job(job_id, CONSUMER, "ocean-compute", spec, RECORDED_AT)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    folder = furnish(tmp_path)
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    documents = [ddo(DATASET, service(id="1")), algorithm_ddo(ALGORITHM)]
    documents[1]["services"][0]["id"] = "0"
    for document in documents:
        (folder / "assets" / f"{document['id'][-8:]}.json").write_text(json.dumps(document))
    settings = settings_of(folder)
    database = await open_database(settings.database_url, migrations=[VERSIONS])
    for item in (job(FIRST, "python $ALGO"), job(SECOND, "sleep 1")):
        await JobStore(database).insert(item, queue_limit=10)
    await database.close()
    world = FakeWorld()
    world.add_image("example/python:3")
    world.programs |= PROGRAMS
    began = time.time()
    app = create_app(
        settings,
        engine=FakeEngine(world),
        space=WatchedSpace(),
        clock=lambda: RECORDED_AT + time.time() - began,
    )
    async with TestClient(TestServer(app)) as client:
        yield Api(client, world)
    await world.end()


async def replay(api: Api, name: str) -> tuple[int, Any]:
    call = RECORDED[name]
    path = call["path"] + (f"?{call['query']}" if call["query"] else "")
    return await api.call(call["method"], path, json=call["body"])


async def test_the_recorded_session_succeeds_call_by_call(api: Api) -> None:
    status, environments = await replay(api, "environments")
    assert (status, environments[0]["id"]) == (200, "ocean-compute")
    status, items = await replay(api, "initialize")
    assert status == 200
    assert all("providerFee" not in item for item in [*items["datasets"], items["algorithm"]])
    assert await replay(api, "nonce") == (200, {"nonce": "1"})
    status, [started] = await replay(api, "start")
    assert (status, started["agreementId"]) == (200, DATA_ORDER)
    assert started["owner"] == CONSUMER
    await api.finished(FIRST)
    assert (await replay(api, "result"))[0] == 200
    assert (await replay(api, "log"))[0] == 200
    status, [finished] = await replay(api, "status_again")
    assert (status, finished["jobId"]) == (200, FIRST)
    assert await replay(api, "initialize_again") == (
        200,
        {
            "datasets": [{"validOrder": DATA_ORDER}],
            "algorithm": {"validOrder": ALGORITHM_ORDER},
        },
    )
    assert (await replay(api, "start_again"))[0] == 200
    status, [stopped] = await replay(api, "stop")
    assert (status, stopped["jobId"], stopped["status"]) == (200, SECOND, 7)
    status, [deleted] = await replay(api, "delete")
    assert (status, deleted["jobId"], deleted["status"]) == (200, SECOND, 8)


async def test_a_recorded_question_may_be_asked_again_and_moves_the_nonce_that_is_told(
    api: Api,
) -> None:
    assert (await replay(api, "start"))[0] == 200
    for _ in range(3):
        status, [asked] = await replay(api, "status")
        assert (status, asked["jobId"]) == (200, FIRST)
    assert await replay(api, "nonce") == (200, {"nonce": "67"})


@pytest.mark.parametrize("name", ["start", "result", "stop", "delete"])
async def test_what_an_eavesdropper_replays_is_refused(api: Api, name: str) -> None:
    await api.finished(FIRST)
    assert (await replay(api, name))[0] == 200
    status, body = await replay(api, name)
    assert status == 400
    assert "expected nonce" in body["errors"]["signature"]

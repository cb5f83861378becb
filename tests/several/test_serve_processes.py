"""Three real processes on one PostgreSQL and one engine: whoever is asked, the answer is one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from support.consumer import Consumer, Refused, raw
from support.serves import Serves
from support.service import DATASET

pytestmark = pytest.mark.docker

SERVICES = "/api/services/"
COMPUTE = SERVICES + "compute"


@pytest.fixture
async def serves(tmp_path: Path, postgres_url: str) -> AsyncIterator[Serves]:
    """The last of them operates no jobs."""
    made = Serves(tmp_path / "service")
    made.service.environments({"maxQueue": 50, "maxQueuePerConsumer": 50})
    try:
        await made.start(postgres_url, {}, {"OPERATE": "false"})
        yield made
        assert set(made.stop()) == {0}, made.service.log()
        assert "Traceback" not in made.service.log(), made.service.log()
    finally:
        made.stop()
        made.service.sweep()


@pytest.fixture
async def asked(serves: Serves) -> AsyncIterator[list[Consumer]]:
    """One wallet, talking to each of the processes."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Consumer(serves.urls[0]))
        others = [
            await stack.enter_async_context(Consumer(url, first.account)) for url in serves.urls[1:]
        ]
        yield [first, *others]


async def outcome(consumer: Consumer, method: str, path: str, **sent: Any) -> tuple[int, Any]:
    try:
        return 200, await consumer.call(method, path, **sent)
    except Refused as refused:
        return refused.status, refused.body


async def nonces(asked: list[Consumer]) -> set[str]:
    path = f"{SERVICES}nonce?userAddress={asked[0].address}"
    return {(await each.call("GET", path))["nonce"] for each in asked}


def wish(consumer: Consumer, job_id: str) -> dict[str, str]:
    """Signed parameters, of a status or a stop: their texts are one."""
    nonce = consumer.nonce()
    return {
        "consumerAddress": consumer.address,
        "jobId": job_id,
        "nonce": nonce,
        "signature": consumer.sign(consumer.address, job_id, nonce),
    }


async def test_one_request_to_all_at_once_is_served_by_one(
    asked: list[Consumer], checksum: str
) -> None:
    started: set[str] = set()
    for _ in range(8):
        body = asked[0].start_body(raw("true", checksum=checksum), [DATASET], "test")
        outcomes = await asyncio.gather(
            *(outcome(each, "POST", COMPUTE, json=body) for each in asked * 2)
        )
        good = [answer for status, answer in outcomes if status == 200]
        assert len(good) == 1, outcomes
        assert {status for status, _ in outcomes} == {200, 400}
        started.add(good[0][0]["jobId"])
        assert await nonces(asked) == {body["nonce"]}
    ended = [await each.follow(job_id) for job_id in sorted(started) for each in asked]
    assert {job["status"] for job in ended} == {70}


async def test_a_question_here_is_no_stop_there(asked: list[Consumer], checksum: str) -> None:
    here, there, third = asked
    job = await here.start(raw("sleep 30", checksum=checksum), [DATASET])
    await third.follow(job["jobId"], {40})
    question = wish(here, job["jobId"])
    for _ in range(3):
        assert (await outcome(here, "GET", COMPUTE, params=question))[0] == 200
    for each in (there, third, here):
        status, refusal = await outcome(each, "PUT", COMPUTE, params=question)
        assert status == 400
        assert "signed for computeStatus before" in str(refusal)
    for each in asked:
        assert (await outcome(each, "GET", COMPUTE, params=question))[0] == 200
        assert (await each.status(job["jobId"]))["status"] == 40
    assert await nonces(asked) == {question["nonce"]}
    stopped = await third.stop(job["jobId"])
    assert stopped["status"] == 7
    assert {(await each.status(job["jobId"]))["status"] for each in asked} == {7}


async def test_a_question_stays_one_when_its_process_is_killed(
    serves: Serves, asked: list[Consumer], checksum: str
) -> None:
    here, there, killed = asked
    job = await here.start(raw("sleep 30", checksum=checksum), [DATASET])
    question = wish(here, job["jobId"])
    assert (await outcome(killed, "GET", COMPUTE, params=question))[0] == 200
    serves.kill(2)
    assert (await outcome(there, "PUT", COMPUTE, params=question))[0] == 400
    assert (await there.stop(job["jobId"]))["status"] == 7


async def test_a_revoked_token_is_refused_by_all_at_once(
    asked: list[Consumer], checksum: str
) -> None:
    here, there, third = asked

    def signed(**more: str) -> dict[str, str]:
        nonce = here.nonce()
        signature = here.sign(here.address, nonce)
        return {"address": here.address, "nonce": nonce, "signature": signature, **more}

    until = str(int(time.time()) + 3600)
    made = await here.call("GET", SERVICES + "createAuthToken", params=signed(expiration=until))
    headers = {"AuthToken": made["token"]}

    async def started_by_token(consumer: Consumer) -> tuple[int, Any]:
        body = here.start_body(raw("true", checksum=checksum), [DATASET], "test")
        del body["signature"]
        return await outcome(consumer, "POST", COMPUTE, json=body, headers=headers)

    for each in asked:
        status, jobs = await started_by_token(each)
        assert status == 200, jobs
        await each.follow(jobs[0]["jobId"])
    gone = SERVICES + "deleteAuthToken"
    await there.call("DELETE", gone, params=signed(token=made["token"]))
    for each in asked:
        status, refusal = await started_by_token(each)
        assert (status, set(refusal["errors"])) == (400, {"signature"})
    status, refusal = await outcome(third, "DELETE", gone, params=signed(token=made["token"]))
    assert (status, refusal) == (400, {"error": "Token is deleted."})


async def test_all_tell_the_same_of_a_job_and_hand_out_its_results(
    asked: list[Consumer], checksum: str
) -> None:
    code = "echo made > /data/outputs/made.txt; echo said"
    job = await asked[2].start(raw(code, checksum=checksum), [DATASET])
    await asked[0].follow(job["jobId"])
    path = f"{COMPUTE}?jobId={job['jobId']}"
    told = [
        str(await each.call("GET", path)).replace(each.url, "").replace("resultsUrls", "")
        for each in asked
    ]
    assert len(set(told)) == 1
    environments = [await each.call("GET", SERVICES + "computeEnvironments") for each in asked]
    for each in environments:
        for environment in each:
            environment.pop("lastSeen")
    assert environments[0] == environments[1] == environments[2]
    for each in asked:
        files = await each.files(await each.status(job["jobId"]))
        assert files["made.txt"] == b"made\n"
    assert (await asked[1].delete(job["jobId"]))["status"] == 8

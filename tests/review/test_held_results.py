"""Held results on the real engine: what reviewers can do, and what nobody else can."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from reviewer import HELD, HELD_RESULT, RELEASE, Reviewer
from support.consumer import Consumer, Json, Refused, raw
from support.service import DATASET, Service
from typer.testing import CliRunner

from provider.cli.commands import app

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

LEAK = "cp $(find /data/inputs -type f -name 0) /data/outputs/all.csv; echo copied"
ROWS = b"a,b\n1,2\n3,4\n"
UNKNOWN = {"error": "No such job belongs to this address."}


async def held_job(
    consumer: Consumer, checksum: str, environment: str = "held", until: int = 51
) -> Json:
    job = await consumer.start(raw(LEAK, checksum=checksum), [DATASET], environment)
    return await consumer.follow(job["jobId"], {until})


async def refused(asked: Any) -> tuple[int, Any]:
    with pytest.raises(Refused) as refusal:
        await asked
    return refusal.value.status, refusal.value.body


async def test_released_results_are_the_consumers_and_not_before(
    service: Service, consumer: Consumer, reviewer: Reviewer, stranger: Reviewer, checksum: str
) -> None:
    job = await held_job(consumer, checksum)
    job_id = job["jobId"]
    assert (job["statusText"], job["results"]) == ("Results held for review", [])
    assert (job["resultsUrls"], job["algorithmLogUrl"]) == ([], "")
    assert job["dateFinished"] is None

    no_results = (404, {"error": f"No results for job {job_id}"})
    assert await refused(consumer.result(job_id, 0)) == no_results
    nonce = consumer.nonce()
    log_query = {
        "consumerAddress": consumer.address,
        "jobId": job_id,
        "nonce": nonce,
        "signature": consumer.sign(consumer.address, job_id, nonce),
    }
    live = consumer.fetch("/api/services/computeStreamableLogs", log_query)
    held_log = "The log is held for review together with the results."
    assert await refused(live) == (404, {"error": held_log})
    async with Reviewer(service.url, consumer.account) as consumer_too:
        for other in (consumer_too, stranger):
            assert await other.held() == []
            assert await refused(other.held(job_id)) == (404, UNKNOWN)
            assert await refused(other.look(job_id, 0)) == (404, UNKNOWN)
            assert await refused(other.decide(job_id, "release")) == (404, UNKNOWN)
            assert await refused(other.decide("f" * 32, "release")) == (404, UNKNOWN)

    [listed] = await reviewer.held()
    assert [listed] == await reviewer.held(job_id)
    assert listed["jobId"] == job_id
    assert listed["owner"].lower() == consumer.address.lower()
    assert listed["inputDID"] == [DATASET]
    assert listed["images"] == [{"image": "ocean-compute-test/busybox:1", "imageId": checksum}]
    assert float(listed["heldUntil"]) - float(listed["dateHeld"]) == 7 * 24 * 3600
    assert [each["source"] for each in listed["sources"]] == ["environment"]
    assert [(file["index"], file["filename"]) for file in listed["files"]] == [
        (0, "all.csv"),
        (1, "algorithm.log"),
    ]
    assert listed["files"][0]["sha256"] == hashlib.sha256(ROWS).hexdigest()
    assert await reviewer.look(job_id, 0) == ROWS
    assert await reviewer.look(job_id, 1) == b"copied\n"
    assert (await refused(reviewer.look(job_id, 2)))[0] == 404

    decided = await reviewer.decide(job_id, "release")
    assert (decided["status"], decided["undecided"]) == (70, 0)
    done = await consumer.follow(job_id)
    assert done["status"] == 70
    assert await consumer.files(done) == {"all.csv": ROWS, "algorithm.log": b"copied\n"}
    assert await reviewer.held() == []
    assert await refused(reviewer.look(job_id, 0)) == (404, UNKNOWN)
    status, body = await refused(reviewer.decide(job_id, "refuse"))
    assert (status, reviewer.address.lower() in body["error"]) == (409, True)


async def test_a_signed_request_is_good_for_nothing_else(
    consumer: Consumer, reviewer: Reviewer, checksum: str
) -> None:
    job_id = (await held_job(consumer, checksum))["jobId"]
    release = reviewer.decision(job_id, "release")
    for change in ({"decision": "refuse"}, {"jobId": "f" * 32}, {"nonce": reviewer.nonce()}):
        status, body = await refused(reviewer.call("POST", RELEASE, json=release | change))
        assert (status, list(body["errors"])) == (400, ["signature"])
    look = reviewer.look_query(job_id, 0)
    others = [
        ("PUT", "/api/services/compute", release),
        ("DELETE", "/api/services/compute", release),
        ("GET", HELD_RESULT, look | {"index": "1"}),
        ("GET", HELD, look),
        ("POST", RELEASE, look | {"decision": "release"}),
    ]
    for method, path, query in others:
        status, body = await refused(reviewer.call(method, path, params=query))
        assert (status, list(body["errors"])) == (400, ["signature"])
    assert await reviewer.fetch(HELD_RESULT, look) == ROWS
    assert (await refused(reviewer.fetch(HELD_RESULT, look)))[0] == 400
    late = reviewer.decision(job_id, "maybe")
    status, body = await refused(reviewer.call("POST", RELEASE, json=late))
    assert body["errors"] == {"decision": ["The decision must be release or refuse."]}

    stale = reviewer.decision(job_id, "release")
    refuse = reviewer.decision(job_id, "refuse")
    assert (await reviewer.call("POST", RELEASE, json=refuse))["status"] == 61
    for used in (stale, refuse):
        assert (await refused(reviewer.call("POST", RELEASE, json=used)))[0] == 400
    done = await consumer.follow(job_id)
    assert (done["status"], done["results"]) == (61, [])
    assert done["terminationDetails"]["reason"] == "owner_refused"


async def test_a_token_may_look_but_not_decide(
    consumer: Consumer, reviewer: Reviewer, checksum: str
) -> None:
    job_id = (await held_job(consumer, checksum))["jobId"]
    nonce = reviewer.nonce()
    query = {
        "address": reviewer.address,
        "nonce": nonce,
        "signature": reviewer.sign(reviewer.address, nonce),
        "expiration": str(int(time.time()) + 600),
    }
    token = await reviewer.call("GET", "/api/services/createAuthToken", params=query)
    headers = {"AuthToken": token["token"]}
    bare = {"consumerAddress": reviewer.address, "jobId": job_id, "nonce": reviewer.nonce()}
    [listed] = await reviewer.call("GET", HELD, params=bare, headers=headers)
    assert listed["jobId"] == job_id
    release = bare | {"decision": "release"}
    assert (await refused(reviewer.call("POST", RELEASE, json=release, headers=headers)))[0] == 400
    stopped = await consumer.stop(job_id)
    assert (stopped["status"], stopped["results"]) == (7, [])
    assert (await refused(reviewer.decide(job_id, "release")))[0] == 409
    assert (await consumer.delete(job_id))["status"] == 8


async def test_deleting_takes_what_is_held_and_leaves_a_tombstone(
    service: Service, consumer: Consumer, reviewer: Reviewer, checksum: str
) -> None:
    job_id = (await held_job(consumer, checksum))["jobId"]
    assert (service.data / "held" / job_id / "0").read_bytes() == ROWS
    assert (await consumer.delete(job_id))["status"] == 8
    assert not (service.data / "held" / job_id).exists()
    assert (await consumer.status(job_id))["removed"] == 1
    assert await refused(reviewer.decide(job_id, "release")) == (404, UNKNOWN)


async def test_what_is_held_outlives_the_service_and_expires_without_it(
    service: Service, consumer: Consumer, reviewer: Reviewer, checksum: str
) -> None:
    kept = (await held_job(consumer, checksum))["jobId"]
    brief = await consumer.start(raw(LEAK, checksum=checksum), [DATASET], "brief")
    await consumer.follow(brief["jobId"], {51, 61})
    service.kill()
    await asyncio.sleep(1.1)
    await service.restart()
    expired = await consumer.follow(brief["jobId"])
    assert (expired["status"], expired["results"]) == (61, [])
    assert expired["terminationDetails"]["reason"] == "hold_expired"

    decision = reviewer.decision(kept, "release")
    deciding = asyncio.ensure_future(reviewer.call("POST", RELEASE, json=decision))
    async with asyncio.timeout(90):
        while not deciding.done() and not _decided(service, kept):
            await asyncio.sleep(0.001)
    service.kill()
    await asyncio.gather(deciding, return_exceptions=True)
    await service.restart()
    done = await consumer.follow(kept)
    assert (await consumer.files(done))["all.csv"] == ROWS


def _decided(service: Service, job_id: str) -> bool:
    """Whether the decision is on disk."""
    path = service.data / "ocean-compute.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        query = "SELECT verdict FROM jobs WHERE id = ?"
        [(verdict,)] = database.execute(query, [job_id]).fetchall()
    return '"released"' in verdict


async def test_the_command_line_of_a_reviewer(
    service: Service, consumer: Consumer, owner: LocalAccount, checksum: str, tmp_path: Path
) -> None:
    key = tmp_path / "reviewer.key"
    key.write_text(bytes(owner.key).hex())
    first = (await held_job(consumer, checksum))["jobId"]
    second = (await held_job(consumer, checksum))["jobId"]
    run = _Commands(service.url, key)
    listed = json.loads(await run("list", "--json"))
    assert [job["jobId"] for job in listed] == [second, first]
    assert second in await run("list")
    assert "all.csv" in await run("list", first, "--typed")
    paths = (await run("look", first, "--to", str(tmp_path / "seen"))).split()
    assert [Path(path).name for path in paths] == ["all.csv", "algorithm.log"]
    assert Path(paths[0]).read_bytes() == ROWS
    assert await run("release", first, "--typed") == f"{first}\t70 Job completed\n"
    assert (await run("refuse", second)).startswith(f"{second}\t61 ")
    assert "released by" in await run("refuse", first, code=1)
    assert "No such job" in await run("look", "f" * 32, "--to", str(tmp_path), code=4)
    trail = service.command("audit", "show", "--job", first, "--json")
    kinds = [record["kind"] for record in json.loads(trail.stdout)]
    assert kinds.count("held_result") == 2
    assert kinds.count("review") == 2


class _Commands:
    """``ocean-compute held …`` as a reviewer runs it."""

    def __init__(self, url: str, key: Path) -> None:
        self._environ = {"OCEAN_COMPUTE_URL": url, "OCEAN_COMPUTE_KEY": str(key)}

    async def __call__(self, *words: str, code: int = 0) -> str:
        """What it prints; to stderr if it fails."""
        runner = CliRunner(env=self._environ)
        done = await asyncio.to_thread(runner.invoke, app, ["held", *words])
        assert done.exit_code == code, done.output
        return done.stderr if code else done.stdout

"""What reviewers are answered, held against the API's description."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from ocean_consumer import ALICE, BOB, COMPUTE, Api, Serve, sign

from provider.keys import ProviderKey

HELD = "/api/services/computeHeld"
HELD_RESULT = "/api/services/computeHeldResult"
RELEASE = "/api/services/computeRelease"
TABLE = bytes(range(256)) * 40


@pytest.fixture
async def held(serve: Serve, folder: Path) -> tuple[Api, str]:
    """A job of Alice that Bob has to release."""
    path = folder / "environments.yaml"
    document = yaml.safe_load(path.read_text())
    rules = {"maxFiles": 1, "hold": "fired", "reviewers": [BOB.address]}
    document["environments"][0]["egress"] = rules
    path.write_text(yaml.safe_dump(document))
    api = await serve()
    job_id = await api.start()
    async with asyncio.timeout(90):
        while (await api.status(job_id))["status"] != 51:
            await asyncio.sleep(0.02)
    return api, job_id


def signed(api: Api, key: ProviderKey, *parts: str, **parameters: str) -> dict[str, str]:
    nonce = str(api.nonce(key))
    text = "/".join((key.address, *parts[:-1], nonce, parts[-1]))
    signature = sign(key, text)
    return {"consumerAddress": key.address, "nonce": nonce, "signature": signature, **parameters}


def look(api: Api, job_id: str, index: int = 0, key: ProviderKey = BOB) -> dict[str, str]:
    parts = (job_id, str(index), "computeHeldResult")
    return signed(api, key, *parts, jobId=job_id, index=str(index))


def decision(api: Api, job_id: str, word: str, key: ProviderKey = BOB) -> dict[str, str]:
    return signed(api, key, job_id, word, "computeRelease", jobId=job_id, decision=word)


async def test_what_a_reviewer_sees_and_decides(held: tuple[Api, str]) -> None:
    api, job_id = held
    query = signed(api, BOB, "", "computeHeld")
    status, listed = await api.call("GET", HELD, params=query)
    assert (status, [job["jobId"] for job in listed]) == (200, [job_id])
    assert await api.call("GET", HELD, params=query) == (200, listed)
    [source] = listed[0]["sources"]
    assert source == {
        "source": "environment",
        "rules": ["maxFiles: at most 1 files"],
        "decision": "",
        "decidedBy": "",
        "dateDecided": None,
    }
    assert (listed[0]["exitCode"], listed[0]["undecided"]) == (0, 1)
    assert listed[0]["fileCount"] == len(listed[0]["files"]) == 3

    query = look(api, job_id)
    async with api.client.head(HELD_RESULT, params=query) as response:
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["ETag"] == f'"{listed[0]["files"][0]["sha256"]}"'
    headers = {"Range": "bytes=3-5"}
    async with api.client.get(HELD_RESULT, params=query, headers=headers) as response:
        assert (response.status, await response.read()) == (206, TABLE[3:6])
    assert (await api.call("GET", HELD_RESULT, params=query))[0] == 400
    assert (await api.call("GET", HELD_RESULT, params=look(api, job_id, 9)))[0] == 404

    released = decision(api, job_id, "release")
    status, job = await api.call("POST", RELEASE, json=released)
    assert (status, job["status"], job["undecided"], job["files"]) == (200, 70, 0, [])
    assert (job["sources"][0]["decision"], job["sources"][0]["decidedBy"]) == (
        "released",
        BOB.address.lower(),
    )
    status, body = await api.call("POST", RELEASE, json=decision(api, job_id, "refuse"))
    assert (status, list(body)) == (409, ["error"])
    assert (await api.status(job_id))["results"] != []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"decision": "RELEASE"}, "decision"),
        ({"decision": ""}, "decision"),
        ({"jobId": ""}, "jobId"),
        ({"consumerAddress": "0x1"}, "consumerAddress"),
        ({"nonce": ""}, "nonce"),
        ({"nonce": "x"}, "nonce"),
        ({"signature": ""}, "signature"),
        ({"signature": "0x" + "5a" * 65}, "signature"),
        ({"expiry": "1"}, "signature"),
    ],
)
async def test_a_decision_that_is_not_right_is_told_by_field(
    api: Api, change: dict[str, Any], field: str
) -> None:
    body = decision(api, "f" * 32, "release") | change
    status, answer = await api.call("POST", RELEASE, json=body)
    assert status == 400
    assert list(answer["errors"]) == [field]


async def test_whose_it_is_not_finds_no_job(held: tuple[Api, str]) -> None:
    api, job_id = held
    unknown = (404, {"error": "No such job belongs to this address."})
    for asked in (job_id, "../" + job_id, "x" * 5000):
        query = signed(api, ALICE, asked, "computeHeld", jobId=asked)
        assert await api.call("GET", HELD, params=query) == unknown
        assert await api.call("GET", HELD_RESULT, params=look(api, asked, key=ALICE)) == unknown
        body = decision(api, asked, "release", ALICE)
        assert await api.call("POST", RELEASE, json=body) == unknown
    assert (await api.call("DELETE", COMPUTE, params=api.job_query(ALICE, job_id)))[0] == 200

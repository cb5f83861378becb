"""computeStreamableLogs over HTTP: who may ask how, and what is answered."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from ocean_consumer import ALICE, BOB, CONTAINER, OPEN, SERVICES, Api, Serve, sign

from compute.engines.fake import FakeRun
from provider.auth.typed import TypedRequest

LOGS = SERVICES + "computeStreamableLogs"
TALK = {"meta": {"rawcode": "x", "container": CONTAINER | {"entrypoint": "talk"}}}
OPEN_ITEM = {"documentId": OPEN, "serviceId": "compute"}


async def talk(run: FakeRun) -> int:
    run.print("hello")
    await run.stopping.wait()
    run.print("bye")
    return 0


@pytest.fixture
async def talking(serve: Serve) -> tuple[Api, str]:
    """A service, and a job of Alice's that has said something and runs on."""
    api = await serve({"talk": talk})
    job_id = await api.start(dataset=OPEN_ITEM, algorithm=TALK)
    async with asyncio.timeout(90):
        while (await api.status(job_id))["status"] != 40:
            await asyncio.sleep(0.02)
    return api, job_id


def asked(api: Api, job_id: str, text: str = "{a}{j}{n}", **more: Any) -> dict[str, str]:
    nonce = str(api.nonce(ALICE))
    signed = text.format(a=ALICE.address, j=job_id, n=nonce)
    claim = {"consumerAddress": ALICE.address, "nonce": nonce, "signature": sign(ALICE, signed)}
    return {"jobId": job_id, "follow": "false"} | claim | more


@pytest.mark.parametrize("text", ["{a}{j}{n}", "{a}{n}getComputeStreamableLogs"])
async def test_both_plain_texts_are_taken_once(talking: tuple[Api, str], text: str) -> None:
    api, job_id = talking
    question = asked(api, job_id, text)
    assert await api.call("GET", LOGS, params=question) == (200, b"hello\n")
    status, refusal = await api.call("GET", LOGS, params=question)
    assert status == 400
    assert "nonce" in str(refusal)


async def test_a_typed_signature_binds_the_offset(talking: tuple[Api, str]) -> None:
    api, job_id = talking
    _, root = await api.call("GET", "/")

    def typed(**more: str) -> dict[str, str]:
        nonce, expiry = api.nonce(ALICE), int(time.time()) + 60
        parameters = {"consumerAddress": ALICE.address, "jobId": job_id, "follow": "false"}
        parameters |= {"nonce": str(nonce), "expiry": str(expiry), **more}
        request = TypedRequest(
            ALICE.address, "computeStreamableLogs", job_id, parameters, nonce, expiry
        )
        digest = request.digest(root["providerAddress"], None)
        return parameters | {"signature": ALICE.sign_digest(digest)}

    assert await api.call("GET", LOGS, params=typed(offset="2")) == (200, b"llo\n")
    status, _ = await api.call("GET", LOGS, params=typed(offset="2") | {"offset": "0"})
    assert status == 400


async def test_a_token_will_do(talking: tuple[Api, str]) -> None:
    api, job_id = talking
    nonce = str(api.nonce(ALICE))
    query = {
        "address": ALICE.address,
        "nonce": nonce,
        "signature": sign(ALICE, f"{ALICE.address}{nonce}"),
        "expiration": str(int(time.time()) + 60),
    }
    _, answer = await api.call("GET", SERVICES + "createAuthToken", params=query)
    question = asked(api, job_id)
    del question["signature"]
    headers = {"AuthToken": answer["token"]}
    assert await api.call("GET", LOGS, params=question, headers=headers) == (200, b"hello\n")


async def test_it_is_followed_from_the_beginning_if_nothing_else_is_said(
    talking: tuple[Api, str],
) -> None:
    api, job_id = talking
    question = asked(api, job_id)
    del question["follow"]
    async with api.client.get(LOGS, params=question) as response:
        assert response.status == 200
        assert response.headers["X-Log-Offset"] == "0"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.content_type == "application/octet-stream"
        assert await response.content.readline() == b"hello\n"
        stop = api.job_query(ALICE, job_id)
        assert (await api.call("PUT", SERVICES + "compute", params=stop))[0] == 200
        assert await response.content.read() == b"bye\n"
    assert await api.call("GET", LOGS, params=asked(api, job_id, offset="8")) == (200, b"e\n"[-2:])
    assert (await api.call("GET", LOGS, params=asked(api, job_id, offset="99")))[0] == 416


async def test_what_is_refused_leaves_the_nonce(talking: tuple[Api, str]) -> None:
    api, job_id = talking
    question = asked(api, job_id)
    for wrong, status in [
        ({"jobId": ""}, 400),
        ({"offset": "-1"}, 400),
        ({"offset": "x"}, 400),
        ({"offset": "1" * 30}, 400),
        ({"follow": "maybe"}, 400),
        ({"stage": "none"}, 404),
        ({"consumerAddress": BOB.address}, 400),
        ({"signature": ""}, 400),
    ]:
        assert (await api.call("GET", LOGS, params=question | wrong))[0] == status, wrong
    assert await api.call("GET", LOGS, params=question) == (200, b"hello\n")
    assert (await api.call("POST", LOGS, params=question))[0] == 405
    assert (await api.call("HEAD", LOGS, params=question))[0] == 405


async def test_a_wallet_has_eight_places(talking: tuple[Api, str]) -> None:
    api, job_id = talking
    opened: list[aiohttp.ClientResponse] = []
    for _ in range(8):
        opened.append(await api.client.get(LOGS, params=asked(api, job_id, follow="true")))
        assert await opened[-1].content.readline() == b"hello\n"
    status, refusal = await api.call("GET", LOGS, params=asked(api, job_id))
    assert status == 429
    assert "8 logs are being followed by this wallet" in refusal["error"]
    for response in opened:
        response.close()
    async with asyncio.timeout(90):
        while (await api.call("GET", LOGS, params=asked(api, job_id)))[0] == 429:
            await asyncio.sleep(0.05)

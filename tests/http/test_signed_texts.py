"""Whoever sees a signed request cannot make another one of it.

Texts that old clients sign name no operation, and their parts stand side by side: what one
request calls index and nonce, another may call its nonce.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from ocean_consumer import ALICE, COMPUTE, DATA, RESULT, SERVICES, Api, Serve

from compute.engines.fake import FakeRun
from provider.auth.shown import TEXTS_PER_WALLET

TOKEN = SERVICES + "createAuthToken"


async def write_many(run: FakeRun) -> int:
    for number in range(15):
        (run.path("/data/outputs") / f"{number:02}").write_text("x")
    return 0


MANY = {"python": write_many}


async def finished_job(api: Api) -> str:
    job_id = await api.start()
    await api.finished(job_id)
    return job_id


async def told(api: Api) -> int:
    _, body = await api.call("GET", SERVICES + "nonce", params={"userAddress": ALICE.address})
    return int(body["nonce"])


async def refusal(api: Api, method: str, path: str, params: dict[str, Any]) -> str:
    status, body = await api.call(method, path, params=params)
    assert status == 400, body
    text = body["errors"]["signature"]
    assert isinstance(text, str)
    assert "sign with a greater one" in text
    return text


def shifted(query: dict[str, str], digits: int = 1) -> dict[str, str]:
    """The last digits of a result's index taken for the nonce's first."""
    index, moved = query["index"][:-digits], query["index"][-digits:]
    return {**query, "index": index, "nonce": moved + query["nonce"]}


def as_delete(query: dict[str, str]) -> dict[str, str]:
    """All digits of a result's index taken for the nonce's first."""
    changed = shifted(query, len(query["index"]))
    del changed["index"]
    return changed


async def test_a_question_of_a_new_wallet_is_no_token(api: Api) -> None:
    query = api.job_query(ALICE)
    assert (await api.call("GET", COMPUTE, params=query))[0] == 200
    asked = {
        "address": ALICE.address,
        "nonce": query["nonce"],
        "signature": query["signature"],
        "expiration": str(int(time.time()) + 600),
    }
    assert "signed for computeStatus before" in await refusal(api, "GET", TOKEN, asked)
    assert await told(api) == int(query["nonce"])
    await api.start()


async def test_a_question_is_no_delete_however_many_came_after_it(api: Api) -> None:
    job_id = await finished_job(api)
    questions = [api.job_query(ALICE, job_id) for _ in range(TEXTS_PER_WALLET + 2)]
    for query in questions:
        assert (await api.call("GET", COMPUTE, params=query))[0] == 200
    for query in questions:
        await refusal(api, "DELETE", COMPUTE, query)
    assert (await api.call("GET", COMPUTE, params=questions[0]))[0] == 200
    query = api.job_query(ALICE, job_id, nonce=await told(api) + 1)
    assert (await api.call("DELETE", COMPUTE, params=query))[0] == 200


async def test_stale_requests_make_no_question_forgotten(api: Api) -> None:
    stale = [api.job_query(ALICE, "0" * 32) for _ in range(TEXTS_PER_WALLET + 1)]
    job_id = await finished_job(api)
    query = api.job_query(ALICE, job_id)
    assert (await api.call("GET", COMPUTE, params=query))[0] == 200
    for old in stale:
        await refusal(api, "GET", COMPUTE, old)
    assert "signed for computeStatus" in await refusal(api, "DELETE", COMPUTE, query)


@pytest.mark.parametrize("nonce", [1005, 1_790_000_000_000])
async def test_index_and_nonce_are_read_in_one_way_only(serve: Serve, nonce: int) -> None:
    """Also after a restart, and the other reading uses up nothing."""
    api = await serve(programs=MANY)
    job_id = await finished_job(api)
    api.nonces[ALICE.address] = nonce
    query = api.result_query(ALICE, job_id, 12)
    assert (await api.call("GET", RESULT, params=query))[0] == 200
    for _ in range(3):
        await refusal(api, "GET", RESULT, shifted(query))
        await refusal(api, "DELETE", COMPUTE, as_delete(query))
        await refusal(api, "GET", COMPUTE, as_delete(query))
        assert await told(api) == nonce + 1
        await api.client.close()
        api = await serve(programs=MANY)
    assert (await api.status(job_id))["removed"] == 0


@pytest.mark.parametrize(("method", "index"), [("HEAD", 1), ("GET", 99)])
async def test_a_result_that_was_not_sent_is_no_delete_after_a_restart_either(
    serve: Serve, method: str, index: int
) -> None:
    api = await serve()
    job_id = await finished_job(api)
    query = api.result_query(ALICE, job_id, index)
    assert (await api.call(method, RESULT, params=query))[0] == (200 if method == "HEAD" else 404)
    await refusal(api, "DELETE", COMPUTE, as_delete(query))
    await api.client.close()
    api = await serve()
    await refusal(api, "DELETE", COMPUTE, as_delete(query))
    assert (await api.status(job_id))["removed"] == 0


async def test_what_was_shown_before_an_orderly_restart_stays_shown(serve: Serve) -> None:
    api = await serve()
    job_id = await finished_job(api)
    query = api.job_query(ALICE, job_id)
    assert (await api.call("GET", COMPUTE, params=query))[0] == 200
    await api.client.close()
    api = await serve()
    assert "expected nonce" in await refusal(api, "DELETE", COMPUTE, query)


async def test_a_client_that_changes_to_nanoseconds_is_served_call_by_call(api: Api) -> None:
    job_id = await finished_job(api)
    for nonce in (5, 1_790_000_000_000, time.time_ns()):
        api.nonces[ALICE.address] = nonce
        for index in (0, 1, 2):
            query = api.result_query(ALICE, job_id, index)
            assert (await api.call("GET", RESULT, params=query))[0] == 200


async def test_a_client_that_meets_its_own_text_again_is_told_another_nonce(
    serve: Serve,
) -> None:
    api = await serve(programs=MANY)
    job_id = await finished_job(api)
    for nonce, index in ((5, 12), (24, 1)):
        api.nonces[ALICE.address] = nonce - 1
        query = api.result_query(ALICE, job_id, index)
        assert (await api.call("GET", RESULT, params=query))[0] == 200
    nonces = dict(api.nonces)
    await api.client.close()
    api = await serve(programs=MANY)
    api.nonces = nonces
    assert await told(api) == 24
    await refusal(api, "GET", RESULT, api.result_query(ALICE, job_id, 1))
    api.nonces[ALICE.address] = await told(api)
    assert (await api.call("GET", RESULT, params=api.result_query(ALICE, job_id, 1)))[0] == 200


async def test_a_refused_start_blocks_no_delete_of_the_same_data(api: Api) -> None:
    await finished_job(api)
    api.nonces[ALICE.address] = await told(api)
    status, _ = await api.call(
        "POST",
        COMPUTE,
        json=api.start_body(algorithm={"documentId": "did:op:none", "serviceId": "x"}),
    )
    assert status == 400
    for expected in (400, 200):
        query = api.job_query(ALICE, did=DATA, nonce=await told(api) + 1)
        status, body = await api.call("DELETE", COMPUTE, params=query)
        assert status == expected, body

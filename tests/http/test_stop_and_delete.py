"""Stop and delete, by both generations of clients, and never somebody else's job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ocean_consumer import ALICE, BOB, COMPUTE, CONTAINER, DATA, OPEN, SERVICES, Api, sign

SLEEPING: dict[str, Any] = {
    "dataset": {"documentId": OPEN, "serviceId": "compute"},
    "algorithm": {"meta": {"rawcode": "x", "container": {**CONTAINER, "entrypoint": "sleep 1"}}},
}
DELETED = (8, "Job deleted successfully")
STOPPED = (7, "Job stopped")


def state(job: dict[str, Any]) -> tuple[int, str]:
    return job["status"], job["statusText"]


async def last_nonce(api: Api) -> str:
    _, body = await api.call("GET", SERVICES + "nonce", params={"userAddress": ALICE.address})
    nonce = body["nonce"]
    assert isinstance(nonce, str)
    return nonce


async def test_a_running_job_is_stopped_by_query_or_body(api: Api) -> None:
    for place in ("params", "json"):
        job_id = await api.start(**SLEEPING)
        query = api.job_query(ALICE, job_id, OPEN)
        status, [job] = await api.call("PUT", COMPUTE, **{place: query})
        assert (status, state(job), job["stopreq"]) == (200, STOPPED, 1)
        assert job["dateFinished"] is not None


async def test_without_an_id_all_unfinished_jobs_of_the_wallet_are_stopped(api: Api) -> None:
    done = await api.start()
    await api.finished(done)
    running = {await api.start(**SLEEPING) for _ in range(4)}
    other = await api.start(BOB, **SLEEPING)
    status, jobs = await api.call("PUT", COMPUTE, params=api.job_query(ALICE))
    assert status == 200
    assert {job["jobId"] for job in jobs} == running
    assert {state(job) for job in jobs} == {STOPPED}
    assert (await api.status(done))["status"] == 70
    assert (await api.status(other))["stopreq"] == 0


async def test_a_did_restricts_what_is_stopped(api: Api) -> None:
    job_id = await api.start(**SLEEPING)
    _, jobs = await api.call("PUT", COMPUTE, params=api.job_query(ALICE, did=DATA))
    assert jobs == []
    _, jobs = await api.call("PUT", COMPUTE, params=api.job_query(ALICE, did=OPEN))
    assert [job["jobId"] for job in jobs] == [job_id]


async def test_stopping_a_finished_job_leaves_it_as_it_is(api: Api) -> None:
    job_id = await api.start()
    await api.finished(job_id)
    query = api.job_query(ALICE, job_id)
    status, [job] = await api.call("PUT", COMPUTE, params=query)
    assert (status, job["status"], job["stopreq"]) == (200, 70, 0)
    assert (await api.call("PUT", COMPUTE, params=query))[0] == 400


async def test_a_job_is_deleted_with_its_results(api: Api, folder: Path) -> None:
    job_id = await api.start()
    await api.finished(job_id)
    assert list((folder / "data" / "results").iterdir())
    status, [job] = await api.call("DELETE", COMPUTE, params=api.job_query(ALICE, job_id, DATA))
    assert (status, state(job), job["removed"], job["results"]) == (200, DELETED, 1, [])
    assert not list((folder / "data" / "results").iterdir())
    query = api.result_query(ALICE, job_id)
    assert (await api.call("GET", SERVICES + "computeResult", params=query))[0] == 404
    again = await api.call("DELETE", COMPUTE, params=api.job_query(ALICE, job_id))
    assert (again[0], state(again[1][0])) == (200, DELETED)


async def test_a_running_job_is_stopped_before_it_is_deleted(api: Api) -> None:
    job_id = await api.start(**SLEEPING)
    status, [job] = await api.call("DELETE", COMPUTE, params=api.job_query(ALICE, job_id))
    assert (status, state(job)) == (200, DELETED)
    assert not api.world.containers
    _, jobs = await api.call("GET", COMPUTE, params={"consumerAddress": ALICE.address})
    assert jobs == []


async def test_a_delete_names_a_job_or_a_did(api: Api) -> None:
    job_id = await api.start()
    status, body = await api.call("DELETE", COMPUTE, params=api.job_query(ALICE))
    assert (status, list(body["errors"])) == (400, ["jobId"])
    status, jobs = await api.call("DELETE", COMPUTE, params=api.job_query(ALICE, did=DATA))
    assert (status, [job["jobId"] for job in jobs]) == (200, [job_id])


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_somebody_elses_job_is_no_job(api: Api, method: str) -> None:
    job_id = await api.start(**SLEEPING)
    for unknown in (job_id, "0" * 32, "../" + job_id):
        answer = await api.call(method, COMPUTE, params=api.job_query(BOB, unknown))
        assert answer == (404, {"error": "No such job belongs to this address."})
    assert (await api.status(job_id))["stopreq"] == 0


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_signature_of_another_wallet_moves_nothing(api: Api, method: str) -> None:
    job_id = await api.start(**SLEEPING)
    query = {**api.job_query(BOB, job_id), "consumerAddress": ALICE.address}
    assert (await api.call(method, COMPUTE, params=query))[0] == 400
    assert (await api.status(job_id))["stopreq"] == 0


# Old clients


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_nonce_that_was_signed_but_not_sent_is_found_and_used_up(
    api: Api, method: str
) -> None:
    job_id = await api.start(**SLEEPING)
    nonce = int(await last_nonce(api)) + 1
    body = api.job_query(ALICE, job_id, OPEN, nonce)
    del body["nonce"]
    assert (await api.call(method, COMPUTE, json=body))[0] == 200
    assert await last_nonce(api) == str(nonce)
    assert (await api.call(method, COMPUTE, json=body))[0] == 400


async def test_a_missing_nonce_is_not_guessed_further(api: Api) -> None:
    job_id = await api.start(**SLEEPING)
    body = api.job_query(ALICE, job_id, OPEN, int(await last_nonce(api)) + 2)
    del body["nonce"]
    assert (await api.call("DELETE", COMPUTE, json=body))[0] == 400


def short_form(job_id: str) -> dict[str, str]:
    """How newer ocean.js asks: the nonce is sent but not signed."""
    return {
        "consumerAddress": ALICE.address,
        "jobId": job_id,
        "nonce": "77",
        "signature": sign(ALICE, ALICE.address + job_id),
        "agreementId": "",
    }


async def test_a_stop_signed_without_nonce_works_and_uses_up_none(api: Api) -> None:
    job_id = await api.start(**SLEEPING)
    before = await last_nonce(api)
    status, [job] = await api.call("PUT", COMPUTE, json=short_form(job_id))
    assert (status, state(job)) == (200, STOPPED)
    assert await last_nonce(api) == before
    status, [job] = await api.call("PUT", COMPUTE, json=short_form(job_id))
    assert (status, state(job)) == (200, STOPPED)


async def test_a_signature_without_nonce_is_good_for_nothing_else(api: Api) -> None:
    job_id = await api.start(**SLEEPING)
    assert (await api.call("DELETE", COMPUTE, json=short_form(job_id)))[0] == 400
    theirs = await api.start(BOB, **SLEEPING)
    assert (await api.call("PUT", COMPUTE, json=short_form(theirs)))[0] == 400
    everything = {**short_form(""), "signature": sign(ALICE, ALICE.address)}
    assert (await api.call("PUT", COMPUTE, json=everything))[0] == 400
    assert (await api.status(job_id))["stopreq"] == 0

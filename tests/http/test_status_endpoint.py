"""Status: who sees what of which jobs."""

from __future__ import annotations

import gc
import json
from typing import Any
from weakref import ref

import pytest
from ocean_consumer import (
    ALGORITHM,
    ALICE,
    BOB,
    COMPUTE,
    CONTAINER,
    DATA,
    OPEN,
    RESULT,
    SERVICES,
    Api,
    Serve,
    sign,
)

from compute.models import AlgorithmItem, DatasetItem, Image, Job, JobSpec, ResultFile
from compute.status import Phase
from provider.dialects.ocean import responses

FIELDS = {
    "owner",
    "documentId",
    "jobId",
    "agreementId",
    "dateCreated",
    "dateFinished",
    "status",
    "statusText",
    "environment",
    "algoDID",
    "inputDID",
    "results",
    "algorithmLogUrl",
    "resultsUrls",
    "resultsDid",
    "stopreq",
    "removed",
    "terminationDetails",
    "failure",
    "expireTimestamp",
    "egress",
}
ORDER = "0x" + "cd" * 32


async def listed(api: Api, **params: str) -> list[dict[str, Any]]:
    status, jobs = await api.call("GET", COMPUTE, params=params)
    assert status == 200, jobs
    assert isinstance(jobs, list)
    return jobs


async def test_a_new_job_has_every_field_that_clients_read(api: Api) -> None:
    dataset = {"documentId": DATA, "serviceId": "compute", "transferTxId": ORDER}
    status, [job] = await api.call("POST", COMPUTE, json=api.start_body(dataset=dataset))
    assert status == 200
    assert set(job) == FIELDS
    assert (job["status"], job["statusText"]) == (1, "Warming up")
    assert (job["owner"], job["agreementId"]) == (ALICE.address, ORDER)
    assert (job["documentId"], job["inputDID"], job["algoDID"]) == (DATA, [DATA], ALGORITHM)
    assert float(job["dateCreated"]) > 1e9
    assert job["dateFinished"] is None
    assert job["results"] == []
    assert job["terminationDetails"] is None


async def test_a_finished_job_tells_how_it_ended_and_where_its_results_are(api: Api) -> None:
    job_id = await api.start()
    job = await api.finished(job_id)
    assert set(job) == FIELDS
    assert isinstance(job["dateFinished"], str)
    assert job["terminationDetails"]["exitCode"] == 0
    assert job["terminationDetails"]["OOMKilled"] is False
    assert job["expireTimestamp"] > float(job["dateFinished"])
    first = job["results"][0]
    assert set(first) == {"filename", "filesize", "type", "index", "sha256"}
    base = str(api.client.make_url(RESULT))
    assert job["resultsUrls"] == [f"{base}?jobId={job_id}&index={index}" for index in (0, 1)]
    assert job["algorithmLogUrl"] == f"{base}?jobId={job_id}&index=2"


async def test_result_urls_work_with_nonce_and_signature_added(api: Api) -> None:
    job_id = await api.start()
    url = (await api.finished(job_id))["algorithmLogUrl"]
    nonce = api.nonce(ALICE)
    signature = sign(ALICE, f"{ALICE.address}{job_id}2{nonce}")
    url += f"&consumerAddress={ALICE.address}&nonce={nonce}&signature={signature}"
    async with api.client.session.get(url) as response:
        assert (response.status, await response.read()) == (200, b"hello from the algorithm\n")


async def test_the_public_address_can_be_configured(serve: Serve) -> None:
    api = await serve(PUBLIC_URL="https://data.example.org/")
    job = await api.finished(await api.start())
    assert job["algorithmLogUrl"].startswith("https://data.example.org/api/services/computeResult?")


async def test_an_algorithms_failure_is_told_apart(api: Api) -> None:
    meta = {"rawcode": "x", "container": {**CONTAINER, "entrypoint": "false"}}
    dataset = {"documentId": OPEN, "serviceId": "compute"}
    job = await api.finished(await api.start(dataset=dataset, algorithm={"meta": meta}))
    assert (job["status"], job["statusText"]) == (41, "Algorithm failed")
    assert job["terminationDetails"]["exitCode"] == 3
    assert (job["failure"]["reason"], job["failure"]["whoCanFix"]) == ("exit_code", ["consumer"])
    assert job["algoDID"] == ""
    assert [each["type"] for each in job["results"]] == ["algorithmLog"]


async def test_the_id_alone_shows_all_and_an_unknown_one_nothing(api: Api) -> None:
    job_id = await api.start()
    assert (await listed(api, jobId=job_id))[0]["documentId"] == DATA
    for unknown in ("0" * 32, "../../etc/passwd", job_id + "/..", "%", job_id.upper(), "x" * 5000):
        assert await listed(api, jobId=unknown) == []


async def test_the_owner_alone_shows_only_how_jobs_are(api: Api) -> None:
    job_id = await api.start()
    await api.finished(job_id)
    [job] = await listed(api, consumerAddress=ALICE.address.lower())
    assert set(job) == FIELDS
    assert (job["jobId"], job["status"], job["owner"]) == (job_id, 70, ALICE.address)
    assert job["results"] == job["inputDID"] == job["resultsUrls"] == []
    assert job["documentId"] == job["algoDID"] == job["agreementId"] == job["environment"] == ""
    assert job["terminationDetails"] is None


async def test_a_signed_question_shows_all_jobs_and_uses_up_no_nonce(api: Api) -> None:
    first, second = await api.start(), await api.start()
    await api.start(BOB)
    query = api.job_query(ALICE)
    for _ in range(2):
        jobs = await listed(api, **query)
        assert [job["jobId"] for job in jobs] == [second, first]
        assert jobs[0]["documentId"] == DATA


async def test_a_signed_question_is_checked(api: Api) -> None:
    job_id = await api.start()
    good = api.job_query(ALICE, job_id, DATA)
    assert [job["jobId"] for job in await listed(api, **good)] == [job_id]
    for wrong in (
        {**good, "signature": sign(BOB, "x")},
        {**good, "signature": "0x00"},
        {**good, "nonce": "1"},
        {**good, "jobId": "another"},
    ):
        status, body = await api.call("GET", COMPUTE, params=wrong)
        assert status == 400
        assert "signature" in body["errors"]


async def test_a_signature_that_cannot_be_checked_counts_as_none(api: Api) -> None:
    job_id = await api.start()
    assert len(await listed(api, jobId=job_id, signature="0x00")) == 1
    [job] = await listed(api, consumerAddress=ALICE.address, signature="0x00")
    assert job["documentId"] == ""


async def test_filters_narrow_the_list(api: Api) -> None:
    dataset = {"documentId": OPEN, "serviceId": "compute", "transferTxId": ORDER}
    opened, other = await api.start(dataset=dataset), await api.start()

    async def ids(**params: str) -> list[str]:
        return [job["jobId"] for job in await listed(api, **params)]

    mine = {"consumerAddress": ALICE.address}
    assert await ids(**mine, documentId=OPEN) == [opened]
    assert await ids(**mine, documentId=ALGORITHM) == [other, opened]
    assert await ids(**mine, agreementId=ORDER) == [opened]
    assert await ids(**mine, agreementId="0x00") == []
    assert await ids(jobId=opened, documentId=DATA) == []
    assert await ids(jobId=opened, agreementId=ORDER) == [opened]
    assert await ids(jobId=opened, consumerAddress=BOB.address) == []


async def test_nobody_and_nothing_asked_for_is_a_mistake(api: Api) -> None:
    for params in ({}, {"documentId": DATA}, {"agreementId": ORDER}):
        status, body = await api.call("GET", COMPUTE, params=params)
        assert status == 400
        assert body["errors"] == {
            "consumerAddress": ["The consumerAddress field is required when jobId is not present."]
        }
    status, body = await api.call("GET", COMPUTE, params={"consumerAddress": "me"})
    assert body["errors"] == {"consumerAddress": ["The consumerAddress format is invalid."]}


async def test_a_signature_can_be_demanded(serve: Serve) -> None:
    api = await serve(REQUIRE_SIGNED_STATUS="true")
    job_id = await api.start()
    for params in ({"jobId": job_id}, {"consumerAddress": ALICE.address}):
        status, body = await api.call("GET", COMPUTE, params=params)
        assert (status, list(body["errors"])) == (400, ["signature"])
    assert len(await listed(api, **api.job_query(ALICE, job_id))) == 1
    assert await listed(api, **api.job_query(BOB, job_id)) == []


async def test_a_token_serves_for_status_without_a_nonce(api: Api) -> None:
    job_id = await api.start()
    nonce = api.nonce(ALICE)
    params = {
        "address": ALICE.address,
        "expiration": "9999999999",
        "nonce": str(nonce),
        "signature": sign(ALICE, f"{ALICE.address}{nonce}"),
    }
    params["expiration"] = str(int(float((await api.status(job_id))["dateCreated"])) + 600)
    _, body = await api.call("GET", SERVICES + "createAuthToken", params=params)
    headers = {"AuthToken": body["token"]}
    query = {"consumerAddress": ALICE.address}
    _, [job] = await api.call("GET", COMPUTE, params=query, headers=headers)
    assert job["documentId"] == DATA
    other = {"consumerAddress": BOB.address}
    assert (await api.call("GET", COMPUTE, params=other, headers=headers))[0] == 400


@pytest.mark.parametrize("host", ["evil.example", "a b", 'x"y'])
async def test_the_host_a_client_names_is_only_told_to_itself(api: Api, host: str) -> None:
    job_id = await api.start()
    await api.finished(job_id)
    headers = {"Host": host}
    status, _ = await api.call("GET", COMPUTE, params={"jobId": job_id}, headers=headers)
    assert status in {200, 400}
    assert "evil" not in (await api.status(job_id))["algorithmLogUrl"]


async def test_each_host_reads_its_own_name_in_the_addresses_of_results(api: Api) -> None:
    job_id = await api.start()
    await api.finished(job_id)
    for host in ("a.example", "b.example:81", "a.example"):
        async with api.client.get(
            COMPUTE, params={"jobId": job_id}, headers={"Host": host}
        ) as answer:
            [job] = await answer.json()
        assert job["resultsUrls"]
        assert all(url.startswith(f"http://{host}/api/") for url in job["resultsUrls"])


def test_a_job_with_thousands_of_results_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    files = tuple(ResultFile(n, f"{n:06}" * 20, 1, "0" * 64, "output") for n in range(10_000))
    item = a_job(results=files)
    renderer = responses.Renderer()
    first = renderer.full([item], "http://a")
    monkeypatch.setattr(responses, "job", None)
    assert renderer.full([item], "http://b") == first.replace("http://a/", "http://b/")
    assert len(json.loads(first)[0]["resultsUrls"]) == 10_000


def test_remembered_texts_are_bounded_together() -> None:
    files = tuple(ResultFile(n, f"{n:06}" * 20, 1, "0" * 64, "output") for n in range(10_000))
    renderer = responses.Renderer()
    for n in range(20):
        renderer.full([a_job(id=f"job-{n}", results=files)], "http://a")
    held = sum(len(text) for _, (*_, text) in renderer._texts.items())
    assert 0 < held <= 32 << 20


def test_a_remembered_text_does_not_keep_its_job() -> None:
    item = a_job()
    renderer, alive = responses.Renderer(), ref(item)
    renderer.full([item], "http://a")
    del item
    gc.collect()
    assert alive() is None
    assert len(renderer._texts) == 1


def test_a_job_that_changes_is_rendered_anew() -> None:
    renderer = responses.Renderer()
    renderer.full([a_job(phase=Phase.QUEUED)], "http://a")
    (seen,) = json.loads(renderer.full([a_job(phase=Phase.STARTED)], "http://a"))
    assert seen["status"] == 10


def a_job(**changes: Any) -> Job:
    spec = JobSpec(
        datasets=(DatasetItem(did=DATA, service_id="compute"),),
        algorithm=AlgorithmItem(image=Image(image="x", tag="1"), entrypoint="x"),
        max_duration_s=1,
    )
    fields: dict[str, Any] = {
        "id": "job-1",
        "owner": ALICE.address,
        "environment": "small",
        "spec": spec,
        "created_at": 1.0,
    }
    return Job(**(fields | changes))

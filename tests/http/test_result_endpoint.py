"""Results by index: the right bytes, to the right wallet, once a nonce."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from ocean_consumer import ALICE, BOB, RESULT, Api, Serve, sign

from compute.engines.fake import FakeRun
from provider.downloads import CHUNK_BYTES

TABLE = bytes(range(256)) * 40


async def finished_job(api: Api) -> str:
    job_id = await api.start()
    await api.finished(job_id)
    return job_id


async def test_a_result_carries_its_digest_name_and_length(api: Api) -> None:
    job_id = await finished_job(api)
    async with api.client.get(RESULT, params=api.result_query(ALICE, job_id, 0)) as response:
        assert response.status == 200
        assert await response.read() == TABLE
        headers = response.headers
    assert headers["ETag"] == f'"{hashlib.sha256(TABLE).hexdigest()}"'
    assert headers["Content-Length"] == str(len(TABLE))
    assert headers["Content-Type"] == "text/csv"
    assert headers["Content-Disposition"].startswith('attachment;filename="pre _quoted_ _.csv"')
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "sandbox"
    assert "ETag" in headers["Access-Control-Expose-Headers"]


async def test_a_plain_name_stands_as_old_clients_read_it(api: Api) -> None:
    job_id = await finished_job(api)
    async with api.client.get(RESULT, params=api.result_query(ALICE, job_id, 1)) as response:
        assert response.headers["Content-Disposition"] == "attachment;filename=metrics.json"


async def test_a_download_can_be_resumed(api: Api) -> None:
    job_id = await finished_job(api)
    query = api.result_query(ALICE, job_id)
    async with api.client.get(RESULT, params=query, headers={"Range": "bytes=0-99"}) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes 0-99/{len(TABLE)}"
        start, etag = await response.read(), response.headers["ETag"]
    headers = {"Range": "bytes=100-", "If-Range": etag}
    query = api.result_query(ALICE, job_id)
    async with api.client.get(RESULT, params=query, headers=headers) as response:
        assert response.status == 206
        assert start + await response.read() == TABLE
    headers = {"Range": f"bytes={len(TABLE)}-"}
    query = api.result_query(ALICE, job_id)
    async with api.client.get(RESULT, params=query, headers=headers) as response:
        assert response.status == 416
        assert response.headers["Content-Range"] == f"bytes */{len(TABLE)}"


async def test_what_the_client_has_is_not_sent_again(api: Api) -> None:
    job_id = await finished_job(api)
    headers = {"If-None-Match": f'"{hashlib.sha256(TABLE).hexdigest()}"'}
    query = api.result_query(ALICE, job_id)
    async with api.client.get(RESULT, params=query, headers=headers) as response:
        assert (response.status, await response.read()) == (304, b"")


async def test_head_tells_the_headers_and_uses_up_no_nonce(api: Api) -> None:
    job_id = await finished_job(api)
    query = api.result_query(ALICE, job_id)
    for _ in range(2):
        async with api.client.head(RESULT, params=query) as response:
            assert (response.status, await response.read()) == (200, b"")
            assert response.headers["Content-Length"] == str(len(TABLE))
    async with api.client.get(RESULT, params=query) as response:
        assert response.status == 200
    async with api.client.head(RESULT, params=query) as response:
        assert response.status == 400


async def test_a_request_for_a_result_works_once(api: Api) -> None:
    job_id = await finished_job(api)
    query = api.result_query(ALICE, job_id)
    calls = [api.call("GET", RESULT, params=query) for _ in range(20)]
    statuses = sorted(status for status, _ in await asyncio.gather(*calls))
    assert statuses == [200] + [400] * 19


async def test_parameters_may_come_in_a_body_with_the_index_as_a_number(api: Api) -> None:
    job_id = await finished_job(api)
    right = {**api.result_query(ALICE, job_id, 0), "index": 0}
    assert (await api.call("GET", RESULT, json=right))[0] == 200
    nonce = api.nonce(ALICE)
    signature = sign(ALICE, f"{ALICE.address}{job_id}{nonce}")
    as_the_old_server_read_it = {**right, "nonce": nonce, "signature": signature}
    assert (await api.call("GET", RESULT, json=as_the_old_server_read_it))[0] == 200
    nonce = api.nonce(ALICE)
    signature = sign(ALICE, f"{ALICE.address}{job_id}{nonce}")
    in_query = {**right, "index": "0", "nonce": str(nonce), "signature": signature}
    assert (await api.call("GET", RESULT, params=in_query))[0] == 400


@pytest.mark.parametrize("index", [3, 99, 10**17])
async def test_an_index_out_of_range_is_not_found(api: Api, index: int) -> None:
    job_id = await finished_job(api)
    status, body = await api.call("GET", RESULT, params=api.result_query(ALICE, job_id, index))
    assert (status, body) == (404, {"error": f"No such index {index} in this compute job"})


@pytest.mark.parametrize("index", ["-1", "1.0", "zero", "", " 1", "٣", "9" * 400])
async def test_an_index_is_digits(api: Api, index: str) -> None:
    job_id = await finished_job(api)
    status, body = await api.call("GET", RESULT, params=api.result_query(ALICE, job_id, index))
    assert (status, list(body["errors"])) == (400, ["index"])


@pytest.mark.parametrize("field", ["jobId", "index", "consumerAddress", "nonce"])
async def test_each_missing_field_is_named_alone(api: Api, field: str) -> None:
    query = api.result_query(ALICE, "0" * 32)
    del query[field]
    status, body = await api.call("GET", RESULT, params=query)
    assert (status, body["errors"]) == (400, {field: [f"The {field} field is required."]})


async def test_somebody_elses_results_and_odd_job_ids_are_not_found(api: Api) -> None:
    job_id = await finished_job(api)
    tricks = (job_id, "..", "../results/" + job_id, "/etc/passwd", job_id + "/0", "%2e%2e", "*")
    for trick in tricks:
        query = api.result_query(BOB, trick)
        answer = await api.call("GET", RESULT, params=query)
        assert answer == (404, {"error": "No such job belongs to this address."})


async def test_a_job_without_results_says_so(api: Api) -> None:
    async def forever(run: FakeRun) -> int:
        await run.stopping.wait()
        return 0

    api.world.programs["python"] = forever
    job_id = await api.start()
    status, body = await api.call("GET", RESULT, params=api.result_query(ALICE, job_id))
    assert (status, body) == (404, {"error": f"No results for job {job_id}"})


async def test_a_file_that_vanished_is_not_found(api: Api, folder: Path) -> None:
    job_id = await finished_job(api)
    (folder / "data" / "results" / job_id / "0").unlink()
    async with api.client.get(RESULT, params=api.result_query(ALICE, job_id)) as response:
        assert response.status == 404


async def test_large_files_arrive_whole(serve: Serve) -> None:
    content = b"0123456789abcdef" * (3 * CHUNK_BYTES // 16) + b"end"

    async def large(run: FakeRun) -> int:
        (run.path("/data/outputs") / "large.bin").write_bytes(content)
        (run.path("/data/outputs") / "large.bin.gz").write_bytes(b"a neighbour")
        return 0

    api = await serve(programs={"python": large})
    job_id = await finished_job(api)
    query = api.result_query(ALICE, job_id)
    async with api.client.get(RESULT, params=query) as response:
        assert await response.read() == content
        assert "Content-Encoding" not in response.headers

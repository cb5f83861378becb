"""A job from the signed start to its downloaded results, as a consumer sees it."""

from __future__ import annotations

import json
from typing import Any

from ocean_consumer import (
    ACCESS,
    ALGORITHM,
    ALICE,
    CODE,
    COMPUTE,
    CONTAINER,
    DATA,
    OPEN,
    RESULT,
    Api,
)

from compute.engines.fake import FakeRun


async def test_a_published_algorithm_runs_and_its_results_come_back_by_index(api: Api) -> None:
    job_id = await api.start()
    job = await api.finished(job_id)
    assert (job["status"], job["statusText"], job["failure"]) == (70, "Job completed", None)
    names = [(each["index"], each["type"]) for each in job["results"]]
    assert names == [(0, "output"), (1, "output"), (2, "algorithmLog")]
    status, body = await api.call("GET", RESULT, params=api.result_query(ALICE, job_id, 2))
    assert (status, body) == (200, b"hello from the algorithm\n")
    status, jobs = await api.call("DELETE", COMPUTE, params=api.job_query(ALICE, job_id))
    assert (status, jobs[0]["status"]) == (200, 8)


async def seen_by_algorithm(api: Api, **changes: Any) -> dict[str, Any]:
    """Run a job whose algorithm tells what it finds."""
    seen: dict[str, Any] = {}

    async def look(run: FakeRun) -> int:
        inputs = run.path("/data/inputs")
        seen["variables"] = dict(run.spec.environment)
        seen["custom"] = json.loads((inputs / "algoCustomData.json").read_text())
        seen["code"] = run.path("/data/transformations/algorithm").read_bytes()
        seen["ddos"] = {path.name for path in run.path("/data/ddos").iterdir()}
        return 0

    api.world.programs["python"] = look
    job = await api.finished(await api.start(**changes))
    assert job["status"] == 70, job
    return seen


async def test_a_published_algorithm_finds_its_code_parameters_and_documents(api: Api) -> None:
    custom = {"algocustomdata": json.dumps({"trees": 5})}
    seen = await seen_by_algorithm(
        api,
        algorithm={"documentId": ALGORITHM, "serviceId": "access", **custom},
        additionalDatasets=[{"documentId": ACCESS, "serviceId": "access"}],
    )
    assert seen["code"] == CODE
    assert seen["custom"] == {"trees": 5, "depth": 3}
    assert json.loads(seen["variables"]["DIDS"]) == ["data", "access"]
    assert seen["variables"]["TRANSFORMATION_DID"] == "algorithm"
    assert seen["ddos"] == {"data", "access", "algorithm"}


async def test_a_raw_algorithm_keeps_its_parameters(api: Api) -> None:
    meta = {"rawcode": "print(2)", "container": CONTAINER, "language": "python"}
    seen = await seen_by_algorithm(
        api,
        dataset={"documentId": OPEN, "serviceId": "compute"},
        algorithm={"meta": meta, "algocustomdata": {"k": [1]}},
    )
    assert seen["code"] == b"print(2)"
    assert seen["custom"] == {"k": [1]}
    assert seen["variables"]["TRANSFORMATION_DID"] == ""


async def test_an_input_that_is_gone_by_then_ends_the_job_with_its_reason(
    api: Api, folder: Any
) -> None:
    (folder / "files" / "data.csv").unlink()
    job = await api.finished(await api.start())
    assert (job["status"], job["statusText"]) == (31, "Data provisioning failed")
    assert job["documentId"] == DATA
    assert str(folder) not in json.dumps(job)
    told = job["failure"]
    assert (told["reason"], told["whoCanFix"][0], told["tries"]) == (
        "input_unavailable",
        "data_owner",
        1,
    )
    assert told["evidence"] == job["terminationDetails"]["detail"]
    _, (outline,) = await api.call("GET", COMPUTE, params={"consumerAddress": ALICE.address})
    assert (outline["jobId"], outline["failure"]) == (job["jobId"], None)


async def test_an_image_that_does_not_exist_ends_the_job_with_its_reason(api: Api) -> None:
    missing = {**CONTAINER, "checksum": "sha256:" + "00" * 32}
    job = await api.finished(
        await api.start(
            dataset={"documentId": OPEN, "serviceId": "compute"},
            algorithm={"meta": {"rawcode": "x", "container": missing}},
        )
    )
    assert (job["status"], job["statusText"]) == (11, "Pulling algorithm image failed")


async def test_a_file_url_into_this_network_is_never_fetched(api: Api) -> None:
    for url in (
        "http://127.0.0.1:1/x",
        "http://[::1]/x",
        "http://0x7f000001/",
        "http://2130706433",
    ):
        meta = {"url": url, "container": CONTAINER}
        job = await api.finished(
            await api.start(
                dataset={"documentId": OPEN, "serviceId": "compute"}, algorithm={"meta": meta}
            )
        )
        assert (job["status"], job["statusText"]) == (32, "Algorithm provisioning failed")
        assert url not in json.dumps(job)

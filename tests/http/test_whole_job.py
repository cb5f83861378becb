"""A job from the signed start to its downloaded results, as a consumer sees it."""

from __future__ import annotations

from ocean_consumer import ALICE, COMPUTE, RESULT, Api


async def test_a_published_algorithm_runs_and_its_results_come_back_by_index(api: Api) -> None:
    job_id = await api.start()
    job = await api.finished(job_id)
    assert (job["status"], job["statusText"]) == (70, "Job completed")
    names = [(each["index"], each["type"]) for each in job["results"]]
    assert names == [(0, "output"), (1, "output"), (2, "algorithmLog")]
    status, body = await api.call("GET", RESULT, params=api.result_query(ALICE, job_id, 2))
    assert (status, body) == (200, b"hello from the algorithm\n")
    status, jobs = await api.call("DELETE", COMPUTE, params=api.job_query(ALICE, job_id))
    assert (status, jobs[0]["status"]) == (200, 8)

"""Accounts are written with the moves that make them true, and stay."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from receipt_samples import JOB, a_run, a_stage, facts
from sqlalchemy import Connection

from compute import account
from compute.models import Job, JobSpec, ResultFile, Termination
from compute.status import Phase
from compute.store.base import Database
from compute.store.database import open_database
from compute.store.jobs import JobStore
from provider.migrations import VERSIONS

RESULT = ResultFile(0, "out.csv", 4, "c1" * 32, "output")
DONE = Termination(Phase.COMPLETED, "completed", "", 0)


@pytest.fixture
async def database(both_url: str) -> AsyncIterator[Database]:
    opened = await open_database(both_url, migrations=[VERSIONS])
    yield opened
    await opened.close()


def a_new_job() -> Job:
    spec = JobSpec(stages=(a_stage("fetch"), a_stage("train")))
    return Job(id=JOB, owner="0xAb", environment="small", spec=spec, created_at=1000.0)


async def run_through(store: JobStore, job: Job) -> Job:
    """As a job with two stages goes, up to its last move but one."""
    job = await store.move(job, Phase.STARTED, now=1001.0)
    for number, stage in enumerate(("fetch", "train")):
        job = await store.move(job, Phase.CONFIGURING_VOLUMES, now=1002.0)
        job = await store.move(job, Phase.PROVISIONED, now=1003.0)
        job = await store.move(job, Phase.RUNNING, now=1004.0)
        job = await store.move(
            job,
            Phase.PUBLISHING if number else Phase.STARTED,
            now=1005.0,
            facts=facts(network=f"net-{stage}"),
            runs=(*job.runs, a_run(stage)),
            stage=1,
        )
        assert await store.account(JOB) is None
    return await store.note(job, now=1006.0, results=(RESULT,))


async def test_an_account_is_there_with_the_end_and_outlives_the_job(database: Database) -> None:
    store = JobStore(database)
    job = await run_through(store, await store.insert(a_new_job(), queue_limit=10))
    job = await store.move(job, Phase.COMPLETED, now=1007.0, termination=DONE)
    expected = account.whole(
        account.ended(job), {0: facts(network="net-fetch"), 1: facts(network="net-train")}
    )
    assert await store.account(JOB) == expected
    assert [stage["network"] for stage in expected["stages"]] == ["net-fetch", "net-train"]
    assert expected["results"][0]["sha256"] == RESULT.sha256
    assert expected["times"]["finished"] == "1970-01-01T00:16:47.000000Z"
    await store.move(job, Phase.DELETED, now=2000.0, results=())
    assert await JobStore(database).account(JOB) == expected


async def test_there_is_no_end_without_an_account_and_none_before_it(database: Database) -> None:
    def refuses(connection: Connection, job: Job) -> None:
        raise RuntimeError("the transaction is not to be")

    store = JobStore(database)
    job = await run_through(store, await store.insert(a_new_job(), queue_limit=10))
    with pytest.raises(RuntimeError, match="not to be"):
        await JobStore(database, witness=refuses).move(
            job, Phase.COMPLETED, now=1007.0, termination=DONE
        )
    assert (await store.get(JOB)).phase is Phase.PUBLISHING
    assert await store.account(JOB) is None
    await store.move(job, Phase.COMPLETED, now=1008.0, termination=DONE)
    assert await store.account(JOB) is not None


async def test_a_job_that_never_started_has_one_and_an_unknown_one_has_none(
    database: Database,
) -> None:
    store = JobStore(database)
    job = await store.insert(a_new_job(), queue_limit=10)
    end = Termination(Phase.EXPIRED, "queue_expired")
    job = await store.move(job, Phase.EXPIRED, now=1001.0, termination=end)
    told = await store.account(JOB)
    assert told is not None
    assert [stage["ran"] for stage in told["stages"]] == [False, False]
    assert told["end"] == {
        "status": 2,
        "text": "Job expired in queue",
        "reason": "queue_expired",
        "exitCode": None,
    }
    assert await store.account("0" * 32) is None

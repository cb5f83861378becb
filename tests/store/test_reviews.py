"""Who is asked about held jobs, and decisions, on each kind of database."""

from __future__ import annotations

import asyncio

import pytest
from job_factory import MakeJob
from sqlalchemy import func, select

from compute.egress.verdict import Decision, Finding, Outcome, Verdict
from compute.errors import ReviewOver
from compute.models import Job
from compute.status import Phase
from compute.store.base import Database
from compute.store.jobs import JobStore
from compute.store.tables import job_reviewers

ANNE, BERT = "0x" + "aa" * 20, "0x" + "bb" * 20


async def hold(store: JobStore, job: Job, *wallets: str) -> Job:
    """Have a job held, with a source of its own for each wallet."""
    findings = tuple(Finding(wallet, Outcome.HOLD, (), (wallet,)) for wallet in wallets)
    verdict = Verdict(findings, hold_s=100, held_until=1100.0)
    job = await store.insert(job, queue_limit=100)
    for phase in (
        Phase.STARTED,
        Phase.CONFIGURING_VOLUMES,
        Phase.PROVISIONED,
        Phase.RUNNING,
        Phase.PUBLISHING,
    ):
        job = await store.move(job, phase, now=1000.0)
    job = await store.note(job, now=1000.0, verdict=verdict)
    return await store.move(job, Phase.HELD, now=1000.0)


async def test_reviewers_find_their_jobs_newest_first_while_these_are_held(
    store: JobStore, database: Database, make_job: MakeJob
) -> None:
    first, second = await hold(store, make_job(), ANNE), await hold(store, make_job(), ANNE, BERT)
    assert await store.reviews.held(ANNE) == [second, first]
    assert await store.reviews.held(ANNE, limit=1) == [second]
    assert await store.reviews.held(BERT) == [second]
    await store.move(second, Phase.STOPPED, now=1001.0)
    assert await store.reviews.held(ANNE) == [first]
    assert await store.reviews.held(BERT) == []
    rows = select(func.count()).select_from(job_reviewers)
    assert await database.read(lambda connection: connection.execute(rows).scalar_one()) == 1


async def test_decisions_of_several_at_once_are_all_kept(
    store: JobStore, make_job: MakeJob
) -> None:
    wallets = ["0x" + f"{number:02x}" * 20 for number in range(12)]
    job = await hold(store, make_job(), *wallets)
    await asyncio.gather(
        *(store.reviews.decide(job.id, each, Decision.RELEASED, now=1001.0) for each in wallets)
    )
    known = await store.get(job.id)
    read = await JobStore(store.reviews._database).get(job.id)
    assert known == read
    assert known.verdict
    assert known.verdict.released
    assert len(await store.history(job.id)) == 7 + len(wallets)


async def test_nothing_is_decided_while_an_operator_ends_the_job(
    store: JobStore, make_job: MakeJob
) -> None:
    job = await hold(store, make_job(), ANNE)
    taken = await store.take(job, "operator")
    with pytest.raises(ReviewOver):
        await store.reviews.decide(job.id, ANNE, Decision.RELEASED, now=1001.0)
    assert await store.get(job.id) == taken

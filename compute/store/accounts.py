"""Accounts of jobs: written once, in the transactions that make them true, kept for good.

A stage's part comes with the move that follows its run, the rest with the job's last move. A
deletion takes nothing of it away.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, insert, select

from compute import account
from compute.account import Facts
from compute.models import Job
from compute.status import Phase
from compute.store.sql import JobRow
from compute.store.tables import job_accounts, jobs

_KEEP = insert(job_accounts)

ENDED = -1
"""The part that is written at the end; the others have their stages' numbers."""


def keep_stage(connection: Connection, row: JobRow, stage: int, facts: Facts) -> None:
    """Write down what a stage was given and how it was run."""
    _keep(connection, row, stage, facts)


def close(connection: Connection, row: JobRow, job: Job) -> None:
    """Write down how the job, as it is stored now, has ended."""
    if job.phase is not Phase.DELETED:
        _keep(connection, row, ENDED, account.ended(job))


def _keep(connection: Connection, row: JobRow, part: int, facts: Facts) -> None:
    text = json.dumps(facts, separators=(",", ":"))
    values = {"job": row.sequence, "part": part, "account": text}
    connection.execute(_KEEP, values)


def read(connection: Connection, job_id: str) -> dict[str, Any] | None:
    """The job's account, None for a job that has none."""
    query = (
        select(job_accounts.c.part, job_accounts.c.account)
        .join(jobs, jobs.c.sequence == job_accounts.c.job)
        .where(jobs.c.id == job_id)
    )
    parts = {row.part: json.loads(row.account) for row in connection.execute(query)}
    end = parts.pop(ENDED, None)
    return None if end is None else account.whole(end, parts)

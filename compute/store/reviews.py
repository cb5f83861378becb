"""Held jobs by the wallets that are asked about them, and what those decide.

A row for each reviewer comes with the move to HELD and goes with the move out of it. Whether a
decision still counts is seen in the transaction that writes it: writes come one after the other
over all processes, so of two decisions for one source the second is refused, and none is taken
from when an operator has begun to end the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Connection, and_, delete, insert, select, update

from compute.egress.verdict import Decision, Verdict
from compute.errors import ReviewOver, UnknownJob
from compute.models import Job
from compute.status import Goal, Phase
from compute.store import news, rows, sql
from compute.store.base import Database, Work, nothing
from compute.store.news import Event
from compute.store.sql import JobRow
from compute.store.tables import job_reviewers, jobs

MOST_LISTED = 100

Copies = Callable[[Connection, Iterable[JobRow]], list[Job]]
Changed = Callable[[Connection, JobRow], Job]


class Reviews:
    """Of one database. ``copies`` makes jobs of rows, ``changed`` one of a row just written."""

    def __init__(self, database: Database, copies: Copies, changed: Changed) -> None:
        self._database = database
        self._copies = copies
        self._changed = changed

    async def held(self, wallet: str, *, limit: int = MOST_LISTED) -> list[Job]:
        """The held jobs that the wallet (in lower case) is asked about, newest first."""
        return await self._database.read(
            lambda connection: self._copies(connection, held(connection, wallet, limit))
        )

    async def decide(
        self,
        job_id: str,
        wallet: str,
        decision: Decision,
        *,
        now: float,
        also: Work[object] = nothing,
    ) -> Job:
        """Write down what the wallet (in lower case) decides for all sources that ask it, and
        have the operators act on it; ``also`` in the same transaction.

        Raises UnknownJob unless the wallet is asked about this job, ReviewOver when there is
        nothing left to decide, and what ``also`` raises; nothing is kept then.
        """

        def work(connection: Connection) -> Job:
            [job] = self._copies(connection, [_asked(connection, job_id)])
            verdict = _decided(job, wallet, decision, now)
            also(connection)
            statement = (
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(revision=jobs.c.revision + 1, **rows.changed_values({"verdict": verdict}))
                .returning(*rows.COLUMNS)
            )
            row = connection.execute(statement).one()
            sql.append_history(connection, row, now, f"{decision} by reviewer {wallet}")
            news.tell(connection, Event.WISHED, row.environment, row.id)
            return self._changed(connection, row)

        return await self._database.write(work)


def moved(connection: Connection, before: Job, row: JobRow) -> None:
    """Have those asked who are to be, with a move from ``before`` to ``row``."""
    if row.phase == Phase.HELD:
        wallets = before.verdict.reviewers if before.verdict else ()
        asked = [{"wallet": wallet, "job": row.sequence} for wallet in wallets]
        if asked:
            connection.execute(insert(job_reviewers), asked)
    elif before.phase is Phase.HELD:
        connection.execute(delete(job_reviewers).where(job_reviewers.c.job == row.sequence))


def held(connection: Connection, wallet: str, limit: int) -> Sequence[JobRow]:
    """Rows of the jobs that the wallet is asked about, newest first."""
    theirs = and_(job_reviewers.c.job == jobs.c.sequence, job_reviewers.c.wallet == wallet)
    query = (
        select(*rows.COLUMNS)
        .join(job_reviewers, theirs)
        .order_by(job_reviewers.c.job.desc())
        .limit(limit)
    )
    return connection.execute(query).all()


def _asked(connection: Connection, job_id: str) -> JobRow:
    row = sql.job_row(connection, job_id)
    if row is None:
        raise UnknownJob("No such job")
    return row


def _decided(job: Job, wallet: str, decision: Decision, now: float) -> Verdict:
    verdict = job.verdict or Verdict()
    if wallet not in verdict.reviewers or not is_shown(job):
        raise UnknownJob("No such job")
    over = _over(job, verdict, wallet, now)
    if over:
        raise ReviewOver(over)
    return verdict.decided(wallet, decision, now)


def is_shown(job: Job) -> bool:
    """True for a job that is or was held, as its reviewers may know."""
    was_held = job.verdict is not None and job.verdict.held_until is not None
    return job.phase is Phase.HELD or (
        was_held and job.phase.terminal and job.phase is not Phase.DELETED
    )


def _over(job: Job, verdict: Verdict, wallet: str, now: float) -> str:
    """Why there is nothing left to decide, empty if there is."""
    if not verdict.waits_for(wallet):
        done = next(each for each in verdict.held if wallet in each.reviewers)
        if done.by:
            return f"This review is over: {done.decision} by {done.by}."
    if job.phase is not Phase.HELD or job.goal is not Goal.RUN or job.operator:
        return "This review is over: the job is being ended, or has ended."
    if verdict.refused:
        return "This review is over: another reviewer has refused."
    if verdict.held_until is not None and now >= verdict.held_until:
        return "This review is over: nobody decided in time."
    return ""

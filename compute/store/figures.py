"""Figures of the store: what waits and runs now, and how long jobs stay in a phase.

How many jobs have ended is never asked of the table, which only grows; moves are counted
as they are made.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, case, column, func, null, select, table, update

from compute.metrics import Recorder
from compute.models import Job
from compute.status import UNFINISHED, Phase
from compute.store.base import after_commit
from compute.store.recent import Recent
from compute.store.sql import JobRow
from compute.store.tables import job_history, jobs

_REMEMBERED = 8192


class Standing(NamedTuple):
    """The unfinished jobs of one environment in one phase. ``waiting_since`` is when the one
    of them that has waited longest could have been begun, None where none waits by now for
    anything but its time; it counts for queued jobs only."""

    environment: str
    phase: Phase
    number: int
    waiting_since: float | None


def standing(connection: Connection, now: float) -> list[Standing]:
    """All that is unfinished, in one query; costs what is unfinished and not what has ended.

    A phase without any job is not listed.
    """
    since = case(
        (jobs.c.retry_at > now, null()),
        (jobs.c.retry_at > jobs.c.created_at, jobs.c.retry_at),
        else_=jobs.c.created_at,
    )
    query = (
        select(jobs.c.environment, jobs.c.phase, func.count().label("number"), func.min(since))
        .where(jobs.c.phase.in_(sorted(phase.value for phase in UNFINISHED)))
        .group_by(jobs.c.phase, jobs.c.environment)
    )
    return [Standing(row[0], Phase(row[1]), row[2], row[3]) for row in connection.execute(query)]


class _Entry(NamedTuple):
    """When a job came into a phase of a stage, in which it is at most once."""

    phase: Phase
    stage: int
    at: float


class Stopwatch:
    """Tells a recorder of each move, once it is durable, and how long the phase took.

    When jobs came into their phases is remembered; what is not (another process made that
    move) is read from the history.
    """

    def __init__(self) -> None:
        self._entries: Recent[str, _Entry] = Recent(_REMEMBERED)

    def begun(self, connection: Connection, row: JobRow, recorder: Recorder) -> None:
        """A job is new: its row was inserted by the unit that ``connection`` belongs to."""
        entry = _Entry(Phase(row.phase), row.stage, row.created_at)
        self._tell(connection, recorder, row, None, entry, 0.0)

    def moved(
        self, connection: Connection, row: JobRow, before: Job, now: float, recorder: Recorder
    ) -> None:
        """The unit moves the job from ``before`` to ``row``, not yet in the history."""
        seconds = max(0.0, now - self._entered(connection, row, before))
        entry = _Entry(Phase(row.phase), row.stage, now)
        self._tell(connection, recorder, row, before.phase, entry, seconds)

    def claimed(self, connection: Connection, row: JobRow, now: float, recorder: Recorder) -> None:
        """The unit takes the job from the queue."""
        seconds = max(0.0, now - row.created_at)
        entry = _Entry(Phase(row.phase), row.stage, now)
        self._tell(connection, recorder, row, Phase.QUEUED, entry, seconds)

    def _tell(
        self,
        connection: Connection,
        recorder: Recorder,
        row: JobRow,
        before: Phase | None,
        entry: _Entry,
        seconds: float,
    ) -> None:
        def told() -> None:
            if entry.phase.terminal:
                self._entries.drop(row.id)
            else:
                self._entries.put(row.id, entry)
            recorder.moved(row.environment, before, entry.phase, seconds)

        after_commit(connection, told)

    def _entered(self, connection: Connection, row: JobRow, before: Job) -> float:
        if before.phase is Phase.QUEUED:
            return before.created_at
        entry = self._entries.peek(row.id)
        if entry is not None and (entry.phase, entry.stage) == (before.phase, before.stage):
            return entry.at
        return entered_at(connection, row.sequence, before)


def entered_at(connection: Connection, sequence: int, job: Job) -> float:
    """When the job came into its present phase: the first line of its history after all
    that tell of another phase."""
    mine = job_history.c.job == sequence
    other = select(func.max(job_history.c.line)).where(mine, job_history.c.phase != job.phase.value)
    query = select(func.min(job_history.c.at)).where(
        mine, job_history.c.line > func.coalesce(other.scalar_subquery(), 0)
    )
    return connection.execute(query).scalar_one() or job.created_at


def touch(connection: Connection) -> None:
    """Write something that changes nothing: succeeds only while the database takes writes."""
    connection.execute(update(_version).values(version_num=_version.c.version_num))


_version = table("alembic_version", column("version_num"))

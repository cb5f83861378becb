"""Jobs in memory, so that what is asked for often is neither loaded nor parsed again.

That memory changes only after a commit and in the order of the commits; what a reader brings
along is put into it only when its row is not older than what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from compute.models import Job, JobSpec
from compute.store import rows, sql
from compute.store.base import after_commit
from compute.store.recent import Recent
from compute.store.sql import JobRow

RECENT_JOBS = 512
"""About 10 KiB each, more than most of them will be asked for again: one that is not here is
read in a millisecond."""

RECENT_BYTES = 32 << 20
"""What jobs in memory may weigh together: consumers choose how much code they send."""

_BYTES_A_JOB = 4096
_BYTES_A_RESULT = 512


class Copy(NamedTuple):
    """A job as of one revision of its row."""

    revision: int
    job: Job


def _weight(copy: Copy) -> int:
    """About how many bytes a job takes in memory. The same at any time for one copy."""
    job = copy.job
    files = len(job.results) + len(job.held)
    return _BYTES_A_JOB + job.spec.weight + _BYTES_A_RESULT * files


class Copies:
    """The most recently used jobs, at most ``number``."""

    def __init__(self, number: int) -> None:
        self._recent: Recent[str, Copy] = Recent(number, budget=RECENT_BYTES, weigh=_weight)

    def get(self, job_id: str) -> Copy | None:
        return self._recent.get(job_id)

    def drop(self, job_id: str) -> None:
        self._recent.drop(job_id)

    def remember(self, copy: Copy) -> None:
        present = self._recent.peek(copy.job.id)
        if present is None or present.revision <= copy.revision:
            self._recent.put(copy.job.id, copy)

    def changed(self, connection: Connection, row: JobRow, spec: JobSpec | None = None) -> Job:
        """The job of a row just written; remembered once it is committed."""
        if spec is None:
            copy = self.of(connection, [row])[0]
        else:
            copy = Copy(row.revision, rows.job_of(row, spec))
        after_commit(connection, lambda: self.remember(copy))
        return copy.job

    def jobs(self, connection: Connection, found: Iterable[JobRow]) -> list[Job]:
        return [copy.job for copy in self.of(connection, list(found))]

    def of(self, connection: Connection, found: Sequence[JobRow]) -> list[Copy]:
        """Jobs of these rows, from memory where they are there. Runs in the database's threads."""
        known = {row.sequence: self._recent.peek(row.id) for row in found}
        missing = [sequence for sequence, copy in known.items() if copy is None]
        texts = sql.specs(connection, missing)

        def copy_of(row: JobRow) -> Copy:
            copy = known[row.sequence]
            if copy is None:
                return Copy(row.revision, rows.job_of(row, rows.read_spec(texts[row.sequence])))
            if copy.revision == row.revision:
                return copy
            return Copy(row.revision, rows.job_of(row, copy.job.spec))

        return [copy_of(row) for row in found]

"""What is left to be done, read for an operator that begins or has missed something.

Jobs may wait by the ten thousand, so nothing is read of what they are about, which may be
large, but how long they may wait.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, select

from compute.models import Unfinished
from compute.status import TERMINAL, UNFINISHED, Goal, Phase
from compute.store import sql
from compute.store.base import Database
from compute.store.sql import JobRow
from compute.store.tables import DELETING, jobs

_AT_ONCE = 500
_COLUMNS = (
    jobs.c.sequence,
    jobs.c.id,
    jobs.c.environment,
    jobs.c.phase,
    jobs.c.goal,
    jobs.c.operator,
    jobs.c.created_at,
    jobs.c.retry_at,
)


class Backlog:
    """The jobs of one database that still need something done."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ids(self) -> set[str]:
        """Of all of them."""
        return await self._database.read(lambda connection: {row.id for row in rows(connection)})

    async def unfinished(self, *, queued: bool = True) -> list[Unfinished]:
        """Not terminal, or to be deleted; oldest first. Without those in the queue, which have
        nothing in the engine, unless ``queued``."""

        def work(connection: Connection) -> list[Unfinished]:
            found = rows(connection, UNFINISHED if queued else UNFINISHED - {Phase.QUEUED})
            return list(_unfinished(connection, found))

        return await self._database.read(work)


def rows(connection: Connection, phases: Collection[Phase] = UNFINISHED) -> list[JobRow]:
    """Those of jobs in one of ``phases`` or to be deleted, oldest first."""
    names, over = ([phase.value for phase in each] for each in (phases, TERMINAL))
    going_on = select(*_COLUMNS).where(jobs.c.phase.in_(sorted(names)))
    deleting = select(*_COLUMNS).where(DELETING, sql.unindexed(jobs.c.phase).in_(sorted(over)))
    found = [*connection.execute(going_on), *connection.execute(deleting)]
    return sorted(found, key=lambda row: row.sequence)


def _unfinished(connection: Connection, found: Sequence[JobRow]) -> Iterator[Unfinished]:
    for start in range(0, len(found), _AT_ONCE):
        part = found[start : start + _AT_ONCE]
        texts = sql.specs(
            connection, [row.sequence for row in part if row.phase == Phase.QUEUED.value]
        )
        for row in part:
            text = texts.get(row.sequence)
            yield Unfinished(
                id=row.id,
                environment=row.environment,
                phase=Phase(row.phase),
                goal=Goal(row.goal),
                operator=row.operator,
                created_at=row.created_at,
                retry_at=row.retry_at,
                ends_by=None if text is None else json.loads(text).get("ends_by"),
            )

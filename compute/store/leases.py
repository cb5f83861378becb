"""The statements by which operator processes share jobs.

A process has a row as long as it renews it; its jobs are its own until that ends. The
database's clock decides, since those of several machines differ. Writes are carried out one
after the other over all processes, so two never take the same job.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, text, update

from compute.store import rows
from compute.store.sql import JobRow
from compute.store.tables import DELETING, OWNED, jobs, operators
from compute.store.upserts import upsert_of

REMEMBERED_S = 60.0
"""How long after its end it is remembered which environments a process was started with: one
that was killed is started again meanwhile."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that operates jobs: on which machine, and in which environments."""

    operator: str
    machine: str = ""
    environments: frozenset[str] = frozenset()


def now_of(connection: Connection, now: float) -> float:
    """The time by the database's clock, where it has one; else ``now``."""
    if connection.dialect.name != "postgresql":
        return now
    seconds: float = connection.execute(
        text("SELECT extract(epoch FROM clock_timestamp())::double precision")
    ).scalar_one()
    return seconds


def renew(connection: Connection, holder: Holder, now: float, term_s: float) -> bool:
    """Have the lease of this process end ``term_s`` from now. False when it had none any
    more, or never had one: its jobs may be another's."""
    insert = upsert_of(connection.dialect.name)
    at = now_of(connection, now)
    living = select(operators.c.id).where(
        operators.c.id == holder.operator, operators.c.ends_at > at
    )
    had = connection.execute(living).first()
    known = json.dumps(sorted(holder.environments))
    values = {"machine": holder.machine, "ends_at": at + term_s, "environments": known}
    statement = insert(operators).values(id=holder.operator, began_at=at, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
    return had is not None


def give_back(connection: Connection, operator: str) -> None:
    """End the lease of this process: others may take its jobs at once."""
    connection.execute(delete(operators).where(operators.c.id == operator))


def forget_lapsed(connection: Connection, now: float) -> Sequence[str]:
    """Remove the leases that ended a while ago; whose they were."""
    ended = operators.c.ends_at <= now_of(connection, now) - REMEMBERED_S
    lapsed = delete(operators).where(ended).returning(operators.c.id)
    return list(connection.execute(lapsed).scalars())


def forget_others(connection: Connection, operator: str) -> None:
    """Remove all leases but this one."""
    connection.execute(delete(operators).where(operators.c.id != operator))


def living(connection: Connection, now: float) -> int:
    """How many operator processes there are."""
    query = select(func.count()).select_from(operators).where(operators.c.ends_at > now)
    return connection.execute(query).scalar_one()


def known_to_others(connection: Connection, holder: Holder, now: float) -> set[str]:
    """The environments that other processes were started with which live or did so until
    just now: those of the holder's machine, or with an empty one those of all."""
    since = now_of(connection, now) - REMEMBERED_S
    query = select(operators.c.environments).where(
        operators.c.id != holder.operator, operators.c.ends_at > since
    )
    if holder.machine:
        query = query.where(operators.c.machine == holder.machine)
    return {name for text in connection.execute(query).scalars() for name in json.loads(text)}


def take_over(connection: Connection, holder: Holder, now: float) -> list[tuple[str, JobRow]]:
    """Make this process the owner of all jobs whose owner has no lease: of those on its own
    machine, and those on none. The former owner and the new row of each.

    With an empty machine those on any. A job whose environment it does not know is left to
    another process that does. With them come jobs that are to be deleted and are nobody's:
    whoever ended one may have been killed before he could go on.
    """
    holders = select(operators.c.id).where(operators.c.ends_at > now_of(connection, now))
    left = select(jobs.c.sequence, jobs.c.operator, jobs.c.environment).where(
        OWNED, jobs.c.operator != holder.operator, jobs.c.operator.not_in(holders)
    )
    if holder.machine:
        left = left.where(jobs.c.machine.in_(["", holder.machine]))
    deleting = select(jobs.c.sequence, jobs.c.operator, jobs.c.environment).where(
        DELETING, jobs.c.operator == ""
    )
    found = [*connection.execute(left), *connection.execute(deleting)]
    if not found:
        return []
    others = known_to_others(connection, holder, now) - holder.environments
    former = {
        row.sequence: row.operator or "none" for row in found if row.environment not in others
    }
    if not former:
        return []
    statement = (
        update(jobs)
        .where(jobs.c.sequence.in_(sorted(former)))
        .values(operator=holder.operator, revision=jobs.c.revision + 1)
        .returning(*rows.COLUMNS)
    )
    taken = sorted(connection.execute(statement), key=lambda row: row.sequence)
    return [(former[row.sequence], row) for row in taken]


def take(connection: Connection, job_id: str, phase: str, operator: str) -> JobRow | None:
    """Make this process the owner of a job in ``phase`` that has none; None if it is not so."""
    statement = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.phase == phase, jobs.c.operator == "")
        .values(operator=operator, revision=jobs.c.revision + 1)
        .returning(*rows.COLUMNS)
    )
    return connection.execute(statement).one_or_none()

"""The statements by which operator processes share jobs.

A process has a row as long as it renews it; its jobs are its own until that ends. The
database's clock decides, since those of several machines differ. Writes are carried out one
after the other over all processes, so two never take the same job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from compute.store import rows
from compute.store.sql import JobRow
from compute.store.tables import OWNED, jobs, operators

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def now_of(connection: Connection, now: float) -> float:
    """The time by the database's clock, where it has one; else ``now``."""
    if connection.dialect.name != "postgresql":
        return now
    seconds: float = connection.execute(
        text("SELECT extract(epoch FROM clock_timestamp())::double precision")
    ).scalar_one()
    return seconds


def renew(connection: Connection, operator: str, machine: str, now: float, term_s: float) -> bool:
    """Have the lease of this process end ``term_s`` from now. False when it had none any
    more, or never had one: its jobs may be another's."""
    insert = _INSERT[connection.dialect.name]
    had = connection.execute(select(operators.c.id).where(operators.c.id == operator)).first()
    values = {"machine": machine, "ends_at": now + term_s}
    statement = insert(operators).values(id=operator, began_at=now, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
    return had is not None


def give_back(connection: Connection, operator: str) -> None:
    """End the lease of this process: others may take its jobs at once."""
    connection.execute(delete(operators).where(operators.c.id == operator))


def forget_lapsed(connection: Connection, now: float) -> Sequence[str]:
    """Remove the leases that have ended; whose they were."""
    lapsed = delete(operators).where(operators.c.ends_at <= now).returning(operators.c.id)
    return list(connection.execute(lapsed).scalars())


def forget_others(connection: Connection, operator: str) -> None:
    """Remove all leases but this one."""
    connection.execute(delete(operators).where(operators.c.id != operator))


def living(connection: Connection, now: float) -> int:
    """How many operator processes there are."""
    query = select(func.count()).select_from(operators).where(operators.c.ends_at > now)
    return connection.execute(query).scalar_one()


def take_over(connection: Connection, operator: str, machine: str) -> list[tuple[str, JobRow]]:
    """Make this process the owner of all jobs whose owner has no lease: of those on its own
    machine, and those on none. The former owner and the new row of each.

    With an empty ``machine`` those on any machine.
    """
    holders = select(operators.c.id)
    left = select(jobs.c.sequence, jobs.c.operator).where(
        OWNED, jobs.c.operator != operator, jobs.c.operator.not_in(holders)
    )
    if machine:
        left = left.where(jobs.c.machine.in_(["", machine]))
    former = {row.sequence: row.operator for row in connection.execute(left)}
    if not former:
        return []
    statement = (
        update(jobs)
        .where(jobs.c.sequence.in_(sorted(former)))
        .values(operator=operator, revision=jobs.c.revision + 1)
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

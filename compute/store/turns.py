"""The circle of owners with queued jobs, one for each environment.

A row of ``queue_turns`` is an owner's seat: made with the first queued job, gone with the
last, and last in the circle when it is new and after each start. So nobody gains by leaving
the circle and coming back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    select,
    update,
)

from compute.fairness import Turn
from compute.status import Goal
from compute.store.tables import QUEUED, jobs, queue_turns
from compute.store.upserts import ByDialect

_ENVIRONMENT = cast(bindparam("environment", type_=Text), Text)
_LAST = select(
    _ENVIRONMENT.label("environment"),
    cast(bindparam("owner_key", type_=Text), Text).label("owner_key"),
    (func.coalesce(func.max(queue_turns.c.turn), 0) + 1).label("turn"),
).where(queue_turns.c.environment == _ENVIRONMENT)

ENTER = ByDialect(
    lambda upsert: (
        upsert(queue_turns)
        .from_select(["environment", "owner_key", "turn"], _LAST)
        .on_conflict_do_nothing()
    )
)


_ITS_ENVIRONMENT = bindparam("its_environment", type_=Text)
_ITS_OWNER = bindparam("its_owner", type_=Text)
_SEAT = (queue_turns.c.environment == _ITS_ENVIRONMENT, queue_turns.c.owner_key == _ITS_OWNER)
_OF = (jobs.c.environment == _ITS_ENVIRONMENT, jobs.c.owner_key == _ITS_OWNER)
_DUE = (
    jobs.c.goal == Goal.RUN.value,
    jobs.c.retry_at <= bindparam("now", type_=Float),
    # Not those that are being taken out of the queue by the process that has them.
    jobs.c.operator == "",
)

_LEAVE = delete(queue_turns).where(*_SEAT, ~exists().where(QUEUED, *_OF))

_SERVE = (
    update(queue_turns)
    .where(*_SEAT)
    .values(
        turn=select(func.max(queue_turns.c.turn) + 1)
        .where(queue_turns.c.environment == _ITS_ENVIRONMENT)
        .scalar_subquery()
    )
)

_FIRST_DUE = (
    select(jobs.c.sequence)
    .where(
        QUEUED,
        jobs.c.environment == _ITS_ENVIRONMENT,
        jobs.c.owner_key == queue_turns.c.owner_key,
        *_DUE,
    )
    .order_by(jobs.c.sequence)
    .limit(1)
    .correlate(queue_turns)
    .scalar_subquery()
)


def _heads_of(*conditions: ColumnElement[bool]) -> Select[Any]:
    circle = (
        select(queue_turns.c.owner_key, queue_turns.c.turn, _FIRST_DUE.label("head"))
        .where(queue_turns.c.environment == _ITS_ENVIRONMENT, *conditions)
        .subquery()
    )
    return (
        select(circle.c.owner_key, circle.c.head)
        .where(circle.c.head.is_not(None))
        .order_by(circle.c.turn)
        .limit(bindparam("most", type_=Integer))
    )


_HEADS = _heads_of()
_HEADS_BUT = _heads_of(queue_turns.c.owner_key.not_in(bindparam("full", expanding=True)))

_DUE_OF = (
    select(jobs.c.sequence)
    .where(QUEUED, *_OF, *_DUE)
    .order_by(jobs.c.sequence)
    .limit(bindparam("most", type_=Integer))
)


def enter(connection: Connection, environment: str, owner_key: str) -> None:
    """Seat an owner, who has a queued job now, at the end of the circle. One who sits stays."""
    values = {"environment": environment, "owner_key": owner_key}
    connection.execute(ENTER[connection.dialect.name], values)


def leave(connection: Connection, environment: str, owner_key: str) -> None:
    """Free the seat of an owner who has no queued job any more."""
    connection.execute(_LEAVE, {"its_environment": environment, "its_owner": owner_key})


def served(connection: Connection, environment: str, owner_key: str) -> None:
    """An owner's job was started: to the end of the circle, or out of it."""
    connection.execute(_SERVE, {"its_environment": environment, "its_owner": owner_key})
    leave(connection, environment, owner_key)


def due(
    connection: Connection,
    environment: str,
    now: float,
    *,
    most: int,
    full: Collection[str] = (),
) -> list[Turn[int]]:
    """The owners whose turn is next, with numbers of their due jobs: what is needed to tell
    the next ``most`` starts. Owners in ``full`` are left out."""
    heads = _heads(connection, environment, now, most, full)
    if len(heads) >= most:
        return [Turn(row.owner_key, [row.head]) for row in heads]
    more = most - len(heads) + 1
    return [
        Turn(row.owner_key, _due_of(connection, environment, row.owner_key, now, more))
        for row in heads
    ]


def _heads(
    connection: Connection, environment: str, now: float, most: int, full: Collection[str]
) -> Sequence[Any]:
    values = {"its_environment": environment, "now": now, "most": most, "full": sorted(full)}
    return connection.execute(_HEADS_BUT if full else _HEADS, values).all()


def _due_of(
    connection: Connection, environment: str, owner_key: str, now: float, most: int
) -> Sequence[int]:
    values = {
        "its_environment": environment,
        "its_owner": owner_key,
        "now": now,
        "most": most,
    }
    return connection.execute(_DUE_OF, values).scalars().all()


def seats(connection: Connection, environment: str) -> Sequence[str]:
    """The owners of an environment's circle, whose turn is next first."""
    query = (
        select(queue_turns.c.owner_key)
        .where(queue_turns.c.environment == environment)
        .order_by(queue_turns.c.turn)
    )
    return connection.execute(query).scalars().all()


def wanted(connection: Connection, environment: str) -> Sequence[Any]:
    """Owner, id and date of all queued jobs that are still wanted, those of each owner in
    their order."""
    query = (
        select(jobs.c.owner_key, jobs.c.id, jobs.c.retry_at)
        .where(QUEUED, jobs.c.environment == environment, jobs.c.goal == Goal.RUN.value)
        .order_by(jobs.c.owner_key, jobs.c.sequence)
    )
    return connection.execute(query).all()

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
    ScalarSelect,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal,
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


def enter(connection: Connection, environment: str, owner_key: str) -> None:
    """Seat an owner, who has a queued job now, at the end of the circle. One who sits stays."""
    values = {"environment": environment, "owner_key": owner_key}
    connection.execute(ENTER[connection.dialect.name], values)


def leave(connection: Connection, environment: str, owner_key: str) -> None:
    """Free the seat of an owner who has no queued job any more."""
    left = exists().where(QUEUED, *_of(environment, owner_key))
    connection.execute(delete(queue_turns).where(*_seat(environment, owner_key), ~left))


def served(connection: Connection, environment: str, owner_key: str) -> None:
    """An owner's job was started: to the end of the circle, or out of it."""
    last = select(func.max(queue_turns.c.turn) + 1).where(queue_turns.c.environment == environment)
    moved = update(queue_turns).where(*_seat(environment, owner_key))
    connection.execute(moved.values(turn=last.scalar_subquery()))
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
    head = _first_due(environment, now).label("head")
    seats = select(queue_turns.c.owner_key, queue_turns.c.turn, head).where(
        queue_turns.c.environment == environment
    )
    if full:
        seats = seats.where(queue_turns.c.owner_key.not_in(sorted(full)))
    circle = seats.subquery()
    query = (
        select(circle.c.owner_key, circle.c.head)
        .where(circle.c.head.is_not(None))
        .order_by(circle.c.turn)
        .limit(most)
    )
    return connection.execute(query).all()


def _first_due(environment: str, now: float) -> ScalarSelect[int]:
    return (
        select(jobs.c.sequence)
        .where(
            QUEUED,
            jobs.c.environment == literal(environment),
            jobs.c.owner_key == queue_turns.c.owner_key,
            *_is_due(now),
        )
        .order_by(jobs.c.sequence)
        .limit(1)
        .correlate(queue_turns)
        .scalar_subquery()
    )


def _due_of(
    connection: Connection, environment: str, owner_key: str, now: float, most: int
) -> Sequence[int]:
    query = (
        select(jobs.c.sequence)
        .where(QUEUED, *_of(environment, owner_key), *_is_due(now))
        .order_by(jobs.c.sequence)
        .limit(most)
    )
    return connection.execute(query).scalars().all()


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


def _seat(environment: str, owner_key: str) -> tuple[ColumnElement[bool], ...]:
    return (queue_turns.c.environment == environment, queue_turns.c.owner_key == owner_key)


def _of(environment: str, owner_key: str) -> tuple[ColumnElement[bool], ...]:
    return (jobs.c.environment == environment, jobs.c.owner_key == owner_key)


def _is_due(now: float) -> tuple[ColumnElement[bool], ...]:
    """Not those that are being taken out of the queue by the process that has them."""
    return (jobs.c.goal == Goal.RUN.value, jobs.c.retry_at <= now, jobs.c.operator == "")

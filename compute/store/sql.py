"""The statements of the job store, as functions of a connection.

They run on SQLite and on PostgreSQL. Each is served by an index, so that it costs what it
returns and not what the table holds; a test looks at the plans. Where two indexes could
serve, the wrong one is kept out of the planner's sight by :func:`unindexed`.

To build a statement costs more than to carry it out, so those of a job's common way are built
once and take their values as parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    TextClause,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from compute.models import Job, JobSpec
from compute.status import ACTIVE, TERMINAL, Goal, Phase
from compute.store import rows
from compute.store.tables import (
    EXPIRING,
    NAMED,
    QUEUED,
    job_assets,
    job_history,
    job_holds,
    job_specs,
    jobs,
)
from compute.store.upserts import ByDialect

JobRow = Row[Any]

_SPECS_AT_ONCE = 500

HOLD = ByDialect(
    lambda upsert: (
        upsert(job_holds)
        .values(name=bindparam("name"), job=bindparam("job"))
        .on_conflict_do_nothing()
        .returning(job_holds.c.name)
    )
)

_INSERT = insert(jobs).returning(*rows.COLUMNS)
_INSERT_SPEC = insert(job_specs)
_INSERT_ASSET = insert(job_assets)
_APPEND = insert(job_history)
_BY_ID = select(*rows.COLUMNS).where(jobs.c.id == bindparam("job_id"))


def insert_job(connection: Connection, job: Job) -> JobRow:
    row = connection.execute(_INSERT, rows.values_of(job)).one()
    spec = {"job": row.sequence, "spec": rows.spec_text(job.spec)}
    connection.execute(_INSERT_SPEC, spec)
    assets = [{"did": did, "job": row.sequence} for did in sorted(rows.assets_of(job.spec))]
    if assets:
        connection.execute(_INSERT_ASSET, assets)
    return row


def take_holds(connection: Connection, row: JobRow, names: Iterable[str]) -> str | None:
    """Have the job hold all ``names``; the first that another job has, None if all are free."""
    for name in sorted(set(names)):
        values = {"name": name, "job": row.sequence}
        if connection.execute(HOLD[connection.dialect.name], values).one_or_none() is None:
            return name
    return None


def free_holds(connection: Connection, row: JobRow, names: Collection[str]) -> None:
    theirs = job_holds.c.job == row.sequence
    connection.execute(delete(job_holds).where(job_holds.c.name.in_(sorted(names)), theirs))


def replace_spec(connection: Connection, row: JobRow, spec: JobSpec) -> None:
    statement = update(job_specs).where(job_specs.c.job == row.sequence)
    connection.execute(statement.values(spec=rows.spec_text(spec)))


def job_row(connection: Connection, job_id: str) -> JobRow | None:
    return connection.execute(_BY_ID, {"job_id": job_id}).one_or_none()


def specs(connection: Connection, sequences: Sequence[int]) -> dict[int, str]:
    """Specification texts by row number."""
    found: dict[int, str] = {}
    for start in range(0, len(sequences), _SPECS_AT_ONCE):
        part = sequences[start : start + _SPECS_AT_ONCE]
        query = select(job_specs.c.job, job_specs.c.spec).where(job_specs.c.job.in_(part))
        found.update((row.job, row.spec) for row in connection.execute(query))
    return found


def update_job(connection: Connection, job: Job, values: Mapping[str, object]) -> JobRow | None:
    """Set ``values`` if phase and operator are still those of ``job``; the whole new row, or
    None if they are not. What has finished before keeps the time when it did."""
    wanted = {"job_id": job.id, "if_phase": job.phase.value, "if_operator": job.operator}
    fresh = {_NEW + name: value for name, value in values.items()}
    return connection.execute(_update(frozenset(values)), wanted | fresh).one_or_none()


@functools.lru_cache(maxsize=256)
def _update(columns: frozenset[str]) -> Update:
    fresh: dict[str, Any] = {
        name: bindparam(_NEW + name, type_=jobs.c[name].type) for name in sorted(columns)
    }
    if "finished_at" in fresh:
        fresh["finished_at"] = func.coalesce(jobs.c.finished_at, fresh["finished_at"])
    return (
        update(jobs)
        .where(jobs.c.id == bindparam("job_id"), jobs.c.phase == bindparam("if_phase"))
        .where(jobs.c.operator == bindparam("if_operator"))
        .values(revision=jobs.c.revision + 1, **fresh)
        .returning(*rows.COLUMNS)
    )


_NEW = "new_"


def raise_goal(connection: Connection, job_id: str, goal: Goal) -> JobRow | None:
    """The new row, or None when the job is unknown or wants as much already."""
    lower = [other.value for other in Goal if other.rank < goal.rank]
    statement = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.goal.in_(lower))
        .values(goal=goal.value, revision=jobs.c.revision + 1)
        .returning(*rows.COLUMNS)
    )
    return connection.execute(statement).one_or_none()


def named(connection: Connection, namespace: str, name: str) -> JobRow | None:
    """The job of this name that is not deleted."""
    query = _select().where(jobs.c.namespace == namespace, jobs.c.name == name, NAMED)
    return connection.execute(query).one_or_none()


def namespaces(connection: Connection, prefix: str) -> list[str]:
    """Namespaces that begin so and have jobs that are not deleted, sorted by code points.

    SQLite finds them one after the other by the index, so that it costs what it returns. A
    PostgreSQL index sorts as the database's language does; there all names are looked at.
    """
    if connection.dialect.name == "postgresql":
        begins = func.starts_with(jobs.c.namespace, prefix)
        query = select(jobs.c.namespace).where(NAMED, begins).distinct()
        return sorted(connection.execute(query).scalars())
    found: list[str] = []
    after = prefix
    while True:
        first = (
            select(jobs.c.namespace)
            .where(jobs.c.namespace > after if found else jobs.c.namespace >= after, NAMED)
            .order_by(jobs.c.namespace)
            .limit(1)
        )
        namespace = connection.execute(first).scalar_one_or_none()
        if namespace is None or not namespace.startswith(prefix):
            return found
        found.append(namespace)
        after = namespace


def in_namespace(connection: Connection, namespace: str, limit: int) -> Sequence[JobRow]:
    """Jobs of a namespace that are not deleted, newest first."""
    query = (
        _select()
        .where(jobs.c.namespace == namespace, NAMED)
        .order_by(jobs.c.sequence.desc())
        .limit(limit)
    )
    return connection.execute(query).all()


def running_first(connection: Connection, environment: str, limit: int) -> Sequence[JobRow]:
    """The jobs of an environment that run, those first that were accepted first."""
    query = (
        _select()
        .where(jobs.c.phase == Phase.RUNNING.value, jobs.c.environment == environment)
        .order_by(jobs.c.sequence)
        .limit(limit)
    )
    return connection.execute(query).all()


def are_queued(connection: Connection, environment: str, number: int) -> bool:
    """Whether so many jobs, or more, are queued."""
    return _are(connection, number, *_queued(environment))


def are_due(connection: Connection, environment: str, now: float, number: int) -> bool:
    """Whether so many queued jobs, or more, wait for a place and not for their time."""
    return _are(connection, number, *_queued(environment), jobs.c.retry_at <= now)


def are_queued_of(connection: Connection, environment: str, owner: str, number: int) -> bool:
    """Whether an owner has so many queued jobs, or more."""
    mine = jobs.c.owner_key == owner.lower()
    return _are(connection, number, QUEUED, jobs.c.environment == environment, mine)


def count_active(connection: Connection, environment: str) -> int:
    return connection.execute(_COUNT_ACTIVE, {"environment": environment}).scalar_one()


def counts(connection: Connection) -> Sequence[JobRow]:
    """Environment, phase and number of all that wait for a place or have one."""
    query = (
        select(jobs.c.environment, jobs.c.phase, func.count().label("number"))
        .where(jobs.c.phase.in_(_values(ACTIVE | {Phase.QUEUED})))
        .group_by(jobs.c.phase, jobs.c.environment)
    )
    return connection.execute(query).all()


def find(
    connection: Connection,
    *,
    owner: str | None,
    did: str | None,
    environment: str | None,
    phases: Collection[Phase] | None,
    limit: int,
) -> Sequence[JobRow]:
    """Newest first. Looks up by owner if given, else by DID, else by phase."""
    selective = owner is not None or did is not None
    query = _select().order_by(jobs.c.sequence.desc()).limit(limit)
    if owner is not None:
        query = query.where(jobs.c.owner_key == owner.lower())
    if did is not None:
        query = _using(query, did, by_owner=owner is not None)
    if environment is not None:
        column = unindexed(jobs.c.environment) if selective else jobs.c.environment
        query = query.where(column == environment)
    if phases is not None:
        column = unindexed(jobs.c.phase) if selective else jobs.c.phase
        query = query.where(column.in_(_values(phases)))
    return connection.execute(query).all()


def outlines(
    connection: Connection, *, owner: str, did: str | None, agreement_id: str | None, limit: int
) -> Sequence[JobRow]:
    """Columns of an outline of an owner's jobs that are not deleted, newest first."""
    query: Select[Any] = (
        select(*rows.OUTLINE)
        .where(jobs.c.owner_key == owner.lower())
        .where(unindexed(jobs.c.phase) != Phase.DELETED.value)
        .order_by(jobs.c.sequence.desc())
        .limit(limit)
    )
    if did is not None:
        query = _using(query, did, by_owner=True)
    if agreement_id is not None:
        ends = job_specs.c.spec.endswith(rows.end_of_spec(agreement_id), autoescape=True)
        query = query.where(exists().where(job_specs.c.job == jobs.c.sequence, ends))
    return connection.execute(query).all()


def expired(connection: Connection, now: float, limit: int) -> Sequence[JobRow]:
    query = (
        _select()
        .where(EXPIRING, jobs.c.expires_at <= now, unindexed(jobs.c.phase).in_(_values(TERMINAL)))
        .where(unindexed(jobs.c.goal) != Goal.DELETE.value)
        .order_by(jobs.c.expires_at)
        .limit(limit)
    )
    return connection.execute(query).all()


def append_history(connection: Connection, row: JobRow, at: float, note: str) -> None:
    line = {
        "job": row.sequence,
        "at": at,
        "phase": row.phase,
        "goal": row.goal,
        "note": note,
    }
    connection.execute(_APPEND, line)


def history(connection: Connection, job_id: str) -> Sequence[Row[Any]]:
    query = (
        select(job_history)
        .join(jobs, jobs.c.sequence == job_history.c.job)
        .where(jobs.c.id == job_id)
        .order_by(job_history.c.line)
    )
    return connection.execute(query).all()


_COUNT_ACTIVE = (
    select(func.count())
    .select_from(jobs)
    .where(
        jobs.c.phase.in_(sorted(phase.value for phase in ACTIVE)),
        jobs.c.environment == bindparam("environment"),
    )
)


def _select() -> Select[Any]:
    return select(*rows.COLUMNS)


def _queued(environment: str) -> tuple[ColumnElement[bool], ...]:
    return (jobs.c.phase == Phase.QUEUED.value, jobs.c.environment == environment)


def _are(
    connection: Connection, number: int, *conditions: ColumnElement[bool] | TextClause
) -> bool:
    """Whether there are so many; none is looked at beyond the last that is asked for."""
    if number <= 0:
        return True
    last = select(literal(1)).select_from(jobs).where(*conditions).limit(1).offset(number - 1)
    return connection.execute(last).first() is not None


def _using(query: Select[Any], did: str, *, by_owner: bool) -> Select[Any]:
    uses = and_(job_assets.c.job == jobs.c.sequence, job_assets.c.did == did)
    if by_owner:
        return query.where(exists().where(uses))
    return query.join(job_assets, uses).order_by(None).order_by(job_assets.c.job.desc())


def unindexed(column: Column[str]) -> ColumnElement[str]:
    """The column as a mere condition: no index can be looked up by an expression."""
    return column + ""


def _values(phases: Iterable[Phase]) -> list[str]:
    return sorted(phase.value for phase in phases)

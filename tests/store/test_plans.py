"""Each statement costs what it returns, not what the table holds; and PostgreSQL knows it.

SQLite counts its own steps, so cost is measured without a clock: with many times the
finished jobs in the table, the number of steps stays what it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from job_factory import MakeJob, a_claim
from sqlalchemy import Connection, create_engine, event, insert, text
from sqlalchemy.dialects import postgresql

from compute.egress.verdict import Finding, Outcome, Verdict
from compute.models import AlgorithmItem, Image, Job, JobSpec
from compute.status import Goal, Phase
from compute.store import backlog, claims, leases, reviews, schema, sql, surveys, turns
from compute.store.tables import job_reviewers

OWNER = "0xabcdef0000000000000000000000000000000001"

FINISHED = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many) "
    "INSERT INTO jobs (id, owner, owner_key, environment, phase, goal, revision, created_at,"
    " attempts, retry_at, image_id, finished_at, expires_at, namespace, name) "
    "SELECT :mark || i, 'x' || i % 50, 'x' || i % 50, 'small',"
    " CASE i % 3 WHEN 0 THEN 'deleted' ELSE 'completed' END,"
    " CASE i % 3 WHEN 0 THEN 'delete' ELSE 'run' END, 1, 1, 0, 0, '', 2,"
    " CASE i % 3 WHEN 0 THEN 5 ELSE 1000000 END,"
    " CASE i % 2 WHEN 0 THEN 'other/-' ELSE '' END, :mark || i FROM n"
)
HOLDS = text("INSERT INTO job_holds SELECT '0x' || id, sequence FROM jobs WHERE id LIKE :mark")
ASKED = text("INSERT INTO job_reviewers SELECT '0xother', sequence FROM jobs WHERE id LIKE :mark")
ASSETS = text("INSERT INTO job_assets SELECT 'did:op:x', sequence FROM jobs WHERE id LIKE :mark")

WANTED = a_claim("small", 5)
LIMITED = a_claim("small", 5, owner_limit=5)

Statement = Callable[[Connection], object]


def find(**conditions: Any) -> Statement:
    every = {"owner": None, "did": None, "environment": None, "phases": None, "limit": 10}
    return lambda connection: sql.find(connection, **(every | conditions))


def outlines(**conditions: Any) -> Statement:
    every = {"did": None, "agreement_id": None, "limit": 10}
    return lambda connection: sql.outlines(connection, owner=OWNER, **(every | conditions))


def a_row(connection: Connection) -> sql.JobRow:
    found = sql.job_row(connection, "job-1")
    assert found is not None
    return found


def a_held_row(connection: Connection) -> Any:
    return SimpleNamespace(phase=Phase.HELD, sequence=a_row(connection).sequence + 1)


A_WHOLE_JOB = Job(
    id="job-1",
    owner=OWNER,
    environment="small",
    spec=JobSpec(algorithm=AlgorithmItem(image=Image(image="x"), entrypoint=""), max_duration_s=1),
    created_at=1.0,
)
ASKS = Verdict((Finding("environment", Outcome.HOLD, (), ("0xreviewer",)),))
A_JOB: Any = SimpleNamespace(id="job-1", phase=Phase.QUEUED, operator="")

STATEMENTS: dict[str, Statement] = {
    "job_row": lambda connection: sql.job_row(connection, "job-1"),
    "history": lambda connection: sql.history(connection, "job-1"),
    "specs": lambda connection: sql.specs(connection, [1, 2, 3]),
    "are_queued": lambda connection: sql.are_queued(connection, "small", 9),
    "are_queued_of": lambda connection: sql.are_queued_of(connection, "small", OWNER, 9),
    "are_due": lambda connection: sql.are_due(connection, "small", 9.0, 9),
    "count_active": lambda connection: sql.count_active(connection, "small"),
    "counts": sql.counts,
    "claim": lambda connection: claims.start_next(connection, WANTED, 9.0),
    "claim, limited": lambda connection: claims.start_next(connection, LIMITED, 9.0),
    "enter": lambda connection: turns.enter(connection, "small", "0xnew"),
    "leave": lambda connection: turns.leave(connection, "small", OWNER),
    "served": lambda connection: turns.served(connection, "small", OWNER),
    "survey": lambda connection: surveys.survey(
        connection, "small", LIMITED.shares["small"], 9.0, 0.0
    ),
    "running_first": lambda connection: sql.running_first(connection, "small", 10),
    "settle": lambda connection: claims.settle(connection, WANTED, alone=True),
    "present": lambda connection: claims.present(connection, WANTED, 9.0),
    "named": lambda connection: sql.named(connection, "lab/-", "first"),
    "in_namespace": lambda connection: sql.in_namespace(connection, "lab/-", 10),
    "namespaces": lambda connection: sql.namespaces(connection, "lab/"),
    "update_job": lambda connection: sql.update_job(connection, A_JOB, {"finished_at": 2.0}),
    "raise_goal": lambda connection: sql.raise_goal(connection, "job-1", Goal.STOP),
    "unfinished": backlog.rows,
    "take": lambda connection: leases.take(connection, "job-1", "queued", "me"),
    "take_over": lambda connection: leases.take_over(connection, leases.Holder("me", "here"), 0.0),
    "take_over, alone": lambda connection: leases.take_over(connection, leases.Holder("me"), 0.0),
    "expired": lambda connection: sql.expired(connection, 100.0, 100),
    "take_holds": lambda connection: sql.take_holds(connection, a_row(connection), ["0xnew"]),
    "take_holds, taken": lambda connection: sql.take_holds(
        connection, a_row(connection), ["0xheld"]
    ),
    "free_holds": lambda connection: sql.free_holds(
        connection, a_row(connection), ["0xheld", "0xother"]
    ),
    "find owner": find(owner=OWNER),
    "find owner, environment": find(owner=OWNER, environment="small"),
    "find owner, phase": find(owner=OWNER, phases=[Phase.COMPLETED]),
    "find owner, environment, phase": find(
        owner=OWNER, environment="small", phases=[Phase.COMPLETED]
    ),
    "find owner, did": find(owner=OWNER, did="did:op:data"),
    "find owner, foreign did": find(owner=OWNER, did="did:op:x"),
    "find did": find(did="did:op:data"),
    "find did, phase": find(did="did:op:data", environment="small", phases=[Phase.COMPLETED]),
    "find unfinished phases": find(environment="small", phases=[Phase.QUEUED, Phase.RUNNING]),
    "find newest": find(),
    "held": lambda connection: reviews.held(connection, "0xreviewer", 10),
    "moved, into review": lambda connection: reviews.moved(
        connection, replace(A_WHOLE_JOB, verdict=ASKS), a_held_row(connection)
    ),
    "moved, out of review": lambda connection: reviews.moved(
        connection, replace(A_WHOLE_JOB, phase=Phase.HELD), a_row(connection)
    ),
    "outlines": outlines(),
    "outlines, did": outlines(did="did:op:data"),
    "outlines, agreement": outlines(agreement_id="0xab"),
}

TAKE_OVER = [
    "SCAN jobs USING INDEX ix_jobs_owned",
    "SCAN operators",
    "SCAN jobs USING INDEX ix_jobs_deleting",
    "SCAN operators",
]

ALLOWED_SCANS = {
    # The partial index holds nothing but what is asked for.
    "unfinished": ["SCAN jobs USING INDEX ix_jobs_deleting"],
    # And a row for each process.
    "take_over": TAKE_OVER,
    "take_over, alone": TAKE_OVER,
    # Without a condition the newest are read from the end of the table itself.
    "find newest": ["SCAN jobs"],
    # A row for each machine, and for each of its environments.
    "survey": ["SCAN machines"],
    "settle": ["SCAN machines", "SCAN queue_waits"],
}


@pytest.fixture
def connection(tmp_path: Path, make_job: MakeJob) -> Iterator[Connection]:
    """A few jobs of each kind; as in a new database, the planner has no statistics."""
    engine = create_engine(f"sqlite:///{tmp_path}/plans.db")
    with engine.connect() as opened:
        schema.upgrade(opened, [schema.VERSIONS])
        for job in few_jobs(make_job):
            row = sql.insert_job(opened, job)
            turns.enter(opened, job.environment, job.owner.lower())
            sql.append_history(opened, row, 1.0, "")
        sql.take_holds(opened, a_row(opened), ["0xheld"])
        asked = {"wallet": "0xreviewer", "job": a_row(opened).sequence}
        opened.execute(insert(job_reviewers), asked)
        yield opened
    engine.dispose()


def few_jobs(make_job: MakeJob) -> Iterator[Job]:
    for phase in (Phase.QUEUED, Phase.RUNNING, Phase.COMPLETED):
        for _ in range(3):
            yield make_job(phase=phase, expires_at=50.0 if phase.terminal else None)
    yield make_job(phase=Phase.COMPLETED, goal=Goal.DELETE)


def add_finished(connection: Connection, many: int, mark: str) -> None:
    connection.execute(FINISHED, {"many": many, "mark": mark})
    connection.execute(ASSETS, {"mark": f"{mark}%"})
    connection.execute(HOLDS, {"mark": f"{mark}%"})
    connection.execute(ASKED, {"mark": f"{mark}%"})


def steps(connection: Connection, statement: Statement) -> int:
    """How many steps of SQLite's machine the statement takes; its effects are undone."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    with connection.begin_nested() as savepoint:
        driver.set_progress_handler(count, 1)
        statement(connection)
        driver.set_progress_handler(None, 1)
        savepoint.rollback()
    return counted


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_cost_does_not_grow_with_finished_jobs(connection: Connection, name: str) -> None:
    add_finished(connection, 60, "few")
    before = steps(connection, STATEMENTS[name])
    add_finished(connection, 6000, "many")
    assert steps(connection, STATEMENTS[name]) <= before * 1.5 + 50


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_scans_a_table(connection: Connection, name: str) -> None:
    seen: list[tuple[str, Any]] = []

    @event.listens_for(connection.engine, "before_cursor_execute")
    def remember(
        _connection: object, _cursor: object, statement: str, parameters: Any, *_: object
    ) -> None:
        seen.append((statement, parameters))

    STATEMENTS[name](connection)
    event.remove(connection.engine, "before_cursor_execute", remember)
    assert seen
    plan = [
        str(row.detail)
        for statement, parameters in seen
        for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    ]
    scans = [line for line in plan if line.startswith("SCAN")]
    assert scans == ALLOWED_SCANS.get(name, []), plan


ONE_A_DIALECT = {"enter", "take_holds", "take_holds, taken"}


def test_holds_are_taken_alike_on_both() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    said = str(sql.HOLD["postgresql"].compile(dialect=dialect))
    assert said.endswith("ON CONFLICT DO NOTHING RETURNING job_holds.name")
    assert sql.HOLD.keys() == {"postgresql", "sqlite"}


def test_seats_are_taken_alike_on_both() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    said = str(turns.ENTER["postgresql"].compile(dialect=dialect))
    assert said.startswith("INSERT INTO queue_turns (environment, owner_key, turn) SELECT ")
    assert said.endswith("ON CONFLICT DO NOTHING")
    assert turns.ENTER.keys() == {"postgresql", "sqlite"}


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - ONE_A_DIALECT))
def test_the_statement_can_be_said_to_postgresql(connection: Connection, name: str) -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    said: list[str] = []

    @event.listens_for(connection, "before_execute")
    def compile_it(_connection: object, clause: Any, *_: object) -> None:
        said.append(str(clause.compile(dialect=dialect)))

    STATEMENTS[name](connection)
    assert said

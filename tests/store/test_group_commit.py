"""Units that share a commit do not share their fate; all of them share the disk's."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from job_factory import only_sqlite
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.util import await_only

from compute.errors import StoreUnavailable
from compute.store.base import Database, Joint, Work, after_commit, announce
from compute.store.database import open_database

Write = Callable[[Work[object]], Awaitable[object]]


@pytest.fixture
async def notes(database: Database) -> Database:
    await database.write(
        lambda connection: connection.execute(text("CREATE TABLE notes (note TEXT PRIMARY KEY)"))
    )
    return database


def add(note: str) -> Work[str]:
    def work(connection: Connection) -> str:
        connection.execute(text("INSERT INTO notes VALUES (:note)"), {"note": note})
        return note

    return work


def pragma(setting: str) -> Work[None]:
    def work(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA {setting}").close()

    return work


async def kept(database: Database) -> set[str]:
    return await database.read(
        lambda connection: set(connection.execute(text("SELECT note FROM notes")).scalars())
    )


@asynccontextmanager
async def one_batch(database: Database) -> AsyncIterator[list[asyncio.Task[object]]]:
    """Units submitted in here are taken together: the writer is held up meanwhile."""
    loop = asyncio.get_running_loop()
    busy, go_on, go_on_there = asyncio.Event(), asyncio.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        loop.call_soon_threadsafe(busy.set)
        if database.shared:
            await_only(asyncio.wait_for(go_on.wait(), 10))
        else:
            go_on_there.wait(10)

    holding = asyncio.create_task(database.write(hold))
    await busy.wait()
    tasks: list[asyncio.Task[object]] = []
    yield tasks
    await asyncio.sleep(0)
    go_on.set()
    go_on_there.set()
    await holding


def submit(database: Database, *works: Work[object]) -> list[asyncio.Task[object]]:
    return [asyncio.create_task(database.write(work)) for work in works]


async def outcomes(tasks: list[asyncio.Task[object]]) -> list[object]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_failing_unit_harms_no_neighbour(notes: Database) -> None:
    def half_done(connection: Connection) -> None:
        add("never")(connection)
        raise LookupError("changed my mind")

    async with one_batch(notes) as tasks:
        tasks += submit(notes, add("one"), half_done, add("one"), add("two"))
    first, second, third, fourth = await outcomes(tasks)
    assert (first, fourth) == ("one", "two")
    assert isinstance(second, LookupError)
    assert isinstance(third, IntegrityError)
    assert await kept(notes) == {"one", "two"}


async def test_units_of_a_kind_are_carried_out_together(notes: Database) -> None:
    """Each has its own outcome; one that is refused takes nobody along, and the order stays."""
    calls: list[list[str]] = []
    heard: list[str] = []
    told: list[str] = []
    notes.hear(heard.append)

    def many(connection: Connection, asked: Sequence[str]) -> list[str | Exception]:
        calls.append(list(asked))
        taken = [note for note in asked if note != "refused"]
        for note in taken:
            add(note)(connection)
            announce(connection, f"notes:{note}")
            after_commit(connection, lambda note=note: told.append(note))
        return [LookupError(note) if note == "refused" else note for note in asked]

    async with one_batch(notes) as tasks:
        together = [Joint(many, note) for note in ("one", "refused", "two")]
        tasks += submit(notes, Joint(many, "refused"), *together, add("three"), Joint(many, "4"))
    results = await outcomes(tasks)
    assert [r if isinstance(r, str) else type(r) for r in results] == [
        LookupError,
        "one",
        LookupError,
        "two",
        "three",
        "4",
    ]
    assert calls == [["refused", "one", "refused", "two"], ["4"]]
    assert told == ["one", "two", "4"]
    assert heard == ["notes:one", "notes:two", "notes:4"]
    assert await kept(notes) == {"one", "two", "three", "4"}


async def test_where_nobody_can_tell_who_failed_each_is_carried_out_alone(notes: Database) -> None:
    def many(connection: Connection, asked: Sequence[str]) -> list[str | Exception]:
        return [add(note)(connection) for note in asked]

    async with one_batch(notes) as tasks:
        works = [Joint(many, note) for note in ("one", "two", "one", "three")]
        tasks += submit(notes, add("before"), *works, add("after"))
    results = await outcomes(tasks)
    assert [r for r in results if isinstance(r, str)] == ["before", "one", "two", "three", "after"]
    assert isinstance(results[3], IntegrityError)
    assert await kept(notes) == {"before", "one", "two", "three", "after"}


async def test_units_run_in_the_order_they_were_handed_in(notes: Database) -> None:
    order: list[int] = []
    async with one_batch(notes) as tasks:
        tasks += submit(notes, *(lambda _, n=n: order.append(n) for n in range(600)))
    await outcomes(tasks)
    assert order == list(range(600))


@only_sqlite
async def test_waiting_units_share_a_commit(notes: Database, url: str) -> None:
    """Other programs see a batch appear as a whole."""
    sizes: set[int] = set()

    def look(_connection: Connection) -> None:
        other = sqlite3.connect(url.removeprefix("sqlite:///"))
        sizes.add(other.execute("SELECT count(*) FROM notes").fetchone()[0])
        other.close()

    async with one_batch(notes) as tasks:
        tasks += submit(notes, *(work for n in range(20) for work in (add(str(n)), look)))
    await outcomes(tasks)
    assert sizes == {0}
    assert len(await kept(notes)) == 20


@only_sqlite
async def test_a_failing_commit_fails_every_unit_of_its_batch(notes: Database) -> None:
    def orphan(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        connection.execute(text("INSERT INTO job_specs VALUES (999, '{}')"))

    async with one_batch(notes) as tasks:
        tasks += submit(notes, add("one"), orphan)
    assert [type(outcome) for outcome in await outcomes(tasks)] == [IntegrityError] * 2
    assert await kept(notes) == set()
    assert await notes.write(add("later")) == "later"


@only_sqlite
async def test_neighbours_survive_a_unit_that_loses_the_transaction(notes: Database) -> None:
    def lose(connection: Connection) -> None:
        connection.exec_driver_sql("ROLLBACK")
        raise LookupError("as SQLite does on some input/output errors")

    async with one_batch(notes) as tasks:
        tasks += submit(notes, add("before"), lose, add("after"))
    before, lost, after = await outcomes(tasks)
    assert (before, after) == ("before", "after")
    assert isinstance(lost, LookupError)
    assert await kept(notes) == {"before", "after"}


async def test_any_exception_reaches_its_caller(notes: Database) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await notes.write(lambda _: next(iter(())))
    assert await notes.write(add("next")) == "next"


async def test_a_cancelled_caller_takes_nothing_back(notes: Database) -> None:
    acted = asyncio.Event()

    def work(connection: Connection) -> None:
        add("kept")(connection)
        after_commit(connection, acted.set)

    async with one_batch(notes) as tasks:
        tasks += submit(notes, work, add("neighbour"))
        await asyncio.sleep(0)
        tasks[0].cancel()
    cancelled, neighbour = await outcomes(tasks)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert neighbour == "neighbour"
    assert acted.is_set()
    assert await kept(notes) == {"kept", "neighbour"}


async def test_actions_follow_the_commit_in_order(notes: Database) -> None:
    done: list[str] = []

    def acting(note: str) -> Work[str]:
        def work(connection: Connection) -> str:
            after_commit(connection, lambda: done.append(note))
            return add(note)(connection)

        return work

    async def write(note: str) -> tuple[str, ...]:
        await notes.write(acting(note))
        return tuple(done)

    async with one_batch(notes):
        writing = [asyncio.create_task(write(note)) for note in "abcd"]
    seen = await asyncio.gather(*writing)
    assert done == list("abcd")
    assert all(note in seen[index] for index, note in enumerate("abcd"))


async def test_no_action_for_what_was_rolled_back(notes: Database) -> None:
    done: list[str] = []

    def failing(connection: Connection) -> None:
        after_commit(connection, lambda: done.append("failed"))
        raise LookupError

    def orphan(connection: Connection) -> None:
        after_commit(connection, lambda: done.append("orphan"))
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        connection.execute(text("INSERT INTO job_specs VALUES (999, '{}')"))

    for work in (failing, add("fine"), orphan, add("fine as well")):
        await outcomes(submit(notes, work))
    assert done == []


@only_sqlite
async def test_a_full_disk_is_told_and_survived(notes: Database) -> None:
    pages = await notes.read(
        lambda connection: connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    )
    await notes.write(pragma(f"max_page_count={pages + 2}"))
    async with one_batch(notes) as tasks:
        tasks += submit(notes, add("small"), add("x" * 100_000), add("also small"))
    small, large, also_small = await outcomes(tasks)
    assert isinstance(large, StoreUnavailable)
    assert large.public == "The database could not be written: disk full."
    assert (small, also_small) == ("small", "also small")
    await notes.write(pragma("max_page_count=1000000"))
    await notes.write(add("y" * 100_000))
    assert len(await kept(notes)) == 3


@only_sqlite
async def test_a_database_locked_by_another_program_is_told(notes: Database, url: str) -> None:
    await notes.write(pragma("busy_timeout=20"))
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked by another program"):
        await notes.write(add("refused"))
    other.execute("COMMIT")
    other.close()
    assert await notes.write(add("accepted")) == "accepted"
    assert await kept(notes) == {"accepted"}


@only_sqlite
async def test_a_read_only_database_is_told(notes: Database) -> None:
    await notes.write(pragma("query_only=ON"))
    with pytest.raises(StoreUnavailable, match="read-only"):
        await notes.write(add("refused"))


async def test_a_mistake_in_a_statement_is_no_fault_of_the_database(notes: Database) -> None:
    with pytest.raises(DBAPIError, match=r"no such table|does not exist"):
        await notes.write(lambda connection: connection.execute(text("DELETE FROM nowhere")))


async def test_errors_show_no_values(notes: Database) -> None:
    await notes.write(add("a private value"))
    with pytest.raises(IntegrityError) as refused:
        await notes.write(add("a private value"))
    assert "a private value" not in str(refused.value)


def test_a_loop_that_is_gone_does_not_break_the_writer(tmp_path: Path) -> None:
    """Handed in, never awaited, loop closed: the unit is committed all the same."""
    url = f"sqlite:///{tmp_path}/gone.db"

    async def leave() -> Database:
        database = await open_database(url)
        await database.write(
            lambda connection: connection.execute(text("CREATE TABLE notes (note TEXT)"))
        )
        writing = asyncio.create_task(database.write(add("kept")))
        await asyncio.sleep(0)
        writing.cancel()
        return database

    left = asyncio.run(leave())
    asyncio.run(left.close())
    file = sqlite3.connect(tmp_path / "gone.db")
    assert file.execute("SELECT note FROM notes").fetchall() == [("kept",)]
    file.close()

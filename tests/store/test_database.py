"""Opening, locking, closing, and what is visible when."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from job_factory import only_sqlite
from sqlalchemy import Connection, text
from sqlalchemy.util import await_only

from compute.errors import StoreUnavailable
from compute.store.base import Database
from compute.store.database import open_database

ROOT = Path(__file__).parents[2]

HOLD_OPEN = """
import asyncio, sys
from compute.store.database import open_database

async def main():
    await open_database(sys.argv[1])
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def make_table(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE notes (note TEXT PRIMARY KEY)"))


def add(connection: Connection, note: str) -> None:
    connection.execute(text("INSERT INTO notes VALUES (:note)"), {"note": note})


def notes(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT note FROM notes ORDER BY note")).scalars())


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


async def test_a_write_returns_what_the_unit_returns(database: Database, url: str) -> None:
    assert await database.write(lambda connection: connection.dialect.name) == url.split(":")[0]


async def test_a_read_sees_every_answered_write(database: Database) -> None:
    await database.write(make_table)
    for number in range(50):
        await database.write(lambda connection, n=number: add(connection, f"{n:02}"))
        assert len(await database.read(notes)) == number + 1


@only_sqlite
async def test_an_answered_write_is_visible_to_another_connection(
    database: Database, url: str
) -> None:
    await database.write(make_table)

    async def write_and_look(note: str) -> bool:
        await database.write(lambda connection: add(connection, note))
        other = sqlite3.connect(path_of(url))
        try:
            found = other.execute("SELECT 1 FROM notes WHERE note = ?", (note,)).fetchone()
        finally:
            other.close()
        return found is not None

    seen = await asyncio.gather(*(write_and_look(str(number)) for number in range(200)))
    assert all(seen)


@only_sqlite
async def test_commits_are_flushed_to_disk(database: Database) -> None:
    def settings(connection: Connection) -> tuple[object, object]:
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        return synchronous, journal

    assert await database.write(settings) == (2, "wal")


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match="read-only"):
        await database.read(make_table)


async def test_a_reader_has_one_view_for_its_whole_unit(database: Database) -> None:
    await database.write(make_table)
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()
    written = asyncio.Event()

    def look_twice(connection: Connection) -> tuple[list[str], list[str]]:
        first = notes(connection)
        loop.call_soon_threadsafe(begun.set)
        if database.shared:
            await_only(asyncio.wait_for(written.wait(), 60))
        else:
            asyncio.run_coroutine_threadsafe(written.wait(), loop).result(60)
        return first, notes(connection)

    reading = asyncio.create_task(database.read(look_twice))
    await begun.wait()
    await database.write(lambda connection: add(connection, "meanwhile"))
    written.set()
    assert await reading == ([], [])


@only_sqlite
async def test_a_second_service_is_refused(database: Database, url: str) -> None:
    with pytest.raises(StoreUnavailable, match=f"in use by another service .process {os.getpid()}"):
        await open_database(url)


@only_sqlite
async def test_the_file_is_free_after_closing(url: str) -> None:
    for _ in range(2):
        opened = await open_database(url)
        await opened.close()


@only_sqlite
async def test_the_file_is_free_after_its_holder_was_killed(url: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_OPEN, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreUnavailable, match=f"process {holder.pid}"):
            await open_database(url)
        holder.send_signal(signal.SIGKILL)
    await (await open_database(url)).close()


async def test_closing_finishes_what_was_handed_in(url: str) -> None:
    opened = await open_database(url)
    await opened.write(make_table)
    writes = [
        asyncio.create_task(opened.write(lambda connection, n=n: add(connection, str(n))))
        for n in range(100)
    ]
    await asyncio.sleep(0)
    await opened.close()
    await asyncio.gather(*writes)
    again = await open_database(url)
    assert len(await again.read(notes)) == 100
    await again.close()


async def test_closing_may_be_repeated_and_overlap(url: str) -> None:
    opened = await open_database(url)
    await asyncio.gather(opened.close(), opened.close())
    await opened.close()


async def test_a_closed_database_refuses_clearly(url: str) -> None:
    opened = await open_database(url)
    await opened.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await opened.read(notes)
    with pytest.raises(StoreUnavailable, match="closed"):
        await opened.write(make_table)


@only_sqlite
async def test_closing_leaves_one_file_and_the_lock(url: str) -> None:
    opened = await open_database(url)
    await opened.write(make_table)
    await opened.close()
    assert sorted(file.name for file in path_of(url).parent.iterdir()) == [
        "jobs.db",
        "jobs.db.lock",
    ]


async def test_missing_folders_are_made_and_the_file_is_private(tmp_path: Path) -> None:
    opened = await open_database(f"sqlite:///{tmp_path}/a/b/jobs.db")
    await opened.write(make_table)
    for name in ("jobs.db", "jobs.db-wal", "jobs.db.lock"):
        assert stat.S_IMODE((tmp_path / "a/b" / name).stat().st_mode) == 0o600, name
    await opened.close()


@only_sqlite
async def test_the_log_stays_bounded(database: Database, url: str) -> None:
    await database.write(make_table)
    note = "x" * 20_000

    def replace(connection: Connection) -> None:
        connection.execute(text("DELETE FROM notes"))
        add(connection, note)

    for _ in range(1500):
        await database.write(replace)
    log = Path(f"{path_of(url)}-wal")
    assert log.stat().st_size < 8 << 20


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://user:hunter2@db:port/jobs", "not understood"),
        ("postgresql://user:hunter2@[db/jobs", "not understood"),
        ("mysql://user:hunter2@db/jobs", "not supported"),
        ("sqlite://", "not supported"),
        ("sqlite:///:memory:", "not supported"),
        ("/var/lib/jobs.db", "not one"),
    ],
)
async def test_other_databases_are_refused_without_their_password(url: str, reason: str) -> None:
    with pytest.raises(StoreUnavailable, match=reason) as refused:
        await open_database(url)
    assert "hunter2" not in str(refused.value)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"this is a letter to somebody" * 100)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="not a database"):
            await open_database(f"sqlite:///{tmp_path}/jobs.db")


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        await open_database(f"sqlite:///{tmp_path}/file/jobs.db")

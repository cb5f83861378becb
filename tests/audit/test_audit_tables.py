"""The step of the schema makes the table that the code names, and rows can only be added."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from audit_samples import append, entry, stored
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from compute.store import schema
from compute.store.base import Database
from provider.auditing import tables
from provider.migrations import VERSIONS

_MADE = "SELECT sql FROM sqlite_master WHERE tbl_name = 'audit' AND type IN ('table', 'index')"


def statements(path: Path, *, upgraded: bool) -> set[str]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        if upgraded:
            schema.upgrade(connection, [schema.VERSIONS, VERSIONS])
        else:
            tables.metadata.create_all(connection)
        found = connection.exec_driver_sql(_MADE).scalars().all()
    engine.dispose()
    return {"".join(sql.split()) for sql in found}


def test_the_step_leads_to_the_table(tmp_path: Path) -> None:
    made = statements(tmp_path / "made.db", upgraded=False)
    assert len(made) == 2
    assert statements(tmp_path / "upgraded.db", upgraded=True) == made


@pytest.mark.parametrize(
    "change",
    ["UPDATE audit SET hash = 'x'", "DELETE FROM audit WHERE sequence = 1", "TRUNCATE audit"],
)
async def test_rows_are_only_added(database: Database, url: str, change: str) -> None:
    await append(database, entry(), entry())
    before = await stored(url)
    with pytest.raises(DBAPIError):
        await database.write(lambda connection: connection.execute(text(change)))
    assert await stored(url) == before


async def test_also_from_another_program(database: Database, url: str) -> None:
    await append(database, entry())
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.IntegrityError) as told:
            other.execute("DELETE FROM audit")
    else:
        connection = await asyncpg.connect(url)
        with pytest.raises(asyncpg.RaiseError) as told:
            await connection.execute("TRUNCATE audit")
        await connection.close()
    assert "can only be added to" in str(told.value)

"""Backing up and restoring a database of either kind, without the service.

A backup is read in one transaction while the service runs. A restore is all or nothing: one
transaction too, for which nobody else may have the database open.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from sqlalchemy import Connection, text

from compute.errors import StoreUnavailable
from compute.store import archive, schema
from compute.store.archive import Header
from compute.store.base import Work
from compute.store.database import is_postgresql, locked, open_database, sqlite_engine, sqlite_path
from compute.store.faults import faults_told

T = TypeVar("T")


async def upgrade(url: str, migrations: Sequence[Path]) -> set[str]:
    """Bring the schema up to date; returns its revisions. Raises StoreUnavailable."""
    database = await open_database(url, migrations=migrations)
    try:
        return await database.read(schema.current)
    finally:
        await database.close()


async def backup(url: str, migrations: Sequence[Path], path: Path) -> int:
    """Write a backup into a new file that only this user may read; the number of rows.

    Raises StoreUnavailable, and FileExistsError and its kin for the file.
    """
    if path.exists():
        raise FileExistsError(17, "the file is there already", str(path))
    names = archive.names_of_tables((schema.VERSIONS, *migrations))
    partial = path.with_name(path.name + ".partial")
    with suppress(FileNotFoundError):
        partial.unlink()
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            count = await _reading(url, lambda connection: _dump(connection, names, file))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink()
        raise
    _flush_folder(path)
    return count


async def restore(
    url: str, migrations: Sequence[Path], path: Path, *, replace: bool = False
) -> tuple[Header, int]:
    """Fill the database from a backup; what it is and its number of rows.

    ``replace`` what is there. Raises StoreUnavailable: in use, or holds data and is not to be
    replaced; ArchiveInvalid; FileNotFoundError and its kin. Nothing is changed then.
    """
    locations = (schema.VERSIONS, *migrations)
    names = archive.names_of_tables(locations)
    with path.open("rb") as file:
        return await _replacing(
            url, lambda connection: _load(connection, locations, names, file, replace=replace)
        )


def _dump(connection: Connection, names: Sequence[str], file: BinaryIO) -> int:
    if not schema.current(connection):
        raise StoreUnavailable("The database is empty: no service has used it yet")
    return archive.dump(connection, names, file)


def _load(
    connection: Connection,
    locations: Sequence[Path],
    names: Sequence[str],
    file: BinaryIO,
    *,
    replace: bool,
) -> tuple[Header, int]:
    present = [table.name for table in archive.reflected(connection, names)]
    filled = [name for name in present if _has_rows(connection, name)]
    if filled and not replace:
        raise StoreUnavailable(
            f"The database holds data already (in {', '.join(sorted(filled)[:5])});"
            " restore into an empty one, or replace it with --force"
        )
    _drop(connection, present)
    return archive.load(connection, locations, file)


def _has_rows(connection: Connection, name: str) -> bool:
    quoted = connection.dialect.identifier_preparer.quote(name)
    found = connection.exec_driver_sql(f"SELECT 1 FROM {quoted} LIMIT 1")  # noqa: S608 (ours)
    return found.first() is not None


def _drop(connection: Connection, names: Sequence[str]) -> None:
    """Drop tables, and on PostgreSQL the functions of their triggers."""
    functions: list[str] = []
    if connection.dialect.name == "postgresql":
        query = text(
            "SELECT DISTINCT tgfoid::regprocedure::text FROM pg_trigger JOIN pg_class"
            " ON pg_class.oid = tgrelid WHERE NOT tgisinternal AND relname = ANY(:names)"
            " AND relnamespace = current_schema()::regnamespace"
        )
        functions = list(connection.execute(query, {"names": list(names)}).scalars())
    quote = connection.dialect.identifier_preparer.quote
    for name in reversed(names):
        connection.exec_driver_sql(f"DROP TABLE {quote(name)}")
    for function in functions:
        connection.exec_driver_sql(f"DROP FUNCTION {function}")
    connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")


async def _reading(url: str, work: Work[T]) -> T:
    if is_postgresql(url):
        from compute.store import postgres

        return await postgres.read_alone(url, work)
    path = sqlite_path(url)
    if not path.is_file():
        raise StoreUnavailable(f"{path}: there is no such file")
    with (
        sqlite_engine(path, query_only=True) as engine,
        faults_told("read"),
        engine.begin() as connection,
    ):
        return work(connection)


async def _replacing(url: str, work: Work[T]) -> T:
    if is_postgresql(url):
        from compute.store import postgres

        return await postgres.write_alone(url, work)
    path = sqlite_path(url)
    lock = locked(path)
    try:
        with (
            sqlite_engine(path) as engine,
            faults_told("written"),
            engine.begin() as connection,
        ):
            return work(connection)
    finally:
        os.close(lock)


def _flush_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

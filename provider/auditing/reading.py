"""Reading the log while the service runs, or from what was exported.

The database is opened for reading only and without the service's lock, and read page by page:
nobody waits for it, and records that come meanwhile are read as well.

An export is a file of JSON lines: each the record as it was hashed, with its ``hash`` added.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import Connection, Select, create_engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from compute.errors import StoreUnavailable
from compute.store.base import Work
from compute.store.database import is_postgresql, sqlite_path
from provider.auditing import records
from provider.auditing.records import Record
from provider.auditing.tables import audit

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

PAGE = 1000
_BEFORE_ALL = -(2**62)
_COLUMNS = (audit.c.sequence, audit.c.time, audit.c.job, audit.c.body, audit.c.hash)

Read = Callable[[Work[Any]], Awaitable[Any]]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AuditLog]:
    """The log in the database at a URL. Raises StoreUnavailable: no such database, or none with
    a log."""
    try:
        if is_postgresql(url):
            async with _postgresql(url) as connection:
                yield AuditLog(connection.run_sync)
        else:
            with _sqlite(sqlite_path(url)) as connection:
                yield AuditLog(lambda work: _at_once(connection, work))
    except (DBAPIError, OSError) as error:
        raise StoreUnavailable(
            f"The audit log cannot be read ({_kind(error)}): the database is not there, does not"
            " answer, or no service of this version has been started on it."
        ) from None


class AuditLog:
    """Reads pages of records."""

    def __init__(self, read: Read) -> None:
        self._read = read

    async def all(
        self, *, since: str = "", until: str = "", job: str = ""
    ) -> AsyncIterator[Record]:
        """Records in the order of their numbers: of a job, or all from the first that is not
        older than ``since`` to the last that is older than ``until`` (beginnings of times as
        records have them), without a gap."""
        after, last = _BEFORE_ALL, None
        if since:
            first = await self._one(select(func.min(audit.c.sequence)).where(_time() >= since))
            if first is None:
                return
            after = first - 1
        if until:
            last = await self._one(select(func.max(audit.c.sequence)).where(_time() < until))
            if last is None:
                return
        while True:
            query = select(*_COLUMNS).where(audit.c.sequence > after)
            query = query.order_by(audit.c.sequence).limit(PAGE)
            if last is not None:
                query = query.where(audit.c.sequence <= last)
            if job:
                query = query.where(audit.c.job == job, audit.c.job != "")
            page = await self._read(_page(query))
            for row in page:
                yield row
            if len(page) < PAGE:
                return
            after = page[-1].sequence

    async def newest(self, count: int) -> list[Record]:
        """The last records, oldest first."""
        query = select(*_COLUMNS).order_by(audit.c.sequence.desc()).limit(count)
        page: list[Record] = await self._read(_page(query))
        return page[::-1]

    async def _one(self, query: Select[tuple[int | None]]) -> int | None:
        found: int | None = await self._read(lambda connection: connection.scalar(query))
        return found


def line_of(record: Record) -> str:
    """A record as a line of an export."""
    try:
        values = json.loads(record.body)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        values = {"sequence": record.sequence, "unreadable": record.body}
    return records.canonical({**values, "hash": record.hash})


def records_of(lines: Iterable[str]) -> Iterator[tuple[int, Record | None]]:
    """The numbers and records of the lines of an export; None for what is no record."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, _record_of(line)


def _record_of(line: str) -> Record | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or type(values.get("sequence")) is not int:
        return None
    hash_ = str(values.pop("hash", ""))
    time, job = str(values.get("time", "")), str(values.get("job", ""))
    return Record(values["sequence"], time, job, records.canonical(values), hash_)


def _page(query: Select[Any]) -> Work[list[Record]]:
    return lambda connection: [Record(*row) for row in connection.execute(query)]


def _time() -> Any:
    return audit.c.time


async def _at_once(connection: Connection, work: Work[Any]) -> Any:
    return work(connection)


def _sqlite(path: Path) -> AbstractContextManager[Connection]:
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=10),
        poolclass=NullPool,
        hide_parameters=True,
    )
    return engine.connect()


@asynccontextmanager
async def _postgresql(url: str) -> AsyncIterator[AsyncConnection]:
    from compute.store.server import Server

    async with Server.of(url).engine().connect() as opened_connection:
        connection = await opened_connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.exec_driver_sql("SET default_transaction_read_only = on")
        yield connection


def _kind(error: Exception) -> str:
    """What went wrong, without a place or a password."""
    cause = getattr(error, "orig", None) or error
    return type(cause).__name__

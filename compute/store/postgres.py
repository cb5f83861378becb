"""PostgreSQL, for several processes that share one database.

Writes go through :mod:`compute.store.postgres_writer`, announcements come through
:mod:`compute.store.postgres_ear`; a few connections read. A reader's transaction sees one
state of the database, and never waits for a writer. A server that is away for some seconds
(a restart, a fail-over) delays answers and loses none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from compute.errors import StoreUnavailable
from compute.metrics import Recorder
from compute.store import schema
from compute.store.base import Action, Database, Listener, T, Work, hearing
from compute.store.postgres_ear import IN_USE, Ear
from compute.store.postgres_writer import (
    CREATE_WRITERS,
    FORGET_WRITERS,
    WAIT_S,
    WRITING,
    PostgresWriter,
)
from compute.store.server import OLDEST_VERSION, Server, fault_of, reason_to_retry

log = logging.getLogger(__name__)

OPENED = "opened (DATABASE_URL)"
"""As the verb of a fault: who starts a service wants to know which setting to look at."""

READERS = 4
"""Connections that read."""

READ_WAIT_S = 5.0
"""How long a reader waits for a server that is away."""

UPGRADING = {
    "statement_timeout": "0",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
}
"""A step may take its time."""


class _Raised(Exception):
    """What a unit of work raised of its own: nothing to try again for."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class PostgresDatabase(Database):
    """One database on a server. Made by :meth:`open`."""

    def __init__(self, server: Server, *, wait_s: float) -> None:
        self._open = True
        self._closing = asyncio.Lock()
        self._closed = False
        self._wait_s = wait_s
        self._listeners: list[Listener] = []
        self._readers = server.engine(readers=READERS)
        self._reading: set[asyncio.Task[Any]] = set()
        self._writer = PostgresWriter(server, self._listeners, wait_s=wait_s)
        self._ear = Ear(server, self._heard)

    @classmethod
    async def open(
        cls, url: str, locations: Sequence[Path], *, wait_s: float = WAIT_S
    ) -> PostgresDatabase:
        """Bring the schema up to date and connect. A server that is not there yet is waited
        for. Raises StoreUnavailable."""
        server = Server.of(url)
        await _patiently(lambda: _prepare(server, locations), wait_s, OPENED)
        database = cls(server, wait_s=wait_s)
        try:
            await _patiently(database._ear.open, wait_s, OPENED)
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def shared(self) -> bool:
        return True

    def hear(self, listener: Listener) -> Action:
        return hearing(self._listeners, listener)

    def measure(self, recorder: Recorder) -> None:
        super().measure(recorder)
        self._writer.recorder = recorder

    async def write(self, work: Work[T]) -> T:
        self._require_open()
        return await self._writer.submit(work)

    async def read(self, work: Work[T]) -> T:
        self._require_open()
        reading = asyncio.create_task(
            _patiently(lambda: self._read(work), min(READ_WAIT_S, self._wait_s), "read")
        )
        self._reading.add(reading)
        reading.add_done_callback(self._read_ended)
        try:
            # A caller who goes away in the middle must not break the connection.
            return await asyncio.shield(reading)
        except _Raised as raised:
            raise raised.error from raised.error.__cause__

    async def close(self) -> None:
        self._open = False
        async with self._closing:
            if self._closed:
                return
            self._closed = True
            await self._ear.close()
            await asyncio.gather(*self._reading, return_exceptions=True)
            await self._writer.finish()
            await self._readers.dispose()

    def _require_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("The database is closed.")

    def _read_ended(self, reading: asyncio.Task[Any]) -> None:
        self._reading.discard(reading)
        if not reading.cancelled():
            # Looked at, so that one whose caller has gone is not complained about.
            reading.exception()

    async def _read(self, work: Work[T]) -> T:
        async with self._readers.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            return await connection.run_sync(_carried_out, work, driver)

    def _heard(self, speaker: str, said: str) -> None:
        if speaker == self._writer.name:
            # Told already, with the answers to those who wrote it.
            return
        for listener in list(self._listeners):
            listener(said)


async def _patiently(make: Callable[[], Awaitable[T]], wait_s: float, verb: str) -> T:
    """Try until it works, for a reason to try again, for about ``wait_s``.

    Raises StoreUnavailable, and what else ``make`` raises.
    """
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + wait_s, 0.0
    while True:
        try:
            return await make()
        except Exception as error:
            reason = None if isinstance(error, _Raised) else reason_to_retry(error)
            if reason is None:
                fault = fault_of(error, verb)
                if fault is None or fault is error:
                    raise
                raise fault from None
            if loop.time() + pause > end:
                public = f"The database could not be {verb}: {reason}."
                raise StoreUnavailable(public) from None
        await asyncio.sleep(pause)
        pause = min(max(0.05, 2 * pause), 1.0)


def _carried_out(connection: Connection, work: Work[T], driver: Any) -> T:
    try:
        return work(connection)
    except DBAPIError:
        raise
    except Exception as error:
        if driver.is_closed():
            raise
        raise _Raised(error) from error


async def _prepare(server: Server, locations: Sequence[Path]) -> None:
    """Refuse a server that does not keep what it has answered; upgrade the schema."""
    await _require_suitable_server(server)
    engine = server.engine(UPGRADING)
    try:
        async with engine.begin() as upgrading:
            await upgrading.run_sync(_upgrade, locations)
    finally:
        await engine.dispose()


async def _require_suitable_server(server: Server) -> None:
    connection = await server.connect()
    try:
        await _require_suitable(connection)
    finally:
        await connection.close(timeout=5)


async def _require_suitable(connection: asyncpg.Connection[Any]) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_VERSION:
        raise StoreUnavailable(
            f"The PostgreSQL server has version {version.major};"
            f" version {OLDEST_VERSION} or later is needed"
        )
    if await connection.fetchval("SHOW fsync") != "on":
        raise StoreUnavailable(
            "The PostgreSQL server runs with fsync off, so that a power cut would lose what was"
            " answered; set fsync = on in its postgresql.conf"
        )
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StoreUnavailable(
            f"The database has the encoding {encoding}; make one with ENCODING 'UTF8'"
        )


def _upgrade(connection: Connection, locations: Sequence[Path]) -> None:
    """Under the lock of writers: of several processes that start at once one upgrades, and
    nobody writes meanwhile."""
    connection.execute(text(f"SELECT pg_advisory_xact_lock({WRITING})"))
    connection.execute(text(CREATE_WRITERS))
    connection.execute(text(FORGET_WRITERS))
    schema.upgrade(connection, locations)


async def read_alone(url: str, work: Work[T]) -> T:
    """Run ``work`` on a connection that sees one state of the database and may take its time.

    Raises StoreUnavailable.
    """
    engine = Server.of(url).engine(UPGRADING, readers=1)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(work)
    except Exception as error:
        raise _told(error, "read") from None
    finally:
        await engine.dispose()


async def write_alone(url: str, work: Work[T]) -> T:
    """Run ``work`` in one transaction while nobody has the database open.

    Raises StoreUnavailable, also when somebody has.
    """
    server = Server.of(url)
    await _patiently(lambda: _require_suitable_server(server), 0.0, OPENED)
    engine = server.engine(UPGRADING)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({WRITING})"))
            free = text(f"SELECT pg_try_advisory_xact_lock({IN_USE})")
            if not (await connection.execute(free)).scalar_one():
                raise StoreUnavailable(
                    "The database is in use; stop all processes that serve or operate on it"
                )
            return await connection.run_sync(work)
    except Exception as error:
        raise _told(error, "written") from None
    finally:
        await engine.dispose()


def _told(error: Exception, verb: str) -> Exception:
    """What a command says of an error."""
    if isinstance(error, DBAPIError | OSError):
        reason = reason_to_retry(error)
        if reason is not None:
            return StoreUnavailable(f"The database could not be {verb}: {reason}.")
    return fault_of(error, verb) or error

"""Group commit on a PostgreSQL server: one task and one connection write for this process.

One lock, taken first in each transaction, serialises the writes of all processes, so that a
unit of work means here what it means where there is a single writer. What it costs is shared
by all units that have gathered while the lock was waited for. Units run without savepoints
first; when one fails, all is rolled back and run again with a savepoint for each.

With the lock each transaction marks its number in the row of this writer. When the
connection is lost in the middle of a COMMIT, that row tells, as soon as the server answers
again, whether it took place: the answers given are exact. (The server's own transaction ids
do not tell: after a crash an id that never reached the disk is given to somebody else.)
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text

from compute.errors import StoreUnavailable
from compute.metrics import NOBODY, Recorder
from compute.store.base import MISSED, Listener, T, Work
from compute.store.faults import LOST, fault_in, sqlstate_of
from compute.store.postgres_ear import CHANNEL
from compute.store.server import Server, fault_of, reason_to_retry, take_failed
from compute.store.units import BATCH_LIMIT, Unit, in_runs, run_joint, settle

log = logging.getLogger(__name__)

WRITING = 0x6F63_6561_6E01
"""The lock of whoever writes."""

WRITERS = "database_writers"
"""The table of marks. Made with the database, not by a step of the schema: it belongs to this
kind of database alone, and is not part of what is kept."""

CREATE_WRITERS = (
    "CREATE TABLE IF NOT EXISTS database_writers "
    "(writer UUID PRIMARY KEY, batch BIGINT NOT NULL, at TIMESTAMPTZ NOT NULL)"
)
FORGET_WRITERS = "DELETE FROM database_writers WHERE at < now() - interval '7 days'"

WAIT_S = 15.0
"""How long a unit waits for a server that is away."""

DOUBT_S = 45.0
"""How long it is tried to find out what became of a commit."""

ATTEMPT_S = 25.0
"""What a batch may take at most; a server that is silent for so long is given up."""

_HANG_UP_S = 5.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0

_BEGIN = text(
    "WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock(:lock)) "
    "INSERT INTO database_writers AS mine (writer, batch, at) "
    "SELECT CAST(:writer AS UUID), CAST(:batch AS BIGINT), now() FROM gate "
    "ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, at = excluded.at"
).bindparams(bindparam("lock", WRITING, type_=BigInteger))
_LOCK = text(f"SELECT pg_advisory_xact_lock({WRITING})")
_MARKED = text("SELECT batch FROM database_writers WHERE writer = CAST(:writer AS UUID)")
_NOTIFY = text("SELECT pg_notify(:channel, said) FROM unnest(:said) AS said").bindparams(
    bindparam("channel", CHANNEL, type_=Text), bindparam("said", type_=ARRAY(Text))
)
_FLUSHED = text(
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
)


class _Lost(Exception):
    """The connection went away under a unit of work."""


class PostgresWriter:
    """Writes what is submitted, in that order. Belongs to one event loop."""

    def __init__(self, server: Server, listeners: Sequence[Listener], *, wait_s: float) -> None:
        self._engine = server.engine()
        self._listeners = listeners
        self.recorder: Recorder = NOBODY
        self._wait_s = wait_s
        self._id = uuid.uuid4()
        self._number = 0
        self._doubtful: int | None = None
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        self._waiting: deque[Unit] = deque()
        self._wake = asyncio.Event()
        self._finishing = False
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="database-writer")

    @property
    def name(self) -> str:
        """By which this process knows its own announcements."""
        return self._id.hex

    def submit(self, work: Work[T]) -> asyncio.Future[T]:
        answer: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append(Unit(work, answer))
        self._wake.set()
        return answer

    async def finish(self) -> None:
        """Write all that was submitted, then disconnect."""
        self._finishing = True
        self._wake.set()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._hang_up()
        await self._engine.dispose()

    async def _run(self) -> None:
        try:
            while True:
                while not self._waiting:
                    if self._finishing:
                        return
                    self._wake.clear()
                    await self._wake.wait()
                batch = [self._waiting.popleft()]
                try:
                    await self._write(batch)
                finally:
                    self._loop.call_soon(settle, batch, self._listeners)
        finally:
            for unit in self._waiting:
                unit.answer.cancel()
            await self._hang_up()

    def _gather(self, batch: list[Unit]) -> None:
        while self._waiting and len(batch) < BATCH_LIMIT:
            batch.append(self._waiting.popleft())

    async def _write(self, batch: list[Unit]) -> None:
        """Leaves result or error in each unit."""
        begun = self._loop.time()
        pause = _FIRST_PAUSE_S
        try:
            while True:
                reason = await self._tried(batch)
                if reason is None:
                    return
                wait_s = self._wait_s if self._doubtful is None else max(DOUBT_S, self._wait_s)
                if self._loop.time() + pause > begun + wait_s:
                    self._give_up(batch, reason)
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        except BaseException:
            _fail_all(batch, StoreUnavailable("The database is closed."))
            raise

    async def _tried(self, batch: list[Unit]) -> str | None:
        """None if all units have their outcome, else why to try again."""
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await self._attempt(batch)
        except Exception as error:
            gone = isinstance(error, _Lost) or self._doubtful is not None or self._is_cut()
            await self._hang_up()
            reason = reason_to_retry(error) or (LOST if gone else None)
            if reason is None:
                self._blame(batch, error)
                return None
            log.warning("database_write_delayed units=%s reason=%s", len(batch), reason)
            return reason
        return None

    def _blame(self, batch: Sequence[Unit], error: Exception) -> None:
        fault = fault_of(error, "written")
        self.recorder.commit_failed(len(batch))
        log.error(
            "database_commit_failed units=%s reason=%s",
            len(batch),
            fault or type(error).__name__,
            exc_info=error if fault is None else None,
        )
        _fail_all(batch, fault or error)

    def _give_up(self, batch: Sequence[Unit], reason: str) -> None:
        if self._doubtful is None:
            public = f"The database could not be written: {reason}."
        else:
            public = f"It is not known whether the database was written: {reason}."
            for listener in list(self._listeners):
                self._loop.call_soon(listener, MISSED)
        self._doubtful = None
        self.recorder.commit_failed(len(batch))
        log.error("database_commit_failed units=%s reason=%s", len(batch), public)
        _fail_all(batch, StoreUnavailable(public))

    async def _attempt(self, batch: list[Unit]) -> None:
        connection = await self._connected()
        if self._doubtful is not None and await self._took_place(connection):
            return
        if not await self._transact(connection, batch, apart=False):
            await self._transact(connection, batch, apart=True)

    async def _transact(
        self, connection: AsyncConnection, batch: list[Unit], *, apart: bool
    ) -> bool:
        """False, with nothing done, if a unit failed and others do not stand ``apart``."""
        self._number += 1
        number = self._number
        await connection.begin()
        await connection.execute(_BEGIN, {"writer": str(self._id), "batch": number})
        if not apart:
            self._gather(batch)
        run = _run_apart if apart else _run_together
        whole = await connection.run_sync(run, batch, self._driver)
        succeeded = [unit for unit in batch if unit.error is None]
        if not succeeded or not whole:
            await connection.rollback()
            return whole or (len(batch) == 1 and not succeeded)
        said = [f"{self.name} {text}" for unit in succeeded for text in unit.announced]
        if said:
            await connection.execute(_NOTIFY, {"said": said})
        self._doubtful = number
        began = self._loop.time()
        try:
            await connection.commit()
        except Exception as error:
            if sqlstate_of(error) and reason_to_retry(error) is None:
                # The server's own word: it has rolled all back.
                self._doubtful = None
            raise
        self._doubtful = None
        self.recorder.committed(len(batch), self._loop.time() - began)
        return True

    async def _took_place(self, connection: AsyncConnection) -> bool:
        """Whether the commit in doubt did. Under the lock, which its transaction held: so it
        is over, one way or the other."""
        await connection.begin()
        await connection.execute(_LOCK)
        found = await connection.execute(_MARKED, {"writer": str(self._id)})
        took_place = found.scalar_one_or_none() == self._doubtful
        await connection.rollback()
        log.warning("database_commit_found_out took_place=%s", took_place)
        self._doubtful = None
        return took_place

    async def _connected(self) -> AsyncConnection:
        if self._connection is None or self._is_cut():
            await self._hang_up()
            connection = self._connection = await self._engine.connect()
            self._driver = (await connection.get_raw_connection()).driver_connection
            await connection.execute(_FLUSHED)
            await connection.commit()
        return self._connection

    def _is_cut(self) -> bool:
        return self._driver is not None and bool(self._driver.is_closed())

    async def _hang_up(self) -> None:
        """Leave the connection, whatever state it is in."""
        connection, driver = self._connection, self._driver
        self._connection = self._driver = None
        if driver is not None:
            driver.terminate()
        if connection is not None:
            try:
                async with asyncio.timeout(_HANG_UP_S):
                    await connection.invalidate()
                    await connection.close()
            except Exception as error:
                log.debug("database_hang_up_failed kind=%s", type(error).__name__)


def _fail_all(batch: Sequence[Unit], error: Exception) -> None:
    """Also those that have failed by themselves: what they saw may have been rolled back."""
    for unit in batch:
        unit.fail(error)


def _run_together(connection: Connection, batch: Sequence[Unit], driver: Any) -> bool:
    """Run units until one fails. False if one did, even if it says otherwise: a statement
    that failed has spoilt the transaction for all. Not so one of several that were carried out
    together and told apart: it has changed nothing."""
    take_failed(connection)
    for run in in_runs(batch):
        if len(run) > 1:
            whole = _run_joint(run, connection, driver)
        else:
            _run(run[0], connection, driver)
            whole = run[0].error is None
        if take_failed(connection) is not None or not whole:
            return False
    return True


def _run_joint(run: Sequence[Unit], connection: Connection, driver: Any) -> bool:
    """False if it could not be told what came of each."""
    try:
        run_joint(run, connection)
    except Exception as error:
        if driver.is_closed():
            raise _Lost from error
        if take_failed(connection) is error and reason_to_retry(error) is not None:
            raise
        return False
    if driver.is_closed():
        raise _Lost
    return True


def _run_apart(connection: Connection, batch: Sequence[Unit], driver: Any) -> bool:
    """Run each unit in a savepoint: one that fails takes back itself only."""
    take_failed(connection)
    for unit in batch:
        connection.exec_driver_sql("SAVEPOINT unit")
        _run(unit, connection, driver)
        failed = take_failed(connection)
        if unit.error is None:
            try:
                connection.exec_driver_sql("RELEASE SAVEPOINT unit")
                continue
            except DBAPIError as error:
                if driver.is_closed():
                    raise
                # It went on after a statement that failed, and nothing counted from there.
                take_failed(connection)
                unit.fail(failed or error)
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT unit")
    return True


def _run(unit: Unit, connection: Connection, driver: Any) -> None:
    try:
        unit.run(connection)
    except Exception as error:
        if driver.is_closed():
            raise _Lost from error
        if take_failed(connection) is error and reason_to_retry(error) is not None:
            raise
        unit.fail(fault_in(error, "written") or error)
    if driver.is_closed():
        raise _Lost

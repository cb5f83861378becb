"""Group commit: one thread writes, and what has gathered meanwhile shares one commit.

A commit that is safe against power loss costs a flush of the disk, far more than the
statements in it. So the thread takes all units that are waiting, runs each inside a
savepoint of its own (a failing one takes back only itself), commits once, and only then
answers any of them. No answer ever precedes the commit it speaks of.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from sqlalchemy import Connection, Engine

from compute.metrics import NOBODY, Recorder
from compute.store.base import Listener, T, Work
from compute.store.faults import fault_in
from compute.store.units import BATCH_LIMIT, Unit, in_runs, run_joint, settle

log = logging.getLogger(__name__)


class _TransactionLost(Exception):
    """SQLite rolled the whole transaction back, not just the statement that failed."""


class Writer:
    """Owns the only connection that writes. ``engine`` must begin with BEGIN IMMEDIATE."""

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._listeners = listeners
        self.recorder: Recorder = NOBODY
        self._submitted: list[Unit] = []
        self._waiting: SimpleQueue[Sequence[Unit] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> asyncio.Future[T]:
        """To be called on the event loop. What is submitted in one round of it is handed over
        together: else the thread would commit the first alone."""
        answer: asyncio.Future[T] = self._loop.create_future()
        if not self._submitted:
            self._loop.call_soon(self.hand_over)
        self._submitted.append(Unit(work, answer))
        return answer

    def hand_over(self) -> None:
        """Do not wait for the end of the round. To be called on the event loop."""
        submitted, self._submitted = self._submitted, []
        for start in range(0, len(submitted), BATCH_LIMIT):
            self._waiting.put(submitted[start : start + BATCH_LIMIT])

    def finish(self) -> None:
        """Block until all that was handed over is done and the thread has ended."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        last = False
        while not last:
            batch, last = self._gather()
            if batch:
                self._write(batch)
                self._deliver(batch)

    def _gather(self) -> tuple[list[Unit], bool]:
        """Wait for units and take what stands behind them; True when they were the last."""
        batch: list[Unit] = []
        units = self._waiting.get()
        while units is not None:
            batch += units
            if len(batch) >= BATCH_LIMIT:
                return batch, False
            try:
                units = self._waiting.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _write(self, batch: Sequence[Unit]) -> None:
        try:
            self._commit(batch)
        except _TransactionLost:
            for unit in batch:
                self._write_alone(unit)

    def _write_alone(self, unit: Unit) -> None:
        unit.error = None
        try:
            self._commit([unit])
        except _TransactionLost:
            return

    def _commit(self, batch: Sequence[Unit]) -> None:
        """Run and commit ``batch``; leaves result or error in each unit.

        Raises _TransactionLost when a unit's failure took all others along.
        """
        began = time.perf_counter()
        try:
            with self._engine.connect() as connection, connection.begin():
                driver = connection.connection.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                for run in in_runs(batch):
                    _run_in_savepoint(run, connection, driver)
        except _TransactionLost:
            raise
        except Exception as error:
            fault = fault_in(error, "written")
            log.exception(
                "database_commit_failed units=%s reason=%s",
                len(batch),
                fault or type(error).__name__,
                exc_info=fault is None,
            )
            for unit in batch:
                unit.fail(unit.error or fault or error)
            self.recorder.commit_failed(len(batch))
        else:
            self.recorder.committed(len(batch), time.perf_counter() - began)

    def _deliver(self, batch: Sequence[Unit]) -> None:
        try:
            self._loop.call_soon_threadsafe(settle, batch, self._listeners)
        except RuntimeError:
            log.warning("database_answers_lost units=%s reason=event_loop_closed", len(batch))


def _run_in_savepoint(
    run: Sequence[Unit], connection: Connection, driver: sqlite3.Connection
) -> None:
    driver.execute("SAVEPOINT unit")
    try:
        if len(run) > 1:
            run_joint(run, connection)
        else:
            run[0].run(connection)
    except Exception as error:
        for unit in run:
            unit.fail(fault_in(error, "written") or error)
        if not driver.in_transaction:
            raise _TransactionLost from error
        driver.execute("ROLLBACK TO unit")
        failed = True
    else:
        failed = False
    driver.execute("RELEASE unit")
    if failed and len(run) > 1:
        for unit in run:
            _run_in_savepoint([unit], connection, driver)

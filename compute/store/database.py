"""Opening a database, and the embedded one: SQLite in write-ahead mode.

The other one, :mod:`compute.store.postgres`, is imported only where its URL is given.

One thread writes (:mod:`compute.store.writer`), a few threads read; readers never wait
for the writer. ``synchronous=FULL`` makes every answered write survive a power cut: a
nonce that was accepted can never be accepted again. The log of SQLite is reused once it
has its size, since growing it makes every flush slower.

Two services must never share one file: each would hold its own idea of what runs. A lock
on ``<file>.lock``, released by the kernel when the process ends however it ends, keeps
them apart.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from compute.errors import StoreUnavailable
from compute.metrics import Recorder
from compute.store import schema
from compute.store.base import Action, Database, Listener, T, Work, hearing
from compute.store.faults import faults_told
from compute.store.writer import Writer

READERS = 2
"""Threads, and connections, that read."""

BUSY_TIMEOUT_S = 5.0
"""How long to wait for another program that writes into the file (a backup, a shell)."""

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
    "PRAGMA wal_autocheckpoint=1000",
    "PRAGMA journal_size_limit=67108864",
)


async def open_database(url: str, *, migrations: Sequence[Path] = ()) -> Database:
    """Open ``sqlite:////absolute/path`` or ``postgresql://user:password@host/name`` and bring
    its schema up to date.

    ``migrations`` are the folders of the upper floor's own steps. For SQLite missing folders
    and the file are made, readable by this user only. Raises StoreUnavailable: not a URL, of a
    kind not served, in use by another service, not to be opened, made by a newer version.
    """
    locations = (schema.VERSIONS, *migrations)
    if is_postgresql(url):
        from compute.store.postgres import PostgresDatabase

        return await PostgresDatabase.open(url, locations)
    return await SqliteDatabase.open(sqlite_path(url), locations)


def is_postgresql(url: str) -> bool:
    return url.partition(":")[0] in {"postgresql", "postgres", "postgresql+asyncpg"}


def sqlite_path(url: str) -> Path:
    """The file that a URL names. Raises StoreUnavailable if it names none."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreUnavailable(
            "The database URL is not one; write sqlite:////path/to/file.db"
            " or postgresql://user:password@host/name"
        ) from None
    kind = parsed.get_backend_name()
    if kind != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise StoreUnavailable(
            f"A {kind} database like this is not supported; use sqlite:////path/to/file.db"
            " or postgresql://user:password@host/name"
        )
    return Path(parsed.database)


class SqliteDatabase(Database):
    """One SQLite file, held by this process alone. Made by :meth:`open`."""

    def __init__(self, path: Path, lock: int, loop: asyncio.AbstractEventLoop) -> None:
        self._lock = lock
        self._open = True
        self._closing = asyncio.Lock()
        self._write_engine = _engine(path, "BEGIN IMMEDIATE", connections=1)
        self._read_engine = _engine(path, "BEGIN", connections=READERS, query_only=True)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="database-reader")
        self._listeners: list[Listener] = []
        self._writer = Writer(self._write_engine, loop, self._listeners)

    @property
    def shared(self) -> bool:
        return False

    def hear(self, listener: Listener) -> Action:
        return hearing(self._listeners, listener)

    def measure(self, recorder: Recorder) -> None:
        super().measure(recorder)
        self._writer.recorder = recorder

    @classmethod
    async def open(cls, path: Path, locations: Sequence[Path]) -> SqliteDatabase:
        lock = await asyncio.to_thread(_prepare, path, locations)
        return cls(path, lock, asyncio.get_running_loop())

    async def write(self, work: Work[T]) -> T:
        self._require_open()
        return await self._writer.submit(work)

    async def read(self, work: Work[T]) -> T:
        self._require_open()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, work)

    async def close(self) -> None:
        self._open = False
        async with self._closing:
            if self._lock >= 0:
                self._writer.hand_over()
                await asyncio.to_thread(self._shut)
                self._lock = -1

    def _require_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("The database is closed.")

    def _read(self, work: Work[T]) -> T:
        with faults_told("read"), self._read_engine.begin() as connection:
            return work(connection)

    def _shut(self) -> None:
        """Readers first: the connection that goes last folds the log into the file."""
        self._readers.shutdown()
        self._read_engine.dispose()
        self._writer.finish()
        self._write_engine.dispose()
        os.close(self._lock)


def _engine(path: Path, begin: str, *, connections: int, query_only: bool = False) -> Engine:
    """An engine that begins transactions itself.

    The driver would begin one only before INSERT, UPDATE and DELETE, and would so break
    savepoints and the snapshot of a reader; ``isolation_level=None`` keeps it out of that.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        connect_args={
            "isolation_level": None,
            "check_same_thread": False,
            "timeout": BUSY_TIMEOUT_S,
        },
    )
    pragmas = (*_PRAGMAS, "PRAGMA query_only=ON") if query_only else _PRAGMAS

    @event.listens_for(engine, "connect")
    def configure(driver: Any, _record: object) -> None:
        for pragma in pragmas:
            driver.execute(pragma)

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _prepare(path: Path, locations: Sequence[Path]) -> int:
    """Lock the file, make it, upgrade its schema. Returns the descriptor of the lock."""
    lock = locked(path)
    try:
        with sqlite_engine(path) as engine, faults_told("opened"), engine.begin() as connection:
            schema.upgrade(connection, locations)
    except BaseException:
        os.close(lock)
        raise
    return lock


def locked(path: Path) -> int:
    """Make the file where it is missing, and keep others from it until the descriptor that is
    returned is closed. Raises StoreUnavailable: in use, not to be opened."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path}: cannot be opened ({error.strerror})") from error
    try:
        _take(lock, path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        os.close(lock)
        raise StoreUnavailable(f"{path}: cannot be opened ({error.strerror})") from error
    except BaseException:
        os.close(lock)
        raise
    return lock


@contextmanager
def sqlite_engine(path: Path, *, query_only: bool = False) -> Iterator[Engine]:
    """One connection to the file, for what is done without the service."""
    begin = "BEGIN" if query_only else "BEGIN IMMEDIATE"
    engine = _engine(path, begin, connections=1, query_only=query_only)
    try:
        yield engine
    finally:
        engine.dispose()


def _take(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        raise StoreUnavailable(
            f"{path}: in use by another service (process {holder or 'unknown'}); "
            "stop that one, or give this one a database of its own"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)

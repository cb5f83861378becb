"""A PostgreSQL server of the tests' own, in a folder of its own, and fresh databases on it.

It keeps what it answers (fsync is on), listens on the loopback, and wants the password that
is made anew each time. It does not run as root: then the package's own user runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from compute.store.database import open_database
from provider.migrations import VERSIONS
from support.service import free_port
from support.sqlite import prepared

_USER = "postgres"
_START_S = 60


def program(name: str) -> str | None:
    """Where a program of the newest installed version is."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: float(each.parent.name)
    )
    path = os.pathsep.join([str(each) for each in reversed(folders)] + os.get_exec_path())
    return shutil.which(name, path=path)


def is_installed() -> bool:
    return bool(program("initdb") and program("postgres"))


@dataclass
class PostgresServer:
    """A running server. ``options`` are settings of postgresql.conf."""

    folder: Path
    port: int
    password: str = field(repr=False)
    options: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    made: int = 0
    templates: set[str] = field(default_factory=set)

    def url(self, database: str) -> str:
        return f"postgresql://{_USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def fresh(self, template: str = "template0") -> str:
        """The URL of a new database."""
        self.made += 1
        name = f"test_{self.made}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def prepared(self, *floors: Path) -> str:
        """The URL of a new database with the schema of compute and of these floors."""
        name = f"prepared_{len(floors)}"
        if name not in self.templates:
            self.run(f"CREATE DATABASE {name} TEMPLATE template0")
            with ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, _upgrade(self.url(name), floors)).result()
            self.templates.add(name)
        return self.fresh(name)

    def run(self, statement: str, *, url: str = "") -> str:
        """What psql prints for a statement: rows of columns separated by ``|``."""
        words = [str(program("psql")), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]
        done = subprocess.run(
            [*words, url or self.url("postgres")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "on",
            "max_connections": "200",
            "shared_buffers": "32MB",
            **self.options,
        }
        words = [str(program("postgres")), "-D", str(self.folder / "data")]
        words += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                words, stdout=log, stderr=log, start_new_session=True, **_as_its_user()
            )

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + _START_S
        words = [str(program("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(words, check=False).returncode != 0:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to all its processes at once, as in a power cut but for the disk's cache."""
        assert self.process is not None
        for victim in [self.process.pid, *self._children()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        self.process.wait(30)
        self.process = None
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """An orderly end that waits for nobody."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()
        self.wait()

    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def _children(self) -> list[int]:
        """Processes of its backends: each leads a session of its own."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if self.process is not None and int(fields[1]) == self.process.pid:
                    found.append(int(stat.parent.name))
        return found


@contextlib.contextmanager
def running(*, on_disk: bool = False, **options: str) -> Iterator[PostgresServer]:
    """A server that ends with the block, with all that it holds. ``on_disk``: where a flush
    takes its time.

    Not in a folder of pytest's: those are shut to all but the user who runs the tests.
    """
    within = None if on_disk else _quick_folder()
    folder = Path(tempfile.mkdtemp(prefix="ocean-compute-postgres-", dir=within))
    server = PostgresServer(folder, free_port(), secrets.token_urlsafe(18), options)
    try:
        _initialise(folder, server.password)
        server.start()
        server.wait()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _quick_folder() -> str | None:
    """Memory, where there is plenty: each new database waits for the disk several times."""
    memory = Path("/dev/shm")
    plenty = memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30
    return str(memory) if plenty and os.access(memory, os.W_OK) else None


def _initialise(folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    if os.getuid() == 0:
        shutil.chown(folder, _USER)
        shutil.chown(secret, _USER)
    words = [str(program("initdb")), "-D", str(folder / "data"), "-U", _USER]
    words += ["--auth=scram-sha-256", "--pwfile", str(secret), "--no-sync"]
    words += ["-E", "UTF8", "--locale=C.UTF-8"]
    if _version() >= 15:
        # Sorts as people do, and not by code points: what relies on those must say so.
        words += ["--locale-provider=icu", "--icu-locale=en-US"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **_as_its_user())
    assert done.returncode == 0, done.stderr


def _version() -> int:
    said = subprocess.run([str(program("postgres")), "-V"], capture_output=True, check=True).stdout
    return int(said.split()[2].partition(b".")[0])


async def _upgrade(url: str, floors: tuple[Path, ...]) -> None:
    await (await open_database(url, migrations=floors)).close()


def _as_its_user() -> dict[str, str]:
    return {"user": _USER, "cwd": "/"} if os.getuid() == 0 else {}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server that tests share. Skipped where its programs are not installed."""
    if not is_installed():
        pytest.skip("no PostgreSQL server is installed (scripts/postgres.sh)")
    with running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A new database with the schema of both floors."""
    url = postgres_server.prepared(VERSIONS)
    yield url
    postgres_server.drop(url)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A new database without any table."""
    url = postgres_server.fresh()
    yield url
    postgres_server.drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def both_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind, for units of work of both floors."""
    if request.param == "sqlite":
        return prepared(tmp_path / "both.db", VERSIONS)
    url: str = request.getfixturevalue("postgres_url")
    return url

"""A PostgreSQL server of the tests' own, in a folder of its own, and fresh databases on it.

It keeps what it answers (fsync is on), listens on the loopback, and wants the password that
is made anew each time. It does not run as root: then the package's own user runs it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.service import free_port

_USER = "postgres"
_START_S = 60
_TEMPLATE = "prepared"


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
        os.killpg(self.process.pid, signal.SIGKILL)
        for child in self._children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
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
def running(folder: Path, **options: str) -> Iterator[PostgresServer]:
    """A server that ends with the block."""
    server = PostgresServer(folder, free_port(), secrets.token_urlsafe(18), options)
    _initialise(folder, server.password)
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def _initialise(folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    if os.getuid() == 0:
        shutil.chown(folder, _USER)
        shutil.chown(secret, _USER)
        for parent in folder.parents:
            if parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
    words = [str(program("initdb")), "-D", str(folder / "data"), "-U", _USER, "--auth=scram-sha-256"]
    words += ["--pwfile", str(secret), "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **_as_its_user())
    assert done.returncode == 0, done.stderr


def _as_its_user() -> dict[str, str]:
    return {"user": _USER, "cwd": "/"} if os.getuid() == 0 else {}

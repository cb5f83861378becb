"""A MariaDB server of the tests' own, in a folder of its own.

It listens on all addresses, since containers reach it by their bridge's; whoever asks needs
the password, which is made anew each time.
"""

from __future__ import annotations

import contextlib
import getpass
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from support.service import engine, free_port

SCHEMA, RESULTS = "wh_forum", "audience_result"
_START_S = 60
_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


@dataclass(frozen=True)
class Server:
    """A running server, and the one user that it has beside the one of its socket."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)

    def site(self, **changes: Any) -> dict[str, Any]:
        """Its SITE_CONFIG, as the one who asks for a labelling writes it."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "db": SCHEMA,
            "charset": "utf8mb4",
            **changes,
        }

    def ask(self, statement: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        with self._connected() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall()

    def fill(self, table: str, create: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Make a table of the input schema."""
        places = ", ".join(["%s"] * len(rows[0]))
        with self._connected() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
            cursor.execute(create)
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)

    def _connected(self) -> Any:
        who = {"host": self.host, "port": self.port, "user": self.user}
        opened = pymysql.connect(
            **who, password=self.password, database=SCHEMA, autocommit=True, connect_timeout=10
        )
        return contextlib.closing(opened)


def is_installed() -> bool:
    return bool(shutil.which("mariadbd", path=_PATH) and shutil.which("mariadb-install-db"))


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A server that ends with the block."""
    data, socket = folder / "data", folder / "socket"
    server = Server(_bridge_address(), free_port(), "labeller", secrets.token_urlsafe(24))
    base = ["--no-defaults", f"--datadir={data}"]
    _installed(base)
    words = [
        str(shutil.which("mariadbd", path=_PATH)),
        *base,
        f"--user={getpass.getuser()}",
        f"--socket={socket}",
        f"--port={server.port}",
        "--bind-address=0.0.0.0",
        "--skip-name-resolve",
        f"--pid-file={folder / 'pid'}",
        "--innodb-flush-log-at-trx-commit=2",
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        _furnish(server, socket, process, folder / "server.log")
        yield server
    finally:
        process.terminate()
        process.wait(120)


def _installed(base: Sequence[str]) -> None:
    me = getpass.getuser()
    words = ["mariadb-install-db", *base, f"--user={me}", f"--auth-root-socket-user={me}"]
    words += ["--auth-root-authentication-method=socket", "--skip-test-db"]
    subprocess.run(words, check=True, capture_output=True)


def _furnish(server: Server, socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    with contextlib.closing(_root(socket, process, log)) as connection:
        cursor = connection.cursor()
        for schema in (SCHEMA, RESULTS):
            cursor.execute(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4")
        cursor.execute(f"CREATE USER '{server.user}'@'%%' IDENTIFIED BY %s", (server.password,))
        for schema in (SCHEMA, RESULTS):
            cursor.execute(f"GRANT ALL ON {schema}.* TO '{server.user}'@'%'")
        cursor.close()


def _root(socket: Path, process: subprocess.Popen[bytes], log: Path) -> Any:
    end = time.monotonic() + _START_S
    while "ready for connections" not in log.read_text(errors="replace"):
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < end, log.read_text(errors="replace")
        time.sleep(0.05)
    return pymysql.connect(unix_socket=str(socket), user=getpass.getuser())


def _bridge_address() -> str:
    """Where a container finds this machine."""
    with engine() as client:
        config = client.inspect_network("bridge")["IPAM"]["Config"][0]
    gateway: str = config.get("Gateway") or config["Subnet"].rpartition(".")[0] + ".1"
    return gateway

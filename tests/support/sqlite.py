"""Databases of SQLite that have their schema already.

Making it takes twenty times as long as copying a file in which it was made; tests of how it is
made do without this.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from compute.store import schema
from compute.store.database import sqlite_engine


def prepared(path: Path, *floors: Path) -> str:
    """The URL of a new database at ``path`` with the schema of compute and of these floors."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(_made(floors))
    path.chmod(0o600)
    return f"sqlite:///{path}"


@cache
def _made(floors: tuple[Path, ...]) -> bytes:
    folder = Path(tempfile.mkdtemp(prefix="ocean-compute-schema-"))
    try:
        path = folder / "made.db"
        with sqlite_engine(path) as engine, engine.begin() as connection:
            schema.upgrade(connection, (schema.VERSIONS, *floors))
        return path.read_bytes()
    finally:
        shutil.rmtree(folder)

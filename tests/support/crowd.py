"""Many jobs at once: copies of one that the service has really taken.

Made in the file of a service that does not run, so that a million of them take a minute.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_COPIES = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :number),
source AS MATERIALIZED (SELECT * FROM {table} WHERE {key} = :source)
INSERT INTO {table} ({columns}) SELECT {values} FROM n, source
"""
"""The source is looked up once, and not once a copy."""

_SEATS = """
INSERT OR IGNORE INTO queue_turns (environment, owner_key, turn)
SELECT environment, owner_key, min(sequence) FROM jobs WHERE phase = 'queued' GROUP BY 1, 2
"""
"""A place in the circle for each owner who has a job waiting."""

_JOB = {
    "sequence": ":last + 1 + i",
    "id": "lower(hex(randomblob(16)))",
    "owner": "CASE WHEN i < :each THEN :owner ELSE '0x' || (i / :each) END",
    "owner_key": "CASE WHEN i < :each THEN lower(:owner) ELSE '0x' || (i / :each) END",
}
_BELONGING = {
    "job_specs": ("spec",),
    "job_assets": ("did",),
    "job_history": ("at", "phase", "goal", "note"),
}


class Crowd:
    """The jobs of a database file."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def multiply(self, job_id: str, number: int, owner: str, *, each: int) -> list[str]:
        """Copies of a job with all that belongs to it, but no holds and no name: the first
        ``each`` are ``owner``'s, the others belong to wallets that have as many. Their ids."""
        (source,) = self._one("SELECT sequence FROM jobs WHERE id = ?", job_id)
        (last,) = self._one("SELECT max(sequence) FROM jobs")
        names = {"source": source, "last": last, "number": number, "each": each, "owner": owner}
        columns = [row[1] for row in self._database.execute("PRAGMA table_info(jobs)")]
        self._copy("jobs", "sequence", {name: _JOB.get(name, name) for name in columns}, names)
        for table, given in _BELONGING.items():
            values = {"job": _JOB["sequence"]} | {name: name for name in given}
            self._copy(table, "job", values, names)
        self._database.execute(_SEATS)
        found = self._database.execute(
            "SELECT id FROM jobs WHERE sequence > ? ORDER BY sequence", [last]
        )
        return [row[0] for row in found]

    def _one(self, query: str, *values: object) -> tuple[int, ...]:
        row: tuple[int, ...] = self._database.execute(query, values).fetchone()
        return row

    def _copy(self, table: str, key: str, values: dict[str, str], names: dict[str, object]) -> None:
        columns, given = ", ".join(values), ", ".join(values.values())
        statement = _COPIES.format(table=table, key=key, columns=columns, values=given)
        self._database.execute(statement, names)


@contextmanager
def crowded(path: Path) -> Iterator[Crowd]:
    """Open the file of a service that was stopped; kept when the block ends without error."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -1000000")
        yield Crowd(database)

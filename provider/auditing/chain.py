"""Adding to the chain, inside a unit of work.

Writes of all processes are serialised by the database, so the last row is the last record, and
the number of the next is one more. A unit that is rolled back leaves no gap.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from compute.store.base import after_commit
from provider.auditing import records
from provider.auditing.records import Entry, Record
from provider.auditing.tables import audit
from provider.keys import ProviderKey

log = logging.getLogger(__name__)

_LAST = (
    select(audit.c.sequence, audit.c.hash, audit.c.body).order_by(audit.c.sequence.desc()).limit(1)
)
_INSERT = insert(audit)
_HEAD_MARK = f'"kind":"{records.HEAD}"'


class _Last(NamedTuple):
    sequence: int
    hash: str


class Chain:
    """``key`` signs heads."""

    def __init__(self, key: ProviderKey) -> None:
        self._key = key

    def append(self, connection: Connection, *entries: Entry) -> None:
        """Add records, and before each a signed head where one is due."""
        last, made = _last(connection), list[Record]()
        for entry in entries:
            if (last.sequence + 1) % records.HEAD_EVERY == 0:
                last = _linked(self._head(connection, last, entry.time), last, made)
            last = _linked(entry, last, made)
        _add(connection, made)

    def sign(self, connection: Connection, now: float) -> None:
        """Add a signed head, unless the last record is one."""
        row = connection.execute(_LAST).first()
        if row is not None and _HEAD_MARK not in row.body:
            last, made = _Last(row.sequence, row.hash), list[Record]()
            _linked(self._head(connection, last, now), last, made)
            _add(connection, made)

    def _head(self, connection: Connection, last: _Last, now: float) -> Entry:
        details = {
            "sequence": last.sequence,
            "hash": last.hash,
            "address": self._key.address,
            "signature": self._key.sign_digest(records.head_digest(last.sequence, last.hash)),
        }
        after_commit(connection, partial(_tell, last))
        return Entry(now, records.HEAD, records.SERVICE, records.DONE, details=details)


def _tell(head: _Last) -> None:
    """For whoever keeps heads where nobody who can write the database can: a log elsewhere."""
    log.info("audit_head sequence=%s hash=%s", head.sequence, head.hash)


def _last(connection: Connection) -> _Last:
    row = connection.execute(_LAST).first()
    return _Last(0, records.FIRST_PREVIOUS) if row is None else _Last(row.sequence, row.hash)


def _linked(entry: Entry, last: _Last, made: list[Record]) -> _Last:
    """Make the record that follows ``last``; the last one then."""
    record = records.record(entry, last.sequence + 1, last.hash)
    made.append(record)
    return _Last(record.sequence, record.hash)


def _add(connection: Connection, made: Sequence[Record]) -> None:
    if made:
        connection.execute(_INSERT, [_values(record) for record in made])


def _values(made: Record) -> dict[str, object]:
    return {
        "sequence": made.sequence,
        "time": made.time,
        "job": made.job,
        "body": made.body,
        "hash": made.hash,
    }

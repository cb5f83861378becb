"""Adding to the chain, inside a unit of work.

Writes of all processes are serialised by the database, so the last row is the last record, and
the number of the next is one more. A unit that is rolled back leaves no gap.
"""

from __future__ import annotations

import logging
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

    def append(self, connection: Connection, entry: Entry) -> None:
        """Add a record, and before it a signed head where one is due."""
        last = _last(connection)
        if (last.sequence + 1) % records.HEAD_EVERY == 0:
            last = self._append_head(connection, last, entry.time)
        _add(connection, entry, last)

    def sign(self, connection: Connection, now: float) -> None:
        """Add a signed head, unless the last record is one."""
        row = connection.execute(_LAST).first()
        if row is not None and _HEAD_MARK not in row.body:
            self._append_head(connection, _Last(row.sequence, row.hash), now)

    def _append_head(self, connection: Connection, last: _Last, now: float) -> _Last:
        details = {
            "sequence": last.sequence,
            "hash": last.hash,
            "address": self._key.address,
            "signature": self._key.sign_digest(records.head_digest(last.sequence, last.hash)),
        }
        entry = Entry(now, records.HEAD, records.SERVICE, records.DONE, details=details)
        after_commit(connection, partial(_tell, last))
        return _add(connection, entry, last)


def _tell(head: _Last) -> None:
    """For whoever keeps heads where nobody who can write the database can: a log elsewhere."""
    log.info("audit_head sequence=%s hash=%s", head.sequence, head.hash)


def _last(connection: Connection) -> _Last:
    row = connection.execute(_LAST).first()
    return _Last(0, records.FIRST_PREVIOUS) if row is None else _Last(row.sequence, row.hash)


def _add(connection: Connection, entry: Entry, last: _Last) -> _Last:
    made: Record = records.record(entry, last.sequence + 1, last.hash)
    connection.execute(
        _INSERT,
        {
            "sequence": made.sequence,
            "time": made.time,
            "job": made.job,
            "body": made.body,
            "hash": made.hash,
        },
    )
    return _Last(made.sequence, made.hash)

"""Telling a database that cannot be used from a mistake in a statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from compute.errors import StoreUnavailable

_FAULTS = {
    5: "locked by another program",
    6: "locked by another program",
    7: "out of memory",
    8: "read-only",
    10: "disk input/output error",
    11: "damaged",
    13: "disk full",
    14: "file cannot be opened",
    26: "not a database file",
}
"""Primary result codes of SQLite (https://www.sqlite.org/rescode.html) that blame the place."""


def fault_in(error: Exception, verb: str) -> StoreUnavailable | None:
    """What ``error`` says of the database itself; None when it says nothing."""
    if not isinstance(error, DBAPIError):
        return None
    reason = _FAULTS.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF)
    if reason is None:
        return None
    fault = StoreUnavailable(f"The database could not be {verb}: {reason}.")
    fault.__cause__ = error
    return fault


@contextmanager
def faults_told(verb: str) -> Iterator[None]:
    """Raise StoreUnavailable for a driver's error that means it."""
    try:
        yield
    except DBAPIError as error:
        fault = fault_in(error, verb)
        if fault is None:
            raise
        raise fault from error

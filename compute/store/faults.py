"""Telling a database that cannot be used from a mistake in a statement."""

from __future__ import annotations

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


def explain(error: Exception, verb: str) -> Exception:
    """``error`` itself, or the StoreUnavailable that it stands for (cause attached)."""
    if not isinstance(error, DBAPIError):
        return error
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code not in _FAULTS:
        return error
    fault = StoreUnavailable(f"The database could not be {verb}: {_FAULTS[code]}.")
    fault.__cause__ = error
    return fault

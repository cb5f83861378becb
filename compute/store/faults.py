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

_SERVER_FAULTS = {
    "25006": "read-only",
    "28000": "the server refuses this user",
    "28P01": "the server refuses this user or password"
    " (special characters of a password are %-escapes in a URL)",
    "3D000": "the server has no such database",
    "42501": "this user lacks a permission",
    "53100": "disk full",
    "53200": "out of memory",
    "58030": "disk input/output error",
    "XX001": "damaged",
    "XX002": "damaged",
}
"""Codes of PostgreSQL (https://www.postgresql.org/docs/current/errcodes-appendix.html) that
blame the place and do not pass by themselves."""

_PASSING = {
    "0A000": "a schema that changed meanwhile",
    "25P03": "a transaction that stood still",
    "40001": "a conflict with another transaction",
    "40P01": "a deadlock",
    "53300": "too many connections",
    "55P03": "another process that holds the lock",
    "57014": "a statement that took too long",
    "57P01": "the server is shutting down",
    "57P02": "the server has crashed",
    "57P03": "the server is starting up",
    "57P05": "a session that stood still",
}
"""Codes that may be gone at the next try. Lost connections (class 08) are such as well."""

LOST = "the connection to the server was lost"


def sqlstate_of(error: BaseException) -> str:
    """PostgreSQL's five-letter code, empty if the error has none."""
    state = getattr(error, "sqlstate", None) or getattr(
        getattr(error, "orig", None), "sqlstate", None
    )
    return state if isinstance(state, str) else ""


def passing(error: BaseException) -> str | None:
    """Why it is worth to try again on a server, None if it is not."""
    state = sqlstate_of(error)
    if state.startswith("08"):
        return LOST
    if state == "0A000" and "cached statement plan" not in str(error):
        return None
    return _PASSING.get(state)


def fault_in(error: Exception, verb: str) -> StoreUnavailable | None:
    """What ``error`` says of the database itself; None when it says nothing."""
    if not isinstance(error, DBAPIError):
        return None
    reason = _FAULTS.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF)
    reason = reason or _SERVER_FAULTS.get(sqlstate_of(error))
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

"""Connections to a PostgreSQL server: how they are made, what they may do, what is said of
them when they fail.

Everything that asyncpg understands may stand in the URL (several hosts, ``sslmode``, a Unix
socket as ``?host=/run/postgresql``). The URL and the values of statements are in no error.
Each session has limits, so that a process that was frozen in the middle of a transaction
cannot keep all others from writing for ever.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import Connection, ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from compute.errors import StoreUnavailable
from compute.store.faults import LOST, fault_in, passing, sqlstate_of

APPLICATION = "ocean-compute"
OLDEST_VERSION = 13

CONNECT_S = 5.0
STATEMENT_S = 20.0
LOCK_S = 12.0
IDLE_S = 10.0
"""How long a transaction may stand between two statements. Shorter than LOCK_S: whoever waits
for one that stands still outlives it."""

_FAILED = "compute.statement_failed"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SAFE_CLASSES = ("42",)
"""Classes of errors whose texts speak of names in the schema, never of values."""


@dataclass(frozen=True)
class Server:
    """Where a database is. ``dsn`` is secret."""

    dsn: str = field(repr=False)

    @classmethod
    def of(cls, url: str) -> Server:
        """Of ``postgresql://`` or ``postgresql+asyncpg://``. Raises StoreUnavailable for one
        whose password would be taken for a part of the host."""
        if url.partition("?")[0].count("@") > 1:
            raise StoreUnavailable(
                "DATABASE_URL has more than one @; write one that belongs to the user or the"
                " password as %40 (and / as %2F, : as %3A, # as %23, ? as %3F, % as %25)"
            )
        return cls("postgresql" + url[url.index(":") :])

    async def connect(self, **settings: str) -> asyncpg.Connection[Any]:
        """A connection of its own. Raises what asyncpg raises, and StoreUnavailable for a URL
        that is not understood."""
        limits = {
            "application_name": APPLICATION,
            "statement_timeout": _milliseconds(STATEMENT_S),
            "lock_timeout": _milliseconds(LOCK_S),
            "idle_in_transaction_session_timeout": _milliseconds(IDLE_S),
        }
        try:
            return await asyncpg.connect(
                self.dsn, timeout=CONNECT_S, server_settings={**limits, **settings}
            )
        except (asyncpg.PostgresError, OSError):
            raise
        except ValueError:
            raise StoreUnavailable(
                "The database URL is not understood; write postgresql://user:password@host/name"
                " (special characters in the password as %-escapes)"
            ) from None

    def engine(
        self, settings: Mapping[str, str] = MappingProxyType({}), *, readers: int = 0
    ) -> AsyncEngine:
        """An engine of single connections, or with a pool for ``readers``, each of whose
        transactions sees one state of the database and changes nothing."""

        async def create() -> asyncpg.Connection[Any]:
            return await self.connect(**settings)

        options: dict[str, Any] = {"poolclass": NullPool}
        if readers:
            options = {
                "poolclass": AsyncAdaptedQueuePool,
                "pool_size": readers,
                "max_overflow": 0,
                "pool_timeout": STATEMENT_S,
                "execution_options": {
                    "isolation_level": "REPEATABLE READ",
                    "postgresql_readonly": True,
                },
            }
        engine = create_async_engine(
            "postgresql+asyncpg://", async_creator=create, hide_parameters=True, **options
        )
        event.listen(engine.sync_engine, "before_cursor_execute", _storable, retval=True)
        event.listen(engine.sync_engine, "handle_error", _keep_private)
        return engine


def reason_to_retry(error: BaseException) -> str | None:
    """Why it is worth to try again; None for an error that would come again."""
    for each in _causes(error):
        if _of_tls(each):
            return None
        if isinstance(each, PoolTimeout):
            return "too many are reading"
        if isinstance(each, OSError):
            return "the server cannot be reached"
        if isinstance(each, DBAPIError) and each.connection_invalidated:
            return LOST
        if isinstance(each, asyncpg.InternalClientError):
            # What asyncpg says when the connection ends where it does not expect that.
            return LOST
        if isinstance(each, asyncpg.InterfaceError) and "clos" in str(each):
            return LOST
        reason = passing(each)
        if reason is not None:
            return reason
    return None


def fault_of(error: BaseException, verb: str) -> StoreUnavailable | None:
    """What ``error`` says of the server itself, if it would come again."""
    if isinstance(error, StoreUnavailable):
        return error
    if any(map(_of_tls, _causes(error))):
        return StoreUnavailable(
            f"The database could not be {verb}: the server's TLS is not as sslmode in its URL wants"
        )
    if isinstance(error, DBAPIError):
        return fault_in(error, verb)
    if isinstance(error, asyncpg.PostgresError):
        return fault_in(DBAPIError(None, None, error), verb)
    return None


def take_failed(connection: Connection) -> DBAPIError | None:
    """The last error of a statement since the last call, whoever caught it."""
    failed: DBAPIError | None = connection.info.pop(_FAILED, None)
    return failed


def _of_tls(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) or (
        isinstance(error, ConnectionError) and "SSL upgrade" in str(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


def _storable(
    connection: Connection, cursor: object, statement: str, parameters: Any, *_: object
) -> tuple[str, Any]:
    """Texts without what the server refuses: a NUL, half a surrogate pair. What is sought by
    such a text is not found, as it has to be; strangers write such texts."""
    if isinstance(parameters, list):
        return statement, [_clean(row) for row in parameters]
    return statement, _clean(parameters)


def _clean(row: Any) -> Any:
    if not isinstance(row, tuple) or all(
        not isinstance(value, str) or (value.isascii() and "\0" not in value) for value in row
    ):
        return row
    return tuple(_clean_text(value) if isinstance(value, str) else value for value in row)


def _clean_text(text: str) -> str:
    clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return clean.replace("\0", _REPLACEMENT)


def _keep_private(context: ExceptionContext) -> None:
    """Note that a statement failed, and take values out of what is said of it."""
    found = context.sqlalchemy_exception
    if not isinstance(found, DBAPIError):
        return
    if context.connection is not None and not context.is_disconnect:
        context.connection.info[_FAILED] = found
    for error in (found.orig, getattr(found.orig, "__cause__", None)):
        if error is None:
            continue
        said = _public_text(error)
        error.args = (said,)
        for name in ("detail", "hint", "where"):
            if isinstance(error, asyncpg.PostgresError):
                setattr(error, name, None)
    found.args = (f"({type(found.orig).__name__}) {_public_text(found.orig)}",)


def _is_of_the_connection(error: BaseException | None) -> bool:
    """True for what the driver says of its own connection: no value is in it."""
    return type(error) is asyncpg.InterfaceError


def _public_text(error: BaseException | None) -> str:
    state = sqlstate_of(error) if error is not None else ""
    if state[:2] in _SAFE_CLASSES or _is_of_the_connection(error):
        return str(error).split("\n")[0]
    if not state:
        return type(error).__name__
    source = (
        error if isinstance(error, asyncpg.PostgresError) else getattr(error, "__cause__", None)
    )
    constraint = getattr(source, "constraint_name", None)
    return f"{type(source).__name__} {state}" + (f" at {constraint}" if constraint else "")

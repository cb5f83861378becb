"""``INSERT … ON CONFLICT`` in the words of the database that is open.

SQLAlchemy has a class of it for each kind of database. PostgreSQL's comes with two megabytes
of other things, and is imported only where such a database is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

UpsertType: TypeAlias = "type[sqlite.Insert] | type[postgresql.Insert]"

T = TypeVar("T")


_DIALECTS = ("sqlite", "postgresql")


def upsert_of(dialect: str) -> UpsertType:
    """The class for ``connection.dialect.name``."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.Insert
    return sqlite.Insert


class ByDialect(Mapping[str, T]):
    """A statement for each kind of database, made when it is first wanted. May be asked from
    any thread."""

    def __init__(self, make: Callable[[UpsertType], T]) -> None:
        self._make = make
        self._made: dict[str, T] = {}

    def __getitem__(self, dialect: str) -> T:
        made = self._made.get(dialect)
        if made is None:
            if dialect not in _DIALECTS:
                raise KeyError(dialect)
            made = self._made[dialect] = self._make(upsert_of(dialect))
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(_DIALECTS)

    def __len__(self) -> int:
        return len(_DIALECTS)

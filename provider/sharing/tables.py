"""The table behind :mod:`provider.sharing.leases`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, MetaData, Table, Text

metadata = MetaData()

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("ends_at", Double, nullable=False),
    Column("number", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Who has the turn at what only one process may do at a time, and until when, in seconds since
the epoch. ``number`` is what one holder leaves for the next."""

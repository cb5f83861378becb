"""The table of the audit log. Its rows are only ever added: triggers refuse the rest."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, text

metadata = MetaData()

OF_JOBS = text("job != ''")

audit = Table(
    "audit",
    metadata,
    Column(
        "sequence",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("time", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("ix_audit_job", "job", "sequence", sqlite_where=OF_JOBS),
)
"""One row a record, numbered from 1 without a gap. ``body`` is canonical JSON and holds
everything; ``time`` and ``job`` repeat what it says of these, to be found by."""

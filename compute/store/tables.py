"""The tables of the ground floor.

The migrations are what makes them; a test holds both equal. ``sequence`` numbers jobs in
the order in which they were accepted: it is the order of the queue and of every list, and
does not depend on the clock. What never changes and may be large (the specification) lies
in a table of its own, because an update rewrites the whole row. ``revision`` grows with
each change of a row, so that of two copies in memory the newer one is known.

Which rows an index holds is written here in SQLite's words alone, and in PostgreSQL's in the
migrations only: naming them here would import its dialect, two megabytes, wherever a table is.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData()

RowNumber = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column that is exactly INTEGER."""

EXPIRING = text("expires_at IS NOT NULL AND phase != 'deleted'")
DELETING = text("goal = 'delete' AND phase != 'deleted'")
NAMED = text("namespace != '' AND phase != 'deleted'")
OWNED = text("operator != ''")
QUEUED = text("phase = 'queued'")
"""Conditions of partial indexes. A query must hold the same text to be served by one."""

jobs = Table(
    "jobs",
    metadata,
    Column("sequence", RowNumber, primary_key=True),
    Column("id", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("owner_key", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("goal", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", Double, nullable=False),
    Column("image_id", Text, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double),
    Column("termination", Text),
    Column("results", Text),
    Column("namespace", Text, nullable=False, server_default=""),
    Column("name", Text, nullable=False, server_default=""),
    Column("stage", Integer, nullable=False, server_default="0"),
    Column("pid", BigInteger),
    Column("runs", Text),
    Column("operator", Text, nullable=False, server_default=""),
    Column("machine", Text, nullable=False, server_default=""),
    Column("gpu_devices", Text),
    Column("millicpus", BigInteger, nullable=False, server_default="0"),
    Column("memory_bytes", BigInteger, nullable=False, server_default="0"),
    Column("disk_bytes", BigInteger, nullable=False, server_default="0"),
    Column("gpus", Integer, nullable=False, server_default="0"),
    Column("filters", Integer, nullable=False, server_default="0"),
    Column("verdict", Text),
    Column("held", Text),
    Index("ix_jobs_id", "id", unique=True),
    Index("ix_jobs_owner", "owner_key", "sequence"),
    Index("ix_jobs_phase", "phase", "environment", "sequence"),
    Index("ix_jobs_expiring", "expires_at", sqlite_where=EXPIRING),
    Index("ix_jobs_deleting", "sequence", sqlite_where=DELETING),
    Index(
        "ix_jobs_name",
        "namespace",
        "name",
        unique=True,
        sqlite_where=NAMED,
    ),
    Index("ix_jobs_owned", "operator", sqlite_where=OWNED),
    Index("ix_jobs_namespace", "namespace", "sequence", sqlite_where=NAMED),
    Index(
        "ix_jobs_queue",
        "environment",
        "owner_key",
        "sequence",
        sqlite_where=QUEUED,
    ),
)
"""``millicpus`` to ``gpus`` are what a job was promised of its ``machine`` when it was started;
it has that as long as it is active."""

operators = Table(
    "operators",
    metadata,
    Column("id", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("began_at", Double, nullable=False),
    Column("ends_at", Double, nullable=False),
    Column("environments", Text, nullable=False, server_default="[]"),
)
"""Processes that operate jobs, each as long as it renews its lease. ``jobs.operator`` is
whose a job is: empty for one that waits or is over. ``environments`` are those that the
process was started with, as a JSON list."""

job_specs = Table(
    "job_specs",
    metadata,
    Column("job", RowNumber, ForeignKey("jobs.sequence"), primary_key=True, autoincrement=False),
    Column("spec", Text, nullable=False),
)

job_assets = Table(
    "job_assets",
    metadata,
    Column("did", Text, primary_key=True),
    Column("job", RowNumber, ForeignKey("jobs.sequence"), primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""By DID: the jobs that use it as a dataset or as the algorithm."""

job_holds = Table(
    "job_holds",
    metadata,
    Column("name", Text, primary_key=True),
    Column("job", RowNumber, ForeignKey("jobs.sequence"), nullable=False),
    sqlite_with_rowid=False,
)
"""What only one unfinished job may have; a row goes with the move to a terminal phase."""

queue_turns = Table(
    "queue_turns",
    metadata,
    Column("environment", Text, primary_key=True),
    Column("owner_key", Text, primary_key=True),
    Column("turn", BigInteger, nullable=False),
    Index("ix_queue_turns_turn", "environment", "turn"),
    sqlite_with_rowid=False,
)
"""Owners with queued jobs, in the order in which it is their turn: smallest first."""

queue_waits = Table(
    "queue_waits",
    metadata,
    Column("machine", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("since", Double, nullable=False),
    Column("kept", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
"""Since when an environment's next job does not fit on a machine, and whether room is kept."""

job_reviewers = Table(
    "job_reviewers",
    metadata,
    Column("wallet", Text, primary_key=True),
    Column("job", RowNumber, ForeignKey("jobs.sequence"), primary_key=True, autoincrement=False),
    Index("ix_job_reviewers_job", "job"),
    sqlite_with_rowid=False,
)
"""By wallet (lower case): the held jobs that it is asked about."""

job_accounts = Table(
    "job_accounts",
    metadata,
    Column("job", RowNumber, ForeignKey("jobs.sequence"), primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("account", Text, nullable=False),
)
"""What ran, as JSON: a part for each stage that ran, by its number, and one for the end."""

machines = Table(
    "machines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seen_at", Double, nullable=False),
    Column("millicpus", BigInteger, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("disk_bytes", BigInteger, nullable=False),
    Column("gpus", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""What there is to be shared out, as an operator on that machine has told."""

job_history = Table(
    "job_history",
    metadata,
    Column("line", RowNumber, primary_key=True),
    Column("job", RowNumber, ForeignKey("jobs.sequence"), nullable=False),
    Column("at", Double, nullable=False),
    Column("phase", Text, nullable=False),
    Column("goal", Text, nullable=False),
    Column("note", Text, nullable=False),
    Index("ix_job_history_job", "job", "line"),
)
"""Append-only: what happened to each job, for its owner, the operator and an auditor."""

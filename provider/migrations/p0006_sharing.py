"""What several processes over one database share: shown texts, and turns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "p0006"
down_revision = "p0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shown_texts",
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("nonce", sa.BigInteger, nullable=False),
        sa.Column("shown_at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "shown_wallets",
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("asked", sa.BigInteger, nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),
        sa.Column("shown_at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_shown_wallets_shown_at", "shown_wallets", ["shown_at"])
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )

"""Which nonce a signed text was read with, where it could be read with another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "p0002"
down_revision = "p0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "used_texts",
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("reach", sa.BigInteger, primary_key=True),
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("nonce", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )

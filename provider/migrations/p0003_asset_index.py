"""The index of assets published on chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "p0003"
down_revision = "p0002"
branch_labels = None
depends_on = None

_PENDING = sa.text("retry_at IS NOT NULL")


def upgrade() -> None:
    _progress()
    _events()
    _present()


def _progress() -> None:
    op.create_table(
        "indexed_chains",
        sa.Column("chain_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("basis", sa.Text, nullable=False),
        sa.Column("first_block", sa.BigInteger, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "index_checkpoints",
        sa.Column("chain_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def _events() -> None:
    op.create_table(
        "asset_versions",
        sa.Column("chain_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("log_index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("nft", sa.Text, nullable=False),
        sa.Column("block_hash", sa.Text, nullable=False),
        sa.Column("tx", sa.Text, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("created", sa.Boolean, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("flags", sa.BigInteger, nullable=False),
        sa.Column("metadata_hash", sa.Text, nullable=False),
        sa.Column("decryptor_url", sa.Text, nullable=False),
        sa.Column("decryptor_host", sa.Text, nullable=False),
        sa.Column("updated_by", sa.Text, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("tokens", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", sa.BigInteger),
        sa.Column("document", sa.Text),
    )
    op.create_index(
        "ix_asset_versions_nft", "asset_versions", ["chain_id", "nft", "block", "log_index"]
    )
    op.create_index(
        "ix_asset_versions_pending",
        "asset_versions",
        ["retry_at"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_table(
        "asset_states",
        sa.Column("chain_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("log_index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("nft", sa.Text, nullable=False),
        sa.Column("block_hash", sa.Text, nullable=False),
        sa.Column("tx", sa.Text, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("updated_by", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_asset_states_nft", "asset_states", ["chain_id", "nft", "block", "log_index"]
    )


def _present() -> None:
    op.create_table(
        "assets",
        sa.Column("chain_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("nft", sa.Text, primary_key=True),
        sa.Column("did", sa.Text, nullable=False),
        sa.Column("block", sa.BigInteger, nullable=False),
        sa.Column("log_index", sa.Integer, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_assets_did", "assets", ["did"], unique=True)
    op.create_index("ix_assets_created_at", "assets", ["created_at"])
    op.create_table(
        "contract_facts",
        sa.Column("chain_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("block", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("symbol", sa.Text, nullable=False),
        sa.Column("token_uri", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )

"""The tables of the asset index. Addresses and hashes are lower-case ``0x`` texts.

``asset_versions`` and ``asset_states`` hold what the chain said, one row an event, placed by
block and by the event's place in it: a reorganisation is undone by leaving out all rows above
a block. ``assets`` is derived from both, one row an NFT, and is what look-ups read.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, Text, text

metadata = MetaData()

PENDING = text("retry_at IS NOT NULL")
"""Condition of a partial index. A query must hold the same text to be served by it."""

indexed_chains = Table(
    "indexed_chains",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("basis", Text, nullable=False),
    Column("first_block", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""How far each chain was followed: all up to the block ``number`` is in the index. The hash
is empty as long as no block was looked at; ``basis`` is what the rows were made with."""

index_checkpoints = Table(
    "index_checkpoints",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""Blocks that were passed, close together near the last one and ever wider apart before."""

asset_versions = Table(
    "asset_versions",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("nft", Text, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("tx", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("created", Boolean, nullable=False),
    Column("state", Integer, nullable=False),
    Column("flags", BigInteger, nullable=False),
    Column("metadata_hash", Text, nullable=False),
    Column("decryptor_url", Text, nullable=False),
    Column("decryptor_host", Text, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("tokens", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", BigInteger),
    Column("document", Text),
    Index("ix_asset_versions_nft", "chain_id", "nft", "block", "log_index"),
    Index("ix_asset_versions_pending", "retry_at", sqlite_where=PENDING),
)
"""Each document that was published: its text as published, or none and the problem with it;
of versions that a later one took the place of, neither. The text stands last, since a row is
read from its beginning on and few readers want it.
``retry_at`` is when to ask for it again, in seconds since the epoch. The type, datatokens and
words of the document are what queries look at: lower-case, enclosed by spaces."""

asset_states = Table(
    "asset_states",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    Column("log_index", Integer, primary_key=True, autoincrement=False),
    Column("nft", Text, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("tx", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("state", Integer, nullable=False),
    Column("updated_by", Text, nullable=False),
    Index("ix_asset_states_nft", "chain_id", "nft", "block", "log_index"),
    sqlite_with_rowid=False,
)
"""Each change of an asset's state that came without a document."""

assets = Table(
    "assets",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("nft", Text, primary_key=True),
    Column("did", Text, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_assets_did", "did", unique=True),
    Index("ix_assets_created_at", "created_at"),
)
"""The present of each asset: where its newest version stands, and its state."""

contract_facts = Table(
    "contract_facts",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("address", Text, primary_key=True),
    Column("block", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("token_uri", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""What contracts call themselves, as read for the version published in ``block``."""

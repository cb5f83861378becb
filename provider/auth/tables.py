"""The tables behind :mod:`provider.auth`. Addresses are lower-case."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, LargeBinary, MetaData, Table, Text

metadata = MetaData()

nonces = Table(
    "nonces",
    metadata,
    Column("address", Text, primary_key=True),
    Column("nonce", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""One row a wallet: the greatest nonce it has used."""

used_texts = Table(
    "used_texts",
    metadata,
    Column("address", Text, primary_key=True),
    Column("reach", BigInteger, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("nonce", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The nonce that a signed text was read with, where more of its digits would make a greater
one. ``reach`` is the greatest: a row may go once the wallet has used a nonce of that size."""

revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    Column("jti", Text, primary_key=True),
    Column("expires_at", Double, nullable=False),
    Index("ix_revoked_tokens_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)
"""Tokens deleted before their time; a row may go once the token would have expired."""

shown_texts = Table(
    "shown_texts",
    metadata,
    Column("address", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("operation", Text, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("shown_at", Double, nullable=False),
    sqlite_with_rowid=False,
)
"""What each signed text was shown for, where several processes have to know. Times are in
seconds since the epoch."""

shown_wallets = Table(
    "shown_wallets",
    metadata,
    Column("address", Text, primary_key=True),
    Column("asked", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    Column("shown_at", Double, nullable=False),
    Index("ix_shown_wallets_shown_at", "shown_at"),
    sqlite_with_rowid=False,
)
"""Of each wallet with shown texts: the greatest nonce of its questions, and of its forgotten
texts."""

"""Tokens that were deleted before their time.

A token is checked by its signature alone, so a deleted one must be remembered until it
would have expired anyway. Revoking twice is revoking once, and nothing takes it back.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, select

from compute.store.base import Database, Work, after_commit, nothing
from compute.store.recent import Recent
from compute.store.upserts import ByDialect
from provider.auth.tables import revoked_tokens

RECENT_TOKENS = 16384

_REVOKE = ByDialect(lambda upsert: upsert(revoked_tokens).on_conflict_do_nothing())
_REVOKED = select(revoked_tokens.c.jti).where(revoked_tokens.c.jti == bindparam("jti"))


class Revocations:
    """Revoked tokens by ``jti``."""

    def __init__(self, database: Database, *, recent: int = RECENT_TOKENS) -> None:
        self._database = database
        self._recent: Recent[str, bool] = Recent(recent)

    async def revoke(self, jti: str, expires_at: float, *, also: Work[object] = nothing) -> None:
        """Refuse the token from now on; ``also`` goes into the same transaction, first.

        ``expires_at``: the token's own end, in epoch seconds.
        """

        def work(connection: Connection) -> None:
            also(connection)
            statement = _REVOKE[connection.dialect.name]
            connection.execute(statement, {"jti": jti, "expires_at": expires_at})
            after_commit(connection, lambda: self._recent.put(jti, True))

        await self._database.write(work)

    async def revoked(self, jti: str) -> bool:
        known = self._recent.get(jti)
        if known:
            return True
        return await self._database.read(lambda connection: _is_revoked(connection, jti))

    async def purge(self, now: float) -> int:
        """Forget tokens that have expired by ``now``; returns how many."""
        gone = delete(revoked_tokens).where(revoked_tokens.c.expires_at <= now)
        return await self._database.write(lambda connection: connection.execute(gone).rowcount)


def _is_revoked(connection: Connection, jti: str) -> bool:
    return connection.execute(_REVOKED, {"jti": jti}).first() is not None

"""Each wallet's last nonce: what makes a signed request good for one time only.

There is one row a wallet and one statement that changes it: it stores the new nonce only
if that is greater, so of two requests with one nonce exactly one is served, however they
race. Asking for the last nonce writes nothing. The memory in front of the table follows
commits: it may lag behind them for a moment but is never ahead.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from compute.store.base import Database, Work, after_commit
from compute.store.recent import Recent
from provider.auth.tables import nonces
from provider.errors import NonceInvalid, NonceTooLow

RECENT_WALLETS = 65536

_LARGEST = 2**63 - 1


def _upsert(
    insert: type[sqlite.Insert] | type[postgresql.Insert],
) -> sqlite.Insert | postgresql.Insert:
    statement = insert(nonces).values(address=bindparam("address"), nonce=bindparam("nonce"))
    return statement.on_conflict_do_update(
        index_elements=[nonces.c.address],
        set_={"nonce": statement.excluded.nonce},
        where=nonces.c.nonce < statement.excluded.nonce,
    )


_CONSUME = {"sqlite": _upsert(sqlite.Insert), "postgresql": _upsert(postgresql.Insert)}
_LAST = select(nonces.c.nonce).where(nonces.c.address == bindparam("address"))


class Nonces:
    """Last nonces by wallet; addresses in any casing."""

    def __init__(self, database: Database, *, recent: int = RECENT_WALLETS) -> None:
        self._database = database
        self._recent: Recent[str, int] = Recent(recent)

    async def last(self, address: str) -> int | None:
        """The last nonce this wallet has used, None before its first."""
        wallet = address.lower()
        known = self._recent.get(wallet)
        if known is not None:
            return known
        stored = await self._database.read(lambda connection: _stored(connection, wallet))
        if stored is not None:
            self._remember(wallet, stored)
        return stored

    def consume(self, address: str, nonce: int) -> Work[None]:
        """The unit of work that uses up ``nonce``, to be committed with what it allows.

        It raises NonceTooLow unless the nonce is greater than the last one. Raises
        NonceInvalid at once for a number that no row can hold.
        """
        wallet = address.lower()
        if not 0 <= nonce <= _LARGEST:
            raise NonceInvalid("The nonce is out of range.")

        def work(connection: Connection) -> None:
            statement = _CONSUME[connection.dialect.name]
            done = connection.execute(statement, {"address": wallet, "nonce": nonce})
            if done.rowcount != 1:
                raise NonceTooLow(_stored(connection, wallet) or 0, nonce)
            after_commit(connection, lambda: self._remember(wallet, nonce))

        return work

    async def spend(self, address: str, nonce: int) -> None:
        """Use up ``nonce`` alone. Raises NonceTooLow, NonceInvalid."""
        await self._database.write(self.consume(address, nonce))

    def _remember(self, wallet: str, nonce: int) -> None:
        """Nonces only grow, so of two values the greater is the later."""
        self._recent.put(wallet, max(nonce, self._recent.peek(wallet) or 0))


def _stored(connection: Connection, wallet: str) -> int | None:
    return connection.execute(_LAST, {"address": wallet}).scalar_one_or_none()

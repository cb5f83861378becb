"""Each wallet's last nonce: what makes a signed request good for one time only.

There is one row a wallet and one statement that changes it: it stores the new nonce only
if that is greater, so of two requests with one nonce exactly one is served, however they
race. Asking for the last nonce writes nothing. The memory in front of the table follows
commits: it may lag behind them for a moment but is never ahead. Where other processes use
nonces up, too, there is none, and the table is asked.

A plain text whose digits can be read as a greater nonce is bound to the one it was served
with, in the same transaction, until no reading of it is greater than the last nonce
(docs/decisions/0002). Texts with nonces in nanoseconds never need this: every digit before
such a nonce makes it greater than a row holds.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, exists, select

from compute.store.base import Database, Work, after_commit
from compute.store.recent import Recent
from compute.store.upserts import ByDialect, Upsert, UpsertType
from provider.auth.tables import nonces, used_texts
from provider.auth.texts import LARGEST_NONCE, SignedText
from provider.errors import NonceInvalid, NonceTooLow, SignatureWrong

RECENT_WALLETS = 65536

_FORGET_EVERY = 16
"""Texts that are good for nothing any more go at each nonce that this divides."""

_SAME_TEXT = and_(
    used_texts.c.address == bindparam("address"),
    used_texts.c.reach == bindparam("reach"),
    used_texts.c.digest == bindparam("digest"),
)
_READ_OTHERWISE = exists().where(_SAME_TEXT, used_texts.c.nonce != bindparam("nonce"))


def _upsert(upsert: UpsertType, *also: ColumnElement[bool]) -> Upsert:
    statement = upsert(nonces).values(address=bindparam("address"), nonce=bindparam("nonce"))
    return statement.on_conflict_do_update(
        index_elements=[nonces.c.address],
        set_={"nonce": statement.excluded.nonce},
        where=and_(nonces.c.nonce < statement.excluded.nonce, *also),
    )


_CONSUME = ByDialect(_upsert)
_CONSUME_TEXT = ByDialect(lambda upsert: _upsert(upsert, ~_READ_OTHERWISE))
_LAST = select(nonces.c.nonce).where(nonces.c.address == bindparam("address"))
_BIND = ByDialect(lambda upsert: upsert(used_texts).on_conflict_do_nothing())
_BOUND = select(used_texts.c.nonce).where(_SAME_TEXT)
_FORGET = delete(used_texts).where(
    used_texts.c.address == bindparam("address"), used_texts.c.reach <= bindparam("nonce")
)


class Nonces:
    """Last nonces by wallet; addresses in any casing."""

    def __init__(self, database: Database, *, recent: int = RECENT_WALLETS) -> None:
        self._database = database
        self._recent: Recent[str, int] = Recent(recent)

    async def last(self, address: str) -> int | None:
        """The last nonce this wallet has used, None before its first."""
        wallet = address.lower()
        known = None if self._database.shared else self._recent.get(wallet)
        if known is not None:
            return known
        stored = await self._database.read(lambda connection: _stored(connection, wallet))
        if stored is not None:
            self._remember(wallet, stored)
        return stored

    def consume(self, address: str, nonce: int, text: SignedText | None = None) -> Work[None]:
        """The unit of work that uses up ``nonce``, to be committed with what it allows.

        It raises NonceTooLow unless the nonce is greater than the last one, SignatureWrong
        if the plain ``text`` was served with another. Raises NonceInvalid at once for a
        number that no row can hold.
        """
        wallet = address.lower()
        if not 0 <= nonce <= LARGEST_NONCE:
            raise NonceInvalid("The nonce is out of range.")

        def work(connection: Connection) -> None:
            if not _consumed(connection, wallet, nonce, text):
                last = _stored(connection, wallet) or 0
                raise NonceTooLow(last, nonce) if nonce <= last else _other_reading()
            if text is not None and text.ambiguous(nonce):
                if nonce % _FORGET_EVERY == 0:
                    connection.execute(_FORGET, {"address": wallet, "nonce": nonce})
                _bind(connection, wallet, nonce, text)
            after_commit(connection, lambda: self._remember(wallet, nonce))

        return work

    async def spend(self, address: str, nonce: int, text: SignedText | None = None) -> None:
        """Use up ``nonce`` alone. Raises NonceTooLow, NonceInvalid, SignatureWrong."""
        await self._database.write(self.consume(address, nonce, text))

    async def bind(self, address: str, nonce: int, text: SignedText) -> None:
        """Have ``text`` read with ``nonce`` only, from now on, without using that up.

        Raises SignatureWrong if it was read with another before.
        """
        wallet = address.lower()
        if not text.ambiguous(nonce) or await self.require_unbound(address, nonce, text):
            return
        await self._database.write(lambda connection: _bind(connection, wallet, nonce, text))
        await self.require_unbound(address, nonce, text)

    async def require_unbound(self, address: str, nonce: int, text: SignedText) -> bool:
        """Raises SignatureWrong if ``text`` was read with another nonce before. True if with
        this one."""
        row = _row(address.lower(), nonce, text)
        bound = await self._database.read(
            lambda connection: connection.execute(_BOUND, row).scalar_one_or_none()
        )
        if bound not in (None, nonce):
            raise _other_reading()
        return bound is not None

    def _remember(self, wallet: str, nonce: int) -> None:
        """Nonces only grow, so of two values the greater is the later."""
        if not self._database.shared:
            self._recent.put(wallet, max(nonce, self._recent.peek(wallet) or 0))


def _stored(connection: Connection, wallet: str) -> int | None:
    return connection.execute(_LAST, {"address": wallet}).scalar_one_or_none()


def _consumed(connection: Connection, wallet: str, nonce: int, text: SignedText | None) -> bool:
    name = connection.dialect.name
    if text is None:
        done = connection.execute(_CONSUME[name], {"address": wallet, "nonce": nonce})
    else:
        done = connection.execute(_CONSUME_TEXT[name], _row(wallet, nonce, text))
    return done.rowcount == 1


def _bind(connection: Connection, wallet: str, nonce: int, text: SignedText) -> None:
    connection.execute(_BIND[connection.dialect.name], _row(wallet, nonce, text))


def _row(wallet: str, nonce: int, text: SignedText) -> dict[str, object]:
    return {"address": wallet, "nonce": nonce, "reach": text.reach, "digest": text.digest}


def _other_reading() -> SignatureWrong:
    return SignatureWrong(
        "Invalid signature: the same text was signed for another nonce before."
        " Ask for the last nonce and sign with a greater one."
    )

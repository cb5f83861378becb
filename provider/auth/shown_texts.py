"""What wallets have shown, for several processes over one database.

A text is shown once it has a row, and a row is good for one operation and nonce. All writes of
all processes come one after the other, so of two processes that are shown one text for
different things exactly one serves it. What was read of a row stays right: so a question that
comes again costs no write, and none of its text is looked up for an hour.

A wallet that has shown nothing for a day is forgotten, and its greatest nonce used up. Nothing
has to be written at an end: another process, or the next start, finds the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from compute.store.base import Database
from compute.store.recent import Recent
from compute.store.upserts import upsert_of
from provider.auth.nonces import RECENT_WALLETS, Nonces
from provider.auth.shown import TEXTS_PER_WALLET, Shown, ShownHere, shown_for
from provider.auth.tables import nonces, shown_texts, shown_wallets
from provider.errors import NonceTooLow, ProviderError

FRESH_S = 3600.0
"""How long a row of a question is taken to be there, and its wallet to be known to ask."""

KEPT_S = 24 * 3600.0
"""How long a wallet that shows nothing is remembered. Longer than ``FRESH_S``: of a wallet
that asks all the time only one question in an hour is written down."""

FORGOTTEN_AT_ONCE = 200


def shown(database: Database, last: Nonces, now: Callable[[], float]) -> Shown:
    """What is right for this database. ``now`` is in seconds since the epoch."""
    return ShownTexts(database, last, now) if database.shared else ShownHere(last)


@dataclass(frozen=True, slots=True)
class _Asked:
    operation: str
    nonce: int
    until: float


class ShownTexts(Shown):
    """In the database. ``recent`` questions are remembered beside it."""

    def __init__(
        self,
        database: Database,
        last: Nonces,
        now: Callable[[], float],
        *,
        recent: int = RECENT_WALLETS,
    ) -> None:
        self._database = database
        self._nonces = last
        self._now = now
        self._asked: Recent[tuple[str, bytes], _Asked] = Recent(recent)

    async def claim(
        self, wallet: str, digest: bytes, operation: str, nonce: int, *, known: bool
    ) -> None:
        await self._show(wallet, digest, operation, nonce, question=False)

    async def question(
        self, wallet: str, digest: bytes, operation: str, nonce: int, *, known: bool
    ) -> None:
        asked = self._asked.get((wallet, digest))
        fresh = asked is not None and asked.until > self._now()
        if asked is not None and fresh and (asked.operation, asked.nonce) == (operation, nonce):
            return
        await self._show(wallet, digest, operation, nonce, question=True)
        until = self._now() + FRESH_S
        self._asked.put((wallet, digest), _Asked(operation, nonce, until))

    def has(self, wallet: str, digest: bytes) -> bool:
        asked = self._asked.peek((wallet, digest))
        return asked is not None and asked.until > self._now()

    async def skip(self, wallet: str, nonce: int) -> None:
        now = self._now()
        await self._database.write(lambda connection: _note(connection, wallet, now, asked=nonce))

    async def last(self, wallet: str) -> int:
        row = await self._database.read(lambda connection: _wallet(connection, wallet))
        return max(row.asked, row.floor) if row is not None else 0

    async def tidy(self) -> None:
        """Forget the wallets that have shown nothing for a day."""
        before = self._now() - KEPT_S
        while await self._database.write(lambda connection: _forget(connection, before)):
            pass

    async def write(self) -> None:
        """Nothing: it is written already."""

    async def _show(
        self, wallet: str, digest: bytes, operation: str, nonce: int, *, question: bool
    ) -> None:
        """Refuses by a read where it can, so that what is refused anyway costs no write."""
        showing = _Showing(wallet, digest, operation, nonce, question, self._now())
        refusal = await self._database.read(showing.refusal)
        if refusal is None:
            refusal = await self._database.write(showing.carried_out)
        if refusal is not None:
            raise refusal


@dataclass(frozen=True, slots=True)
class _Showing:
    wallet: str
    digest: bytes
    operation: str
    nonce: int
    question: bool
    now: float

    def refusal(self, connection: Connection) -> ProviderError | None:
        """Why the text is not served, None if it is."""
        row = connection.execute(
            select(shown_texts.c.operation, shown_texts.c.nonce).where(
                shown_texts.c.address == self.wallet, shown_texts.c.digest == self.digest
            )
        ).one_or_none()
        if row is not None:
            same = (row.operation, row.nonce) == (self.operation, self.nonce)
            return None if same else shown_for(row.operation)
        known = _wallet(connection, self.wallet)
        if known is not None and not self.question and self.nonce <= known.floor:
            return NonceTooLow(known.floor, self.nonce)
        return None

    def carried_out(self, connection: Connection) -> ProviderError | None:
        """As :meth:`refusal`, and else the text is shown."""
        refusal = self.refusal(connection)
        if refusal is not None:
            return refusal
        row = {
            "address": self.wallet,
            "digest": self.digest,
            "operation": self.operation,
            "nonce": self.nonce,
            "shown_at": self.now,
        }
        put = upsert_of(connection.dialect.name)(shown_texts).values(**row)
        connection.execute(
            put.on_conflict_do_update(
                index_elements=["address", "digest"], set_={"shown_at": self.now}
            )
        )
        floor = _drop_oldest(connection, self.wallet)
        asked = self.nonce if self.question else 0
        _note(connection, self.wallet, self.now, asked=asked, floor=floor)
        return None


def _wallet(connection: Connection, wallet: str) -> Row[Any] | None:
    query = select(shown_wallets).where(shown_wallets.c.address == wallet)
    return connection.execute(query).one_or_none()


def _note(
    connection: Connection, wallet: str, now: float, *, asked: int = 0, floor: int = 0
) -> None:
    """Raise the wallet's numbers to these."""
    before = _wallet(connection, wallet)
    if before is None:
        row = {"address": wallet, "asked": asked, "floor": floor, "shown_at": now}
        connection.execute(insert(shown_wallets), row)
        return
    connection.execute(
        update(shown_wallets)
        .where(shown_wallets.c.address == wallet)
        .values(asked=max(before.asked, asked), floor=max(before.floor, floor), shown_at=now)
    )


def _drop_oldest(connection: Connection, wallet: str) -> int:
    """Have the wallet's latest texts only; the greatest nonce of the others, 0 if none."""
    query = (
        select(shown_texts.c.digest, shown_texts.c.nonce)
        .where(shown_texts.c.address == wallet)
        .order_by(shown_texts.c.shown_at.desc(), shown_texts.c.nonce.desc())
        .offset(TEXTS_PER_WALLET)
    )
    forgotten = connection.execute(query).all()
    for row in forgotten:
        connection.execute(
            delete(shown_texts).where(
                shown_texts.c.address == wallet, shown_texts.c.digest == row.digest
            )
        )
    return max((row.nonce for row in forgotten), default=0)


def _forget(connection: Connection, before: float) -> int:
    """Use up the greatest nonces of some wallets that have shown nothing since; how many."""
    quiet = (
        select(shown_wallets.c.address, shown_wallets.c.asked, shown_wallets.c.floor)
        .where(shown_wallets.c.shown_at < before)
        .order_by(shown_wallets.c.shown_at)
        .limit(FORGOTTEN_AT_ONCE)
    )
    found = connection.execute(quiet).all()
    for row in found:
        greatest = select(func.max(shown_texts.c.nonce)).where(shown_texts.c.address == row.address)
        shown_last = connection.execute(greatest).scalar_one() or 0
        _use_up(connection, row.address, max(row.asked, row.floor, shown_last))
        for table in (shown_texts, shown_wallets):
            connection.execute(delete(table).where(table.c.address == row.address))
    return len(found)


def _use_up(connection: Connection, wallet: str, nonce: int) -> None:
    put = upsert_of(connection.dialect.name)(nonces).values(address=wallet, nonce=nonce)
    connection.execute(
        put.on_conflict_do_update(
            index_elements=["address"],
            set_={"nonce": put.excluded.nonce},
            where=nonces.c.nonce < put.excluded.nonce,
        )
    )

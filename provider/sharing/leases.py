"""Turns: what only one process of an installation may do at a time.

A turn is a row with an end. Its holder moves the end on; who stops doing so, because he was
killed or cannot reach the database, loses it to whoever asks next. The database's clock
decides. A holder that was frozen may come back and believe that the turn is still his: what
must not happen twice therefore also asks in its own transaction (:meth:`Leases.require`).

With a database that no other process may open every turn is had at once, and nothing is
written. Between tasks of one process a turn decides nothing: they need a lock of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from compute.errors import ComputeError
from compute.store.base import MISSED, Database, Work, announce, nothing
from compute.store.leases import now_of
from compute.store.upserts import upsert_of
from provider.sharing.tables import leases

log = logging.getLogger(__name__)

TERM_S = 10.0
RENEWED_EVERY_S = 2.5
RETRY_S = 1.0
"""How long to wait for news of a turn before looking again."""

KEPT_S = 24 * 3600.0
"""How long the number of a turn that nobody takes any more is kept."""

_TOPIC = "lease"


class LeaseLost(ComputeError):
    """Another process has the turn now."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Another process has the turn at {name}.")


@dataclass(slots=True)
class Held:
    """A turn. ``number`` is what the last holder left; set it to leave another one."""

    number: int = 0


class Leases:
    """The turns of one process. ``now`` is in seconds since the epoch and counts where the
    database has no clock."""

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], float],
        term_s: float = TERM_S,
        renewed_every_s: float = RENEWED_EVERY_S,
    ) -> None:
        self.holder = uuid.uuid4().hex[:16]
        self.renewed_every_s = renewed_every_s
        self._database = database
        self._now = now
        self._term_s = term_s

    @property
    def shared(self) -> bool:
        """False when there is nobody to share turns with."""
        return self._database.shared

    async def take(self, name: str) -> int | None:
        """Get the turn, or keep it for another term; the number that its last holder left.
        None when another process has it. Raises StoreUnavailable."""
        if not self.shared:
            return 0
        if await self._database.read(lambda connection: self._of_another(connection, name)):
            return None
        return await self._database.write(lambda connection: self._take(connection, name))

    def require(self, name: str) -> Work[None]:
        """A unit of work that raises LeaseLost unless this process has the turn: to be
        carried out in one transaction with what only its holder may do."""
        if not self.shared:
            return nothing

        def work(connection: Connection) -> None:
            query = select(leases.c.holder).where(leases.c.name == name)
            if connection.execute(query).scalar_one_or_none() != self.holder:
                raise LeaseLost(name)

        return work

    async def give_back(self, name: str, number: int = 0) -> None:
        """End the turn, if this process has it, so that others have it at once. Raises
        StoreUnavailable."""
        if not self.shared:
            return

        def work(connection: Connection) -> None:
            given = (
                update(leases)
                .where(leases.c.name == name, leases.c.holder == self.holder)
                .values(ends_at=now_of(connection, self._now()), number=number)
            )
            if connection.execute(given).rowcount:
                announce(connection, f"{_TOPIC}:{name}")

        await self._database.write(work)

    @contextlib.asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[Held]:
        """Wait for the turn and have it while this is open. Raises StoreUnavailable before
        that; a turn that is lost meanwhile is only told in the log."""
        if not self.shared:
            yield Held()
            return
        held = Held(await self._await(name))
        renewing = asyncio.create_task(self._renew(name), name=f"turn at {name}")
        try:
            yield held
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            try:
                await self.give_back(name, held.number)
            except ComputeError as error:
                log.warning("turn_not_given_back name=%s cause=%s", name, error.public)

    @contextlib.contextmanager
    def news(self, name: str) -> Iterator[asyncio.Event]:
        """Set whenever the turn is given back, or may have been, while one is inside."""
        event = asyncio.Event()
        told = f"{_TOPIC}:{name}"
        end = self._database.hear(lambda text: event.set() if text in {told, MISSED} else None)
        try:
            yield event
        finally:
            end()

    async def purge(self) -> int:
        """Forget turns that nobody has had for a day; returns how many."""
        if not self.shared:
            return 0

        def work(connection: Connection) -> int:
            until = now_of(connection, self._now()) - KEPT_S
            gone = delete(leases).where(leases.c.ends_at < until)
            return connection.execute(gone).rowcount

        return await self._database.write(work)

    async def _await(self, name: str) -> int:
        with self.news(name) as given_back:
            while (number := await self.take(name)) is None:
                await wait_until(given_back, RETRY_S)
        return number

    async def _renew(self, name: str) -> None:
        while True:
            await asyncio.sleep(self.renewed_every_s)
            try:
                if await self.take(name) is None:
                    log.warning("turn_lost name=%s", name)
            except ComputeError as error:
                log.warning("turn_not_renewed name=%s cause=%s", name, error.public)

    def _of_another(self, connection: Connection, name: str) -> bool:
        row = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
        if row is None or row.holder == self.holder:
            return False
        return bool(row.ends_at > now_of(connection, self._now()))

    def _take(self, connection: Connection, name: str) -> int | None:
        if self._of_another(connection, name):
            return None
        ends_at = now_of(connection, self._now()) + self._term_s
        values = {"holder": self.holder, "ends_at": ends_at}
        put = upsert_of(connection.dialect.name)(leases).values(name=name, number=0, **values)
        put = put.on_conflict_do_update(index_elements=["name"], set_=values)
        number: int = connection.execute(put.returning(leases.c.number)).scalar_one()
        return number


async def wait_until(event: asyncio.Event, most_s: float) -> None:
    """Until the event is set, which clears it, or that many seconds are over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await event.wait()
    event.clear()

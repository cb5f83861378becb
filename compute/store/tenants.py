"""The processes that operate jobs, as the store knows them."""

from __future__ import annotations

from compute.store import leases
from compute.store.base import Database
from compute.store.leases import Holder


class Tenants:
    """Leases of one database. What jobs come with one is :meth:`JobStore.take_over`'s."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew(self, holder: Holder, *, now: float, term_s: float) -> bool:
        """Have the lease of a process end ``term_s`` from now; False when it had none."""
        return await self._database.write(
            lambda connection: leases.renew(connection, holder, now, term_s)
        )

    async def give_back(self, operator: str) -> None:
        """End the lease of a process: others may take its jobs."""
        await self._database.write(lambda connection: leases.give_back(connection, operator))

    async def known_to_others(self, holder: Holder, *, now: float) -> set[str]:
        """The environments that other living processes were started with."""
        return await self._database.read(
            lambda connection: leases.known_to_others(connection, holder, now)
        )

    async def number(self, *, now: float) -> int:
        """How many processes operate jobs."""
        return await self._database.read(
            lambda connection: leases.living(connection, leases.now_of(connection, now))
        )

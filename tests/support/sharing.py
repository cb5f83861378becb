"""One database as several processes see it, each with objects of its own over it."""

from __future__ import annotations

from compute.store.base import Action, Database, Listener, T, Work


class Process(Database):
    """One process's view of a database that others write into, too. Counts what it writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.writes = 0

    @property
    def shared(self) -> bool:
        return True

    def hear(self, listener: Listener) -> Action:
        return self._database.hear(listener)

    async def write(self, work: Work[T]) -> T:
        self.writes += 1
        return await self._database.write(work)

    async def read(self, work: Work[T]) -> T:
        return await self._database.read(work)

    async def close(self) -> None:
        """Others go on with the database."""

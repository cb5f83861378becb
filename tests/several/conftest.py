"""Several processes' objects over one database: one that is said to be shared, and one that
is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.sharing import Process
from support.sqlite import prepared

from compute.store.base import Database
from compute.store.database import open_database
from provider.migrations import VERSIONS


@pytest.fixture
async def database(both_url: str) -> AsyncIterator[Database]:
    opened = await open_database(both_url, migrations=[VERSIONS])
    yield opened
    await opened.close()


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Database]:
    """A database that no other process can open."""
    opened = await open_database(prepared(tmp_path / "alone.db", VERSIONS), migrations=[VERSIONS])
    yield opened
    await opened.close()


@pytest.fixture
def here(database: Database) -> Process:
    return Process(database)


@pytest.fixture
async def there(both_url: str, database: Database) -> AsyncIterator[Process]:
    """As another process has it; of SQLite there can be no other."""
    if not database.shared:
        yield Process(database)
        return
    opened = await open_database(both_url, migrations=[VERSIONS])
    yield Process(opened)
    await opened.close()

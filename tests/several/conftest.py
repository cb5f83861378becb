"""Several processes' objects over one database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.sharing import Process

from compute.store.base import Database
from compute.store.database import open_database
from provider.migrations import VERSIONS


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_database(f"sqlite:///{tmp_path}/shared.db", migrations=[VERSIONS])
    yield opened
    await opened.close()


@pytest.fixture
def here(database: Database) -> Process:
    return Process(database)


@pytest.fixture
def there(database: Database) -> Process:
    return Process(database)

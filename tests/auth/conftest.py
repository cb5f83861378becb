"""A real database for the tests of who is asking."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from compute.store.base import Database
from compute.store.database import open_database
from provider.auth.nonces import Nonces
from provider.migrations import VERSIONS


@pytest.fixture
async def database(both_url: str) -> AsyncIterator[Database]:
    opened = await open_database(both_url, migrations=[VERSIONS])
    yield opened
    await opened.close()


@pytest.fixture
def nonces(database: Database) -> Nonces:
    return Nonces(database)

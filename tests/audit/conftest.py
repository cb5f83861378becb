"""A database of each kind with the log's table."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from compute.store.base import Database
from compute.store.database import open_database
from provider.migrations import VERSIONS


@pytest.fixture
def url(both_url: str) -> str:
    return both_url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await open_database(url, migrations=[VERSIONS])
    yield opened
    await opened.close()

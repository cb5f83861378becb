"""A registry on a real database, in a folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from compute.store.base import Database
from compute.store.database import open_database
from provider.migrations import VERSIONS
from provider.registry.registry import Registry


@pytest.fixture
async def database(both_url: str) -> AsyncIterator[Database]:
    opened = await open_database(both_url, migrations=[VERSIONS])
    yield opened
    await opened.close()


@pytest.fixture
async def registry(database: Database, tmp_path: Path) -> Registry:
    return await Registry(database, tmp_path / "registry").__aenter__()

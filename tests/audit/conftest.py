"""A database with the log's table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from compute.store.base import Database
from compute.store.database import open_database
from provider.migrations import VERSIONS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await open_database(url, migrations=[VERSIONS])
    yield opened
    await opened.close()

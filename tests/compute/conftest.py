"""Fixtures of the ground floor's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from compute_samples import Clock
from support.sqlite import prepared
from workshop import Workshop

from compute.store.database import open_database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A machine with a fake engine, a real SQLite store, and nothing running."""
    database = await open_database(prepared(tmp_path / "jobs.db"))
    workshop = Workshop(database, tmp_path / "data")
    try:
        yield workshop
    finally:
        await workshop.world.end()
        await database.close()

"""What tests of the shared parts of dialects have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from form_desk import Desk, serving_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with serving_desk(tmp_path / "uploads") as desk:
        yield desk

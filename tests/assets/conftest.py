"""Fixtures of the tests about assets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asset_origins import Origin


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    server = Origin("127.0.0.1")
    await server.start()
    yield server
    await server.close()

"""Fixtures of the tests about assets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asset_fetching import LIMITS, LOOPBACK
from asset_origins import Origin

from provider.assets.fetch import Fetcher


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    server = Origin("127.0.0.1")
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    """One that may reach loopback."""
    async with Fetcher(allowed_networks=LOOPBACK, limits=LIMITS) as opened:
        yield opened


@pytest.fixture
async def guarded() -> AsyncIterator[Fetcher]:
    """One that may reach public addresses only, as by default."""
    async with Fetcher(limits=LIMITS) as opened:
        yield opened

"""The service as a process of its own, and clients that write what they like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from support.service import Service


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service of the test's own, to be started, told to end and restarted."""
    service = Service(tmp_path / "own")
    yield service
    await asyncio.to_thread(service.stop)
    service.sweep()

"""The whole service as a process, on the real engine; a consumer of plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.consumer import Consumer
from support.service import Service


@pytest.fixture(scope="module")
def service_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(service_root: Path) -> AsyncIterator[Service]:
    """One running service for all tests of a module."""
    service = Service(service_root / "shared")
    service.environments(
        {},
        {"id": "short", "maxJobDuration": 3},
        {"id": "tiny", "diskGB": 0.004, "maxOutputFiles": 200, "maxLogMB": 1},
        {"id": "wide", "diskGB": 0.5, "maxOutputFiles": 1000, "maxJobDuration": 120},
        {"id": "online", "network": "bridge"},
        {"id": "closed", "consumers": {"allow": ["0x" + "cc" * 20]}},
        {"id": "picky", "images": {"allow": ["python:*"], "pull": "never"}},
        {"id": "one", "maxJobs": 1, "maxQueueWait": 4},
    )
    await service.start()
    yield service
    code = service.stop()
    leftovers = service.leftovers()
    log = service.log()
    assert code == 0, log
    assert not leftovers, log
    assert "Traceback" not in log, log


@pytest_asyncio.fixture(loop_scope="module")
async def consumer(shared: Service) -> AsyncIterator[Consumer]:
    async with Consumer(shared.url) as consumer:
        yield consumer


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service of the test's own, to be started, killed and restarted."""
    service = Service(tmp_path / "own")
    yield service
    service.stop()

"""One running service with the aaas API for all tests of a module, on the real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aaas_client import ENVIRONMENTS, Api, section
from support.service import Service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    service = Service(tmp_path_factory.mktemp("aaas") / "service")
    service.environments(*ENVIRONMENTS)
    service.dialects({"aaas": section()})
    await service.start()
    try:
        yield service
        code = service.stop()
        log = service.log()
        assert code == 0, log
        assert "Traceback" not in log, log
    finally:
        service.stop()
        service.sweep()


@pytest_asyncio.fixture(loop_scope="module")
async def api(service: Service) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, service.url + "/aaas")


@pytest_asyncio.fixture(loop_scope="module")
async def lone(tmp_path: Path) -> AsyncIterator[Service]:
    """A service of the test's own, to be configured, started, killed and started again."""
    service = Service(tmp_path / "lone")
    service.environments(*ENVIRONMENTS)
    yield service
    service.stop()
    service.sweep()
    assert "Traceback" not in service.log()

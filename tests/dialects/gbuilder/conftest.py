"""One running service with this API for all tests of a module, on the real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from gbuilder_client import Api, section
from support.service import Service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    service = Service(tmp_path_factory.mktemp("gbuilder") / "service")
    service.environments({})
    service.dialects({"gbuilder": section(parameters={"depth": 2}, maxUploadMB=1)})
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
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest_asyncio.fixture(loop_scope="module")
async def api(service: Service, session: aiohttp.ClientSession) -> Api:
    return Api(session, service.url + "/gbuilder")


@pytest_asyncio.fixture(loop_scope="module")
async def lone(tmp_path: Path) -> AsyncIterator[Service]:
    """A service of the test's own, to be configured, started, killed and started again."""
    service = Service(tmp_path / "lone")
    yield service
    service.stop()
    service.sweep()
    assert "Traceback" not in service.log()

"""A service process with the pipelines API, shared by the tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from pipeline_caller import Caller
from pipeline_service import SECTION, a_service, end
from support.service import Service


@pytest.fixture(scope="module")
def pipelines_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = a_service(tmp_path_factory.mktemp("pipelines") / "service", SECTION)
    try:
        asyncio.run(service.start())
        yield service
    finally:
        end(service)


@pytest.fixture
async def caller(pipelines_service: Service) -> AsyncIterator[Caller]:
    """A client, with a pipeline that the tests of a module share."""
    async with aiohttp.ClientSession() as session:
        client = Caller(pipelines_service.url, session)
        known = _FURNISHED.get(pipelines_service.url)
        if known is None:
            await client.furnish()
            _FURNISHED[pipelines_service.url] = client.uids
        else:
            client.uids = known
        yield client


_FURNISHED: dict[str, dict[str, str]] = {}

"""The real service on a fake engine: real wallets, signatures, database, assets, files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from ocean_consumer import PROGRAMS, Api, Serve, furnish, settings_of
from support.witness import Witness

from compute.engines.fake import FakeEngine, FakeWorld
from compute.space import WatchedSpace
from provider.app import create_app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configured machine."""
    return furnish(tmp_path)


@pytest.fixture
async def serve(folder: Path) -> AsyncIterator[Serve]:
    """Starts services; environment variables by keyword, ``programs`` by first word."""
    clients: list[tuple[TestClient[web.Request, web.Application], FakeWorld]] = []
    witnesses: list[Witness] = []

    async def serving(programs: Mapping[str, Any] = PROGRAMS, **variables: str) -> Api:
        world = FakeWorld()
        world.add_image("example/python:3")
        world.programs |= dict(programs)
        app = create_app(
            settings_of(folder, **variables), engine=FakeEngine(world), space=WatchedSpace()
        )
        witnesses.append(Witness(app))
        client = TestClient(TestServer(app))
        clients.append((client, world))
        await client.start_server()
        return Api(client, world)

    yield serving
    for client, world in clients:
        await client.close()
        await world.end()
    for witness in witnesses:
        witness.testify()


@pytest.fixture
async def api(serve: Serve) -> Api:
    return await serve()

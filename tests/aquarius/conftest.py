"""A chain in memory, a metadata cache beside it, an index of it, and the endpoints over that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aquarius_documents import KEY, World
from standin_cache import Client, Serve, StandinCache
from support.sqlite import prepared
from support.witness import Witness

from compute.store.base import Database
from compute.store.database import open_database
from provider.assets.index import AssetIndex
from provider.assets.index.follower import Pace
from provider.assets.metadata_cache import CacheCatalogue, MetadataCache
from provider.dialects.aquarius.routes import AQUARIUS_API, AquariusApi, add_routes
from provider.dialects.ocean.envelopes import render
from provider.middlewares import guard, merging_slashes
from provider.migrations import VERSIONS

QUICK = Pace(poll_s=0.02, spacing_s=0.0, patience_s=0.0, reask_s=0.01)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def cache() -> AsyncIterator[StandinCache]:
    server = StandinCache()
    yield server
    await server.close()


@pytest.fixture
async def cached(world: World, cache: StandinCache) -> AsyncIterator[CacheCatalogue]:
    """The catalogue over that cache and the world's chain."""
    client = MetadataCache(await cache.start(), timeout_s=30)
    async with CacheCatalogue(client, world.chains, KEY, clock=lambda: world.now) as opened:
        yield opened


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_database(prepared(tmp_path / "jobs.db", VERSIONS), migrations=[VERSIONS])
    yield opened
    await opened.close()


@pytest.fixture
async def index(world: World, database: Database) -> AsyncIterator[AssetIndex]:
    async with AssetIndex(world.chains, database, KEY, pace=QUICK) as opened:
        yield opened


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """The endpoints behind the service's own middleware and its route for repeated slashes."""
    clients: list[Client] = []
    witnesses: list[Witness] = []

    async def serving(index: AssetIndex) -> Client:
        app = web.Application(middlewares=[guard(render)], client_max_size=1 << 20)
        app.router.add_route("*", "/{merged:(?:.*/)?/.*}", merging_slashes({}))
        add_routes(app)
        app[AQUARIUS_API] = AquariusApi(index, KEY)
        witnesses.append(Witness(app))
        client = TestClient(TestServer(app))
        clients.append(client)
        await client.start_server()
        return client

    yield serving
    for client in clients:
        await client.close()
    for witness in witnesses:
        witness.testify()


@pytest.fixture
async def client(serve: Serve, index: AssetIndex) -> Client:
    return await serve(index)

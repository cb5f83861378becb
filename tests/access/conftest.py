"""The asset endpoints made of their real parts, on a chain in memory and a local origin."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from access_world import (
    CHAIN_ID,
    DATATOKEN,
    DOWNLOADER,
    FACTORY,
    FEE_TOKEN,
    NFT,
    NOW,
    OTHER_DATATOKEN,
    PROVIDER,
    MakeWorld,
    Origin,
    World,
)
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from support.sqlite import prepared
from support.witness import Witness

from compute.store.base import Database
from compute.store.database import open_database
from provider.access import Access
from provider.assets.addresses import networks
from provider.assets.catalogue import FolderCatalogue
from provider.assets.fetch import Fetcher, FetchLimits
from provider.assets.supplier import AssetSupplier
from provider.auditing.trail import Trail
from provider.auth.caller import Callers
from provider.auth.nonces import Nonces
from provider.auth.revocations import Revocations
from provider.auth.shown import ShownHere
from provider.auth.tokens import PURPOSE, Tokens
from provider.chain.chains import ChainAccess, Chains
from provider.chain.contracts import Contracts
from provider.chain.fake import FakeChain
from provider.chain.networks import ChainSettings
from provider.dialects.ocean.asset_routes import (
    ASSET_API,
    ASSET_HEAD,
    AssetApi,
    AssetSurroundings,
    asset_endpoint,
)
from provider.dialects.ocean.envelopes import render
from provider.dialects.ocean.responses import ROUTES
from provider.middlewares import guard, on_prepare
from provider.migrations import VERSIONS
from provider.payments import Payments
from provider.publishing import Publishing
from provider.samples import Samples

MAX_CHECKSUM_BYTES = 1 << 20
LIMITS = FetchLimits(max_bytes=1 << 30, connect_s=30, stall_s=4, total_s=120)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with all its tables, to be copied: making one takes a while."""
    path = tmp_path_factory.mktemp("access") / "access.db"
    prepared(path, VERSIONS)
    return path


@pytest.fixture
async def make_world(tmp_path: Path, migrated: Path) -> AsyncIterator[MakeWorld]:
    """Makes providers, one a test."""
    shutil.copy(migrated, tmp_path / "access.db")
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> World:
            return await _world(stack, tmp_path, **options)

        yield make


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world()


async def _world(
    stack: AsyncExitStack,
    folder: Path,
    *,
    decrypters: tuple[str, ...] = (),
    with_chain: bool = True,
    chain: FakeChain | None = None,
    max_body: int = 1 << 20,
) -> World:
    for name in ("assets", "files"):
        (folder / name).mkdir()
    chain, now = chain or FakeChain(CHAIN_ID), [NOW]
    chain.publish(FACTORY, NFT, [DATATOKEN, OTHER_DATATOKEN])
    chain.token(FEE_TOKEN)
    chains = Chains([_access(chain, now)] if with_chain else [])
    origin = Origin()
    await origin.start()
    stack.push_async_callback(origin.close)
    database = await open_database(f"sqlite:///{folder}/access.db", migrations=[VERSIONS])
    stack.push_async_callback(database.close)
    fetcher = await stack.enter_async_context(
        Fetcher(allowed_networks=networks(["127.0.0.0/8"]), limits=LIMITS)
    )
    app = _app(_api(folder, database, fetcher, chains, now, decrypters), max_body)
    stack.callback(Witness(app).testify)
    client = TestClient(TestServer(app))
    await client.start_server()
    stack.push_async_callback(client.close)
    return World(client, chain, origin, folder, now)


def _access(chain: FakeChain, now: list[float]) -> ChainAccess:
    settings = ChainSettings(
        chain_id=CHAIN_ID,
        name="development",
        factory=FACTORY,
        fee_token=FEE_TOKEN,
        rpc_urls=(),
    )
    return ChainAccess(settings, chain, Contracts(chain, FACTORY, clock=lambda: now[0]))


def _api(
    folder: Path,
    database: Database,
    fetcher: Fetcher,
    chains: Chains,
    now: list[float],
    decrypters: tuple[str, ...],
) -> AssetApi:
    catalogue = FolderCatalogue(folder / "assets", fresh_for_s=0)
    nonces, trail = Nonces(database), Trail(database, PROVIDER, now=lambda: now[0])
    callers = Callers(
        nonces=nonces,
        shown=ShownHere(nonces),
        revocations=Revocations(database),
        tokens=Tokens(PROVIDER.derive(PURPOSE), 3600),
        provider_address=PROVIDER.address,
        chain_id=CHAIN_ID,
        require_typed=False,
        now=lambda: now[0],
        trail=trail,
    )
    supplier = AssetSupplier(catalogue, PROVIDER, fetcher, data_folder=folder / "files")
    access = Access(
        catalogue=catalogue,
        supplier=supplier,
        payments=Payments(chains, PROVIDER, now=lambda: now[0]),
        callers=callers,
        compute_downloaders=[DOWNLOADER.address.lower()],
        max_checksum_bytes=MAX_CHECKSUM_BYTES,
    )
    publishing = Publishing(
        key=PROVIDER, chains=chains, callers=callers, decrypters=decrypters, trail=trail
    )
    samples = Samples(catalogue=catalogue, supplier=supplier, trail=trail)
    return AssetApi(AssetSurroundings(access, publishing, chains, samples))


def _app(api: AssetApi, max_body: int) -> web.Application:
    app = web.Application(middlewares=[guard(render)], client_max_size=max_body)
    app.on_response_prepare.append(on_prepare)
    app[ASSET_API] = api
    for name in ("encrypt", "decrypt", "fileinfo", "initialize", "download"):
        method, path = ROUTES[name]
        app.router.add_route(method, path, asset_endpoint(name))
        if name in ASSET_HEAD:
            app.router.add_route("HEAD", path, asset_endpoint(name))
    return app

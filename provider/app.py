"""The composition root: everything is built here, inside one exit stack, and nowhere else.

Nothing happens at import. :func:`create_app` only wires routes; the parts come to life
when the application starts and end in reverse order when it stops. Containers are left
running: the next start adopts them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from aiohttp import web

from compute import environments as environments_file
from compute.engines.base import Engine
from compute.engines.docker import DockerEngine
from compute.environments import Environments
from compute.errors import ComputeError, EngineRefused
from compute.operator import Operator, operating
from compute.space import Space, best_space
from compute.store.base import Database
from compute.store.database import open_database
from compute.store.jobs import JobStore
from provider import preflight
from provider.access import Access
from provider.admission import Admission
from provider.assets.catalogue import Catalogue, FolderCatalogue
from provider.assets.chain_catalogue import IndexCatalogue
from provider.assets.encryption import encrypt
from provider.assets.fetch import Fetcher, FetchLimits
from provider.assets.index import AssetIndex
from provider.assets.joined_catalogue import JoinedCatalogue
from provider.assets.metadata_cache import CacheCatalogue, MetadataCache
from provider.assets.origins.contract import ChainContracts
from provider.assets.origins.http import Gateways
from provider.assets.remote import Remotes
from provider.assets.supplier import AssetSupplier
from provider.auth.caller import Callers
from provider.auth.nonces import Nonces
from provider.auth.revocations import Revocations
from provider.auth.sessions import Sessions
from provider.auth.shown import Shown
from provider.auth.tokens import PURPOSE, Tokens
from provider.chain.chains import Chains
from provider.chain.opened import open_chains
from provider.dialects import siblings
from provider.dialects.aquarius import routes as aquarius_routes
from provider.dialects.aquarius.routes import AQUARIUS_API, AquariusApi
from provider.dialects.ocean import routes as ocean_routes
from provider.dialects.ocean.asset_routes import ASSET_API, AssetApi, AssetSurroundings
from provider.dialects.ocean.envelopes import render
from provider.dialects.ocean.routes import OCEAN_API, OceanApi, Surroundings
from provider.dialects.shared import configured
from provider.dialects.shared.surroundings import SiblingSurroundings
from provider.elsewhere import OtherProviders
from provider.errors import SettingsInvalid
from provider.jobs import Jobs
from provider.listening import IDLE_S
from provider.middlewares import guard, on_prepare
from provider.migrations import VERSIONS
from provider.openapi import routes as openapi_routes
from provider.payments import Payments
from provider.publishing import Publishing
from provider.settings import Settings

log = logging.getLogger(__name__)

SETTINGS = web.AppKey("settings", Settings)
OPERATOR = web.AppKey("operator", Operator)
JOBS = web.AppKey("jobs", Jobs)

_PURGE_S = 3600.0

Clock = Callable[[], float]


def create_app(
    settings: Settings,
    *,
    engine: Engine | None = None,
    space: Space | None = None,
    clock: Clock = time.time,
) -> web.Application:
    """The whole service. ``engine``, ``space`` and ``clock`` replace the configured ones.

    Raises SettingsInvalid, EnvironmentsInvalid. Starting it may raise ComputeError
    (database in use).
    """
    preflight.check(settings)
    environments = environments_file.load(settings.environments_file)
    dialects = configured.load(settings.dialects_file, environments)
    _note_prices(environments, settings.chain_ids)
    app = web.Application(
        middlewares=[guard(render)],
        client_max_size=settings.max_body_bytes,
        handler_args={"auto_decompress": False, "keepalive_timeout": IDLE_S},
    )
    app[SETTINGS] = settings
    app.on_response_prepare.append(on_prepare)
    ocean_routes.add_routes(app)
    aquarius_routes.add_routes(app)
    openapi_routes.add_routes(app, dialects.sections(), settings.public_url)
    siblings.add_routes(app, dialects)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            around = await _build(app, stack, environments, engine=engine, space=space, clock=clock)
            await siblings.open_siblings(app, dialects, app[JOBS], around, stack)
            yield

    app.cleanup_ctx.append(parts)
    return app


def _note_prices(environments: Environments, chain_ids: Sequence[int]) -> None:
    """Say so where a price can never be asked: it looks as if the chain was forgotten."""
    for environment in environments.values():
        for chain_id in environment.prices.keys() - set(chain_ids):
            log.warning("price_unused environment=%s chain=%s", environment.id, chain_id)


async def _build(
    app: web.Application,
    stack: AsyncExitStack,
    environments: Environments,
    *,
    engine: Engine | None,
    space: Space | None,
    clock: Clock,
) -> SiblingSurroundings:
    settings = app[SETTINGS]
    key, data_dir = settings.key, settings.data_dir.absolute()
    chains = await open_chains(settings.chains, stack)
    database = await open_database(settings.database_url, migrations=[VERSIONS])
    stack.push_async_callback(database.close)
    fetcher = await stack.enter_async_context(_fetcher(settings))
    remotes = Remotes(fetcher, key)
    others = OtherProviders(remotes)
    index = AssetIndex(chains, database, key, ask=others.open_document, now=clock)
    await stack.enter_async_context(index)
    catalogue = await _catalogue(settings, chains, index, stack)
    supplier = AssetSupplier(
        catalogue,
        key,
        fetcher,
        data_folder=settings.files_dir,
        gateways=Gateways(settings.ipfs_gateway, settings.arweave_gateway),
        contracts=ChainContracts(chains),
        remotes=remotes,
        empty_trust_allows=settings.empty_trust_lists == "all",
    )
    operator = await stack.enter_async_context(
        operating(
            environments=environments,
            engine=engine or _docker(settings, data_dir),
            store=JobStore(database),
            supplier=supplier,
            space=space or await best_space(data_dir, settings.output_quota),
            data_dir=data_dir,
            secrets_dir=_secrets_dir(settings, data_dir),
            cache_bytes=settings.cache_bytes,
            clock=clock,
        )
    )
    callers, sessions = await _gate(settings, database, stack, clock)
    payments = Payments(chains, key, now=clock, elsewhere=others)
    jobs = Jobs(
        operator=operator,
        callers=callers,
        admission=Admission(
            catalogue,
            supplier,
            key,
            empty_trust_allows=settings.empty_trust_lists == "all",
            own_urls=[settings.public_url] if settings.public_url else [],
        ),
        payments=payments,
        seal=lambda text: encrypt(key.public_key, text.encode()),
        provider_address=key.address,
        require_signed_status=settings.require_signed_status,
    )
    app[OPERATOR], app[JOBS] = operator, jobs
    app[OCEAN_API] = OceanApi(
        Surroundings(
            jobs=jobs,
            callers=callers,
            sessions=sessions,
            operator=operator,
            key=key,
            chains=settings.chains,
            public_url=settings.public_url,
            now=clock,
        )
    )
    access = Access(
        catalogue=catalogue,
        supplier=supplier,
        payments=payments,
        callers=callers,
        compute_downloaders=settings.compute_downloaders,
        max_checksum_bytes=settings.max_checksum_bytes,
    )
    publishing = Publishing(
        key=key, chains=chains, callers=callers, decrypters=settings.authorized_decrypters
    )
    app[ASSET_API] = AssetApi(AssetSurroundings(access, publishing, chains))
    app[AQUARIUS_API] = AquariusApi(index, key)
    return SiblingSurroundings(
        database=database, uploads=data_dir / "uploads", data_dir=data_dir, key=key, now=clock
    )


async def _catalogue(
    settings: Settings, chains: Chains, index: AssetIndex, stack: AsyncExitStack
) -> Catalogue:
    """The operator's folder; beside it, where chains are followed, what is published there."""
    folder = FolderCatalogue(settings.assets_dir)
    folder.check()
    if not chains:
        return folder
    published: list[Catalogue] = [IndexCatalogue(index)]
    if settings.aquarius_url:
        cache = CacheCatalogue(MetadataCache(settings.aquarius_url), chains, settings.key)
        published.append(await stack.enter_async_context(cache))
    return JoinedCatalogue(folder, published)


async def _gate(
    settings: Settings, database: Database, stack: AsyncExitStack, clock: Clock
) -> tuple[Callers, Sessions]:
    """Who is asking: nonces, tokens, signatures."""
    tokens = Tokens(settings.key.derive(PURPOSE), settings.token_max_age_s)
    revocations = Revocations(database)
    nonces = Nonces(database)
    shown = Shown(nonces)
    stack.push_async_callback(shown.write)
    callers = Callers(
        nonces=nonces,
        shown=shown,
        revocations=revocations,
        tokens=tokens,
        provider_address=settings.key.address,
        chain_id=next(iter(settings.chain_ids), None),
        require_typed=settings.require_typed_signatures,
        now=clock,
    )
    purging = asyncio.create_task(_purge(revocations, clock), name="token janitor")
    stack.push_async_callback(_end, purging)
    sessions = Sessions(callers=callers, tokens=tokens, revocations=revocations, now=clock)
    return callers, sessions


async def _purge(revocations: Revocations, clock: Clock) -> None:
    """Forget revoked tokens that have expired."""
    while True:
        try:
            await revocations.purge(clock())
        except ComputeError as error:
            log.warning("token_purge_failed cause=%s", error.public)
        await asyncio.sleep(_PURGE_S)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _fetcher(settings: Settings) -> Fetcher:
    return Fetcher(
        allowed_networks=settings.allowed_private_networks,
        limits=FetchLimits(max_bytes=settings.max_input_bytes),
    )


def _secrets_dir(settings: Settings, data_dir: Path) -> Path:
    """A folder of this service's own in memory."""
    parent = settings.secrets_dir or Path("/dev/shm")  # noqa: S108 (the folder is made private)
    return parent.absolute() / f"ocean-compute-{_operator_id(data_dir)}"


def _docker(settings: Settings, data_dir: Path) -> Engine:
    try:
        return DockerEngine(base_url=settings.docker_host, operator_id=_operator_id(data_dir))
    except EngineRefused as error:
        raise SettingsInvalid(
            f"DOCKER_HOST: {error.public}; write unix:///path/to.sock or tcp://host:port"
        ) from None


def _operator_id(data_dir: Path) -> str:
    """The name that this service's containers carry. Kept with the data, so that a restart
    finds its own, and two services on one engine never touch each other's."""
    path = data_dir / "operator-id"
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        operator_id = secrets.token_hex(8)
        path.write_text(operator_id + "\n", encoding="ascii")
        return operator_id

"""The composition root: everything is built here, inside one exit stack, and nowhere else.

Nothing happens at import. :func:`create_app` only wires routes; the parts come to life
when the application starts and end in reverse order when it stops. Containers are left
running: the next start adopts them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
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
from provider import logs, preflight
from provider.admission import Admission
from provider.assets.catalogue import FolderCatalogue
from provider.assets.fetch import Fetcher, FetchLimits
from provider.assets.supplier import AssetSupplier
from provider.auth.caller import Callers
from provider.auth.nonces import Nonces
from provider.auth.revocations import Revocations
from provider.auth.sessions import Sessions
from provider.auth.shown import Shown
from provider.auth.tokens import PURPOSE, Tokens
from provider.dialects.ocean.envelopes import render
from provider.dialects.ocean.routes import OCEAN_API, OceanApi, Surroundings, add_routes
from provider.errors import ProviderError, SettingsInvalid
from provider.jobs import Jobs
from provider.listening import IDLE_S, Door, allow_many_files
from provider.middlewares import guard, on_prepare
from provider.migrations import VERSIONS
from provider.settings import Settings

log = logging.getLogger(__name__)

SETTINGS = web.AppKey("settings", Settings)
OPERATOR = web.AppKey("operator", Operator)
JOBS = web.AppKey("jobs", Jobs)

EXIT_BAD_SETTINGS = 2
CLOSING_S = 10.0
"""How long open downloads may go on once the service was told to end."""

GC_ALLOCATIONS = 20_000
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
    app = web.Application(
        middlewares=[guard(render)],
        client_max_size=settings.max_body_bytes,
        handler_args={"auto_decompress": False, "keepalive_timeout": IDLE_S},
    )
    app[SETTINGS] = settings
    app.on_response_prepare.append(on_prepare)
    add_routes(app)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await _build(app, stack, environments, engine=engine, space=space, clock=clock)
            yield

    app.cleanup_ctx.append(parts)
    return app


async def _build(
    app: web.Application,
    stack: AsyncExitStack,
    environments: Environments,
    *,
    engine: Engine | None,
    space: Space | None,
    clock: Clock,
) -> None:
    settings = app[SETTINGS]
    key, data_dir = settings.key, settings.data_dir.absolute()
    database = await open_database(settings.database_url, migrations=[VERSIONS])
    stack.push_async_callback(database.close)
    fetcher = await stack.enter_async_context(_fetcher(settings))
    catalogue = FolderCatalogue(settings.assets_dir)
    catalogue.check()
    supplier = AssetSupplier(catalogue, key, fetcher, data_folder=settings.files_dir)
    operator = await stack.enter_async_context(
        operating(
            environments=environments,
            engine=engine or _docker(settings, data_dir),
            store=JobStore(database),
            supplier=supplier,
            space=space or await best_space(data_dir, settings.output_quota),
            data_dir=data_dir,
            cache_bytes=settings.cache_bytes,
            clock=clock,
        )
    )
    callers, sessions = await _gate(settings, database, stack, clock)
    jobs = Jobs(
        operator=operator,
        callers=callers,
        admission=Admission(catalogue, supplier, key),
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
            chain_ids=settings.chain_ids,
            public_url=settings.public_url,
            now=clock,
        )
    )


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


def serve(settings: Settings) -> int:
    """Run the service until SIGTERM or SIGINT. Returns the exit code: 0, or 2 with one
    clear text on standard error when it cannot start."""
    logs.configure(settings.log_level, settings.log_format)
    try:
        app = create_app(settings)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(app, settings))
    except (ProviderError, ComputeError) as error:
        sys.stderr.write(f"ocean-compute cannot start: {error.public}\n")
        return EXIT_BAD_SETTINGS
    except OSError as error:
        sys.stderr.write(f"ocean-compute cannot start: {error.strerror or error}\n")
        return EXIT_BAD_SETTINGS
    return 0


async def _serve(app: web.Application, settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING_S)
    try:
        await runner.setup()
        most = min(settings.max_connections, allow_many_files() // 2)
        listening = await _listen(Door(runner.server, most), settings)
        host, port = listening.sockets[0].getsockname()[:2]
        address = settings.key.address
        _settle_memory()
        log.info("ready url=http://%s:%s address=%s", _in_url(host), port, address)
        await stopping.wait()
        log.info("stopping")
        listening.close()
    finally:
        await runner.cleanup()


async def _listen(door: Door, settings: Settings) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(door, settings.listen_host, settings.listen_port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "no such address"
        raise SettingsInvalid(
            f"LISTEN_HOST, LISTEN_PORT: {settings.listen_host}:{settings.listen_port} cannot be"
            f" listened on ({reason}); end what listens there, or write another port"
        ) from None


def _settle_memory() -> None:
    """What exists now stays: keep the collector from walking it again and again.

    Requests make few cycles, so it may also look less often; that is a tenth of what a
    short request costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: half again as many requests a second."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop

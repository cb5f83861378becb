"""The composition root: everything is built here, inside one exit stack, and nowhere else.

Nothing happens at import. :func:`create_app` only wires routes; the parts come to life
when the application starts and end in reverse order when it stops. Containers are left
running: the next start adopts them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

from aiohttp import web

from compute import environments as environments_file
from compute.engines.base import Engine
from compute.environments import Environments
from compute.errors import ComputeError
from compute.lease import Terms
from compute.operator import Operator
from compute.space import Space
from compute.store.base import Database
from provider import __version__, observing, preflight
from provider.access import Access
from provider.addresses import TRUSTED_PROXIES
from provider.admission import Admission
from provider.assets.encryption import encrypt
from provider.auditing.refusals import TRAIL
from provider.auth import shown_texts
from provider.auth.caller import Callers
from provider.auth.nonces import Nonces
from provider.auth.revocations import Revocations
from provider.auth.sessions import Sessions
from provider.auth.shown import Shown
from provider.auth.tokens import PURPOSE, Tokens
from provider.dialects import siblings
from provider.dialects.aquarius import routes as aquarius_routes
from provider.dialects.aquarius.routes import AQUARIUS_API, AquariusApi
from provider.dialects.ocean import routes as ocean_routes
from provider.dialects.ocean.asset_routes import ASSET_API, AssetApi, AssetSurroundings
from provider.dialects.ocean.envelopes import render
from provider.dialects.ocean.review_routes import REVIEW_API, ReviewApi
from provider.dialects.ocean.routes import OCEAN_API, OceanApi, Surroundings
from provider.dialects.shared import configured
from provider.dialects.shared.surroundings import SiblingSurroundings
from provider.ground import Clock, note_prices, open_ground
from provider.hangups import STOPPING, open_until_told
from provider.jobs import Jobs
from provider.limits import LIMITER, Limiter
from provider.listening import HANDLER_ARGS
from provider.metrics import Metrics
from provider.middlewares import guard, on_prepare
from provider.observing import OBSERVER
from provider.openapi import routes as openapi_routes
from provider.pace import LEAST_RATE
from provider.payments import Payments
from provider.publishing import Publishing
from provider.receipts.giving import Receipts
from provider.reviewing import Reviewing
from provider.samples import Samples
from provider.settings import Settings
from provider.sharing.leases import Leases

log = logging.getLogger(__name__)

SETTINGS = web.AppKey("settings", Settings)
METRICS = web.AppKey("metrics", Metrics)
OPERATOR = web.AppKey("operator", Operator)
JOBS = web.AppKey("jobs", Jobs)

_PURGE_S = 3600.0


def create_app(
    settings: Settings,
    *,
    engine: Engine | None = None,
    space: Space | None = None,
    clock: Clock = time.time,
    terms: Terms | None = None,
) -> web.Application:
    """The whole service. ``engine``, ``space`` and ``clock`` replace the configured ones;
    ``terms`` are those of the lease on jobs.

    Raises SettingsInvalid, EnvironmentsInvalid. Starting it may raise ComputeError
    (database in use).
    """
    preflight.check(settings)
    environments = environments_file.load(settings.environments_file)
    dialects = configured.load(settings.dialects_file, environments)
    note_prices(environments, settings.chain_ids)
    metrics = Metrics(environments, __version__)
    limiter = Limiter(
        per_address=settings.requests_per_address, per_wallet=settings.requests_per_wallet
    )
    app = web.Application(
        middlewares=[guard(render, metrics, limiter)],
        client_max_size=settings.max_body_bytes,
        handler_args=HANDLER_ARGS,
    )
    app[SETTINGS], app[METRICS] = settings, metrics
    app[LIMITER], app[LEAST_RATE] = limiter, settings.min_transfer_rate
    app[TRUSTED_PROXIES] = settings.trusted_proxies
    app.on_response_prepare.append(on_prepare)
    observing.add_routes(app, settings)
    ocean_routes.add_routes(app)
    aquarius_routes.add_routes(app)
    openapi_routes.add_routes(app, dialects.sections(), settings.public_url)
    siblings.add_routes(app, dialects)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            around = await _build(
                app, stack, environments, engine=engine, space=space, clock=clock, terms=terms
            )
            await siblings.open_siblings(app, dialects, app[JOBS], around, stack)
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
    terms: Terms | None,
) -> SiblingSurroundings:
    settings = app[SETTINGS]
    key, data_dir = settings.key, settings.data_dir.absolute()
    ground = await open_ground(
        settings,
        environments,
        stack,
        at_work=settings.operate,
        clock=clock,
        metrics=app[METRICS],
        draining=lambda: STOPPING in app and app[STOPPING].is_set(),
        engine=engine,
        space=space,
        terms=terms,
    )
    chains, database, operator = ground.chains, ground.database, ground.operator
    catalogue, supplier = ground.catalogue, ground.supplier
    trail = app[TRAIL] = ground.trail
    callers, sessions = await _gate(app, database, stack, clock, ground.leases)
    payments = Payments(chains, key, now=clock, elsewhere=ground.others)
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
        trail=trail,
        require_open=open_until_told(app, settings.drain_delay_s + settings.stop_grace_s),
    )
    app[OPERATOR], app[JOBS] = operator, jobs
    app[OBSERVER] = ground.observer
    app[METRICS].show("log_followers", "Clients that read logs of jobs.", jobs.log_followers)
    app[OCEAN_API] = OceanApi(
        Surroundings(
            jobs=jobs,
            callers=callers,
            sessions=sessions,
            operator=operator,
            key=key,
            receipts=Receipts(
                operator=operator,
                callers=callers,
                key=key,
                require_signature=settings.require_signed_status,
            ),
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
        key=key,
        chains=chains,
        callers=callers,
        decrypters=settings.authorized_decrypters,
        trail=trail,
    )
    app[REVIEW_API] = ReviewApi(Reviewing(operator, callers))
    samples = Samples(catalogue=catalogue, supplier=supplier, trail=trail)
    app[ASSET_API] = AssetApi(AssetSurroundings(access, publishing, chains, samples))
    app[AQUARIUS_API] = AquariusApi(ground.index, key)
    return SiblingSurroundings(
        database=database,
        uploads=data_dir / "uploads",
        data_dir=data_dir,
        key=key,
        now=clock,
        leases=ground.leases,
        trail=trail,
    )


async def _gate(
    app: web.Application,
    database: Database,
    stack: AsyncExitStack,
    clock: Clock,
    leases: Leases,
) -> tuple[Callers, Sessions]:
    """Who is asking: nonces, tokens, signatures."""
    settings = app[SETTINGS]
    tokens = Tokens(settings.key.derive(PURPOSE), settings.token_max_age_s)
    revocations = Revocations(database)
    nonces = Nonces(database)
    shown = shown_texts.shown(database, nonces, clock)
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
        trail=app[TRAIL],
        limit=app[LIMITER].admit_wallet,
        trace=app[LIMITER].left_a_trace,
    )
    purging = asyncio.create_task(_purge(revocations, shown, leases, clock), name="token janitor")
    stack.push_async_callback(_end, purging)
    sessions = Sessions(callers=callers, tokens=tokens, revocations=revocations, now=clock)
    return callers, sessions


async def _purge(revocations: Revocations, shown: Shown, leases: Leases, clock: Clock) -> None:
    """Forget revoked tokens that have expired, and what else is of no use any more."""
    while True:
        try:
            await revocations.purge(clock())
            await shown.tidy()
            await leases.purge()
        except ComputeError as error:
            log.warning("token_purge_failed cause=%s", error.public)
        await asyncio.sleep(_PURGE_S)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

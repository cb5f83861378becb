"""What whoever runs the service may ask it: ``/metrics``, ``/health/live``, ``/health/ready``.

Health is for load balancers and container engines, which cannot prove who they are: anybody
may ask, and learns the names of the parts and which of them are up. Figures tell how much
the service is used and by how many, so they are for this machine alone until the operator
says otherwise (METRICS), or moves them to an address that only his own network reaches
(METRICS_LISTEN). Processes that serve no API have nothing but that second address.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from sqlalchemy import Connection

from compute.errors import EngineUnavailable
from compute.operator import LEAST_FREE_BYTES, Operator
from compute.store import leases
from compute.store.base import Database
from compute.store.figures import Standing, standing, touch
from provider import listening
from provider.apikeys import KeyRing
from provider.assets.index import AssetIndex
from provider.chain.chains import Chains
from provider.dialects.shared.door import Door
from provider.errors import KeyWrong, NotAllowed, NotLocal, ProviderError, SettingsInvalid
from provider.health import Health, Look
from provider.metrics import Metrics, Seen
from provider.middlewares import guard
from provider.settings import Settings

log = logging.getLogger(__name__)

LIVE: Final = "/health/live"
READY: Final = "/health/ready"
METRICS: Final = "/metrics"

FIGURES_FRESH_S = 3.0
SLOW_FRESH_S = 15.0
"""How long what costs others something (a node of a chain, a walk through the cache) is good."""

PAUSE_S: Final = 0.2
"""Between two times that all figures are written out, which takes a processor some milliseconds:
those who ask meanwhile share the next time."""

MOST_WATCHERS: Final = 128
"""Connections that METRICS_LISTEN has at a time."""

LEAST_TOKEN = 16

_TOKEN_HINT = f"name a file with a token of {LEAST_TOKEN} or more printable letters, no blanks"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is looked at. ``operator`` is None in a process that does not work on jobs."""

    database: Database
    data_dir: Path
    operator: Operator | None
    chains: Chains
    index: AssetIndex | None
    draining: Callable[[], bool]
    now: Callable[[], float] = time.time


class Observer:
    """Answers for one process, from when it is made until :meth:`close`."""

    def __init__(self, metrics: Metrics, around: Surroundings) -> None:
        self.metrics = metrics
        self._index = around.index
        database, data_dir = around.database, around.data_dir
        self._shared = database.shared
        self._disk = Look(
            "disk",
            lambda: asyncio.to_thread(shutil.disk_usage, data_dir),
            good=lambda usage: usage.free >= LEAST_FREE_BYTES,
        )
        self._heads = {
            chain_id: Look(
                f"chain-{chain_id}", access.chain.head, needed=False, fresh_s=SLOW_FRESH_S
            )
            for chain_id, access in around.chains.items()
        }
        parts: list[Look[Any]] = [Look("store", lambda: database.write(touch))]
        if around.operator is not None:
            parts.append(Look("engine", partial(_engine, around.operator)))
            parts.append(Look("operator", partial(_at_work, metrics)))
        parts += [self._disk, *self._heads.values()]
        self.health = Health(parts, around.draining)
        self._figures = Look(
            "figures",
            lambda: database.read(partial(_figures, around.now(), database.shared)),
            fresh_s=FIGURES_FRESH_S,
        )
        self._cache = Look(
            "cache",
            lambda: asyncio.to_thread(_size_of, data_dir / "cache" / "contents"),
            fresh_s=SLOW_FRESH_S,
        )

        self._writing = asyncio.Lock()
        self._written_at = float("-inf")
        self._coming: dict[str, asyncio.Task[bytes]] = {}

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """All figures in the form that suits ``accept``, and its content type. They are not
        older than the question, and however many ask they are written out now and then only."""
        encode, content_type = choose_encoder(accept)
        coming = self._coming.get(content_type)
        if coming is None or coming.done():
            coming = asyncio.create_task(self._written(encode, content_type), name="figures")
            self._coming[content_type] = coming
        return await asyncio.shield(coming), content_type

    async def _written(self, encode: Callable[[Any], bytes], content_type: str) -> bytes:
        now = asyncio.get_running_loop().time
        async with self._writing:
            await asyncio.sleep(self._written_at + PAUSE_S - now())
            await asyncio.gather(self.health.look(), self._figures.look(), self._cache.look())
            # Who asks from here on gets what is written next.
            del self._coming[content_type]
            self.metrics.see(self._seen())
            try:
                return await asyncio.to_thread(encode, self.metrics.registry)
            finally:
                self._written_at = now()

    async def close(self) -> None:
        for coming in self._coming.values():
            coming.cancel()
        await asyncio.gather(self.health.close(), self._figures.close(), self._cache.close())

    def _seen(self) -> Seen:
        disk = self._disk.value
        figures = self._figures.value
        operators = figures.operators if figures is not None else None
        indexed = self._index.standing if self._index is not None else ()
        return Seen(
            at=figures.at if figures is not None else 0.0,
            standing=figures.standing if figures is not None else None,
            operators=operators if self._shared else int(self.metrics.at_work),
            parts={each.name: (each.up, each.answered_at) for each in self.health.parts},
            free_bytes=disk.free if disk is not None else None,
            size_bytes=disk.total if disk is not None else None,
            cache_bytes=self._cache.value,
            heads={id_: each.value for id_, each in self._heads.items() if each.value is not None},
            indexed={each.chain_id: each.block for each in indexed if each.block is not None},
            draining=self.health.draining(),
        )


async def _engine(operator: Operator) -> None:
    if not await operator.engine_answers():
        raise EngineUnavailable("The container engine does not answer")


async def _at_work(metrics: Metrics) -> None:
    if not metrics.at_work:
        raise EngineUnavailable("The loop that works on jobs has ended")


class _Figures(NamedTuple):
    """What the database tells. ``operators`` is None where this process has it alone."""

    at: float
    standing: list[Standing]
    operators: int | None


def _figures(now: float, shared: bool, connection: Connection) -> _Figures:
    operators = None
    if shared:
        operators = leases.living(connection, leases.now_of(connection, now))
    return _Figures(now, standing(connection, now), operators)


def _size_of(folder: Path) -> int:
    """Bytes of the files in a folder that others add to and take from meanwhile."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                total += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
    return total


OBSERVER = web.AppKey("observer", Observer)


class Gate:
    """Who may read the figures: ``reach`` is local, token or all. ``digest`` is the SHA-256 of
    the token."""

    def __init__(self, reach: str, digest: bytes = b"") -> None:
        self._reach = reach
        self._digest = digest
        self._door = Door("metrics", KeyRing({}), everyone=reach == "all")

    async def admit(self, request: web.Request) -> None:
        """Raises KeyWrong, NotAllowed."""
        if self._reach == "token":
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            shown = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
            if scheme.lower() != "bearer" or not hmac.compare_digest(shown, self._digest):
                raise KeyWrong
            return
        try:
            await self._door.admit(request)
        except NotLocal:
            raise NotAllowed(
                "Figures are shown only to clients on this machine that speak to the service"
                " directly. METRICS and METRICS_LISTEN in its configuration change that."
            ) from None


def gate_of(settings: Settings) -> Gate | None:
    """None where no figures are shown. Raises SettingsInvalid."""
    reach = settings.metrics or ("all" if settings.metrics_listen else "local")
    path = settings.metrics_token_file
    if (reach == "token") != (path is not None):
        raise SettingsInvalid(
            f"METRICS_TOKEN_FILE: with METRICS=token, and only then, {_TOKEN_HINT}"
        )
    if path is None:
        return None if reach == "off" else Gate(reach)
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise SettingsInvalid(f"METRICS_TOKEN_FILE: {path} cannot be read; {_TOKEN_HINT}") from None
    if len(token) < LEAST_TOKEN or not token.isprintable() or " " in token:
        raise SettingsInvalid(f"METRICS_TOKEN_FILE: {path} holds no good token; {_TOKEN_HINT}")
    return Gate(reach, hashlib.sha256(token.encode()).digest())


def add_routes(app: web.Application, settings: Settings) -> None:
    """Register the routes of the service's own address; figures only where they have no
    address of their own. They find their observer under OBSERVER. Raises SettingsInvalid."""
    gate = gate_of(settings)
    _add_health(app)
    if gate is not None and settings.metrics_listen is None:
        _add_figures(app, gate)


@asynccontextmanager
async def observed(
    settings: Settings, metrics: Metrics, around: Surroundings
) -> AsyncIterator[Observer]:
    """An observer, which also answers on the address of METRICS_LISTEN, if there is one.

    Raises SettingsInvalid when that cannot be listened on.
    """
    observer = Observer(metrics, around)
    try:
        async with _listening(settings, observer):
            yield observer
    finally:
        await observer.close()


@asynccontextmanager
async def _listening(settings: Settings, observer: Observer) -> AsyncIterator[None]:
    if settings.metrics_listen is None:
        yield
        return
    app = web.Application(
        middlewares=[guard(_refusal)],
        client_max_size=1024,
        handler_args=listening.HANDLER_ARGS,
    )
    app[OBSERVER] = observer
    _add_health(app)
    gate = gate_of(settings)
    if gate is not None:
        _add_figures(app, gate)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        host, port = settings.metrics_listen
        entrance = listening.Door(runner.server, MOST_WATCHERS, most_of_one=MOST_WATCHERS // 4)
        try:
            server = await asyncio.get_running_loop().create_server(entrance, host, port)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "no such address"
            raise SettingsInvalid(
                f"METRICS_LISTEN: {host}:{port} cannot be listened on ({reason}); end what"
                " listens there, or write another address"
            ) from None
        log.info("observable host=%s port=%s", *server.sockets[0].getsockname()[:2])
        try:
            yield
        finally:
            server.close()
    finally:
        await runner.cleanup()


def _add_health(app: web.Application) -> None:
    app.router.add_get(LIVE, _live)
    app.router.add_get(READY, _ready)


def _add_figures(app: web.Application, gate: Gate) -> None:
    async def figures(request: web.Request) -> web.Response:
        await gate.admit(request)
        accept = request.headers.get("Accept", "")
        body, content_type = await request.app[OBSERVER].exposition(accept)
        return web.Response(body=body, headers={"Content-Type": content_type})

    app.router.add_get(METRICS, figures)


async def _live(request: web.Request) -> web.Response:
    return web.json_response({"status": "live"}, headers=_UNKEPT)


async def _ready(request: web.Request) -> web.Response:
    found = await request.app[OBSERVER].health.ready()
    status = 200 if found.takes_requests else 503
    document = {"status": found.status, "parts": found.parts}
    return web.json_response(document, status=status, headers=_UNKEPT)


_UNKEPT = {"Cache-Control": "no-store"}


def _refusal(error: Exception) -> web.Response | None:
    if isinstance(error, ProviderError):
        return web.json_response({"error": error.public}, status=error.status)
    if isinstance(error, web.HTTPException):
        return web.json_response({"error": error.reason}, status=error.status)
    return None

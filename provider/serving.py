"""Running the application: one process, its socket, its signals, its end.

How it ends is told in :mod:`provider.stopping`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from compute.engines.base import Engine
from compute.errors import ComputeError
from compute.lease import Terms
from provider import logs
from provider.app import METRICS, create_app
from provider.errors import ProviderError, SettingsInvalid
from provider.hangups import STOPPING
from provider.listening import Door, allow_many_files
from provider.memory import settle_memory
from provider.pace import Watch, cut
from provider.settings import Settings
from provider.stopping import Stopping

log = logging.getLogger(__name__)

EXIT_BAD_SETTINGS = 2
CUT_S = 0.5
"""For answers that were cut off to take notice."""

DEAF_S = 60
"""How long a client may take nothing of what was sent to it."""


def serve(settings: Settings, *, terms: Terms | None = None, engine: Engine | None = None) -> int:
    """Run the service until SIGTERM or SIGINT, on ``engine`` instead of the configured one
    where it is given. Returns the exit code: 0, or 2 with one clear text on standard error
    when it cannot start."""
    logs.configure(settings.log_level, settings.log_format)
    try:
        app = create_app(settings, terms=terms, engine=engine)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(app, settings))
    except (ProviderError, ComputeError) as error:
        sys.stderr.write(f"ocean-compute cannot start: {error.public}\n")
        return EXIT_BAD_SETTINGS
    except OSError as error:
        sys.stderr.write(f"ocean-compute cannot start: {error.strerror or error}\n")
        return EXIT_BAD_SETTINGS
    return 0


async def _serve(app: web.Application, settings: Settings) -> None:
    stopping = Stopping(settings.drain_delay_s, settings.stop_grace_s)
    app[STOPPING] = stopping.begun
    stopping.listen()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CUT_S)
    try:
        await runner.setup()
        server = _of(runner)
        most = min(settings.max_connections, allow_many_files() // 2)
        door = Door(
            server,
            most,
            most_of_one=settings.max_connections_per_address,
            trusted=settings.trusted_proxies,
        )
        app[METRICS].show("connections_open", "Connections of clients that are open.", door.inside)
        listening = await _listen(door, settings)
        host, port = listening.sockets[0].getsockname()[:2]
        address = settings.key.address
        settle_memory()
        log.info("ready url=http://%s:%s address=%s", _in_url(host), port, address)
        async with _watched(server, settings.min_transfer_rate):
            await stopping.begun.wait()
            log.info("stopping drain_s=%s grace_s=%s", stopping.drain_s, stopping.grace_s)
            await asyncio.sleep(stopping.drain_s)
            listening.close()
            await _end_answers(server, stopping.answers_s)
    finally:
        await runner.cleanup()
        stopping.closed()
    log.info("stopped")


def _of(runner: web.AppRunner) -> web.Server:
    if runner.server is None:
        raise RuntimeError("the runner is not set up")
    return runner.server


async def _end_answers(server: web.Server, seconds: float) -> None:
    """Let open answers come to their end; cut off what has not by then. aiohttp gives each
    the time twice, before it is cut off and after.

    A connection whose client takes nothing is not closed by closing it: what is sent to it
    has to be taken first. It would be waited for once more when the parts close, whose time
    that is."""
    server.pre_shutdown()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + CUT_S):
            await server.shutdown(seconds)
    for connection in server.connections:
        if connection.transport is not None:
            cut(connection.transport)


@asynccontextmanager
async def _watched(server: web.Server, least_rate: int) -> AsyncIterator[None]:
    watching = asyncio.create_task(Watch(server, least_rate).run(), name="watch of pace")
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _listen(door: Door, settings: Settings) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(door, settings.listen_host, settings.listen_port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "no such address"
        raise SettingsInvalid(
            f"LISTEN_HOST, LISTEN_PORT: {settings.listen_host}:{settings.listen_port} cannot be"
            f" listened on ({reason}); end what listens there, or write another port"
        ) from None
    for listening in server.sockets:
        _cut_the_deaf(listening)
    return server


def _cut_the_deaf(listening: socket.socket) -> None:
    """Have the kernel end connections, which inherit this, whose clients take nothing: an
    answer stays in memory until it is taken."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAF_S * 1000)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed: half again as many requests a second."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop

"""The role that operates jobs and serves nobody: one process, its signals, its end.

It shares DATABASE_URL, DATA_DIR and, with others on its machine, the engine. SIGTERM and
SIGINT end it (:mod:`provider.stopping`); containers go on, and its jobs are another process's at
once, or its own after the next start.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import AsyncExitStack

from compute import environments as environments_file
from compute.environments import Environments
from compute.errors import ComputeError
from compute.lease import Terms
from provider import __version__, logs, observing, preflight
from provider.errors import ProviderError, SettingsInvalid
from provider.ground import open_ground
from provider.listening import allow_many_files
from provider.memory import settle_memory
from provider.metrics import Metrics
from provider.serving import EXIT_BAD_SETTINGS, loop_factory
from provider.settings import Settings
from provider.stopping import Stopping

log = logging.getLogger(__name__)


def operate(settings: Settings, *, terms: Terms | None = None) -> int:
    """Operate jobs until SIGTERM or SIGINT. Returns the exit code: 0, or 2 with one clear
    text on standard error when it cannot start."""
    logs.configure(settings.log_level, settings.log_format)
    try:
        _require_shared(settings)
        preflight.check(settings)
        observing.gate_of(settings)
        environments = environments_file.load(settings.environments_file)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_operate(settings, environments, terms))
    except (ProviderError, ComputeError) as error:
        sys.stderr.write(f"ocean-compute cannot start: {error.public}\n")
        return EXIT_BAD_SETTINGS
    except OSError as error:
        sys.stderr.write(f"ocean-compute cannot start: {error.strerror or error}\n")
        return EXIT_BAD_SETTINGS
    return 0


def _require_shared(settings: Settings) -> None:
    if not settings.database_is_shared:
        raise SettingsInvalid(
            "DATABASE_URL: a SQLite file is one process's own; name a PostgreSQL database,"
            " or run `ocean-compute serve` alone, which operates jobs itself"
        )


async def _operate(settings: Settings, environments: Environments, terms: Terms | None) -> None:
    stopping = Stopping(0.0, settings.stop_grace_s)
    stopping.listen()
    allow_many_files()
    async with AsyncExitStack() as stack:
        await open_ground(
            settings,
            environments,
            stack,
            at_work=True,
            clock=time.time,
            metrics=Metrics(environments, __version__),
            draining=stopping.begun.is_set,
            terms=terms,
        )
        settle_memory()
        log.info("operating address=%s", settings.key.address)
        await stopping.begun.wait()
        log.info("stopping grace_s=%s", stopping.grace_s)
    stopping.closed()
    log.info("stopped")

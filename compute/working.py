"""The part of an operator that carries wishes out: its loop, its lease, its janitor.

Several processes may be at work over one database. What one of them finds in the shared
folders at its start may be another's that has just been made, so only what is old is swept
there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from compute.cache import InputCache
from compute.engines.base import Engine
from compute.environments import Environments
from compute.errors import ComputeError
from compute.lease import Lease, Terms
from compute.metrics import Recorder
from compute.reconciler import Limits, Reconciler, environment_of
from compute.space import Space
from compute.staging import Stager
from compute.status import Goal
from compute.steps import Steps
from compute.store.jobs import JobStore
from compute.supply import InputSupplier
from compute.sweeping import Sweeper
from compute.vault import Vault
from compute.workplace import Workplace

log = logging.getLogger(__name__)

_BREATH_S = 0.5
"""Between two lots of jobs whose retention is over: deleting them is not urgent."""


@contextlib.asynccontextmanager
async def working(
    *,
    environments: Environments,
    engine: Engine,
    store: JobStore,
    supplier: InputSupplier,
    space: Space,
    data_dir: Path,
    vault: Vault,
    cache: InputCache,
    clock: Callable[[], float],
    limits: Limits,
    terms: Terms | None,
    recorder: Recorder,
) -> AsyncIterator[None]:
    """Work while this is open. ``engine`` is connected already."""
    alone = not store.shared
    cache.open(alone=alone)
    workplace = Workplace(
        environments=environments, engine=engine, store=store, data_dir=data_dir, clock=clock
    )
    lease = Lease(
        store, machine=workplace.machine, clock=clock, terms=terms, environments=[*environments]
    )
    sweeper = Sweeper(store=store, space=space, vault=vault, data_dir=data_dir)
    steps = Steps(
        engine=engine,
        store=store,
        stager=Stager(supplier, cache),
        space=space,
        vault=vault,
        data_dir=data_dir,
        clock=clock,
        environment_of=lambda job: environment_of(environments, job),
    )
    reconciler = Reconciler(
        environments=environments,
        engine=engine,
        store=store,
        space=space,
        steps=steps,
        lease=lease,
        workplace=workplace,
        limits=limits,
        clock=clock,
    )
    tasks: list[asyncio.Task[None]] = []
    stop_hearing = store.hear(reconciler.hear)
    try:
        await workplace.open()
        await lease.take()
        await sweeper.sweep(alone=alone)
        await reconciler.resume()
        for name, work in (
            ("reconciler", reconciler.run()),
            ("lease", lease.keep(reconciler.taken)),
            ("janitor", _janitor(store, workplace, clock, limits.janitor_s)),
        ):
            tasks.append(asyncio.create_task(work, name=name))
        recorder.operating(True)
        tasks[0].add_done_callback(lambda _: recorder.operating(False))
        yield
    finally:
        stop_hearing()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await lease.give_back()
        await vault.close()


async def _janitor(
    store: JobStore, workplace: Workplace, clock: Callable[[], float], interval_s: float
) -> None:
    """Delete jobs whose retention is over; say that the machine is there still."""
    while True:
        try:
            await workplace.show()
            while expired := [job.id for job in await store.expired(clock())]:
                await store.wish_all(expired, Goal.DELETE, now=clock())
                for job_id in expired:
                    log.info("job_expired job=%s", job_id)
                await asyncio.sleep(_BREATH_S)
        except ComputeError as error:
            log.warning("janitor_failed cause=%s", error.public)
        except Exception:
            log.exception("janitor_failed")
        await asyncio.sleep(interval_s)

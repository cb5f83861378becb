"""A process's right to work on its jobs, and what becomes of them when it ends.

A job belongs to the process that claimed it. Where several operate jobs over one database,
each renews a lease there; when it lapses, another process of the same machine takes the
jobs over, and finds their containers by name. Nobody acts on a job after its own lease has
ended: that is judged by a clock that no one sets, counted from before the renewal, with some
seconds kept back for an act that has begun. Every move is besides only made while the row
still names its owner (:meth:`compute.store.jobs.JobStore.move`).

Alone, with a database that nobody else may open, there is nobody to take anything over, and
all that is found belonged to an earlier life.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from compute.errors import ComputeError
from compute.models import Job
from compute.store.jobs import JobStore
from compute.store.leases import Holder

log = logging.getLogger(__name__)

Machine = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds: how long a lease holds, how often it is renewed, and how long before its end
    nothing more is begun."""

    lease_s: float = 10.0
    renew_s: float = 2.5
    kept_back_s: float = 3.0


class Lease:
    """Of one operator process, under an ``operator`` name of its own."""

    def __init__(
        self,
        store: JobStore,
        *,
        machine: Machine,
        clock: Callable[[], float],
        terms: Terms | None = None,
        environments: Collection[str] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environments = frozenset(environments)
        self.operator = uuid.uuid4().hex[:16]
        self._store = store
        self._machine = machine
        self._clock = clock
        self._terms = terms or Terms()
        self._monotonic = monotonic
        self._alone = not store.shared
        self._since = self._until = float("-inf")

    @property
    def held(self) -> bool:
        """True while nobody else may have taken this process's jobs."""
        return self._alone or self._monotonic() < self._until

    def tenure(self) -> Callable[[], bool]:
        """What tells whether the lease has been held without a break since now."""
        began = self._since
        return lambda: self.held and self._since == began

    async def take(self) -> Sequence[Job]:
        """Get the lease; the jobs that came with it, from processes that have ended. Raises
        StoreUnavailable."""
        await self._renew()
        return await self._take_over()

    async def keep(self, taken: Callable[[Sequence[Job]], None]) -> None:
        """Renew it until cancelled; tell ``taken`` which jobs of others came to this process."""
        if self._alone:
            return
        while True:
            await asyncio.sleep(self._terms.renew_s)
            try:
                await self._renew()
                # Who comes back after an outage lets the others come back, too.
                if self._monotonic() - self._since >= self._terms.lease_s:
                    taken(await self._take_over())
            except ComputeError as error:
                log.warning("lease_not_renewed operator=%s cause=%s", self.operator, error.public)
            except Exception:
                log.exception("lease_not_renewed operator=%s", self.operator)

    async def give_back(self) -> None:
        """End it, so that others can go on at once. Takes no longer than it would last."""
        if self._alone:
            return
        self._until = float("-inf")
        try:
            async with asyncio.timeout(self._terms.lease_s):
                await self._store.tenants.give_back(self.operator)
        except TimeoutError:
            log.warning("lease_not_given_back operator=%s cause=timeout", self.operator)
        except ComputeError as error:
            log.warning("lease_not_given_back operator=%s cause=%s", self.operator, error.public)

    async def _renew(self) -> None:
        begun = self._monotonic()
        machine = await self._machine_if_known()
        lease_s = self._terms.lease_s
        holder = self._holder(machine)
        had = await self._store.tenants.renew(holder, now=self._clock(), term_s=lease_s)
        if not had or begun >= self._until:
            self._since = begun
            log.info("lease_taken operator=%s machine=%s", self.operator, machine or "unknown")
        self._until = begun + lease_s - self._terms.kept_back_s

    async def _take_over(self) -> Sequence[Job]:
        machine = await self._machine_if_known()
        if not machine and not self._alone:
            return ()
        holder = self._holder("" if self._alone else machine)
        taken = await self._store.take_over(holder, now=self._clock(), alone=self._alone)
        for job in taken:
            log.info("job_taken_over job=%s operator=%s phase=%s", job.id, self.operator, job.phase)
        return taken

    async def known_to_others(self, environment: str) -> bool:
        """True when another living process was started with this environment. Raises
        StoreUnavailable."""
        if self._alone:
            return False
        others = await self._store.tenants.known_to_others(self._holder(""), now=self._clock())
        return environment in others

    def _holder(self, machine: str) -> Holder:
        return Holder(self.operator, machine, self._environments)

    async def _machine_if_known(self) -> str:
        """Empty while the engine does not say who it is: no container can be looked for then."""
        try:
            return await self._machine()
        except ComputeError:
            return ""

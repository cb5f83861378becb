"""The machine that the operator works on.

Which one it is and how much there is of it, only the engine knows; while it has not told,
nothing is started, and jobs wait in the queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from compute import capacity
from compute.engines.base import Engine
from compute.environments import Environments
from compute.errors import EngineUnavailable
from compute.store.claims import Claim
from compute.store.jobs import JobStore

log = logging.getLogger(__name__)

_PATIENCE_S = 5.0
"""How long a start waits for the engine's word."""


class Workplace:
    """What can be claimed here."""

    def __init__(
        self,
        *,
        environments: Environments,
        engine: Engine,
        store: JobStore,
        data_dir: Path,
        clock: Callable[[], float],
    ) -> None:
        self._environments = environments
        self._engine = engine
        self._store = store
        self._data_dir = data_dir
        self._clock = clock
        self._claim: Claim | None = None

    async def open(self) -> None:
        """Ask the engine, if it answers by now. Raises EnvironmentsInvalid when an environment
        cannot fit the machine."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                claim = await self._learn()
        except (EngineUnavailable, TimeoutError):
            log.warning("machine_unknown cause=engine_silent")
            return
        capacity.check(self._environments, claim.capacity)
        await self._settle(claim)

    async def claim(self) -> Claim:
        """What an operator may start here. Raises EngineUnavailable while that is unknown."""
        if self._claim is None:
            claim = await self._learn()
            for fault in capacity.faults(self._environments, claim.capacity):
                log.warning("environment_does_not_fit cause=%s", fault)
            await self._settle(claim)
            return claim
        return self._claim

    async def machine(self) -> str:
        """Which one it is, without asking. Raises EngineUnavailable while that is unknown."""
        if self._claim is None:
            raise EngineUnavailable("The container engine has not said yet which machine it is")
        return self._claim.machine

    async def _learn(self) -> Claim:
        machine = await self._engine.machine()
        return await asyncio.to_thread(
            capacity.claim_on, machine, self._environments, self._data_dir
        )

    async def _settle(self, claim: Claim) -> None:
        capacity.tell(claim)
        await self._store.settle(claim, now=self._clock())
        self._claim = claim

    async def show(self) -> None:
        """Say that this machine is there still."""
        if self._claim is not None:
            await self._store.present(self._claim, now=self._clock())

"""What queued jobs wait for, told to whoever asks.

A look at an environment's queue costs what the queue holds, and clients poll. So a look is
kept, twenty times as long as it took, from a twentieth of a second to five: small queues are
told as they are, and large ones cost little of one reader's time, however many ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from compute import capacity
from compute.decide import latest_end, queue_end
from compute.environments import Environment, Environments
from compute.fairness import Reason, Room, Waiting, explain, positions, roomiest
from compute.models import Job
from compute.status import Goal, Phase
from compute.store.jobs import JobStore
from compute.store.surveys import Survey, less_kept

_LEAST_S = 0.05
_MOST_S = 5.0
_TIMES = 20


@dataclass(slots=True)
class _Look:
    """One look at an environment's queue and what was made of it. ``until`` is on the
    monotonic clock."""

    survey: Survey
    room: Room
    places: dict[str, tuple[int, bool]]
    until: float
    told: dict[str, Waiting] = field(default_factory=dict)


class Queues:
    """The queues of all environments."""

    def __init__(
        self, *, environments: Environments, store: JobStore, clock: Callable[[], float]
    ) -> None:
        self._environments = environments
        self._shares = capacity.shares_of(environments)
        self._store = store
        self._clock = clock
        self._looks: dict[str, _Look] = {}
        self._looking = {name: asyncio.Lock() for name in environments}

    async def waiting(self, jobs: Iterable[Job]) -> dict[str, Waiting]:
        """By id what the queued ones of ``jobs`` wait for. One that has left the queue
        meanwhile, or is to stop, or has only just come, may be missing."""
        found: dict[str, Waiting] = {}
        for job in jobs:
            is_waiting = job.phase is Phase.QUEUED and job.goal is Goal.RUN
            if is_waiting and job.environment in self._environments:
                look = await self._look(job.environment)
                told = look.told.get(job.id) or self._tell(look, job)
                if told is not None:
                    found[job.id] = look.told[job.id] = told
        return found

    def _tell(self, look: _Look, job: Job) -> Waiting | None:
        ends_at = queue_end(job, self._environments[job.environment])
        if job.id in look.survey.delayed:
            until = look.survey.delayed[job.id]
            return Waiting(Reason.DELAY, None, until=until, wait_ends_at=ends_at)
        place = look.places.get(job.id)
        return None if place is None else replace(explain(place, look.room), wait_ends_at=ends_at)

    async def _look(self, name: str) -> _Look:
        async with self._looking[name]:
            look = self._looks.get(name)
            begun = time.monotonic()
            if look is None or look.until <= begun:
                look = await self._look_anew(self._environments[name])
                took = time.monotonic() - begun
                look.until = begun + took + min(_MOST_S, max(_LEAST_S, _TIMES * took))
                self._looks[name] = look
            return look

    async def _look_anew(self, environment: Environment) -> _Look:
        share = self._shares[environment.id]
        survey = await self._store.survey(environment.id, share, now=self._clock())
        needs = {name: other.needs for name, other in self._shares.items()}
        ends = [latest_end(job, environment) for job in survey.running]
        room = Room(
            places=survey.places,
            needs=share.needs,
            free=roomiest(share.needs, less_kept(survey, needs)),
            frees_by=min((end for end in ends if end is not None), default=None),
        )
        return _Look(survey, room, positions(survey.turns), until=0.0)

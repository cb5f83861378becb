"""The loop: take a job, look, decide, act, store.

Workers take due jobs from one queue. Each look asks :func:`compute.decide.next_step` for
one step, the matching method of :class:`compute.steps.Steps` carries it out and stores
the move, and the job is looked at again until it rests. The only broad except of this
package is here: what was not foreseen is logged, counted against the phase and tried again
with backoff, a bounded number of times. An engine that does not answer is waited for
without end, since nothing is known then.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from compute import tenure
from compute.context import about
from compute.decide import (
    MOST_TRIES,
    Kill,
    Launch,
    PrepareImage,
    Provision,
    Rest,
    Step,
    gives_up,
    next_step,
    queue_end,
)
from compute.engines.base import GONE, ContainerState, Engine, Observation
from compute.environments import Environment, Environments
from compute.errors import (
    ComputeError,
    EngineFault,
    EngineUnavailable,
    MoveLost,
    StoreUnavailable,
    UnknownJob,
    VolumeFailed,
)
from compute.layout import container_name, filter_name
from compute.lease import Lease
from compute.models import Job, Unfinished
from compute.patience import is_final, most_tries, reason_of
from compute.space import Space
from compute.status import ACTIVE, Goal, Phase
from compute.steps import Steps
from compute.store.claims import MOST_AT_ONCE
from compute.store.jobs import JobStore
from compute.store.news import Event, News
from compute.workplace import Workplace
from compute.workqueue import WorkQueue, backoff_s

log = logging.getLogger(__name__)

_CLAIM = "claim"
"""What is put on the queue to have free places filled; no job has such an id."""

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_TRIES_TOLD = 20
"""Failed tries of a phase that the history tells; what fails for days must not fill it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the operator is. Counts are tries of one phase, times are seconds.

    ``fault_s`` is the pause after the first try that counts, ``first_backoff_s`` the one after
    an answer that did not come; both double up to ``most_backoff_s``. ``look_s`` is the slow
    poll that backs up the engine's events, ``watch_s`` the look at an output space that nothing
    else bounds.
    """

    tries: int = MOST_TRIES
    fault_s: float = 2.0
    look_s: float = 20.0
    watch_s: float = 1.0
    first_backoff_s: float = 0.5
    most_backoff_s: float = 30.0
    store_retry_s: float = 2.0
    janitor_s: float = 60.0
    most_workers: int = 256


class Reconciler:
    """Brings each job to where its goal wants it."""

    def __init__(
        self,
        *,
        environments: Environments,
        engine: Engine,
        store: JobStore,
        space: Space,
        steps: Steps,
        lease: Lease,
        workplace: Workplace,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._lease = lease
        self._workplace = workplace
        self._environments = environments
        self._engine = engine
        self._store = store
        self._space = space
        self._steps = steps
        self._limits = limits
        self._clock = clock
        self._queue = WorkQueue()
        self._acting: dict[str, asyncio.Task[Job]] = {}
        self._unanswered: Counter[str] = Counter()
        self._lost = asyncio.Event()

    # what wakes it

    def hear(self, news: News) -> None:
        """Something has happened to a job, here or in another process."""
        if news.event is Event.QUEUED:
            job = self._store.recall(news.job_id)
            self.fill()
            if job is not None:
                self.queued(job)
            else:
                self.wake(news.job_id)
        elif news.event is Event.WISHED:
            self.interrupt(news.job_id)
        elif news.event is Event.HELD:
            # Each process looks when the time for reviews is over: the one that held it may be
            # gone by then.
            self.fill()
            self.wake(news.job_id)
        elif news.event is Event.ENDED:
            self.fill()
        elif news.event is Event.MISSED:
            self._lost.set()

    def wake(self, job_id: str) -> None:
        """Look at this job now."""
        self._queue.put(job_id)

    def fill(self) -> None:
        """Start queued jobs wherever there is room for them."""
        self._queue.put(_CLAIM)

    def queued(self, job: Job | Unfinished) -> None:
        """A job has entered the queue: try to place it, and look when its wait is over."""
        environment, now = environment_of(self._environments, job), self._clock()
        due = queue_end(job, environment)
        self._queue.put_in(job.id, (min(due, job.retry_at) if job.retry_at > now else due) - now)
        self.fill()

    def interrupt(self, job_id: str) -> None:
        """A wish has changed: give up what can be given up, then look at the job."""
        act = self._acting.get(job_id)
        if act is not None:
            act.cancel()
        self._queue.put(job_id)

    async def run(self) -> None:
        """Work until cancelled."""
        places = sum(environment.maxJobs for environment in self._environments.values())
        workers = min(places + 4, self._limits.most_workers)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work())
                group.create_task(self._listen())
                group.create_task(self._catch_up())
        finally:
            self._queue.close()

    async def resume(self, *, queued: bool = True) -> None:
        """Put everything unfinished on the queue: after a start, and when news was lost. Only
        what the engine may know of, unless ``queued``."""
        for job in await self._store.backlog.unfinished(queued=queued):
            if not self._may_have(job):
                continue
            if job.phase is Phase.QUEUED:
                self.queued(job)
            if job.phase is not Phase.QUEUED or job.goal is not Goal.RUN or not self._knows(job):
                self.wake(job.id)
        self.fill()

    def taken(self, jobs: Sequence[Job]) -> None:
        """These jobs have come to this process from another."""
        for job in jobs:
            self.wake(job.id)

    # the loop

    async def _catch_up(self) -> None:
        """Look at all where news may have been missed."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            try:
                await self.resume()
            except StoreUnavailable:
                self._lost.set()
                await asyncio.sleep(self._limits.store_retry_s)

    async def _listen(self) -> None:
        """Wake jobs as their containers exit; look at all after each (re)connection."""
        while True:
            try:
                async for job_id in self._engine.events():
                    if job_id:
                        self.wake(job_id)
                    else:
                        await self._steps.sweep_containers()
                        await self.resume(queued=False)
            except EngineUnavailable:
                log.warning("engine_silent")
            except Exception:
                log.exception("engine_events_failed")
            await asyncio.sleep(self._limits.first_backoff_s)

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                if key == _CLAIM:
                    await self._claim()
                else:
                    with about(key):
                        await self._reconcile(key)
            except StoreUnavailable as error:
                log.warning("store_silent key=%s cause=%s", key, error.public)
                self._queue.put_in(key, self._limits.store_retry_s)
            except Exception:
                log.exception("reconcile_failed key=%s", key)
                self._queue.put_in(key, self._limits.most_backoff_s)
            finally:
                self._queue.done(key)

    async def _claim(self) -> None:
        if not self._lease.held:
            self._queue.put_in(_CLAIM, self._limits.store_retry_s)
            return
        try:
            claim = await self._workplace.claim()
        except EngineUnavailable:
            self._queue.put_in(_CLAIM, self._limits.first_backoff_s)
            return
        claim = replace(claim, operator=self._lease.operator)
        claimed = await self._store.claim(claim, now=self._clock())
        for job in claimed:
            self._queue.put(job.id)
        if len(claimed) >= MOST_AT_ONCE:
            self.fill()

    async def _reconcile(self, job_id: str) -> None:
        """Steps until the job rests. Each round starts from the row as it is."""
        last: Step | None = None
        while True:
            # Before the row is read: it says whose the job is under this tenure.
            with tenure.under(self._lease.tenure()):
                try:
                    job = await self._store.get(job_id)
                except UnknownJob:
                    return
                if not self._may_have(job):
                    return
                if await self._is_for_others(job):
                    self._queue.put_in(job_id, self._limits.look_s)
                    return
                try:
                    last = await self._round(job, last)
                except MoveLost:
                    # What the last step knew to be so is not known any more.
                    last = None
                    continue
                except Exception as error:
                    await self._hindered(job, error)
                    return
                if last is None:
                    return

    async def _round(self, job: Job, last: Step | None) -> Step | None:
        """Take one step after the ``last`` one; None when the job rests."""
        step = await self._decide(job, last)
        if isinstance(step, Rest):
            self._unanswered.pop(job.id, None)
            self._rest(job, step)
            return None
        pause = self._pause(step, isinstance(last, Kill))
        if pause is not None:
            self._queue.put_in(job.id, pause)
            return None
        await self._act(job, step)
        self._unanswered.pop(job.id, None)
        return step

    async def _hindered(self, job: Job, error: Exception) -> None:
        """A fault of the step, unless it met what another process does to the job by now."""
        if not tenure.lasts():
            log.warning("step_abandoned job=%s phase=%s cause=lease", job.id, job.phase)
            self._queue.put(job.id)
            return
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            error = VolumeFailed("The provider's disk is full")
        if not isinstance(error, ComputeError):
            log.error("step_failed job=%s phase=%s", job.id, job.phase, exc_info=error)
        try:
            await self._failed(job, error)
        except (MoveLost, UnknownJob):
            self._queue.put(job.id)
        except EngineUnavailable as silence:
            # The end is written down; what is to be removed before it has to wait.
            await self._wait_for(job, silence)

    def _pause(self, step: Step, killed: bool) -> float | None:
        """How long to wait before this step is taken, None for not at all."""
        if killed and isinstance(step, Kill):
            return self._limits.first_backoff_s
        return None if self._lease.held else self._limits.store_retry_s

    async def _decide(self, job: Job, last: Step | None) -> Step:
        environment = self._environments[job.environment] if self._knows(job) else None
        observation: Observation | None = None
        full = False
        seen = self._steps.seen.pop(job.id, None)
        if job.phase in {Phase.PROVISIONED, Phase.RUNNING}:
            # What the last step has seen, or knows to be missing still, is not asked again.
            if isinstance(last, Launch) and seen is not None:
                observation = seen
            elif isinstance(last, Provision):
                observation = GONE
            else:
                observation = await self._observe(container_name(job.id, job.stage))
        elif job.phase is Phase.FILTERING:
            observation = await self._observe(filter_name(job.id, job.filters))
        if job.phase is Phase.RUNNING and observation and self._must_measure(observation):
            full = await self._steps.space_full(job)
        return next_step(job, environment, self._clock(), observation, full)

    async def _observe(self, name: str) -> Observation:
        try:
            return await self._engine.observe(name)
        except EngineFault as error:
            # It may be running for all we know: no number of tries makes that an end.
            raise EngineUnavailable(error.public) from error

    def _may_have(self, job: Job | Unfinished) -> bool:
        """True for jobs of this process, and for those that wait for somebody."""
        return job.operator in {"", self._lease.operator}

    async def _is_for_others(self, job: Job) -> bool:
        """True for a job that waits for a place in an environment which only other processes
        were started with: configurations change one process after the other."""
        waits = job.phase is Phase.QUEUED and job.goal is Goal.RUN
        return waits and not self._knows(job) and await self._lease.known_to_others(job.environment)

    def _knows(self, job: Job | Unfinished) -> bool:
        return job.environment in self._environments

    def _must_measure(self, observation: Observation) -> bool:
        """An algorithm may run into a limit the kernel holds, and make room again."""
        return observation.state is not ContainerState.RUNNING or not self._space.enforced

    async def _act(self, job: Job, step: Step) -> None:
        """Carry a step out; image and staging work can be given up half-way, by a wish or
        when the paid time is over."""
        if not job.operator:
            job = await self._store.take(job, self._lease.operator)
        if not isinstance(step, PrepareImage | Provision):
            moved = await self._steps.take(job, step)
            self._after(job, moved)
            return
        act = asyncio.ensure_future(self._interruptible(job, step))
        self._acting[job.id] = act
        try:
            await asyncio.wait({act}, timeout=self._left(job))
            if not act.done():
                act.cancel()
                await asyncio.wait({act})
        except asyncio.CancelledError:
            act.cancel()
            await asyncio.wait({act})
            raise
        finally:
            del self._acting[job.id]
        if not act.cancelled():
            self._after(job, act.result())

    def _left(self, job: Job) -> float | None:
        """Seconds of paid time that are left, None where none was bought."""
        ends_by = job.spec.ends_by
        return None if ends_by is None else max(0.0, ends_by - self._clock())

    async def _interruptible(self, job: Job, step: Step) -> Job:
        """The step, unless a wish came in before it could be interrupted."""
        fresh = await self._store.get(job.id)
        return await self._steps.take(job, step) if fresh.goal is job.goal else fresh

    def _after(self, before: Job, after: Job) -> None:
        """A place may have become free."""
        if before.phase in ACTIVE and after.phase not in ACTIVE:
            self.fill()
        if before.phase is not after.phase and after.phase is Phase.HELD:
            log.info("job_held job=%s", after.id)
        elif not before.phase.terminal and after.phase.terminal:
            log.info("job_ended job=%s status=%s", after.id, after.phase.number)

    def _rest(self, job: Job, step: Rest) -> None:
        """Set the next look."""
        if job.phase.terminal:
            return
        if job.phase is Phase.QUEUED and job.retry_at <= self._clock():
            self.fill()
        delays = [] if step.until is None else [step.until - self._clock()]
        if job.phase in {Phase.RUNNING, Phase.FILTERING}:
            delays.append(self._limits.look_s if self._space.enforced else self._limits.watch_s)
        if delays:
            self._queue.put_in(job.id, min(delays))

    async def _failed(self, job: Job, error: Exception) -> None:
        """Try again later, unless this phase has failed too often."""
        public = error.public if isinstance(error, ComputeError) else "internal fault"
        log.warning("step_failed job=%s phase=%s cause=%s", job.id, job.phase, public)
        if isinstance(error, EngineUnavailable | StoreUnavailable) and not _counts(job, error):
            await self._wait_for(job, error)
            return
        now, tries = self._clock(), job.attempts + 1
        most = most_tries(error, self._limits.tries)
        end = gives_up(job.phase, reason_of(error), public, tries)
        # A job that is to stop does nothing but clean up before it has results.
        may_give_up = job.goal is Goal.RUN or job.phase in {Phase.FILTERING, Phase.PUBLISHING}
        if end and may_give_up and (tries >= most or is_final(error)):
            self._after(job, await self._steps.finish(job, end))
            self._queue.put(job.id)
            return
        delay = backoff_s(
            job.attempts, first_s=self._limits.fault_s, most_s=self._limits.most_backoff_s
        )
        of = f" of {most}" if end and may_give_up else ""
        note = f"try {tries}{of} failed: {public}" if tries <= _TRIES_TOLD else ""
        await self._store.note(job, now=now, note=note, attempts=tries, retry_at=now + delay)
        self._queue.put_in(job.id, delay)

    async def _wait_for(self, job: Job, error: EngineUnavailable | StoreUnavailable) -> None:
        """What does not answer says nothing about the job: no try is counted."""
        self._unanswered[job.id] += 1
        if self._unanswered[job.id] == 1 and isinstance(error, EngineUnavailable):
            await self._store.note(job, now=self._clock(), note=error.public)
        self._queue.put_in(job.id, self._backoff(self._unanswered[job.id]))

    def _backoff(self, attempt: int) -> float:
        limits = self._limits
        return backoff_s(attempt, first_s=limits.first_backoff_s, most_s=limits.most_backoff_s)


def _counts(job: Job, error: Exception) -> bool:
    """True for an engine that answers and cannot do what the job needs before it runs. Later
    it is waited for: there are outputs to lose."""
    before = job.phase in _BEFORE_IT_RUNS and job.termination is None
    return isinstance(error, EngineFault) and before


_BEFORE_IT_RUNS = frozenset({Phase.STARTED, Phase.CONFIGURING_VOLUMES, Phase.PROVISIONED})


def environment_of(environments: Environments, job: Job | Unfinished) -> Environment:
    """The job's environment; with default times for one no longer configured, whose jobs
    only come to their end."""
    if job.environment in environments:
        return environments[job.environment]
    return Environment(id=job.environment)

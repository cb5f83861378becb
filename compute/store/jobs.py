"""The job store: every change of a job is one transaction with its line of history.

A wish writes the goal, a move writes the phase, each as a compare-and-set, so nobody
overwrites anybody. Recently used jobs are also kept in memory (:mod:`compute.store.copies`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Unpack

from sqlalchemy import Connection

from compute.account import Facts
from compute.errors import HoldTaken, MoveLost, NameTaken, UnknownJob
from compute.models import Job, JobSpec, Load, Move, Outline
from compute.status import TERMINAL, Goal, Phase, may_move
from compute.store import accounts, claims, leases, news, reviews, rows, sql, surveys, turns
from compute.store.backlog import Backlog
from compute.store.base import Action, Database, Work, nothing
from compute.store.claims import Claim, Share
from compute.store.copies import RECENT_JOBS, Copies, Copy
from compute.store.figures import Stopwatch
from compute.store.leases import Holder
from compute.store.news import Event, News
from compute.store.reviews import Reviews
from compute.store.room import Room, require_room
from compute.store.rows import Changes
from compute.store.sql import JobRow
from compute.store.surveys import Survey
from compute.store.tenants import Tenants

_AT_REST = TERMINAL | {Phase.HELD}
"""Nothing of the job will run any more."""

Witness = Callable[[Connection, Job], None]


def unwitnessed(connection: Connection, job: Job) -> None:
    """The witness who does nothing."""


class JobStore:
    """The jobs of one database. Where other processes write into it too, only what never
    changes of a job is taken from memory.

    ``witness`` takes part in each transaction in which a job comes to its end or is deleted.
    What is left to be done is told by ``backlog``, who works on jobs by ``tenants``, who
    decides on what is held by ``reviews``.
    """

    def __init__(
        self, database: Database, *, recent: int = RECENT_JOBS, witness: Witness = unwitnessed
    ) -> None:
        self._database = database
        self._witness = witness
        self._copies = Copies(recent)
        self._stopwatch = Stopwatch()
        self.backlog = Backlog(database)
        self.tenants = Tenants(database)
        self.reviews = Reviews(database, self._copies.jobs, self._copies.changed)

    async def insert(
        self,
        job: Job,
        *,
        queue_limit: int,
        owner_limit: int | None = None,
        places: int = 0,
        also: Work[object] = nothing,
    ) -> Job:
        """Add a new job, carrying out ``also`` before in the same transaction.

        Raises QueueFull when the environment has ``queue_limit`` queued jobs already that
        none of its free ``places`` waits for, or ``owner_limit`` of this owner, HoldTaken
        when an unfinished job has one of its holds, NameTaken when its name is in use, and
        what ``also`` raises; nothing is kept then.
        """

        def work(connection: Connection) -> Job:
            if job.namespace and sql.named(connection, job.namespace, job.name) is not None:
                raise NameTaken("A job of this name is there already")
            also(connection)
            require_room(connection, job, Room(queue_limit, owner_limit, places))
            row = sql.insert_job(connection, job)
            if job.phase is Phase.QUEUED:
                turns.enter(connection, job.environment, job.owner.lower())
            taken = sql.take_holds(connection, row, job.spec.holds)
            if taken is not None:
                raise HoldTaken(taken)
            sql.append_history(connection, row, job.created_at, "")
            self._stopwatch.begun(connection, row, self._database.recorder)
            stored = self._copies.changed(connection, row, job.spec)
            news.tell(connection, Event.QUEUED, job.environment, job.id)
            return stored

        return await self._database.write(work)

    async def require_room(self, job: Job, room: Room) -> None:
        """Raises QueueFull where an insert would at this moment."""
        await self._database.read(lambda connection: require_room(connection, job, room))

    async def get(self, job_id: str) -> Job:
        """Raises UnknownJob."""
        copy = None if self._database.shared else self._copies.get(job_id)
        if copy is None:
            copy = await self._database.read(lambda connection: self._load(connection, job_id))
            self._copies.remember(copy)
        return copy.job

    def recall(self, job_id: str) -> Job | None:
        """The job if it is in memory, which is so only where nobody else can have changed it."""
        copy = None if self._database.shared else self._copies.get(job_id)
        return copy.job if copy else None

    async def named(self, namespace: str, name: str) -> Job:
        """The job of this name that is not deleted. Raises UnknownJob."""

        def work(connection: Connection) -> Job:
            row = sql.named(connection, namespace, name)
            if row is None:
                raise _unknown()
            return self._copies.of(connection, [row])[0].job

        return await self._database.read(work)

    async def namespaces(self, prefix: str) -> list[str]:
        """Namespaces that begin so and have jobs that are not deleted, sorted."""
        return await self._database.read(lambda connection: sql.namespaces(connection, prefix))

    async def in_namespace(self, namespace: str, *, limit: int = 1000) -> list[Job]:
        """The jobs of a namespace that are not deleted, newest first."""
        return await self._database.read(
            lambda connection: self._copies.jobs(
                connection, sql.in_namespace(connection, namespace, limit)
            )
        )

    async def find(
        self,
        *,
        owner: str | None = None,
        did: str | None = None,
        environment: str | None = None,
        phases: Collection[Phase] | None = None,
        limit: int = 1000,
    ) -> list[Job]:
        """Jobs that meet all conditions, newest first.

        ``owner`` in any casing; ``did`` is that of a dataset or of the algorithm.
        """

        def work(connection: Connection) -> list[Job]:
            found = sql.find(
                connection,
                owner=owner,
                did=did,
                environment=environment,
                phases=phases,
                limit=limit,
            )
            return self._copies.jobs(connection, found)

        return await self._database.read(work)

    async def outlines(
        self,
        *,
        owner: str,
        did: str | None = None,
        agreement_id: str | None = None,
        limit: int = 1000,
    ) -> list[Outline]:
        """How an owner's jobs are that are not deleted, newest first. No specification is
        read: this is what strangers may ask for."""

        def work(connection: Connection) -> list[Outline]:
            found = sql.outlines(
                connection, owner=owner, did=did, agreement_id=agreement_id, limit=limit
            )
            return [rows.outline_of(row) for row in found]

        return await self._database.read(work)

    async def wish(
        self, job_id: str, goal: Goal, *, now: float, also: Work[object] = nothing
    ) -> Job:
        """Raise the job's goal to ``goal``; one that is as high already stays.

        ``also`` is carried out in any case. Raises UnknownJob.
        """
        return (await self.wish_all([job_id], goal, now=now, also=also))[0]

    async def wish_all(
        self, job_ids: Sequence[str], goal: Goal, *, now: float, also: Work[object] = nothing
    ) -> list[Job]:
        """:meth:`wish` for several jobs: all of them or, on UnknownJob, none."""

        def work(connection: Connection) -> list[Job]:
            also(connection)
            return [self._wish(connection, job_id, goal, now) for job_id in job_ids]

        return await self._database.write(work)

    async def move(
        self,
        job: Job,
        phase: Phase,
        *,
        now: float,
        note: str = "",
        facts: Facts | None = None,
        **changes: Unpack[Changes],
    ) -> Job:
        """Take the job from ``job.phase`` to ``phase``; returns it with all that is new.
        ``facts`` are what its account tells of the stage that it leaves.

        ``attempts`` and ``retry_at`` start anew unless given; ``finished_at`` becomes
        ``now`` with the first terminal phase, with which the job's holds are given back and
        its sealed secrets go. A deleted job keeps only which assets it was about of its
        specification. One that is HELD keeps no more than a finished one, and is nobody's. Raises
        MoveLost when the job is in another phase by now, UnknownJob, ValueError for a move that
        is not in the table.
        """
        if not may_move(job.phase, phase):
            raise ValueError(f"{job.phase} -> {phase} is not a move")
        fresh: Changes = {"attempts": 0, "retry_at": 0.0}
        values = rows.changed_values({**fresh, **changes}) | {"phase": phase.value}
        if phase in TERMINAL:
            values |= {"finished_at": now, "operator": ""}
        if phase is Phase.HELD:
            values |= {"operator": "", "machine": ""}
        spec = _what_is_kept(job, phase)
        return await self._update(
            job, values, now=now, note=note, record=True, spec=spec, facts=facts
        )

    async def note(
        self, job: Job, *, now: float, note: str = "", **changes: Unpack[Changes]
    ) -> Job:
        """Change fields without a move; a line of history only with a ``note``.

        Raises MoveLost when the job is in another phase than ``job.phase``, UnknownJob.
        """
        values = rows.changed_values(changes)
        return await self._update(job, values, now=now, note=note, record=bool(note))

    async def claim(self, claim: Claim, *, now: float) -> list[Job]:
        """Give what is free of a machine and of environments' places to the jobs whose turn it
        is, which are the claim's operator's from then on: see :mod:`compute.fairness`.

        Only jobs with goal RUN that are due; returns those that are STARTED by this call, in
        order. If these are ``MOST_AT_ONCE`` or more, there may be more to start.
        """

        def work(connection: Connection) -> list[Job]:
            started = claims.start_next(connection, claim, now)
            for row in started:
                sql.append_history(connection, row, now, "")
                self._stopwatch.claimed(connection, row, now, self._database.recorder)
            return [self._copies.changed(connection, row) for row in started]

        return await self._database.write(work)

    async def present(self, claim: Claim, *, now: float) -> None:
        """Note that an operator works on the claim's machine."""

        def work(connection: Connection) -> None:
            claims.present(connection, claim, leases.now_of(connection, now))

        await self._database.write(work)

    async def settle(self, claim: Claim, *, now: float) -> None:
        """:meth:`present` at an operator's start: active jobs that are on no machine yet are
        on this one. So are all others in a database that only this process writes."""
        alone = not self._database.shared

        def work(connection: Connection) -> None:
            claims.settle(connection, claim, alone=alone)
            claims.present(connection, claim, leases.now_of(connection, now))

        await self._database.write(work)

    async def survey(self, environment: str, share: Share, *, now: float) -> Survey:
        """What stands between an environment's queued jobs and their start."""

        def work(connection: Connection) -> Survey:
            there_since = leases.now_of(connection, now) - claims.LOST_S
            found = surveys.survey(connection, environment, share, now, there_since)
            first = sql.running_first(connection, environment, surveys.MOST_RUNNING)
            return replace(found, running=tuple(self._copies.jobs(connection, first)))

        return await self._database.read(work)

    def hear(self, listener: Callable[[News], None]) -> Action:
        """Call ``listener`` on the event loop with what happens to jobs in any process; it
        must be quick and must not raise. Returns what ends that."""

        def heard(text: str) -> None:
            told = news.heard(text)
            if told is not None:
                listener(told)

        return self._database.hear(heard)

    @property
    def shared(self) -> bool:
        """True when other processes may work on the same jobs."""
        return self._database.shared

    async def take(self, job: Job, operator: str) -> Job:
        """Make ``operator`` the owner of a job that has none. Raises MoveLost, UnknownJob."""

        def work(connection: Connection) -> Job:
            row = leases.take(connection, job.id, job.phase.value, operator)
            if row is None:
                raise self._lost(connection, job)
            return self._copies.changed(connection, row)

        return await self._database.write(work)

    async def take_over(self, holder: Holder, *, now: float, alone: bool = False) -> list[Job]:
        """Make this process the owner of all jobs of its machine whose owner's lease has
        ended; ``alone``, of all that are another's. Returns these."""

        def work(connection: Connection) -> list[Job]:
            if alone:
                leases.forget_others(connection, holder.operator)
            else:
                leases.forget_lapsed(connection, now)
            found = leases.take_over(connection, holder, now)
            for former, row in found if not alone else ():
                sql.append_history(connection, row, now, f"taken over from operator {former}")
            return [self._copies.changed(connection, row) for _, row in found]

        return await self._database.write(work)

    async def loads(self) -> dict[str, Load]:
        """Queued and active jobs by environment; an environment without any is not listed."""
        loads: dict[str, Load] = defaultdict(Load)
        for row in await self._database.read(sql.counts):
            load = loads[row.environment]
            if row.phase == Phase.QUEUED:
                loads[row.environment] = replace(load, queued=load.queued + row.number)
            else:
                loads[row.environment] = replace(load, active=load.active + row.number)
        return dict(loads)

    async def history(self, job_id: str) -> list[Move]:
        """What happened to the job, oldest first. Raises UnknownJob."""
        lines = await self._database.read(lambda connection: sql.history(connection, job_id))
        if not lines:
            raise _unknown()
        return [rows.move_of(line, job_id) for line in lines]

    async def account(self, job_id: str) -> dict[str, Any] | None:
        """What is told of a job's run for good, None for one that has not ended, or not here."""
        return await self._database.read(lambda connection: accounts.read(connection, job_id))

    async def expired(self, now: float, limit: int = 100) -> list[Job]:
        """Finished jobs that nobody wants deleted yet, whose ``expires_at`` has come; longest
        past first."""
        return await self._database.read(
            lambda connection: self._copies.jobs(connection, sql.expired(connection, now, limit))
        )

    async def _update(
        self,
        job: Job,
        values: dict[str, object],
        *,
        now: float,
        note: str,
        record: bool,
        spec: JobSpec | None = None,
        facts: Facts | None = None,
    ) -> Job:
        def work(connection: Connection) -> Job:
            row = sql.update_job(connection, job, values)
            if row is None:
                raise self._lost(connection, job)
            if row.phase != job.phase:
                self._left(connection, job, row, now)
            if record:
                sql.append_history(connection, row, now, note)
            if spec is not None:
                sql.replace_spec(connection, row, spec)
            if facts is not None:
                accounts.keep_stage(connection, row, job.stage, facts)
            changed = self._copies.changed(connection, row, spec or job.spec)
            if row.phase != job.phase and changed.phase in TERMINAL:
                accounts.close(connection, row, changed)
                self._witness(connection, changed)
            return changed

        try:
            return await self._database.write(work)
        except MoveLost:
            self._copies.drop(job.id)
            raise

    def _left(self, connection: Connection, job: Job, row: JobRow, now: float) -> None:
        """What goes with a move: holds, the turn in the queue, figures and news."""
        reviews.moved(connection, job, row)
        if row.phase in _AT_REST and job.spec.holds:
            sql.free_holds(connection, row, job.spec.holds)
        if job.phase is Phase.QUEUED:
            turns.leave(connection, job.environment, job.owner.lower())
        self._stopwatch.moved(connection, row, job, now, self._database.recorder)
        if row.phase in TERMINAL:
            event = Event.GONE if row.phase == Phase.DELETED else Event.ENDED
            news.tell(connection, event, row.environment, row.id)
        elif row.phase == Phase.HELD:
            news.tell(connection, Event.HELD, row.environment, row.id)

    def _lost(self, connection: Connection, job: Job) -> MoveLost | UnknownJob:
        if sql.job_row(connection, job.id) is None:
            return _unknown()
        return MoveLost(f"The job is no longer in phase {job.phase}, or another process has it")

    def _wish(self, connection: Connection, job_id: str, goal: Goal, now: float) -> Job:
        row = sql.raise_goal(connection, job_id, goal)
        if row is None:
            return self._load(connection, job_id).job
        sql.append_history(connection, row, now, "")
        job = self._copies.changed(connection, row)
        news.tell(connection, Event.WISHED, job.environment, job.id)
        return job

    def _load(self, connection: Connection, job_id: str) -> Copy:
        row = sql.job_row(connection, job_id)
        if row is None:
            raise _unknown()
        return self._copies.of(connection, [row])[0]


def _what_is_kept(job: Job, phase: Phase) -> JobSpec | None:
    """The specification with the move to ``phase``, None for one that stays as it is."""
    if phase is Phase.DELETED:
        return job.spec.forgotten()
    if phase in _AT_REST and job.spec.has_secrets:
        return job.spec.without_secrets()
    return None


def _unknown() -> UnknownJob:
    return UnknownJob("No such job")

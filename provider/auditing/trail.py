"""The audit log as the service writes it.

What is allowed is recorded in the transaction that allows it: neither is there without the
other. What is refused has no transaction; it is written a moment later, and nobody waits.

Strangers must not fill the disk. What comes before it is proven who asks (a wrong signature, a
wrong key, a request that cannot be read) is counted, and the counts of a minute are one record.
What is proven has a record of its own, up to a bound a minute for each who asks and for all
together; what is above that is counted likewise.

Not recorded are questions that change nothing and hand nothing out: lists, quotes, the status
of jobs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection

from compute.errors import ComputeError
from compute.models import Job
from compute.status import Phase
from compute.store.base import Database, Joint, Many, T, Work, nothing
from compute.store.recent import Recent
from provider.auditing import facts, records
from provider.auditing.asking import Asking, asking
from provider.auditing.chain import Chain
from provider.auditing.records import Entry
from provider.keys import ProviderKey

log = logging.getLogger(__name__)

REFUSALS_OF_ONE: Final = 10
REFUSALS_OF_ALL: Final = 60
"""Records of refusals a minute, for each who asks and together."""

MINUTE_S: Final = 60.0
HEAD_S: Final = 3600.0
"""How often the head of a chain that has grown is signed, beside each thousandth record."""

SHOWN_ONCE_S: Final = 3600.0
"""Reading the same once more within this time is no news."""

_MOST_PENDING = 1000
_MOST_COUNTED = 200
_MOST_SHOWN = 4096


class Trail:
    """``now`` is in seconds since the epoch. Clients' addresses are kept with ``addresses``."""

    def __init__(
        self,
        database: Database,
        key: ProviderKey,
        *,
        now: Callable[[], float],
        addresses: bool = False,
    ) -> None:
        self._database = database
        self._chain = Chain(key)
        self._now = now
        self._addresses = addresses
        self._pending: list[Entry] = []
        self._refusals: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {"refused": Counter(), "served": Counter()}
        self._recorded: dict[Many[Any], Many[Any]] = {}
        self._shown: Recent[tuple[str, str, str], float] = Recent(_MOST_SHOWN)
        self._woken = asyncio.Event()

    # what is allowed

    def recording(self, work: Work[T]) -> Work[T]:
        """``work`` together with the record of what the present request asks for: one for each
        job that it is about, one if it is about none."""
        entries = self._entries(asking())
        if isinstance(work, Joint):
            recorded = self._recorded.setdefault(work.many, partial(self._record_all, work.many))
            return Joint(recorded, (work.asked, entries))

        def unit(connection: Connection) -> T:
            result = work(connection)
            self._chain.append(connection, *entries)
            return result

        return unit

    def _record_all(
        self, many: Many[T], connection: Connection, asked: Sequence[tuple[Any, list[Entry]]]
    ) -> Sequence[T | Exception]:
        """Many units of a kind, and the records of those that are allowed, in their order."""
        outcomes = many(connection, [each for each, _ in asked])
        told = zip(asked, outcomes, strict=True)
        allowed = [entries for (_, entries), came in told if not isinstance(came, Exception)]
        if allowed:
            self._chain.append(connection, *chain.from_iterable(allowed))
        return outcomes

    async def write(self, work: Work[T]) -> T:
        """:meth:`recording`, durable on return. Raises what ``work`` raises, StoreUnavailable."""
        return await self._database.write(self.recording(work))

    async def shown(self, kind: str, jobs: Sequence[Job]) -> None:
        """Somebody who was let in is about to be shown what is in these jobs. Durable on return.
        Of what clients poll, which is all but whole results, the same again within the hour is
        not told again. Raises StoreUnavailable."""
        asked, now = asking(), self._now()
        fresh = [job.id for job in jobs if self._is_fresh((asked.actor, kind, job.id), now)]
        if fresh:
            asked.about(kind, *fresh)
            await self.write(nothing)
            for job_id in fresh:
                self._shown.put((asked.actor, kind, job_id), now)

    def count(self, kind: str) -> None:
        """Something of no consequence was done for nobody knows whom."""
        self._count("served", kind)

    # what is refused

    def refused(self, asked: Asking, where: str, reason: str, text: str, status: int) -> None:
        """A request was refused. ``where`` names its route, ``reason`` the kind of error."""
        kind = asked.kind or where
        alone = asked.actor and not kind.startswith(_QUESTIONS)
        if not alone or not self._has_room(asked.actor):
            self._count("refused", f"{kind} {reason}")
            return
        asked.about(kind)
        details = {"status": status}
        self._pending += self._entries(asked, records.REFUSED, reason, text, details)
        self._woken.set()

    # what the service does by itself

    def witness(self, connection: Connection, job: Job) -> None:
        """Part of the transaction in which a job comes to its end or is deleted."""
        kind = records.JOB_DELETED if job.phase is Phase.DELETED else records.JOB_ENDED
        entry = Entry(
            self._now(),
            kind,
            records.SERVICE,
            records.DONE,
            job=job.id,
            reason=job.termination.reason if job.termination else job.phase.value,
            details=facts.outcome(job, self._now()),
        )
        self._chain.append(connection, entry)

    async def begin(self, details: Mapping[str, Any]) -> None:
        """The service starts, with these settings. Raises StoreUnavailable."""
        await self._sign([self._own(records.STARTED, details)])

    async def run(self) -> None:
        """Write what is waiting, until cancelled."""
        loop = asyncio.get_running_loop()
        minute, head = loop.time() + MINUTE_S, loop.time() + HEAD_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(minute, head)):
                    await self._woken.wait()
            self._woken.clear()
            if loop.time() >= minute:
                minute = loop.time() + MINUTE_S
                self._sum_up()
            await self._flush()
            if loop.time() >= head:
                head = loop.time() + HEAD_S
                with _told():
                    await self._sign([])

    async def end(self) -> None:
        """The service ends in order: write what is left, and sign how far the chain has come."""
        self._sum_up()
        pending, self._pending = self._pending, []
        with _told():
            await self._sign([*pending, self._own(records.STOPPED, {})])

    # how

    def _entries(
        self,
        asked: Asking,
        decision: str = records.ALLOWED,
        reason: str = "",
        text: str = "",
        details: Mapping[str, Any] = {},
    ) -> list[Entry]:
        now = self._now()
        return [
            Entry(
                now,
                asked.kind,
                asked.actor,
                decision,
                job=records.job_id(job),
                request=asked.request,
                reason=reason,
                text=text,
                address=asked.address if self._addresses else "",
                details={**asked.details, **details},
            )
            for job in asked.jobs or [""]
        ]

    def _own(self, kind: str, details: Mapping[str, Any]) -> Entry:
        return Entry(self._now(), kind, records.SERVICE, records.DONE, details=details)

    def _is_fresh(self, what: tuple[str, str, str], now: float) -> bool:
        before = None if what[1] == "result" else self._shown.get(what)
        return before is None or now - before >= SHOWN_ONCE_S

    def _has_room(self, actor: str) -> bool:
        if self._refusals.total() >= REFUSALS_OF_ALL or self._refusals[actor] >= REFUSALS_OF_ONE:
            return False
        if len(self._pending) >= _MOST_PENDING:
            return False
        self._refusals[actor] += 1
        return True

    def _count(self, how: str, what: str) -> None:
        counts = self._counts[how]
        counts[what if what in counts or len(counts) < _MOST_COUNTED else "other"] += 1

    def _sum_up(self) -> None:
        """What was counted in the minute that is over becomes records."""
        self._refusals.clear()
        for how, counts in self._counts.items():
            listed = list(counts.items())
            for start in range(0, len(listed), records.MOST_LISTED):
                part = dict(listed[start : start + records.MOST_LISTED])
                self._pending.append(self._own(records.COUNTED, {"how": how, "counts": part}))
            counts.clear()

    async def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if not pending:
            return
        try:
            await self._database.write(lambda connection: self._append(connection, pending))
        except ComputeError as error:
            log.warning("audit_waits records=%s cause=%s", len(pending), error.public)
            self._pending = (pending + self._pending)[:_MOST_PENDING]
        except Exception:  # the loop guard: what is wrong with one must not end all others
            log.exception("audit_lost records=%s", len(pending))

    async def _sign(self, entries: Sequence[Entry]) -> None:
        def unit(connection: Connection) -> None:
            self._append(connection, entries)
            self._chain.sign(connection, self._now())

        await self._database.write(unit)

    def _append(self, connection: Connection, entries: Iterable[Entry]) -> None:
        self._chain.append(connection, *entries)


_QUESTIONS = ("status", "reviews", "GET ", "HEAD ")
"""What kinds begin with that change nothing."""


@asynccontextmanager
async def audited(trail: Trail, settings: Mapping[str, Any]) -> AsyncIterator[Trail]:
    """The log with its beginning and its end. ``settings`` are told in the record of the start.
    Raises StoreUnavailable."""
    await trail.begin(settings)
    writing = asyncio.create_task(trail.run(), name="audit log")
    try:
        yield trail
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await trail.end()


@contextmanager
def _told() -> Iterator[None]:
    """Say so where the last records could not be written: there is nobody else to tell."""
    try:
        yield
    except ComputeError as error:
        log.warning("audit_not_written cause=%s", error.public)

"""Waiting for what happens to a job, in whichever process it happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable

from compute.errors import ComputeError
from compute.models import Job
from compute.status import Goal, Phase
from compute.store.base import Action
from compute.store.jobs import JobStore
from compute.store.news import Event, News

log = logging.getLogger(__name__)


class Waiting:
    """Those who wait for ends, told by the store's news. ``close`` ends the listening."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._listeners: list[Callable[[Job], None]] = []
        self._changed: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._telling: set[asyncio.Task[None]] = set()
        self._end_listening: Action = store.hear(self._hear)

    def on_end(self, listener: Callable[[Job], None]) -> None:
        """Call ``listener``, which must not raise, with each job that ends from now on."""
        self._listeners.append(listener)

    async def settled(self, job_id: str, timeout_s: float) -> Job:
        """The job once nothing is left to be done of what was wished, or as it is after
        ``timeout_s``. Raises UnknownJob."""
        changed = asyncio.Event()
        self._changed[job_id].add(changed)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while not _is_settled(await self._store.get(job_id)):
                        await changed.wait()
                        changed.clear()
            return await self._store.get(job_id)
        finally:
            self._changed[job_id].discard(changed)
            if not self._changed[job_id]:
                del self._changed[job_id]

    async def close(self) -> None:
        """Hear nothing more; end what is being told."""
        self._end_listening()
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _hear(self, news: News) -> None:
        if news.event is Event.MISSED:
            for waiting in self._changed.values():
                for changed in waiting:
                    changed.set()
        elif news.event in {Event.ENDED, Event.GONE}:
            for changed in self._changed.get(news.job_id, ()):
                changed.set()
            if news.event is Event.ENDED and self._listeners:
                self._tell_end(news.job_id)

    def _tell_end(self, job_id: str) -> None:
        job = self._store.recall(job_id)
        if job is not None:
            self._tell(job)
            return
        task = asyncio.create_task(self._read_and_tell(job_id))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _read_and_tell(self, job_id: str) -> None:
        try:
            self._tell(await self._store.get(job_id))
        except ComputeError as error:
            log.warning("end_not_told job=%s cause=%s", job_id, error.public)

    def _tell(self, job: Job) -> None:
        for listener in self._listeners:
            listener(job)


def _is_settled(job: Job) -> bool:
    """True when nothing of a wish is left to be done."""
    return job.phase is Phase.DELETED or (job.phase.terminal and job.goal is not Goal.DELETE)

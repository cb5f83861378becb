"""What becomes of a job's outputs: collected, judged, and then published, held or refused.

Each verb may be repeated: a crash leads to the same work again. What was decided is written
down before what it was decided on goes.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from compute import decide, results, sealing, tenure
from compute.egress.bench import Bench, MayGoOn
from compute.egress.inputs import digests_of
from compute.egress.judge import Left, judge
from compute.egress.sources import filters, hides_logs, most_log_bytes, rule_sources
from compute.egress.verdict import Outcome, Verdict
from compute.environments import Environment
from compute.errors import MoveLost, PublishingFailed
from compute.layout import JobFolders, folders_of
from compute.models import Job, ResultFile
from compute.status import Goal, Phase
from compute.store.jobs import JobStore

log = logging.getLogger(__name__)

_LOOK_AROUND_S = 0.5
"""While results are looked into or wait for it: whether the job is still wanted."""


class Outputs:
    """The way from the job's space to its results."""

    def __init__(
        self,
        *,
        store: JobStore,
        data_dir: Path,
        clock: Callable[[], float],
        environment_of: Callable[[Job], Environment],
    ) -> None:
        self._store = store
        self._data_dir = data_dir
        self._clock = clock
        self._environment_of = environment_of
        self._bench = Bench()

    async def collect(self, job: Job) -> Job:
        """Judge what the job left behind, and have it published, held or refused; write down
        what was done before its sources go."""
        environment, folders = self._environment_of(job), self._folders(job)
        sources = [results.Source(folders.outputs, "output"), _logs(job, environment, folders)]
        if not filters(job, environment):
            # Logs that the algorithm wrote itself have not passed a filter.
            sources.append(results.Source(folders.own_logs, "algorithmLog"))
        collected = await self._gather(environment, sources, folders.results)
        verdict = await self._judge(job, collected)
        termination = job.termination or decide.STOPPED
        if collected.over_quota and termination.phase is Phase.COMPLETED:
            termination = decide.in_stage(job, decide.over_quota(termination))
        outcome = verdict.outcome if verdict else Outcome.PASS
        files: tuple[ResultFile, ...] = ()
        held: tuple[ResultFile, ...] = ()
        if outcome is Outcome.REFUSE and verdict:
            termination = decide.in_stage(job, decide.egress_refused(termination, verdict))
            await asyncio.to_thread(_remove, results.partial_of(folders.results))
        elif outcome is Outcome.HOLD:
            held = collected.files
            await asyncio.to_thread(_set_aside, results.partial_of(folders.results), folders.held)
        else:
            files = await self._publish(job, collected.files, folders.results)
        return await self._store.note(
            job,
            now=self._clock(),
            termination=termination,
            results=files,
            held=held,
            verdict=verdict,
        )

    async def deliver(self, job: Job) -> Job:
        """Make results of what was held."""
        folders = self._folders(job)
        if not job.held:
            return job
        await asyncio.to_thread(_link_folder, folders.held, results.partial_of(folders.results))
        files = await self._publish(job, job.held, folders.results)
        return await self._store.note(job, now=self._clock(), results=files, held=())

    async def drop_held(self, job: Job) -> None:
        """Remove what is or was held."""
        folder = self._folders(job).held
        if folder.exists():
            tenure.require()
            await asyncio.to_thread(_remove, folder)

    async def keep_logs(self, job: Job) -> Job:
        """Make results of what earlier stages printed, unless it would have to be judged or
        filtered first or nobody wants it. Outputs of stages that are half of something are none.
        """
        environment, folders = self._environment_of(job), self._folders(job)
        unwanted = job.goal is Goal.DELETE or hides_logs(job, environment) or job.results
        orphaned = job.termination and job.termination.reason == decide.ORPHANED
        if unwanted or orphaned:
            return job
        kept = [_logs(job, environment, folders)]
        try:
            collected = await self._gather(environment, kept, folders.results)
            files = await self._publish(job, collected.files, folders.results)
        except PublishingFailed as error:
            log.warning("logs_not_kept job=%s cause=%s", job.id, error.public)
            return job
        return await self._store.note(job, now=self._clock(), results=files)

    async def _gather(
        self, environment: Environment, sources: Sequence[results.Source], target: Path
    ) -> results.Collected:
        return await asyncio.to_thread(
            functools.partial(
                results.gather,
                sources,
                target,
                max_bytes=environment.disk_bytes,
                max_files=environment.maxOutputFiles,
                may_go_on=tenure.lasts,
            )
        )

    async def _judge(self, job: Job, collected: results.Collected) -> Verdict | None:
        environment, folders = self._environment_of(job), self._folders(job)
        sources = rule_sources(job, environment)
        if not sources:
            return None
        compares = any(source.rules.noInputCopies for source in sources)
        folder, most = results.partial_of(folders.results), environment.disk_bytes

        def look(may_go_on: MayGoOn) -> Verdict:
            inputs = digests_of(job, folders, most, may_go_on) if compares else frozenset()
            left = Left(collected.files, folder, collected.unbudgeted, inputs)
            return judge(sources, left, most_inflated=most, may_go_on=may_go_on)

        try:
            verdict = await self._unless_deleted(job, self._bench.run(environment.id, look))
        except OSError as error:
            raise PublishingFailed(f"inputs could not be read: {error.strerror}") from error
        if verdict.outcome is not Outcome.HOLD:
            return verdict
        return replace(verdict, held_until=self._clock() + verdict.hold_s)

    async def _unless_deleted(self, job: Job, looking: Awaitable[Verdict]) -> Verdict:
        """What is found, unless nobody wants it any more. Raises MoveLost then."""
        task = asyncio.ensure_future(looking)
        try:
            while not (await asyncio.wait({task}, timeout=_LOOK_AROUND_S))[0]:
                if (await self._store.get(job.id)).goal is Goal.DELETE:
                    raise MoveLost("The job is to be deleted")
            return task.result()
        finally:
            task.cancel()

    async def _publish(
        self, job: Job, files: tuple[ResultFile, ...], target: Path
    ) -> tuple[ResultFile, ...]:
        """Have what was gathered beside ``target`` in its place, sealed first where its owner
        wants that; the files as they are handed out."""
        if job.spec.encrypt_to:
            seal = functools.partial(sealing.seal_all, may_go_on=tenure.lasts)
            partial, key = results.partial_of(target), job.spec.encrypt_to
            files = await asyncio.to_thread(seal, partial, files, key, job.id)
        await asyncio.to_thread(functools.partial(results.put, target, may_go_on=tenure.lasts))
        return files

    def _folders(self, job: Job) -> JobFolders:
        return folders_of(self._data_dir, job.id, job.stage)


def _logs(job: Job, environment: Environment, folders: JobFolders) -> results.Source:
    """What the engine kept of what the job printed, as much of it as may leave."""
    most = most_log_bytes(job, environment)
    return results.Source(folders.log, "algorithmLog", budgeted=False, most_bytes=most)


def _set_aside(partial: Path, held: Path) -> None:
    """Have what was gathered where nothing is served from. Raises PublishingFailed."""
    try:
        tenure.require()
        held.parent.mkdir(mode=0o700, exist_ok=True)
        _remove(held)
        results.make_durable(partial)
        tenure.require()
        partial.rename(held)
    except OSError as error:
        raise PublishingFailed(f"results could not be held: {error.strerror}") from error


def _link_folder(source: Path, target: Path) -> None:
    """The same files in another place, without room for a second copy where the file system can
    do that: nobody writes into a file that is there. Raises PublishingFailed."""
    try:
        tenure.require()
        _remove(target)
        shutil.copytree(source, target, copy_function=_link)
    except OSError as error:
        raise PublishingFailed(f"results could not be stored: {error.strerror}") from error


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)

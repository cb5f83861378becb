"""What becomes of a job's outputs: collected, judged, and then published, held or refused.

Each verb may be repeated: a crash leads to the same work again. What was decided is written
down before what it was decided on goes.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from compute import decide, results, sealing, tenure
from compute.egress.judge import Source, judge
from compute.egress.rules import EgressRules
from compute.egress.verdict import ENVIRONMENT, Outcome, Verdict
from compute.environments import Environment
from compute.errors import PublishingFailed
from compute.layout import JobFolders
from compute.models import Job, ResultFile
from compute.status import Goal, Phase
from compute.store.jobs import JobStore

log = logging.getLogger(__name__)


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

    async def collect(self, job: Job) -> Job:
        """Judge what the job left behind, and have it published, held or refused; write down
        what was done before its sources go."""
        environment, folders = self._environment_of(job), self._folders(job)
        sources = _sources(folders, filtered=bool(filters(job, environment)))
        collected = await self._gather(environment, sources, folders.results)
        verdict = await self._judge(job, collected.files, results.partial_of(folders.results))
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
        await asyncio.to_thread(_copy_folder, folders.held, results.partial_of(folders.results))
        files = await self._publish(job, job.held, folders.results)
        return await self._store.note(job, now=self._clock(), results=files, held=())

    async def drop_held(self, job: Job) -> None:
        """Remove what is or was held."""
        tenure.require()
        await asyncio.to_thread(_remove, self._folders(job).held)

    async def keep_logs(self, job: Job) -> Job:
        """Make results of what earlier stages printed, unless it would have to be judged or
        filtered first or nobody wants it. Outputs of stages that are half of something are none.
        """
        environment, folders = self._environment_of(job), self._folders(job)
        unwanted = job.goal is Goal.DELETE or withholds_logs(job, environment) or job.results
        orphaned = job.termination and job.termination.reason == decide.ORPHANED
        if unwanted or orphaned:
            return job
        logs = [results.Source(folders.log, "algorithmLog", budgeted=False)]
        try:
            collected = await self._gather(environment, logs, folders.results)
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

    async def _judge(self, job: Job, files: Sequence[ResultFile], folder: Path) -> Verdict | None:
        sources = rule_sources(job, self._environment_of(job))
        if not sources:
            return None
        verdict = await asyncio.to_thread(judge, sources, files, folder)
        if verdict.outcome is not Outcome.HOLD:
            return verdict
        return replace(verdict, held_until=self._clock() + verdict.hold_s)

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
        return JobFolders(self._data_dir, job.id, job.stage)


def rule_sources(job: Job, environment: Environment) -> list[Source]:
    """Whose rules the job's outputs are judged by: the environment's and its datasets'."""
    sources = [Source(ENVIRONMENT, environment.egress)]
    sources += [Source(item.did, item.egress) for item in job.spec.datasets if item.egress]
    return [source for source in sources if source.rules != _NO_RULES]


def filters(job: Job, environment: Environment) -> list[str]:
    """The images that the outputs have to pass, in order, each once."""
    named = [environment.filterImage, environment.egress.filterImage]
    named += [item.egress.filterImage for item in job.spec.datasets if item.egress]
    return list(dict.fromkeys(image for image in named if image))


def withholds_logs(job: Job, environment: Environment) -> bool:
    """True when what the job prints must not be shown before it was judged."""
    return bool(filters(job, environment)) or bool(rule_sources(job, environment))


_NO_RULES = EgressRules()


def _sources(folders: JobFolders, *, filtered: bool) -> list[results.Source]:
    """What is published. Logs the algorithm wrote itself have not passed a filter."""
    sources = [
        results.Source(folders.outputs, "output"),
        results.Source(folders.log, "algorithmLog", budgeted=False),
    ]
    if not filtered:
        sources.append(results.Source(folders.own_logs, "algorithmLog"))
    return sources


def _set_aside(partial: Path, held: Path) -> None:
    """Have what was gathered where nothing is served from. Raises PublishingFailed."""
    try:
        held.parent.mkdir(mode=0o700, exist_ok=True)
        _remove(held)
        tenure.require()
        partial.rename(held)
    except OSError as error:
        raise PublishingFailed(f"results could not be held: {error.strerror}") from error


def _copy_folder(source: Path, target: Path) -> None:
    """The same files in another place. Raises PublishingFailed."""
    try:
        _remove(target)
        tenure.require()
        shutil.copytree(source, target)
    except OSError as error:
        raise PublishingFailed(f"results could not be stored: {error.strerror}") from error


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)

"""Carrying out one step of one job.

Each method does its work, which may be repeated, and then stores the move: a crash between
the two leads to the same work again. What a job used is cleaned up before its last move, so
that a terminal job has left nothing behind.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from compute import account, decide, layout, staged, staging, tenure
from compute.egress.sources import filters, filters_by_number, most_log_bytes
from compute.engines.base import ContainerSpec, Engine, Observation
from compute.environments import Environment
from compute.errors import (
    EntrypointRefused,
    InputUnavailable,
    MoveLost,
    SecretUnavailable,
    UnknownJob,
    VolumeFailed,
)
from compute.failures import Reason
from compute.layout import JobFolders
from compute.logmarks import LogMarks
from compute.models import Image, Job, StageRun, Termination
from compute.outputs import Outputs
from compute.results import partial_of
from compute.space import Space
from compute.staging import Stager, local_mounts
from compute.status import Goal, Phase
from compute.store.jobs import JobStore
from compute.vault import Vault

log = logging.getLogger(__name__)


class Steps:
    """The hands of the reconciler."""

    def __init__(
        self,
        *,
        engine: Engine,
        store: JobStore,
        stager: Stager,
        space: Space,
        vault: Vault,
        data_dir: Path,
        clock: Callable[[], float],
        environment_of: Callable[[Job], Environment],
    ) -> None:
        self._engine = engine
        self._store = store
        self._stager = stager
        self._space = space
        self._vault = vault
        self._data_dir = data_dir
        self._marks = LogMarks(data_dir)
        self.seen: dict[str, Observation] = {}
        """What the engine said of a job's container right after its start, by job."""
        self._clock = clock
        self._environment_of = environment_of
        self._outputs = Outputs(
            store=store, data_dir=data_dir, clock=clock, environment_of=environment_of
        )
        self._acts: dict[type[Any], Callable[[Job, Any], Awaitable[Job]]] = {
            decide.Finish: self._finish,
            decide.PrepareImage: self._prepare_image,
            decide.Provision: self._provision,
            decide.Launch: self._launch,
            decide.Adopt: self._adopt,
            decide.Kill: self._kill,
            decide.Conclude: self._conclude,
            decide.Advance: self._advance,
            decide.Filter: self._filter,
            decide.Filtered: self._filtered,
            decide.Publish: self._publish,
            decide.Deliver: self._deliver,
            decide.Purge: self._purge,
        }

    async def take(self, job: Job, step: decide.Step) -> Job:
        """Carry the step out; the job as stored afterwards."""
        return await self._acts[type(step)](job, step)

    # ends

    async def finish(self, job: Job, termination: Termination) -> Job:
        """Clean up, then end the job without results, but for the logs of earlier stages.

        Where a second look would find something else once the container is gone, the
        outcome is written down first.
        """
        termination = decide.in_stage(job, termination)
        if _may_have_container(job) and job.termination != termination:
            job = await self._store.note(job, now=self._clock(), termination=termination)
        if job.stage and job.phase in _PREPARING:
            job = await self._outputs.keep_logs(job)
        await self.clean_up(job)
        return await self._end(job, termination)

    async def clean_up(self, job: Job) -> None:
        """Remove all that the job has in the engine and on disk, but its results.

        A phase that cannot have a container asks nothing of the engine, so that stops and
        deletes work while it is away; what a crash may have left is swept on its return.
        """
        if _may_have_container(job):
            for stage in range(max(0, job.stage - 1), job.stage + 1):
                await self._remove(layout.container_name(job.id, stage))
        folders = self.folders(job)
        if job.phase is Phase.FILTERING or folders.filtered.exists():
            for number in range(job.filters + 1):
                await self._remove(layout.filter_name(job.id, number))
        tenure.require()
        await self._vault.remove(job.id)
        tenure.require()
        await self._space.release(folders.root)
        await asyncio.to_thread(_remove_trees, folders.root, partial_of(folders.results))

    async def _remove(self, name: str) -> None:
        tenure.require()
        await self._engine.remove(name)

    def folders(self, job: Job) -> JobFolders:
        """Those of the job's present stage."""
        return layout.folders_of(self._data_dir, job.id, job.stage)

    async def space_full(self, job: Job) -> bool:
        """True when the job's output space is exhausted."""
        root = self.folders(job).root
        try:
            return (await self._space.usage(root)).full
        except VolumeFailed:
            log.warning("space_lost job=%s", job.id)
        try:
            await self._open_space(job)
            return (await self._space.usage(root)).full
        except VolumeFailed:
            # The run is over all the same; what cannot be had is missed when it is collected.
            return False

    def _require_room(self, job: Job) -> None:
        """A space is a promise; one that the disk cannot hold would fail everybody's jobs."""
        promised = self._environment_of(job).disk_bytes
        free = shutil.disk_usage(self._data_dir).free
        if promised > free:
            log.error("disk_too_full job=%s promised=%s free=%s", job.id, promised, free)
            raise VolumeFailed("The provider's disk has no room for the job's outputs")

    async def _open_space(self, job: Job) -> None:
        """Have the output space there: made now, or found again after a crash or a reboot."""
        environment, folders = self._environment_of(job), self.folders(job)
        folders.root.mkdir(parents=True, exist_ok=True)
        await self._space.prepare(
            folders.root,
            size_bytes=environment.disk_bytes,
            files=environment.maxOutputFiles + _FOLDERS_A_STAGE * (len(job.spec.stages) - 1),
            owner=_user(environment),
            folders=folders.space_folders,
        )

    async def sweep_containers(self) -> None:
        """Remove containers of ours whose job is over or unknown."""
        for name, job_id in (await self._engine.owned()).items():
            try:
                over = (await self._store.get(job_id)).phase.terminal
            except UnknownJob:
                over = True
            if over:
                log.info("container_swept job=%s", job_id)
                await self._engine.remove(name)

    # one method a step

    async def _finish(self, job: Job, step: decide.Finish) -> Job:
        return await self.finish(job, step.termination)

    async def _prepare_image(self, job: Job, step: decide.PrepareImage) -> Job:
        """All images are had before the first stage runs: what is missing for the last one
        is better told at once."""
        if job.stage:
            await self._remove(layout.container_name(job.id, job.stage - 1))
        images = self._environment_of(job).images
        image_ids = []
        for stage in job.spec.stages[job.stage :]:
            image = stage.algorithm.image
            image_ids.append(
                await self._engine.ensure_image(
                    image, images.pull, tag_must_match=images.tag_must_match(image)
                )
            )
        return await self._move(job, Phase.CONFIGURING_VOLUMES, image_id=image_ids[0])

    async def _provision(self, job: Job, step: decide.Provision) -> Job:
        folders = self.folders(job)
        self._require_room(job)
        folders.log.mkdir(parents=True, exist_ok=True)
        await self._open_space(job)
        parts = (
            (self._stager.datasets, Phase.DATA_FAILED),
            (self._stager.algorithm, Phase.ALGORITHM_MISSING),
        )
        for put, failure in parts:
            try:
                await put(job, folders)
            except InputUnavailable as error:
                tries = job.attempts + 1
                if error.temporary and tries < decide.MOST_TRIES:
                    raise
                word = Reason.INPUT_UNREACHABLE if error.temporary else Reason.INPUT_UNAVAILABLE
                end = Termination(failure, word, error.public, tries=tries)
                return await self.finish(job, end)
        return await self._move(job, Phase.PROVISIONED)

    async def _launch(self, job: Job, step: decide.Launch) -> Job:
        environment, folders = self._environment_of(job), self.folders(job)
        mounts = local_mounts(folders)
        secret_files = await self._show_secrets(job)
        tenure.require()
        _write_hosts(folders)
        try:
            spec = layout.algorithm_container(
                job, environment, folders, mounts, secrets.token_hex(32), secret_files
            )
        except ValueError as error:
            raise EntrypointRefused(f"The entrypoint cannot be used: {error}") from error
        await self._engine.create(spec)
        self._write_down(job, spec, folders)
        fresh = await self._store.get(job.id)
        if (fresh.phase, fresh.operator) != (job.phase, job.operator):
            if fresh.phase.terminal:
                await self._engine.remove(spec.name)
            raise MoveLost("Another process has the job")
        if fresh.goal is not Goal.RUN or decide.paid_time_over(fresh, self._clock()):
            return fresh
        tenure.require()
        await self._engine.start(spec.name)
        observation = await self._engine.observe(spec.name)
        started_at = observation.started_at or self._clock()
        self.seen[job.id] = observation
        return await self._adopt(job, decide.Adopt(started_at, observation.pid))

    def _write_down(self, job: Job, spec: ContainerSpec, folders: JobFolders) -> None:
        """Before it runs: what decides how it does may be configured anew meanwhile."""
        image = job.present.algorithm.image
        digests = account.digests_of(image, self._engine.digests(spec.image_id))
        tenure.require()
        if digests or not folders.launched.exists():
            how = account.launched(spec, self._environment_of(job), digests)
            staged.write_json(folders.launched, how)

    async def _facts(self, job: Job) -> account.Facts:
        """For the account: what the present stage was given, and how it was run."""
        folders = self.folders(job)
        given = await self._stager.staged(folders)
        how = await asyncio.to_thread(staged.read_json, folders.launched)
        passed = filters(job, self._environment_of(job)) if job.in_last_stage else []
        return account.stage(given, how, passed)

    async def _show_secrets(self, job: Job) -> dict[str, Path]:
        try:
            opened = await self._stager.secrets(job)
        except InputUnavailable as error:
            raise SecretUnavailable(error.public) from error
        tenure.require()
        return await self._vault.put(job.id, opened)

    async def _adopt(self, job: Job, step: decide.Adopt) -> Job:
        return await self._move(job, Phase.RUNNING, started_at=step.started_at, pid=step.pid)

    async def _kill(self, job: Job, step: decide.Kill) -> Job:
        if job.termination is None:
            note = step.termination.detail
            now = self._clock()
            job = await self._store.note(job, now=now, note=note, termination=step.termination)
        tenure.require()
        await self._engine.stop(layout.container_name(job.id, job.stage), step.grace_s)
        return job

    async def _conclude(self, job: Job, step: decide.Conclude) -> Job:
        environment = self._environment_of(job)
        run = await self._end_stage(job, step.seen)
        termination = decide.in_stage(job, step.termination)
        if termination.exit_code is None:
            termination = replace(termination, exit_code=run.exit_code, oom_killed=run.oom_killed)
        filtering = bool(filters(job, environment)) and job.goal is not Goal.DELETE
        return await self._move(
            job,
            Phase.FILTERING if filtering else Phase.PUBLISHING,
            note=termination.detail or termination.reason,
            termination=termination,
            ended_at=run.ended_at,
            runs=(*job.runs, run),
            facts=await self._facts(job),
        )

    async def _advance(self, job: Job, step: decide.Advance) -> Job:
        run = await self._end_stage(job, step.seen)
        tenure.require()
        await self._vault.remove(job.id)
        following = job.spec.stages[job.stage + 1].name
        return await self._move(
            job,
            Phase.STARTED,
            note=f"stage {run.stage} is done, {following} is next",
            stage=job.stage + 1,
            runs=(*job.runs, run),
            image_id="",
            started_at=None,
            pid=None,
            facts=await self._facts(job),
        )

    async def _end_stage(self, job: Job, seen: Observation) -> StageRun:
        """Keep the stage's log; how the stage ran."""
        environment, folders = self._environment_of(job), self.folders(job)
        name = layout.container_name(job.id, job.stage)
        tenure.require()
        folders.log.mkdir(parents=True, exist_ok=True)
        log_file = folders.log / layout.log_name(job.spec, job.stage)
        await self._engine.save_log(name, log_file, environment.maxLogMB << 20)
        await self._compare_log(job, name, log_file, environment.maxLogMB << 20)
        await self._shorten_log(job, log_file)
        return StageRun(
            stage=job.present.name,
            image_id=job.image_id,
            started_at=job.started_at,
            ended_at=seen.finished_at or self._clock(),
            exit_code=seen.exit_code,
            oom_killed=seen.oom_killed,
            pid=job.pid,
        )

    async def _compare_log(self, job: Job, name: str, log_file: Path, limit: int) -> None:
        """Write down when the log that was kept is not all that followers were shown."""
        shown = await asyncio.to_thread(self._marks.beginning, job.id, job.stage)
        if not shown:
            return
        is_full = (await asyncio.to_thread(log_file.stat)).st_size >= limit
        if is_full or await self._engine.log_beginning(name) not in (shown, ""):
            await asyncio.to_thread(self._marks.note_cut, job.id, job.stage)

    async def _shorten_log(self, job: Job, log_file: Path) -> None:
        """Keep no more than may leave: nothing where that much of another beginning was shown."""
        most = most_log_bytes(job, self._environment_of(job))
        if most is not None:
            cut = await asyncio.to_thread(self._marks.is_cut, job.id, job.stage)
            size = (await asyncio.to_thread(log_file.stat)).st_size
            await asyncio.to_thread(os.truncate, log_file, 0 if cut else min(size, most))

    async def _filter(self, job: Job, step: decide.Filter) -> Job:
        environment, folders = self._environment_of(job), self.folders(job)
        await self._open_space(job)
        image = Image.named(filters_by_number(job, environment)[job.filters])
        images = environment.images
        must_match = bool(job.filters) and images.tag_must_match(image)
        image_id = await self._engine.ensure_image(image, images.pull, tag_must_match=must_match)
        tenure.require()
        await asyncio.to_thread(_give, folders.log, *_user(environment))
        _write_hosts(folders)
        await asyncio.to_thread(staging.mark, folders.filtered)
        spec = layout.filter_container(job, environment, folders, image_id)
        await self._engine.create(spec)
        tenure.require()
        await self._engine.start(spec.name)
        return job

    async def _filtered(self, job: Job, step: decide.Filtered) -> Job:
        images = filters_by_number(job, self._environment_of(job))
        for number in range(job.filters + 1, len(images)):
            if images[number] and job.goal is not Goal.DELETE:
                return await self._store.note(job, now=self._clock(), filters=number)
        return await self._move(job, Phase.PUBLISHING)

    async def _publish(self, job: Job, step: decide.Publish) -> Job:
        if job.goal is not Goal.DELETE and not _is_collected(job):
            await self._open_space(job)
            job = await self._outputs.collect(job)
        await self.clean_up(job)
        if decide.must_be_held(job):
            return await self._move(job, Phase.HELD, note=_held_note(job))
        return await self._end(job, job.termination or decide.STOPPED)

    async def _deliver(self, job: Job, step: decide.Deliver) -> Job:
        job = await self._outputs.deliver(job)
        return await self._end(job, job.termination or decide.STOPPED)

    async def _end(self, job: Job, termination: Termination) -> Job:
        """The job's last move: by now it has nothing left but its results."""
        await self._outputs.drop_held(job)
        return await self._move(
            job,
            termination.phase,
            note=termination.detail or termination.reason,
            termination=termination,
            held=(),
            expires_at=self._clock() + self._environment_of(job).storageExpiry,
        )

    async def _purge(self, job: Job, step: decide.Purge) -> Job:
        await self.clean_up(job)
        tenure.require()
        await asyncio.to_thread(_remove_tree, self.folders(job).results)
        await asyncio.to_thread(self._marks.forget, job.id)
        return await self._move(job, Phase.DELETED, results=())

    async def _move(self, job: Job, phase: Phase, *, note: str = "", **changes: Any) -> Job:
        return await self._store.move(job, phase, now=self._clock(), note=note, **changes)


_WITH_CONTAINER = frozenset({Phase.PROVISIONED, Phase.RUNNING, Phase.FILTERING, Phase.PUBLISHING})

_PREPARING = frozenset({Phase.STARTED, Phase.CONFIGURING_VOLUMES, Phase.PROVISIONED})

_FOLDERS_A_STAGE = 2
"""In the job's space: for outputs, and for logs of the algorithm's own."""


def _may_have_container(job: Job) -> bool:
    """That of the stage before may still be there when the next one is made ready."""
    if job.phase is Phase.HELD:
        return False
    return job.phase in _WITH_CONTAINER or (job.stage > 0 and not job.phase.terminal)


def _is_collected(job: Job) -> bool:
    """True when a former try got as far as writing down what is published or held, or that
    nothing is."""
    return bool(job.results or job.held) or job.verdict is not None


def _held_note(job: Job) -> str:
    rules = "; ".join(job.verdict.fired) if job.verdict else ""
    return f"held for review: {rules}" if rules else "held for review"


def _user(environment: Environment) -> tuple[int, int]:
    uid, _, gid = environment.user.partition(":")
    return int(uid), int(gid)


def _write_hosts(folders: JobFolders) -> None:
    folders.hosts.write_text(layout.LOOPBACK, encoding="ascii")
    folders.hosts.chmod(0o644)


def _give(folder: Path, uid: int, gid: int) -> None:
    """Let the container's user rewrite what lies in a folder of ours."""
    for path in (folder, *folder.iterdir()):
        try:
            shutil.chown(path, uid, gid)
        except PermissionError:
            path.chmod(0o777 if path.is_dir() else 0o666)


def _remove_trees(*folders: Path) -> None:
    for folder in folders:
        tenure.require()
        _remove_tree(folder)


def _remove_tree(folder: Path) -> None:
    """Remove a folder; one that is not there, or is none, is removed."""
    if folder.is_symlink() or not folder.is_dir():
        return
    shutil.rmtree(folder)

"""What can be done with tasks, in the order of the checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from compute.errors import QueueFull
from compute.models import Job
from provider.dialects.pipelines import plan
from provider.dialects.pipelines.fields import FieldInvalid
from provider.dialects.pipelines.model import (
    MANNERS,
    SEQUENCES,
    About,
    RunCall,
    TaskKind,
    namespace,
    task_uid,
)
from provider.dialects.pipelines.outputs import Outputs
from provider.dialects.pipelines.responses import task as shown
from provider.errors import NoSuchJob, ProviderError
from provider.jobs import Jobs
from provider.registry.models import Kind, new_uid
from provider.registry.registry import Registry

MOST_LISTED = 1000
MOST_LOG_BYTES = 1 << 20
"""Of each step in an answer: its end."""


class UnknownTask(ProviderError):
    """No task has this UID, or it was deleted."""

    status = 404

    def __init__(self, uid: str, field: str) -> None:
        super().__init__(
            f"{field}: there is no task {uid}, or it was deleted. Ask for the tasks of its"
            " pipeline.",
            field=field,
        )


class Tasks:
    """Tasks run in one ``environment``. ``space`` is the name of the door's key."""

    def __init__(
        self,
        jobs: Jobs,
        registry: Registry,
        outputs: Outputs,
        environment: str,
        now: Callable[[], float],
    ) -> None:
        self._jobs = jobs
        self._registry = registry
        self._outputs = outputs
        self._environment = environment
        self._now = now

    async def run(self, call: RunCall, *, space: str, owner: str) -> dict[str, Any]:
        """Queue a task; its output and what it needs are written down with its job, or nothing is.

        Raises UnknownItem, ItemPending, ItemUnusable, FieldInvalid, KeyedRefusal, QueueFull.
        """
        items = {
            field: await self._registry.ready(space, kind, uid, field=field)
            for field, (kind, uid) in call.named().items()
        }
        plan.require_fitting(call, items)
        job_id = self._jobs.new_id()
        made = plan.output(
            call,
            uid=new_uid(),
            task_uid=task_uid(job_id),
            space=space,
            owner=owner,
            now=self._now(),
        )
        task = plan.task_call(
            call, items, made, environment=self._environment, path_of=self._registry.path
        )
        also = self._registry.begin_task(made, items)
        try:
            job = await self._jobs.start_task(task, job_id=job_id, also=also)
        except QueueFull:
            # So it looks, too, when a content went away meanwhile.
            for field, item in items.items():
                await self._registry.ready(space, item.kind, item.uid, field=field)
            raise
        return shown(job, _about(job), made)

    async def one(self, uid: str, *, space: str) -> dict[str, Any]:
        """A task; as finished only once its output can be used. Raises UnknownTask."""
        return await self._shown(await self._find(uid, space, "uid"))

    async def of_pipeline(self, pipeline_uid: str, *, space: str) -> list[dict[str, Any]]:
        """Newest first. Raises UnknownItem."""
        await self._registry.get(space, Kind.PIPELINE, pipeline_uid, field="pipeline_uid")
        jobs = await self._jobs.tasks(namespace(space), limit=MOST_LISTED)
        missing = await self._registry.missing_outputs(space, pipeline_uid)
        return [
            shown(job, about, missing.get(job.name))
            for job, about in ((job, _about(job)) for job in jobs)
            if about.pipeline_uid == pipeline_uid
        ]

    async def log(self, uid: str, kind: TaskKind, *, space: str) -> dict[str, str]:
        """What each step has printed so far; nothing for one that has not begun. Raises
        UnknownTask, FieldInvalid, EngineUnavailable."""
        job = await self._find(uid, space, "task_uid")
        actual = _about(job).kind
        if kind is not actual:
            raise FieldInvalid("type", f"task {uid} is of type {actual.value}; write that")
        await self._jobs.task_shown("log", job)
        texts = [await self._text(job, stage) for stage in SEQUENCES]
        return dict(zip(MANNERS[kind].steps, texts, strict=True))

    async def delete(self, uid: str, *, space: str) -> dict[str, Any]:
        """Stop a task that has not finished, which is then seen as deleted. Of one that is over,
        remove what is left; what it made stays. Raises UnknownTask."""
        job = await self._find(uid, space, "task_uid")
        if not job.phase.terminal:
            return shown(await self._jobs.stop_task(job), _about(job), None)
        answer = await self._shown(job)
        if await self._registry.unsettled_output(uid) is not None:
            return answer
        await self._jobs.delete_task(job)
        return answer | {"status": "deleted"}

    async def _shown(self, job: Job) -> dict[str, Any]:
        if job.phase.terminal:
            await self._outputs.settle(job)
        return shown(job, _about(job), await self._registry.missing_output(job.name))

    async def _find(self, uid: str, space: str, field: str) -> Job:
        try:
            return await self._jobs.task(namespace(space), uid)
        except NoSuchJob:
            raise UnknownTask(uid, field) from None

    async def _text(self, job: Job, stage: str) -> str:
        part = await self._jobs.task_log(job, stage, limit=MOST_LOG_BYTES)
        left_out = part.size - MOST_LOG_BYTES
        if left_out <= 0:
            return await asyncio.to_thread(part.data.decode, "utf-8", "replace")
        part = await self._jobs.task_log(job, stage, offset=left_out, limit=MOST_LOG_BYTES)
        text = await asyncio.to_thread(part.data.decode, "utf-8", "replace")
        return f"[{left_out} bytes before this are left out]\n{text}"


def _about(job: Job) -> About:
    return About.of(job.spec.about)

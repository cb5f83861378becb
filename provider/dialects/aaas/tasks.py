"""The calls that are about tasks, in terms of the use cases.

What a caller may name is a module and a name of the operator's; what reaches the container
is data. All tasks of one key lie in namespaces that begin with that key's name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from compute.models import Job
from provider.dialects.aaas import responses, states
from provider.dialects.aaas.errors import ParameterWrong
from provider.dialects.aaas.requests import Run, TaskName
from provider.dialects.aaas.responses import MOST_RESPONSE_BYTES, MOST_TRACEBACK_BYTES, Outcome
from provider.dialects.aaas.settings import AaasSettings, Algorithm
from provider.dialects.aaas.states import EndAnswer
from provider.errors import NoSuchJob, TaskExists
from provider.jobs import Jobs
from provider.task_specs import TaskCall, TaskStage

DIALECT = "aaas"
RESPONSE = "response.json"
LISTED_OUTCOME_BYTES = 4 << 20
"""Of all responses in one list; further ones are told one by one."""
LISTED_ARGUMENT_BYTES = 8 << 20
"""Of all arguments in one list, likewise."""

_STAGE = "algorithm"
_CLEANED_AT_ONCE = 8
_CLEAN_S = 8.0
"""How long a cleaning waits for what it has asked for; all of it is durable by then."""
_LISTS_AT_ONCE = 2
"""A thousand tasks with all their arguments are some hundred megabytes meanwhile."""
_TRIES = 3


def whose(key: str) -> str:
    """What the namespaces of a key's tasks begin with. No key is called ``-``."""
    return f"{DIALECT}/{key or '-'}/"


class Tasks:
    """Tasks over the use cases; ``key`` is always the name of the caller's key. ``ppid`` is told
    of each task as the process above it."""

    def __init__(self, jobs: Jobs, settings: AaasSettings, ppid: int) -> None:
        self._jobs = jobs
        self._ppid = ppid
        self._settings = settings
        self._lists = asyncio.Semaphore(_LISTS_AT_ONCE)
        self._cleaning = asyncio.Semaphore(1)

    def describe(self, module: str) -> Mapping[str, Any]:
        """Raises ParameterWrong for a module that is not registered."""
        return responses.description(module, self._module(module))

    async def run(self, key: str, run: Run) -> Mapping[str, Any]:
        """Start a task, or tell how the one is that has this id: of two calls at once with
        one id, one starts it. Raises ParameterWrong, QueueFull, KeyedRefusal."""
        task = TaskName(run.task_id or self._jobs.new_id(), run.task_ns)
        for _ in range(_TRIES):
            found = await self.find(key, task) if run.task_id else None
            if found is not None:
                return await self.info_of(found)
            try:
                return await self.info_of(await self._start(key, task, run))
            except TaskExists:
                continue
        raise TaskExists(task.task_id)

    async def find(self, key: str, task: TaskName) -> Job | None:
        """The task, None where there is none."""
        try:
            return await self._jobs.task(whose(key) + task.task_ns, task.task_id)
        except NoSuchJob:
            return None

    async def info(self, key: str, task: TaskName) -> Mapping[str, Any]:
        """Empty for a task that there is not."""
        job = await self.find(key, task)
        return {} if job is None else await self.info_of(job)

    async def infos(self, key: str, task_ns: str) -> Sequence[Mapping[str, Any]]:
        """Of the newest thousand of a namespace, oldest first. The responses and arguments of
        older ones are left out where all together would be too large."""
        shown: list[Mapping[str, Any]] = []
        with_outcome: list[Job] = []
        room, room_for_arguments = LISTED_OUTCOME_BYTES, LISTED_ARGUMENT_BYTES
        async with self._lists:
            for job in await self._jobs.tasks(whose(key) + task_ns):
                outcome = await self._outcome(job) if room > 0 else None
                if outcome is not None:
                    with_outcome.append(job)
                    room -= len(outcome.response or b"") + len(outcome.traceback)
                info = await self._told(job, outcome)
                if room_for_arguments > 0:
                    room_for_arguments -= len(responses.dumps(info["run_opts"]))
                shown.append(info if room_for_arguments > 0 else {**info, "run_opts": {}})
            await self._jobs.task_shown("output", *with_outcome)
        return shown[::-1]

    async def namespaces(self, key: str) -> Sequence[str]:
        """All that have tasks; the nameless one is empty."""
        start = whose(key)
        return [each[len(start) :] for each in await self._jobs.task_namespaces(start)]

    async def end(self, key: str, task: TaskName) -> EndAnswer:
        """Have a task end: one that waits is taken out of the queue, one that runs is told."""
        before = await self.find(key, task)
        if before is None:
            return EndAnswer.UNKNOWN
        if states.has_begun(before):
            after = await self._jobs.stop_task(before, wait_s=0)
        else:
            after = await self._jobs.stop_task(before)
        return states.end_answer(before, after)

    async def clean(self, key: str, task_ns: str, before: float) -> Sequence[str]:
        """Delete the tasks of a namespace that were over at a time; their ids. A thousand are
        looked at together, and then the next ones as long as there is time."""
        clock = asyncio.get_running_loop().time
        until = clock() + _CLEAN_S
        cleaned: dict[str, str] = {}
        async with self._cleaning:
            while not cleaned or clock() < until:
                jobs = await self._jobs.tasks(whose(key) + task_ns)
                old = [
                    job
                    for job in jobs
                    if job.phase.terminal
                    and (job.finished_at or 0) <= before
                    and job.id not in cleaned
                ]
                if not old:
                    break
                await self._delete(old, until)
                cleaned |= {job.id: job.name for job in old}
        return list(cleaned.values())

    async def _delete(self, jobs: Sequence[Job], until: float) -> None:
        """Have the tasks deleted; wait for it until then."""
        places = asyncio.Semaphore(_CLEANED_AT_ONCE)
        clock = asyncio.get_running_loop().time

        async def delete(job: Job) -> None:
            async with places:
                await self._jobs.delete_task(job, wait_s=max(0.0, until - clock()))

        await asyncio.gather(*map(delete, jobs))

    async def info_of(self, job: Job) -> Mapping[str, Any]:
        """How a task is, with what it left behind."""
        outcome = await self._outcome(job)
        if outcome is not None:
            await self._jobs.task_shown("output", job)
        return await self._told(job, outcome)

    async def _start(self, key: str, task: TaskName, run: Run) -> Job:
        algorithm = self._algorithm(run.module, run.name)
        stage = TaskStage(
            name=_STAGE,
            image=algorithm.image,
            entrypoint=algorithm.entrypoint,
            parameters=_parameters(task, run, algorithm),
            network=algorithm.network,
        )
        call = TaskCall(
            owner=f"{DIALECT}:{key}" if key else DIALECT,
            environment=self._settings.environment_of(algorithm),
            namespace=whose(key) + task.task_ns,
            name=task.task_id,
            stages=(stage,),
            about=responses.about(run.module, run.name, task.task_ns, run.run_opts),
            delay_s=run.delay_s,
        )
        return await self._jobs.start_task(call)

    def _module(self, module: str) -> Mapping[str, Algorithm]:
        """Which other modules there are is not told: whoever calls one knows its name."""
        try:
            return self._settings.modules[module]
        except KeyError:
            raise ParameterWrong("There is no such module here") from None

    def _algorithm(self, module: str, name: str) -> Algorithm:
        algorithms = self._module(module)
        try:
            return algorithms[name]
        except KeyError:
            known = ", ".join(algorithms)
            raise ParameterWrong(f"The module has no such name; it has {known}") from None

    async def _outcome(self, job: Job) -> Outcome | None:
        """None for a task that is not over."""
        if not job.phase.terminal:
            return None
        response = await self._jobs.task_output(job, RESPONSE, limit=MOST_RESPONSE_BYTES + 1)
        traceback = await self._log_end(job) if states.has_failed(job) else b""
        return Outcome(response, traceback)

    async def _log_end(self, job: Job) -> bytes:
        size = (await self._jobs.task_log(job, limit=0)).size
        start = max(0, size - MOST_TRACEBACK_BYTES)
        part = await self._jobs.task_log(job, offset=start, limit=MOST_TRACEBACK_BYTES)
        return responses.last_lines(part.data, whole=start == 0)

    async def _told(self, job: Job, outcome: Outcome | None) -> Mapping[str, Any]:
        """In a thread, since a response may be large."""
        mount, ppid = self._settings.mount, self._ppid
        if outcome is None or not outcome.response:
            return responses.task_info(job, outcome, mount=mount, ppid=ppid)
        return await asyncio.to_thread(responses.task_info, job, outcome, mount=mount, ppid=ppid)


def _parameters(task: TaskName, run: Run, algorithm: Algorithm) -> Mapping[str, Any]:
    """What the algorithm reads: defaults, then what came in the body, then the query."""
    defaults = {path: argument.default for path, argument in algorithm.arguments.items()}
    return {
        "task_id": task.task_id,
        "task_ns": task.task_ns or None,
        "module": run.module,
        "name": run.name,
        "bind_arg": {**defaults, **run.bound},
        "configs": run.configs,
        "run_opts": run.run_opts,
    }

"""The calls of the labelling API under ``/api/tasks/``."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from compute.models import Job
from provider.dialects.labelling import progress as progress_file
from provider.dialects.labelling import requests, responses, states
from provider.dialects.labelling.progress import Progress, Row
from provider.dialects.labelling.requests import CreateBody, Refused, SqliteSite
from provider.dialects.labelling.settings import LabellingSettings
from provider.dialects.reading import json_body
from provider.dialects.shared.door import Door
from provider.dialects.shared.mounting import Route, mount
from provider.dialects.shared.surroundings import SiblingSurroundings
from provider.errors import NoSuchJob
from provider.jobs import Jobs
from provider.task_specs import TaskCall, TaskStage

STAGE = "labelling"
SITE_FILE = "site.sqlite"
NEWEST = 5

_OVER = "task {} is over already and cannot be aborted"
_NOTHING_YET = "no result table exists yet, wait for awhile to retry it"


class LabellingApi:
    """The use cases, in the words of this API. Tasks of one key are invisible to another."""

    def __init__(
        self, jobs: Jobs, settings: LabellingSettings, around: SiblingSurroundings
    ) -> None:
        self._jobs = jobs
        self._settings = settings
        self._now = around.now
        self._chance: random.Random = secrets.SystemRandom()
        # Expressions may take a second to compile: not in the threads that all jobs share.
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="labelling-body")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reading.shutdown(wait=False, cancel_futures=True)

    async def read(self, body: Mapping[str, Any]) -> CreateBody:
        """A checked request to label, one at a time. Raises BodyInvalid, Refused."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reading, requests.create_body, body)

    async def create(self, call: CreateBody, key: str) -> Job:
        """Queue the labelling. Raises Refused, and what Jobs.start_task raises."""
        requests.require_reachable(call, self._settings)
        environment = self._settings.environment_of(call.QUEUE)
        if environment is None:
            raise Refused(400, "QUEUE: there is no such queue")
        task_id = self._jobs.new_id()
        files = self._files(call)
        task = TaskCall(
            owner=f"labelling:{key}" if key else "labelling",
            environment=environment,
            namespace=_namespace(key),
            name=task_id,
            stages=(self._stage(call, task_id, tuple(files)),),
            files=files,
            about=call.about(),
            delay_s=float(call.COUNTDOWN),
        )
        return await self._jobs.start_task(task, job_id=task_id)

    def _stage(self, call: CreateBody, task_id: str, files: tuple[str, ...]) -> TaskStage:
        site = call.SITE_CONFIG.model_dump()
        if files:
            site["db"] = SITE_FILE
        return TaskStage(
            name=STAGE,
            image=self._settings.image,
            entrypoint=self._settings.entrypoint,
            files=files,
            parameters=_parameters(call, task_id, self._settings),
            secrets={"site_config": json.dumps(site)},
            network=not files,
        )

    def _files(self, call: CreateBody) -> Mapping[str, Path]:
        site = call.SITE_CONFIG
        if not isinstance(site, SqliteSite):
            return {}
        path = self._settings.files[site.db]
        if not path.is_file():
            raise Refused(503, "SITE_CONFIG.db: this database is not there at the moment")
        return {SITE_FILE: path}

    async def task(self, task_id: str, key: str) -> Job:
        """Raises NoSuchJob."""
        if not requests.is_id(task_id):
            raise NoSuchJob("There is no such task.")
        return await self._jobs.task(_namespace(key), task_id)

    async def newest(self, key: str) -> list[dict[str, Any]]:
        jobs = await self._jobs.tasks(_namespace(key), limit=NEWEST)
        return [await self.row(job) for job in jobs]

    async def row(self, job: Job) -> dict[str, Any]:
        return responses.state_row(job, await self._progress(job), self._now())

    async def sample(self, job: Job) -> list[Row]:
        """Some rows of each result table. Raises Refused while there are none."""
        progress = await self._progress(job)
        if states.prod_stat(job, progress) == "no_data":
            raise Refused(404, "prod_stat of the task is no_data, nothing was labelled")
        tables = [await self._rows(job, table) for table in progress.tables]
        rows = progress_file.draw(tables, self._chance)
        if not rows:
            raise Refused(404, _NOTHING_YET)
        await self._jobs.task_shown("output", job)
        return rows

    async def abort(self, task_id: str, key: str) -> None:
        """Raises NoSuchJob; Refused for a task that is over and was not aborted."""
        job = await self._jobs.stop_task(await self.task(task_id, key))
        if states.stat(job) != "BREAK":
            raise Refused(400, _OVER.format(task_id))

    async def result_tables(self, task_ids: Sequence[str], key: str) -> dict[str, Sequence[str]]:
        """The result tables of finished tasks. Raises Refused."""
        found: dict[str, Sequence[str]] = {}
        for task_id in task_ids:
            try:
                job = await self.task(task_id, key)
            except NoSuchJob:
                raise Refused(404, "TASK_IDS names a task that is not found") from None
            progress = await self._progress(job)
            if states.prod_stat(job, progress) is None:
                raise Refused(400, f"task {task_id} has no finished results")
            found[task_id] = progress.tables
        return found

    async def _progress(self, job: Job) -> Progress:
        limit = progress_file.FILE_BYTES
        raw = await self._jobs.task_output(job, progress_file.FILE, limit=limit)
        return progress_file.progress_of(raw)

    async def _rows(self, job: Job, table: str) -> list[Row]:
        name = progress_file.sample_name(table)
        raw = await self._jobs.task_output(job, name, limit=progress_file.SAMPLE_BYTES)
        return await asyncio.to_thread(progress_file.rows_of, raw)


LABELLING_API = web.AppKey("labelling_api", LabellingApi)


async def open_api(
    app: web.Application,
    jobs: Jobs,
    settings: LabellingSettings,
    around: SiblingSurroundings,
    stack: AsyncExitStack,
) -> None:
    """Bring the API to life until the stack ends."""
    app[LABELLING_API] = await stack.enter_async_context(LabellingApi(jobs, settings, around))


def add_routes(app: web.Application, settings: LabellingSettings, door: Door) -> None:
    """Mount the API; :data:`LABELLING_API` has to be there once the application has started."""
    calls = [
        ("POST", "", _create),
        ("GET", "", _list),
        ("POST", "/abort", _abort),
        ("POST", "/dump", _dump),
        ("GET", "/{task_id}", _status),
        ("GET", "/{task_id}/sample", _sample),
    ]
    routes = [
        Route(method, f"/api/tasks{path}{slash}", handler)
        for method, path, handler in calls
        for slash in ("", "/")
    ]
    below = ("/api/tasks",)
    render = responses.render
    mount(app, prefix=settings.mount, door=door, routes=routes, render=render, below=below)


async def _create(request: web.Request, key: str) -> web.Response:
    body = await json_body(request)
    if requests.is_abort(body):
        return await _break(request, body, key)
    api = request.app[LABELLING_API]
    call = await api.read(body)
    return responses.created(call, await api.create(call, key))


async def _list(request: web.Request, key: str) -> web.Response:
    return responses.listed(await request.app[LABELLING_API].newest(key))


async def _status(request: web.Request, key: str) -> web.Response:
    api = request.app[LABELLING_API]
    job = await api.task(request.match_info["task_id"], key)
    return responses.found(await api.row(job))


async def _sample(request: web.Request, key: str) -> web.Response:
    api = request.app[LABELLING_API]
    task_id = requests.whole_id(request.match_info["task_id"])
    return responses.sampled(await api.sample(await api.task(task_id, key)))


async def _abort(request: web.Request, key: str) -> web.Response:
    return await _break(request, await json_body(request), key)


async def _dump(request: web.Request, key: str) -> web.Response:
    task_ids = requests.dump_body(await json_body(request))
    return responses.dumped(await request.app[LABELLING_API].result_tables(task_ids, key))


async def _break(request: web.Request, body: Mapping[str, Any], key: str) -> web.Response:
    task_id = requests.abort_body(body)
    await request.app[LABELLING_API].abort(task_id, key)
    return responses.aborted(task_id)


def _namespace(key: str) -> str:
    """No key is called ``-``: names begin with a letter or a digit."""
    return f"labelling/{key or '-'}"


def _parameters(call: CreateBody, task_id: str, settings: LabellingSettings) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "model_type": call.MODEL_TYPE,
        "predict_type": call.PREDICT_TYPE,
        "start_time": str(call.START_TIME),
        "end_time": str(call.END_TIME),
        "pattern": call.PATTERN,
        "input_schema": call.INPUT_SCHEMA,
        "input_table": call.INPUT_TABLE,
        "output_schema": call.OUTPUT_SCHEMA,
        "id_column": settings.idColumn,
        "time_column": settings.timeColumn,
        "batch_rows": settings.batchRows,
    }

"""The five calls: parse, call, respond."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from aiohttp import web

from compute.models import Job
from compute.status import Phase
from provider.dialects.gbuilder import requests, responses, states, structure
from provider.dialects.gbuilder.ends import Ends, first_of
from provider.dialects.gbuilder.errors import InputRefused, NothingToStop
from provider.dialects.gbuilder.settings import GBuilderSettings
from provider.dialects.gbuilder.structure import Fault, Model
from provider.dialects.shared import forms
from provider.dialects.shared.door import Door
from provider.dialects.shared.mounting import Route, mount
from provider.dialects.shared.surroundings import SiblingSurroundings
from provider.downloads import FileAnswer
from provider.errors import NoSuchJob
from provider.hangups import STOPPING
from provider.jobs import Jobs
from provider.turns import Turns

CHECKS_AT_ONCE = 1
"""A large file of short lines takes half a minute of the interpreter, which is everybody's."""

LOOK_S = 5.0
"""How long to wait for the news of an end, which may come from another process and be lost,
before looking whether it has come."""

log = logging.getLogger(__name__)


class GBuilderApi:
    """The endpoints over the use cases."""

    def __init__(self, jobs: Jobs, settings: GBuilderSettings, around: SiblingSurroundings) -> None:
        self._jobs = jobs
        self._settings = settings
        self._uploads = around.uploads
        self._ends = Ends()
        self._checks = Turns(CHECKS_AT_ONCE, share=1)
        jobs.on_task_end(self._ends.ended)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        return None

    async def status(self, request: web.Request, key: str) -> web.StreamResponse:
        readiness = await self._jobs.readiness(self._settings.environment)
        return web.json_response({"status": states.endpoint_state(readiness)})

    async def start(self, request: web.Request, key: str) -> web.StreamResponse:
        job_id = self._jobs.new_id()
        with self._ends.of(job_id) as end:
            immediate = await self._taken_in(request, key, job_id)
            if immediate and self._settings.blockOnImmediate:
                stopping = request.app.get(STOPPING)
                awaited = [end, stopping] if stopping else [end]
                while not await first_of(*awaited, within_s=LOOK_S):
                    if await self._jobs.is_over(job_id):
                        break
        return web.json_response(responses.ACCEPTED)

    async def task(self, request: web.Request, key: str) -> web.StreamResponse:
        try:
            job = await self._named(request, key)
        except NoSuchJob:
            job = None
        return web.json_response({"status": states.task_state(job)})

    async def results(self, request: web.Request, key: str) -> web.StreamResponse:
        job = await self._named(request, key)
        index = responses.handed_out(job, self._settings.output).index
        file, path = self._jobs.task_result(job, index)
        if request.method == "GET":
            await self._jobs.task_shown("result", job)
        return FileAnswer(path, filename=file.filename, sha256=file.sha256)

    async def stop(self, request: web.Request, key: str) -> web.StreamResponse:
        try:
            job = await self._named(request, key)
        except NoSuchJob as error:
            raise NothingToStop(error.public) from None
        if job.phase.terminal:
            raise NothingToStop("The task is over already; its state stays.")
        job = await self._jobs.stop_task(job)
        if job.phase.terminal and job.phase is not Phase.STOPPED:
            raise NothingToStop("The task was over before it could be stopped; its state stays.")
        return web.json_response(responses.ACCEPTED)

    async def _taken_in(self, request: web.Request, key: str, job_id: str) -> bool:
        """Queue the task of a form. Returns whether it is ``immediate``."""
        async with await forms.receive(
            request,
            folder=self._uploads,
            file_fields=requests.FILE_FIELDS,
            max_bytes=self._settings.max_upload_bytes,
        ) as form:
            given = requests.upload(form.fields, form.file)
            await self._require_structure(given.file.path, key)
            call = requests.task_call(self._settings, key, given)
            await self._jobs.start_task(call, job_id=job_id)
        log.info("gbuilder_task_taken job=%s task=%r key=%s", job_id, given.task_id, key or "-")
        return given.immediate

    async def _require_structure(self, path: Path, key: str) -> None:
        if self._settings.model is Model.ANY:
            return
        async with self._checks.turn(key):
            fault = await asyncio.to_thread(_fault, path, self._settings.model)
        if fault is not None:
            raise InputRefused(f"task_file: {fault}", field=requests.FILE_FIELDS[0])

    async def _named(self, request: web.Request, key: str) -> Job:
        """The caller's own task of the path. Raises NoSuchJob."""
        task_id = request.match_info["task_id"]
        if not requests.is_task_id(task_id):
            raise NoSuchJob("There is no such task.")
        return await self._jobs.task(requests.namespace(key), task_id)


GBUILDER_API = web.AppKey("gbuilder_api", GBuilderApi)

_Endpoint = Callable[[GBuilderApi, web.Request, str], Awaitable[web.StreamResponse]]

_TASK = "/tasks/{task_id}"
_ENDPOINTS: tuple[tuple[str, str, _Endpoint], ...] = (
    ("GET", "/status", GBuilderApi.status),
    ("POST", "/tasks", GBuilderApi.start),
    ("GET", _TASK, GBuilderApi.task),
    ("GET", _TASK + "/results", GBuilderApi.results),
    ("DELETE", _TASK, GBuilderApi.stop),
)


async def open_api(
    app: web.Application,
    jobs: Jobs,
    settings: GBuilderSettings,
    around: SiblingSurroundings,
    stack: AsyncExitStack,
) -> None:
    """Bring the API to life until the stack ends."""
    app[GBUILDER_API] = await stack.enter_async_context(GBuilderApi(jobs, settings, around))


def add_routes(app: web.Application, settings: GBuilderSettings, door: Door) -> None:
    """Register all routes. They find their GBuilderApi once the application has started."""
    routes = [
        Route(each, path, _handler(endpoint))
        for method, path, endpoint in _ENDPOINTS
        for each in (("GET", "HEAD") if method == "GET" else (method,))
    ]
    mount(
        app,
        prefix=settings.mount,
        door=door,
        routes=routes,
        render=responses.render,
        below=("/", "/status", "/tasks"),
    )


def _handler(
    endpoint: _Endpoint,
) -> Callable[[web.Request, str], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request, key: str) -> web.StreamResponse:
        return await endpoint(request.app[GBUILDER_API], request, key)

    return handler


def _fault(path: Path, model: Model) -> Fault | None:
    with path.open("rb") as file:
        return structure.input_fault(file, model)

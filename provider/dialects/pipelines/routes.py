"""The endpoints of the wire: parse, call, respond."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final, Self

from aiohttp import web

from provider.dialects import reading
from provider.dialects.pipelines import requests, responses
from provider.dialects.pipelines.builds import Builds
from provider.dialects.pipelines.credentials import Users
from provider.dialects.pipelines.model import TaskKind
from provider.dialects.pipelines.outputs import Outputs
from provider.dialects.pipelines.registry_routes import RegistryApi, registry_routes
from provider.dialects.pipelines.settings import PipelinesSettings
from provider.dialects.pipelines.shelf import Shelf
from provider.dialects.pipelines.tasks import Tasks
from provider.dialects.shared import mounting
from provider.dialects.shared.door import Door
from provider.dialects.shared.mounting import Route
from provider.dialects.shared.surroundings import SiblingSurroundings
from provider.jobs import Jobs
from provider.registry.registry import Registry

VERSIONED: Final = "/api/{version:v[0-9]{1,6}(?:\\.[0-9]{1,6}){0,3}}"
"""Clients of any version are served; they differ only in this text."""


class PipelinesApi:
    """The endpoints by their keys. As a context it settles the outputs of tasks that end."""

    def __init__(
        self, jobs: Jobs, settings: PipelinesSettings, around: SiblingSurroundings
    ) -> None:
        self._registry = Registry(around.database, around.data_dir / "registry", trail=around.trail)
        self._outputs = Outputs(jobs, self._registry, around.uploads, around.leases)
        self._builds = Builds(
            jobs,
            self._registry,
            around.leases,
            environment=settings.environment,
            folder=around.uploads,
            most_bytes=settings.most_expanded_bytes,
        )
        self._users = Users(settings.users)
        self._shelf = Shelf(self._registry, self._builds, settings.most_expanded_bytes)
        self._tasks = Tasks(jobs, self._registry, self._outputs, settings.environment, around.now)
        self.registry = RegistryApi(
            self._shelf, self._users, around, most_bytes=settings.max_upload_bytes
        )

    async def __aenter__(self) -> Self:
        await self._registry.__aenter__()
        await self._builds.open()
        await self._outputs.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._outputs.__aexit__(*error)

    async def preprocess(self, values: requests.Values, space: str) -> web.Response:
        return await self._run(TaskKind.PREPROCESSING, values, space)

    async def train(self, values: requests.Values, space: str) -> web.Response:
        return await self._run(TaskKind.TRAINING, values, space)

    async def optimise(self, values: requests.Values, space: str) -> web.Response:
        return await self._run(TaskKind.RETRAIN, values, space)

    async def task(self, values: requests.Values, space: str) -> web.Response:
        uid = requests.task(values)
        return responses.envelope(responses.TASK_DETAIL, await self._tasks.one(uid, space=space))

    async def log(self, values: requests.Values, space: str) -> web.Response:
        uid, kind = requests.log(values)
        texts = await self._tasks.log(uid, kind, space=space)
        return responses.envelope(responses.LOG_DETAIL, texts)

    async def tasks(self, values: requests.Values, space: str) -> web.Response:
        pipeline_uid = requests.of_pipeline(values)
        found = await self._tasks.of_pipeline(pipeline_uid, space=space)
        return responses.envelope(responses.TASK_DETAIL, found)

    async def choices(self, values: requests.Values, space: str) -> web.Response:
        pipeline_uid = requests.of_pipeline(values)
        found = await self._shelf.choices(space, pipeline_uid)
        return responses.envelope(responses.CHOICES_DETAIL, found)

    async def delete(self, values: requests.Values, space: str) -> web.Response:
        uid, claimed = requests.deletion(values), requests.credentials(values)
        await self._users.require(claimed)
        return responses.envelope(
            responses.DELETE_DETAIL, await self._tasks.delete(uid, space=space)
        )

    async def _run(self, kind: TaskKind, values: requests.Values, space: str) -> web.Response:
        call, claimed = requests.run(kind, values), requests.credentials(values)
        owner = await self._users.require(claimed)
        answer = await self._tasks.run(call, space=space, owner=owner)
        return responses.envelope(responses.RUN_DETAIL, answer)


PIPELINES_API = web.AppKey("pipelines_api", PipelinesApi)

_Call = Callable[[PipelinesApi, requests.Values, str], Awaitable[web.Response]]

_CALLS: Mapping[str, _Call] = {
    "jPqyAFWh7hBKRRNK": PipelinesApi.preprocess,
    "q8uzMBcM5YJH6dPf": PipelinesApi.train,
    "Oi6u8dkur8GTKPxS": PipelinesApi.optimise,
    "KlnZtRyqy3rPAZWL": PipelinesApi.task,
    "bJ7xLmgp4WSWK498": PipelinesApi.log,
    "s8i1TNiTXwwv02mv": PipelinesApi.tasks,
    "CNNfUmDpcWXp7vdM": PipelinesApi.delete,
    "oNjkVj60RqS8DQTX": PipelinesApi.choices,
}
"""The wire names its calls by these; they are no secrets."""


async def open_api(
    app: web.Application,
    jobs: Jobs,
    settings: PipelinesSettings,
    around: SiblingSurroundings,
    stack: AsyncExitStack,
) -> None:
    """Bring the API to life until the stack ends."""
    app[PIPELINES_API] = await stack.enter_async_context(PipelinesApi(jobs, settings, around))


def add_routes(app: web.Application, settings: PipelinesSettings, door: Door) -> None:
    """Register all routes. They find their PipelinesApi under PIPELINES_API once the application
    has started."""
    parse = Route("POST", f"{VERSIONED}/entrypoint/Router/parse/{{key:[^/]+}}", _parse)
    mounting.mount(
        app,
        prefix=settings.mount,
        door=door,
        routes=[parse, *registry_routes(VERSIONED, lambda request: _api(request).registry)],
        render=responses.error,
    )


async def _parse(request: web.Request, space: str) -> web.StreamResponse:
    call = _CALLS.get(request.match_info["key"])
    if call is None:
        raise web.HTTPNotFound
    values = reading.parse_object(await reading.read_body(request))
    return await call(_api(request), values, space)


def _api(request: web.Request) -> PipelinesApi:
    return request.app[PIPELINES_API]

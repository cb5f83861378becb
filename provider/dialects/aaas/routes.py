"""The endpoints below ``/auto``: parse, call, respond. Each takes GET and POST alike."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

from aiohttp import web

from provider import middlewares
from provider.dialects import reading
from provider.dialects.aaas import requests, responses
from provider.dialects.aaas.logs import Logs
from provider.dialects.aaas.requests import Arguments
from provider.dialects.aaas.settings import AaasSettings
from provider.dialects.aaas.tasks import Tasks
from provider.dialects.shared.door import Door
from provider.dialects.shared.mounting import Route, mount
from provider.dialects.shared.surroundings import SiblingSurroundings
from provider.jobs import Jobs

RETRY_AFTER_S = "2"
_LOG = "/auto/task_log"


class AaasApi:
    """The endpoints over the use cases."""

    def __init__(self, jobs: Jobs, settings: AaasSettings, around: SiblingSurroundings) -> None:
        self._most_delay_s = float(settings.maxDelay)
        self._now = around.now
        # Which of several processes answers must make no difference.
        self._tasks = Tasks(jobs, settings, ppid=1 if around.shared else os.getpid())
        self._logs = Logs(jobs, self._tasks, settings.followers)
        jobs.on_task_end(self._logs.ends.ended)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        return None

    async def run(self, request: web.Request, key: str) -> web.StreamResponse:
        arguments = await _arguments(request)
        module = requests.described_module(arguments)
        if module is not None:
            return _answer(self._tasks.describe(module))
        run = requests.run(arguments, self._most_delay_s)
        return _answer(await self._tasks.run(key, run))

    async def task_info(self, request: web.Request, key: str) -> web.StreamResponse:
        task = requests.task_name(await _arguments(request))
        return _answer(await self._tasks.info(key, task))

    async def all_task(self, request: web.Request, key: str) -> web.StreamResponse:
        task_ns = requests.namespace(await _arguments(request))
        return _answer(await self._tasks.infos(key, task_ns))

    async def all_task_ns(self, request: web.Request, key: str) -> web.StreamResponse:
        return _answer(await self._tasks.namespaces(key))

    async def end_task(self, request: web.Request, key: str) -> web.StreamResponse:
        task = requests.task_name(await _arguments(request))
        return _answer(await self._tasks.end(key, task))

    async def clean_task(self, request: web.Request, key: str) -> web.StreamResponse:
        arguments = await _arguments(request)
        before = self._now() - requests.info_ttl(arguments)
        task_ns = requests.namespace(arguments)
        return _answer(await self._tasks.clean(key, task_ns, before))

    async def task_log(self, request: web.Request, key: str) -> web.StreamResponse:
        request[middlewares.LONG] = True
        question = requests.log_question(await _arguments(request))
        return await self._logs.serve(request, key, question)


AAAS_API = web.AppKey("aaas_api", AaasApi)

_Endpoint = Callable[[AaasApi, web.Request, str], Awaitable[web.StreamResponse]]

_ENDPOINTS: Mapping[str, _Endpoint] = {
    "/auto/run": AaasApi.run,
    "/auto/task_info": AaasApi.task_info,
    "/auto/all_task": AaasApi.all_task,
    "/auto/all_task_ns": AaasApi.all_task_ns,
    "/auto/end_task": AaasApi.end_task,
    "/auto/clean_task": AaasApi.clean_task,
    _LOG: AaasApi.task_log,
}


async def open_api(
    app: web.Application,
    jobs: Jobs,
    settings: AaasSettings,
    around: SiblingSurroundings,
    stack: AsyncExitStack,
) -> None:
    """Bring the API to life until the stack ends."""
    app[AAAS_API] = await stack.enter_async_context(AaasApi(jobs, settings, around))


def add_routes(app: web.Application, settings: AaasSettings, door: Door) -> None:
    """Register all routes. They find their AaasApi once the application has started.

    What the source has below ``/admin``, ending the server and looking at its GPUs, is the
    operator's business: not found.
    """
    routes = [
        Route(method, path, _handler(endpoint))
        for path, endpoint in _ENDPOINTS.items()
        for method in ("GET", "POST")
    ]
    mount(
        app,
        prefix=settings.mount,
        door=door,
        routes=routes,
        render=render,
        below=("/auto", "/admin"),
    )


def render(request: web.Request, error: Exception) -> web.Response | None:
    """An error in this API's envelope, for a log in its headers as well."""
    refusal = responses.refusal(error)
    if refusal is None:
        return None
    response = web.Response(
        status=refusal.status,
        text=responses.dumps(refusal.body),
        content_type="application/json",
    )
    if request.path.endswith(_LOG):
        response.headers.update(refusal.headers)
    if isinstance(error, web.HTTPException) and "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    if refusal.status == web.HTTPServiceUnavailable.status_code:
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response


def _handler(
    endpoint: _Endpoint,
) -> Callable[[web.Request, str], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request, key: str) -> web.StreamResponse:
        return await endpoint(request.app[AAAS_API], request, key)

    return handler


async def _arguments(request: web.Request) -> Arguments:
    """Those of the JSON body, and those of the query over them. Raises RequestMalformed."""
    body = await reading.json_body(request)
    return {**body, **await reading.parameters(request)}


def _answer(data: Any) -> web.Response:
    text = responses.dumps(responses.success(data))
    return web.Response(text=text, content_type="application/json")

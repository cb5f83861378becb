"""A dialect's routes under its mount, and in whose envelope each refusal leaves."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web
from kit_server import ALICE, HASHED, application, enveloped, request, sent, serving

from compute.errors import StoreUnavailable, UnknownJob
from provider.apikeys import KeyRing
from provider.dialects.ocean import routes as ocean_routes
from provider.dialects.shared.door import Door
from provider.dialects.shared.mounting import Route, mount
from provider.errors import NoSuchJob, ProviderError, RequestMalformed

FAULTS: dict[str, Exception] = {
    "malformed": RequestMalformed("It is broken."),
    "none": NoSuchJob("There is no such task."),
    "unknown": UnknownJob("No job."),
    "too-large": web.HTTPRequestEntityTooLarge(1, 2),
    "moved": web.HTTPFound("/elsewhere"),
    "down": StoreUnavailable("The database is down."),
    "ours": RuntimeError("a secret of ours"),
}


class Busy(ProviderError):
    """Something that will pass."""

    status = 503


FAULTS["busy"] = Busy("Not now.")


async def echo(request: web.Request, name: str) -> web.Response:
    return web.json_response({"path": request.path, "method": request.method, "key": name})


async def failing(request: web.Request, name: str) -> web.Response:
    raise FAULTS[request.match_info["fault"]]


ROUTES = [
    Route("GET", "/status", echo),
    Route("POST", "/tasks", echo),
    Route("GET", "/tasks/{id}", echo),
    Route("DELETE", "/tasks/{id}", echo),
    Route("HEAD", "/tasks/{id}", echo),
    Route("*", "/any", echo),
    Route("GET", "/fail/{fault}", failing),
]


def mounted(
    prefix: str = "/tiny",
    *,
    below: Sequence[str] = (),
    keys: bool = False,
    render: Any = enveloped,
) -> web.Application:
    app = application()
    ocean_routes.add_routes(app)
    door = Door("tiny", KeyRing(HASHED if keys else {}))
    mount(app, prefix=prefix, door=door, routes=ROUTES, render=render, below=below)
    return app


def call(path: str, method: str = "GET", **headers: str) -> bytes:
    return request(path, headers).replace(b"GET", method.encode(), 1)


@pytest.mark.parametrize("prefix", ["/", "/tiny", "/tiny/v1"])
async def test_routes_are_below_the_mount(prefix: str) -> None:
    root = prefix.rstrip("/")
    async with serving(mounted(prefix)) as port:
        for method, path in (("GET", "/status"), ("POST", "/tasks"), ("DELETE", "/tasks/7")):
            answer = await sent(port, call(root + path, method))
            assert (answer.status, json.loads(answer.body)["path"]) == (200, root + path)
        if root:
            assert (await sent(port, call("/status"))).status == 404
        assert (await sent(port, call("/?x=1"))).status == 500, "the app's own root is not ours"


@pytest.mark.parametrize("prefix", ["/", "/tiny"])
async def test_an_address_with_a_slash_at_its_end_works(prefix: str) -> None:
    async with serving(mounted(prefix, below=["/"])) as port:
        answer = await sent(port, call(prefix.rstrip("/") + "//tasks/7"))
        assert answer.status == 200


async def test_the_guard_answers_options_and_a_head_that_is_not_listed() -> None:
    async with serving(mounted()) as port:
        answer = await sent(port, call("/tiny/tasks", "OPTIONS", Origin="https://page.example"))
        assert (answer.status, "POST" in answer.headers["allow"]) == (200, True)
        answer = await sent(port, call("/tiny/status", "PUT"))
        assert (answer.status, answer.headers["allow"]) == (405, "GET")
        assert "error" in json.loads(answer.body)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("malformed", 400, "It is broken."),
        ("none", 404, "There is no such task."),
        ("too-large", 413, "Request Entity Too Large"),
        ("busy", 503, "Not now."),
    ],
)
async def test_refusals_leave_in_the_dialects_envelope(fault: str, status: int, text: str) -> None:
    async with serving(mounted()) as port:
        answer = await sent(port, call(f"/tiny/fail/{fault}", **{"X-Request-Id": "mine"}))
    assert (answer.status, json.loads(answer.body)) == (status, {"said": text})
    assert answer.headers["x-request-id"] == "mine"


async def test_what_the_dialect_does_not_render_goes_on_to_the_guard() -> None:
    async with serving(mounted()) as port:
        answer = await sent(port, call("/tiny/fail/unknown"))
        assert (answer.status, json.loads(answer.body)) == (404, {"error": "No job."})
        answer = await sent(port, call("/tiny/fail/down"))
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        answer = await sent(port, call("/tiny/fail/moved"))
        assert answer.headers["x-request-id"]


async def test_a_fault_of_ours_tells_nothing_but_the_requests_id() -> None:
    async with serving(mounted()) as port:
        answer = await sent(port, call("/tiny/fail/ours", **{"X-Request-Id": "mine"}))
    assert answer.status == 500
    assert json.loads(answer.body) == {"error": "Internal error", "requestId": "mine"}


async def test_what_will_pass_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "provider.dialects.shared.mounting")
    async with serving(mounted()) as port:
        await sent(port, call("/tiny/fail/busy", **{"X-Request-Id": "mine"}))
        await sent(port, call("/tiny/fail/none"))
    assert caplog.messages == ["request_refused request=mine status=503 cause=Busy"]


@pytest.mark.parametrize("render", [enveloped, lambda request, error: None])
async def test_a_missing_key_is_answered_with_what_is_wanted(render: Any) -> None:
    async with serving(mounted(keys=True, render=render)) as port:
        answer = await sent(port, call("/tiny/status", **{"X-Request-Id": "mine"}))
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.headers["x-request-id"] == "mine"
        assert list(json.loads(answer.body).values()) == ["A valid key is needed here."]
        answer = await sent(port, call("/tiny/status", Authorization=f"Bearer {ALICE}"))
        assert json.loads(answer.body)["key"] == "alice"
        answer = await sent(port, call("/tiny/fail/none", Authorization=f"Bearer {ALICE}"))
        assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize(("prefix", "below"), [("/tiny", "/"), ("/tiny", ""), ("/", "/tiny")])
async def test_what_is_not_there_can_be_told_by_the_dialect(prefix: str, below: str) -> None:
    async with serving(mounted(prefix, below=[below])) as port:
        for path in ("/tiny", "/tiny/", "/tiny/nothing", "/tiny/tasks/7/8", "/tiny//x"):
            answer = await sent(port, call(path))
            assert (answer.status, json.loads(answer.body)) == (404, {"said": "Not Found"})
            assert answer.headers["x-request-id"]
        answer = await sent(port, call("/elsewhere"))
        assert (answer.status, "error" in json.loads(answer.body)) == (404, True)


async def test_a_wrong_method_can_be_told_by_the_dialect() -> None:
    def render(request: web.Request, error: Exception) -> web.Response | None:
        assert isinstance(error, web.HTTPMethodNotAllowed)
        return web.json_response({"allowed": sorted(error.allowed_methods)}, status=405)

    async with serving(mounted(below=["/"], render=render)) as port:
        answer = await sent(port, call("/tiny/tasks/7", "PUT"))
    assert (answer.status, json.loads(answer.body)) == (405, {"allowed": ["DELETE", "GET", "HEAD"]})


async def test_at_the_root_the_other_apis_keep_their_own_refusals() -> None:
    async with serving(mounted("/", below=["/"])) as port:
        answer = await sent(port, call("/nothing"))
        assert (answer.status, "error" in json.loads(answer.body)) == (404, True)
        assert (await sent(port, call("/any", "PUT"))).status == 200

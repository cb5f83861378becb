"""What may be asked about the running service, by whom, and that its figures add up."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from ocean_consumer import (
    ALICE,
    COMPUTE,
    CONTAINER,
    OPEN,
    PROGRAMS,
    RESULT,
    Api,
    Serve,
    settings_of,
    sign,
)
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from support.service import free_port
from yarl import URL

from compute.engines.fake import FakeWorld
from compute.engines.faulty import UnreachableEngine
from compute.space import WatchedSpace
from provider import middlewares
from provider.app import METRICS, create_app
from provider.errors import SettingsInvalid
from provider.hangups import STOPPING
from provider.logs import JsonFormatter

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
TOKEN = "0123456789abcdef0123"


async def scrape(api: Api, **options: Any) -> Samples:
    status, text = await api.call("GET", "/metrics", **options)
    assert status == 200, text
    return read(text.decode())


def read(text: str) -> Samples:
    return {
        (sample.name.removeprefix("ocean_compute_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def at(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def requests_of(samples: Samples, method: str, route: str, status: int) -> float:
    return at(samples, "http_requests_total", method=method, route=route, status=str(status))


async def test_figures_add_up_after_a_job(api: Api) -> None:
    ended = await api.finished(await api.start())
    assert ended["status"] == 70
    query = api.result_query(ALICE, ended["jobId"])
    assert (await api.call("GET", RESULT, params=query))[0] == 200
    samples = await scrape(api)
    ways = ("queued", "started", "configuring_volumes", "provisioned", "running", "publishing")
    for phase in ways:
        labels = {"environment": "small", "phase": phase}
        assert at(samples, "job_moves_total", **labels) == 1
        assert at(samples, "job_phase_duration_seconds_count", **labels) == 1
        assert at(samples, "jobs", **labels) == 0
    assert at(samples, "job_moves_total", environment="small", phase="completed") == 1
    moves = sum(n for (name, _), n in samples.items() if name == "job_moves_total")
    assert moves == len(ways) + 1
    took = sum(n for (name, _), n in samples.items() if name == "job_phase_duration_seconds_sum")
    assert took == pytest.approx(
        float(ended["dateFinished"]) - float(ended["dateCreated"]), abs=0.02
    )
    assert requests_of(samples, "POST", COMPUTE, 200) == 1
    assert requests_of(samples, "GET", COMPUTE, 200) >= 1
    assert requests_of(samples, "GET", RESULT, 200) == 1
    assert at(samples, "inputs_total", source="origin") >= 0
    assert at(samples, "store_commit_units_sum") >= moves
    assert at(samples, "operating") == 1
    assert at(samples, "operators") == 1
    assert at(samples, "data_free_bytes") > 0
    for part in ("store", "engine", "operator", "disk"):
        assert at(samples, "part_up", part=part) == 1


async def test_a_waiting_job_shows_in_the_queue(serve: Serve) -> None:
    api = await serve()
    for _ in range(4):
        await api.start(algorithm=_sleeping(), dataset=_open())
    samples = await scrape(api)
    assert at(samples, "jobs", environment="small", phase="queued") == 1
    assert at(samples, "queue_oldest_seconds", environment="small") > 0
    assert at(samples, "queue_oldest_seconds", environment="members") == 0


def _open() -> dict[str, str]:
    return {"documentId": OPEN, "serviceId": "compute"}


def _sleeping() -> dict[str, Any]:
    return {"meta": {"rawcode": "x", "container": {**CONTAINER, "entrypoint": "sleep 1"}}}


async def test_refusals_are_counted_by_reason(api: Api) -> None:
    body = api.start_body()
    assert (await api.call("POST", COMPUTE, json=body))[0] == 200
    assert (await api.call("POST", COMPUTE, json=body))[0] == 400
    forged = api.start_body() | {"signature": sign(ALICE, "another text")}
    assert (await api.call("POST", COMPUTE, json=forged))[0] == 400
    unsigned = {k: v for k, v in api.start_body().items() if k != "signature"}
    assert (await api.call("POST", COMPUTE, json=unsigned))[0] == 400
    samples = await scrape(api)
    counts = {
        dict(labels)["reason"]: count
        for (name, labels), count in samples.items()
        if name == "refusals_total" and count
    }
    assert counts["nonce_too_low"] == 1
    assert counts["signature_wrong"] == 1
    assert sum(counts.values()) <= 3


async def test_figures_tell_nobodys_name(api: Api) -> None:
    body = api.start_body()
    _, [job] = await api.call("POST", COMPUTE, json=body)
    await api.finished(job["jobId"])
    await api.call("GET", "/no/such/hush?signature=hush")
    _, text = await api.call("GET", "/metrics")
    shown = text.decode().lower()
    for secret in (ALICE.address.lower(), job["jobId"], "hush", "did:op", body["signature"]):
        assert secret not in shown


async def test_fuzzed_paths_make_no_new_series(api: Api) -> None:
    rng = random.Random(7)
    letters = string.ascii_letters + string.digits + "/%25%2e{}:."
    paths = ["/api/services/compute/x", "//api/x", "/metrics/x", "/%2f", "/api/services/{merged}"]

    async def ask(path: str) -> None:
        for method in ("GET", "POST", "DELETE", "OPTIONS", "PUT"):
            url = URL(f"http://127.0.0.1:{api.client.port}{path}", encoded=True)
            async with api.client.session.request(method, url, data=b""):
                pass

    for path in paths:
        await ask(path)
    before = len(await _lines(api))
    for _ in range(150):
        await ask("/" + "".join(rng.choices(letters, k=rng.randint(1, 40))))
    assert len(await _lines(api)) <= before + 60  # a few further status numbers, each with buckets
    shown = await scrape(api)
    routes = {dict(labels).get("route") for name, labels in shown}
    served = {resource.canonical for resource in api.client.app.router.resources()}  # type: ignore[union-attr]
    assert routes - {None} <= served | {"unmatched"}


async def _lines(api: Api) -> list[bytes]:
    _, text = await api.call("GET", "/metrics")
    lines: list[bytes] = text.splitlines()
    return lines


async def test_the_newer_format_is_spoken_too(api: Api) -> None:
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with api.client.get("/metrics", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        families = list(read_openmetrics(await response.text()))
    assert "ocean_compute_jobs" in {family.name for family in families}


# who may ask


PROXIED = {"X-Forwarded-For": "198.51.100.7"}


async def test_by_default_only_this_machine_may_read_figures(api: Api) -> None:
    status, answer = await api.call("GET", "/metrics", headers=PROXIED)
    assert status == 403
    assert "METRICS" in answer["error"]
    for path in ("/health/live", "/health/ready"):
        assert (await api.call("GET", path, headers=PROXIED))[0] == 200


async def test_figures_can_be_off_or_for_all(serve: Serve) -> None:
    api = await serve(METRICS="off")
    assert (await api.call("GET", "/metrics"))[0] == 404


async def test_figures_can_be_for_all(serve: Serve) -> None:
    api = await serve(METRICS="all")
    assert (await api.call("GET", "/metrics", headers=PROXIED))[0] == 200
    page = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (await api.call("GET", "/metrics", headers=page))[0] == 403


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.token"
    path.write_text(TOKEN + "\n")
    return path


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN} ", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer \u00fc", 401),
        ("", 401),
    ],
)
async def test_figures_can_be_for_who_has_a_token(
    serve: Serve, token_file: Path, shown: str, status: int
) -> None:
    api = await serve(METRICS="token", METRICS_TOKEN_FILE=str(token_file))
    headers = {**PROXIED, "Authorization": shown}
    assert (await api.call("GET", "/metrics", headers=headers))[0] == status


@pytest.mark.parametrize(
    ("mode", "content"),
    [("token", None), ("all", TOKEN), ("token", "short"), ("token", "0123456789 abcdef 0123")],
)
def test_a_token_that_is_none_stops_the_start(
    folder: Path, token_file: Path, mode: str, content: str | None
) -> None:
    variables = {"METRICS": mode}
    if content is not None:
        token_file.write_text(content)
        variables["METRICS_TOKEN_FILE"] = str(token_file)
    with pytest.raises(SettingsInvalid, match="METRICS_TOKEN_FILE") as caught:
        create_app(settings_of(folder, **variables))
    assert not content or content not in caught.value.public


def test_a_token_that_cannot_be_read_stops_the_start(folder: Path) -> None:
    variables = {"METRICS": "token", "METRICS_TOKEN_FILE": "/none"}
    with pytest.raises(SettingsInvalid, match="METRICS_TOKEN_FILE: /none"):
        create_app(settings_of(folder, **variables))


async def test_an_address_of_their_own_takes_figures_off_the_public_one(serve: Serve) -> None:
    port = free_port()
    api = await serve(METRICS_LISTEN=f"127.0.0.1:{port}")
    assert (await api.call("GET", "/metrics"))[0] == 404
    own = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        for path, status in (
            ("/metrics", 200),
            ("/health/live", 200),
            ("/health/ready", 200),
            ("/", 404),
            (COMPUTE, 404),
        ):
            async with session.get(own + path, headers=PROXIED) as response:
                assert response.status == status, path


async def test_an_address_that_is_taken_stops_the_start(folder: Path, serve: Serve) -> None:
    port = free_port()
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    app = create_app(
        settings_of(folder, METRICS_LISTEN=f"127.0.0.1:{port}"),
        engine=UnreachableEngine(FakeWorld()),
        space=WatchedSpace(),
    )
    client = TestClient(TestServer(app))
    with pytest.raises(SettingsInvalid, match="METRICS_LISTEN"):
        await client.start_server()
    await client.close()
    taken.close()


# health


@asynccontextmanager
async def with_an_engine_that_goes(folder: Path) -> AsyncIterator[tuple[Api, UnreachableEngine]]:
    world = FakeWorld()
    world.programs |= PROGRAMS
    engine = UnreachableEngine(world)
    engine.switch_on()
    app = create_app(settings_of(folder), engine=engine, space=WatchedSpace())
    app[STOPPING] = asyncio.Event()
    async with TestClient(TestServer(app)) as client:
        yield Api(client, world), engine
    await world.end()


async def test_an_engine_that_goes_and_comes_back(folder: Path) -> None:
    async with with_an_engine_that_goes(folder) as (api, engine):
        await _becomes(api, 200, "up")
        engine.switch_off()
        await _becomes(api, 503, "down")
        samples = await scrape(api)
        assert at(samples, "part_up", part="engine") == 0
        assert at(samples, "part_last_answer_timestamp_seconds", part="engine") > 0
        assert (await api.call("GET", "/health/live"))[0] == 200
        engine.switch_on()
        await _becomes(api, 200, "up")
        assert at(await scrape(api), "part_up", part="engine") == 1


async def _becomes(api: Api, status: int, engine: str) -> None:
    async with asyncio.timeout(90):
        while True:
            found, answer = await api.call("GET", "/health/ready")
            if found == status:
                break
            await asyncio.sleep(0.1)
    assert answer["status"] == ("ready" if status == 200 else "unready")
    assert answer["parts"] == {"store": "up", "engine": engine, "operator": "up", "disk": "up"}


async def test_who_was_told_to_end_is_not_ready(folder: Path) -> None:
    async with with_an_engine_that_goes(folder) as (api, _):
        await _becomes(api, 200, "up")
        assert api.client.app is not None
        api.client.app[STOPPING].set()
        status, answer = await api.call("GET", "/health/ready")
        assert (status, answer["status"]) == (503, "draining")
        assert (await api.call("GET", "/health/live"))[0] == 200
        assert at(await scrape(api), "draining") == 1


# log lines


async def test_lines_within_a_request_and_about_a_job_say_so(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    caplog.set_level(logging.DEBUG, "provider")
    caplog.set_level(logging.DEBUG, "compute")
    headers = {"X-Request-Id": "start-1"}
    _, [job] = await api.call("POST", COMPUTE, json=api.start_body(), headers=headers)
    await api.finished(job["jobId"])
    lines = [json.loads(line) for line in caplog.text.splitlines() if line.startswith("{")]
    [queued] = [line for line in lines if line["event"] == "job_queued"]
    assert (queued["request"], queued["job"]) == ("start-1", job["jobId"])
    [ended] = [line for line in lines if line["event"] == "job_ended"]
    assert ended["job"] == job["jobId"]
    assert "request" not in ended
    answered = {
        line["request"]: line["status"] for line in lines if line["event"] == "request_answered"
    }
    assert answered["start-1"] == 200
    assert len(answered) > 1


async def test_a_kept_connection_takes_no_id_along(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def noted(request: web.Request) -> web.Response:
        logging.getLogger("provider.noted").warning("noted")
        return web.Response()

    caplog.handler.setFormatter(JsonFormatter())
    app = web.Application(middlewares=[middlewares.guard(lambda error: None)])
    app.router.add_get("/", noted)
    async with TestClient(TestServer(app)) as client:
        for number in range(3):
            async with client.get("/", headers={"X-Request-Id": f"n-{number}"}):
                pass
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    assert [line["request"] for line in lines] == ["n-0", "n-1", "n-2"]


def test_each_service_counts_for_itself(folder: Path) -> None:
    first, second = create_app(settings_of(folder)), create_app(settings_of(folder))
    assert first[METRICS].registry is not second[METRICS].registry

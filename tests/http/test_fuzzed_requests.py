"""Nothing that anyone sends makes the service fail: no answer is a 5xx but 501."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ocean_consumer import ALGORITHM, ALICE, DATA, OPEN, Api, furnish, settings_of

from compute.engines.fake import FakeEngine, FakeWorld
from compute.space import WatchedSpace
from provider.app import create_app
from provider.dialects.ocean.responses import ROUTES

NAMES = [
    "consumerAddress",
    "userAddress",
    "address",
    "nonce",
    "signature",
    "jobId",
    "documentId",
    "index",
    "environment",
    "dataset",
    "algorithm",
    "datasets",
    "compute",
    "additionalDatasets",
    "output",
    "agreementId",
    "expiration",
    "token",
    "expiry",
    "serviceId",
    "meta",
    "rawcode",
    "url",
    "container",
    "image",
    "entrypoint",
    "checksum",
    "tag",
    "userdata",
    "algocustomdata",
    "transferTxId",
    "env",
    "validUntil",
    "chainId",
]
LIKELY = st.sampled_from(
    [ALICE.address, DATA, OPEN, ALGORITHM, "compute", "access", "small", "1", "0", "", "{}", "[]"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | LIKELY
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=20,
)
DATASETS = st.fixed_dictionaries(
    {"documentId": st.just(OPEN) | SCALARS, "serviceId": st.just("compute") | SCALARS},
    optional={"userdata": VALUES, "transferTxId": SCALARS},
)
CONTAINERS = st.fixed_dictionaries(
    {name: st.text(max_size=10) | LIKELY for name in ("image", "entrypoint")}
    | {"checksum": st.just("sha256:ab") | SCALARS, "tag": SCALARS}
)
METAS = st.fixed_dictionaries(
    {"container": CONTAINERS}, optional={"rawcode": SCALARS, "url": VALUES, "remote": VALUES}
)
NEARLY_STARTS = st.fixed_dictionaries(
    {
        "consumerAddress": st.just(ALICE.address),
        "environment": st.just("small"),
        "nonce": st.integers(1, 10) | SCALARS,
        "signature": st.just("0x" + "11" * 64 + "1b") | SCALARS,
        "dataset": DATASETS | VALUES,
        "algorithm": st.fixed_dictionaries({"meta": METAS}) | DATASETS | VALUES,
    },
    optional={"additionalDatasets": st.lists(DATASETS, max_size=3) | VALUES, "expiry": SCALARS},
)
NEARLY_QUOTES = st.fixed_dictionaries(
    {
        "consumerAddress": st.just(ALICE.address),
        "compute": st.just({"env": "small", "validUntil": 9999999999}),
        "datasets": st.lists(DATASETS, min_size=1, max_size=3) | VALUES,
        "algorithm": st.fixed_dictionaries({"meta": METAS}) | DATASETS | VALUES,
    }
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)
QUERIES = st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30) | LIKELY, max_size=8)
ENDPOINTS = st.sampled_from(sorted(set(ROUTES.values())))
THOROUGHLY = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


class Service:
    """The service on a loop of its own, since hypothesis calls a plain function."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        world = FakeWorld()
        app = create_app(settings_of(folder), engine=FakeEngine(world), space=WatchedSpace())
        self.client = self.runner.run(self._started(app))
        self.api = Api(self.client, world)

    async def _started(self, app: Any) -> Any:
        client = TestClient(TestServer(app))
        await client.start_server()
        return client

    def status(self, method: str, path: str, **options: Any) -> int:
        return self.runner.run(self.api.call(method, path, **options))[0]

    def close(self) -> None:
        self.runner.run(self.client.close())
        self.runner.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(furnish(tmp_path_factory.mktemp("fuzzed")))
    yield running
    running.close()


def harmless(status: int) -> bool:
    return status < 500 or status == 501


@THOROUGHLY
@given(endpoint=ENDPOINTS, query=QUERIES)
def test_any_query_is_answered(
    service: Service, endpoint: tuple[str, str], query: dict[str, str]
) -> None:
    method, path = endpoint
    assert harmless(service.status(method, path, params=_sendable(query)))


@THOROUGHLY
@given(endpoint=ENDPOINTS, body=OBJECTS | VALUES)
def test_any_json_is_answered(service: Service, endpoint: tuple[str, str], body: Any) -> None:
    method, path = endpoint
    assert harmless(service.status(method, path, json=body))


@THOROUGHLY
@given(body=NEARLY_STARTS)
def test_starts_that_look_nearly_right_are_answered(service: Service, body: Any) -> None:
    path = ROUTES["computeStart"][1]
    assert harmless(service.status("POST", path, json=body))
    signed = service.api.start_body(
        **{name: value for name, value in body.items() if name not in {"nonce", "signature"}}
    )
    assert harmless(service.status("POST", path, json=signed))


@THOROUGHLY
@given(body=NEARLY_QUOTES)
def test_quotes_that_look_nearly_right_are_answered(service: Service, body: Any) -> None:
    assert harmless(service.status("POST", ROUTES["initializeCompute"][1], json=body))


@THOROUGHLY
@given(endpoint=ENDPOINTS, body=st.binary(max_size=60))
def test_any_bytes_are_answered(service: Service, endpoint: tuple[str, str], body: bytes) -> None:
    method, path = endpoint
    for kind in ("application/json", "application/octet-stream"):
        headers = {"Content-Type": kind}
        assert harmless(service.status(method, path, data=body, headers=headers))


def _sendable(query: dict[str, str]) -> dict[str, str]:
    """Without what an HTTP client cannot put into a URL."""
    return {name: text for name, text in query.items() if _is_text(text)}


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

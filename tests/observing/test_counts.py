"""Figures are counted right, under few names, in a form that others read."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from compute.status import UNFINISHED, Phase
from compute.store.figures import Standing
from provider.errors import (
    NonceTooLow,
    ProviderError,
    SignatureError,
    SignatureWrong,
)
from provider.metrics import REASONS, Metrics, Seen
from provider.middlewares import guard

PAGE = (Path(__file__).parents[2] / "docs" / "operators" / "observing.md").read_text()
EVERYTHING = Seen(
    at=2000.0,
    standing=[Standing("small", Phase.QUEUED, 3, 1990.0), Standing("gone", Phase.RUNNING, 1, 1.0)],
    operators=2,
    parts={"store": (True, 1999.0), "engine": (False, None)},
    free_bytes=10,
    size_bytes=20,
    cache_bytes=0,
    heads={8996: 100},
    indexed={8996: 90},
    draining=True,
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(["small", "large"], "1.2.3")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"ocean_compute_{name}", labels)


def test_all_values_of_labels_are_there_from_the_start(metrics: Metrics) -> None:
    for environment in ("small", "large"):
        for phase in Phase:
            labels = {"environment": environment, "phase": phase.value}
            assert value(metrics, "job_moves_total", **labels) == 0
        for phase in UNFINISHED:
            labels = {"environment": environment, "phase": phase.value}
            assert value(metrics, "job_phase_duration_seconds_count", **labels) == 0
    for reason in REASONS.values():
        assert value(metrics, "refusals_total", reason=reason) == 0
    for source in ("cache", "origin"):
        assert value(metrics, "inputs_total", source=source) == 0
    assert value(metrics, "build_info", version="1.2.3", python=platform.python_version()) == 1
    assert value(metrics, "operating") == 0


def test_moves_are_counted_and_timed(metrics: Metrics) -> None:
    metrics.moved("small", None, Phase.QUEUED, 0.0)
    metrics.moved("small", Phase.QUEUED, Phase.STARTED, 7.0)
    metrics.moved("small", Phase.COMPLETED, Phase.DELETED, 999.0)
    count = "job_phase_duration_seconds_count"
    assert value(metrics, "job_moves_total", environment="small", phase="queued") == 1
    assert value(metrics, "job_moves_total", environment="small", phase="started") == 1
    assert value(metrics, "job_moves_total", environment="small", phase="deleted") == 1
    assert value(metrics, count, environment="small", phase="queued") == 1
    total = "job_phase_duration_seconds_sum"
    assert value(metrics, total, environment="small", phase="queued") == 7.0
    assert value(metrics, count, environment="small", phase="completed") is None


def test_inputs_commits_and_work(metrics: Metrics) -> None:
    metrics.input_taken(100, fetched=True)
    metrics.input_taken(100, fetched=False)
    metrics.input_taken(11, fetched=False)
    metrics.committed(5, 0.002)
    metrics.commit_failed(3)
    metrics.operating(True)
    assert value(metrics, "inputs_total", source="origin") == 1
    assert value(metrics, "inputs_bytes_total", source="cache") == 111
    assert value(metrics, "store_commit_units_sum") == 5
    assert value(metrics, "store_commit_duration_seconds_count") == 1
    assert value(metrics, "store_commit_failures_total") == 1
    assert value(metrics, "operating") == 1
    assert metrics.at_work


def test_only_refusals_of_the_list_are_counted(metrics: Metrics) -> None:
    metrics.refused(NonceTooLow(5, 4))
    metrics.refused(SignatureWrong("no"))
    metrics.refused(ProviderError("no"))
    metrics.refused(RuntimeError("no"))
    counts = {
        reason: value(metrics, "refusals_total", reason=reason) for reason in REASONS.values()
    }
    assert {reason for reason, count in counts.items() if count} == {
        "nonce_too_low",
        "signature_wrong",
    }


def test_each_way_to_fail_to_show_who_one_is_has_a_reason() -> None:
    kinds = set(SignatureError.__subclasses__())
    assert kinds <= set(REASONS)


def test_what_is_seen_is_shown(metrics: Metrics) -> None:
    metrics.see(EVERYTHING)
    assert value(metrics, "jobs", environment="small", phase="queued") == 3
    assert value(metrics, "jobs", environment="large", phase="queued") == 0
    assert value(metrics, "jobs", environment="gone", phase="running") == 1
    assert value(metrics, "queue_oldest_seconds", environment="small") == 10
    assert value(metrics, "queue_oldest_seconds", environment="large") == 0
    assert value(metrics, "part_up", part="store") == 1
    assert value(metrics, "part_up", part="engine") == 0
    assert value(metrics, "part_last_answer_timestamp_seconds", part="store") == 1999
    assert value(metrics, "part_last_answer_timestamp_seconds", part="engine") is None
    assert value(metrics, "operators") == 2
    assert value(metrics, "data_free_bytes") == 10
    assert value(metrics, "chain_head_block", chain="8996") == 100
    assert value(metrics, "index_block", chain="8996") == 90
    assert value(metrics, "draining") == 1


def test_what_cannot_be_seen_is_not_shown_as_nothing(metrics: Metrics) -> None:
    metrics.see(Seen())
    assert value(metrics, "jobs", environment="small", phase="queued") is None
    assert value(metrics, "data_free_bytes") is None


async def test_strangers_make_no_new_names(metrics: Metrics) -> None:
    async def found(request: web.Request) -> web.Response:
        return web.Response(status=int(request.query["status"]))

    app = web.Application(middlewares=[guard(lambda error: web.Response(status=404), metrics)])
    app.router.add_route("*", "/things/{name}", found)
    async with TestClient(TestServer(app)) as client:

        async def ask(number: int) -> None:
            for method in ("GET", "PROPFIND", "MKCOL"):
                status = 200 + number % 2
                for path in (f"/{number}", f"/things/{number}?status={status}"):
                    async with client.request(method, path):
                        pass

        for number in range(2):
            await ask(number)
        before = lines(metrics)
        for number in range(2, 60):
            await ask(number)
        assert lines(metrics) == before
    labels = {"route": "unmatched", "method": "GET", "status": "404"}
    assert value(metrics, "http_requests_total", **labels) == 60
    labels = {"route": "/things/{name}", "method": "other", "status": "201"}
    assert value(metrics, "http_requests_total", **labels) == 60


def lines(metrics: Metrics) -> int:
    return len(generate_latest(metrics.registry).splitlines())


def test_nothing_is_kept_where_other_parts_of_a_process_would_find_it() -> None:
    def theirs() -> set[str]:
        return {family.name for family in REGISTRY.collect()}

    before = theirs()
    Metrics(["small"], "1")
    Metrics(["small"], "1")
    assert theirs() == before


def test_the_answer_can_be_read_and_follows_the_practice_for_names(metrics: Metrics) -> None:
    for name in ("connections_open", "log_followers"):
        metrics.show(name, "Of others.", lambda: 3)
    metrics.see(EVERYTHING)
    assert value(metrics, "connections_open") == 3
    families = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
    assert len(families) > 25
    for family in families:
        assert family.documentation
        assert not any(each.name.endswith("_created") for each in family.samples)
        assert re.fullmatch(r"(ocean_compute|process)_[a-z][a-z0-9_]*[a-z]", family.name)
        if family.type == "counter":
            assert all(each.name.endswith("_total") for each in family.samples)
        if family.name.startswith("ocean_compute") and family.type == "histogram":
            assert family.name.endswith(("_seconds", "_units"))


def test_the_manual_lists_exactly_what_there_is(metrics: Metrics) -> None:
    metrics.answered(make_mocked_request("GET", "/x"), 404, 0.1)
    for name in ("connections_open", "log_followers"):
        metrics.show(name, "Of others.", lambda: 3)
    metrics.see(EVERYTHING)
    assert value(metrics, "connections_open") == 3
    listed = re.findall(r"^\| `(ocean_compute_\w+)` \|\s*([^|]*?)\s*\|", PAGE, re.MULTILINE)
    assert table_of(metrics.registry) == dict(listed)
    reasons = PAGE[PAGE.index("Reasons of refusals") :].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", reasons)) == set(REASONS.values())


def table_of(registry: CollectorRegistry) -> dict[str, str]:
    """Names as they are asked for, each with its labels."""
    found: dict[str, str] = {}
    for family in registry.collect():
        if not family.name.startswith("ocean_compute_"):
            continue
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = sorted({name for each in family.samples for name in each.labels} - {"le"})
        found[family.name + suffix] = ", ".join(f"`{label}`" for label in labels)
    return found

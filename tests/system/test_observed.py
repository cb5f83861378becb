"""The service as it is watched: what dashboard and alerts ask for is what it tells."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import promql_parser as promql
import pytest
import pytest_asyncio
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.consumer import Consumer, Refused, raw
from support.engine_proxy import EngineProxy
from support.service import DATASET, Service, free_port

from provider.metrics import Metrics, Seen

pytestmark = pytest.mark.docker

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "ocean-compute.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "ocean-compute.rules.yaml").read_text())
SCRAPING = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())

OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus itself puts on whatever it has read."""

Labels = dict[str, set[str]]
Series = dict[str, Labels]
"""By name of a series: its labels and all values that they have."""


def series_of(text: str) -> Series:
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def of_chains() -> Series:
    """What a service that follows a chain tells beside."""
    metrics = Metrics([], "")
    metrics.see(Seen(heads={1: 2}, indexed={1: 2}, parts={"chain-1": (True, 1.0)}))
    series = series_of(generate_latest(metrics.registry).decode())
    names = ("ocean_compute_chain_head_block", "ocean_compute_index_block")
    return {name: series[name] for name in names}


@pytest_asyncio.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[EngineProxy]:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.open()
    yield proxy
    await proxy.cut()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def worked(service: Service, checksum: str) -> dict[str, Any]:
    """A job that came to its end, one whose algorithm fails, and some refusals."""
    async with Consumer(service.url) as consumer:
        job = await consumer.start(raw("cat /data/inputs/*/0", checksum=checksum), [DATASET])
        ended = await consumer.follow(job["jobId"])
        assert ended["status"] == 70
        await consumer.files(ended)
        failing = await consumer.start(raw("exit 3", checksum=checksum), [DATASET])
        assert (await consumer.follow(failing["jobId"]))["status"] == 41
        replayed = consumer.result_params(job["jobId"], 0)
        await consumer.fetch("/api/services/computeResult", replayed)
        for query in (replayed, replayed | {"nonce": consumer.nonce()}, {}):
            with pytest.raises(Refused):
                await consumer.fetch("/api/services/computeResult", query)
    return ended


async def test_dashboard_and_alerts_ask_for_what_there_is(service: Service, checksum: str) -> None:
    await service.start(LOG_FORMAT="json")
    ended = await worked(service, checksum)
    status, text = await get(service.url + "/metrics")
    assert status == 200
    told = series_of(text)
    for query in (*dashboard_queries(), *rule_queries()):
        check(promql.parse(query), told | of_chains() | {"up": {}}, query)
    for definition in variable_queries():
        call = re.fullmatch(r"label_values\((.+), (\w+)\)", definition)
        assert call, definition
        selector = promql.parse(call[1])
        check(selector, told, definition)
        assert call[2] in told[selector.name].keys() | OF_PROMETHEUS
    samples = {
        (each.name, frozenset(each.labels.items())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }
    for phase, count in (("completed", 1), ("algorithm_failed", 1), ("running", 2), ("queued", 2)):
        labels = frozenset({"environment": "test", "phase": phase}.items())
        assert samples["ocean_compute_job_moves_total", labels] == count
    replays = frozenset({"reason": "nonce_too_low"}.items())
    assert samples["ocean_compute_refusals_total", replays] == 1
    assert ended["jobId"] not in text
    lines = [json.loads(line) for line in service.log().splitlines()]
    own = [line for line in lines if line.get("job") == ended["jobId"]]
    assert {"job_queued", "job_ended"} <= {line["event"] for line in own}
    assert service.stop() == 0


async def test_an_engine_that_goes_and_comes_back(
    service: Service, proxy: EngineProxy, checksum: str
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    await service.start(DOCKER_HOST=proxy.url, METRICS_LISTEN=listen)
    own = f"http://{listen}"
    await _engine_is(own, "up")
    await proxy.cut()
    await _engine_is(own, "down")
    assert (await get(own + "/health/live"))[0] == 200
    assert (await get(service.url + "/metrics"))[0] == 404
    await proxy.open()
    await _engine_is(own, "up")
    await worked(service, checksum)
    assert "part_down part=engine cause=" in service.log()
    assert "part_up part=engine" in service.log()


async def _engine_is(url: str, wanted: str) -> None:
    """Ready says so before long, and so do the figures."""
    async with asyncio.timeout(90):
        while True:
            status, text = await get(url + "/health/ready")
            answer = json.loads(text)
            if answer["parts"]["engine"] == wanted:
                break
            await asyncio.sleep(0.2)
    assert status == (200 if wanted == "up" else 503)
    assert set(answer["parts"]) == {"store", "engine", "operator", "disk"}
    _, text = await get(url + "/metrics")
    value = "1.0" if wanted == "up" else "0.0"
    assert f'ocean_compute_part_up{{part="engine"}} {value}' in text


def dashboard_queries() -> list[str]:
    targets = [
        target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
    ]
    return [each.replace("$__rate_interval", "5m") for each in targets]


def variable_queries() -> list[str]:
    variables = DASHBOARD["templating"]["list"]
    return [each["definition"] for each in variables if each["type"] == "query"]


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def rule_queries() -> list[str]:
    return [rule["expr"] for rule in rules()]


def check(tree: Any, told: Series, query: str) -> None:
    """Each series and label that a query names is told, and each value it compares with."""
    for selector in selectors(tree):
        assert selector.name in told, f"{selector.name} of {query}"
        labels = told[selector.name]
        for matcher in selector.matchers.matchers:
            if matcher.name in OF_PROMETHEUS or matcher.value.startswith("$"):
                assert matcher.name in labels.keys() | OF_PROMETHEUS, query
                continue
            assert matcher.name in labels, f"{matcher.name} of {query}"
            if matcher.op == promql.MatchOp.Equal:
                assert matcher.value in labels[matcher.name], f"{matcher.value} of {query}"
            for word in re.findall(r"[a-z_]{4,}", matcher.value if "|" in matcher.value else ""):
                assert word in labels[matcher.name], f"{word} of {query}"
    for below, grouping in groupings(tree):
        for selector in selectors(below):
            known = told[selector.name].keys() | OF_PROMETHEUS
            assert set(grouping) <= known, f"{grouping} of {query}"


def children(node: Any) -> Iterator[Any]:
    for name in ("expr", "lhs", "rhs", "param"):
        child = getattr(node, name, None)
        if child is not None:
            yield child
    yield from getattr(node, "args", ())


def selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql.VectorSelector):
        yield node
    elif isinstance(node, promql.MatrixSelector):
        yield node.vector_selector
    for child in children(node):
        yield from selectors(child)


def groupings(node: Any) -> Iterator[tuple[Any, list[str]]]:
    modifier = getattr(node, "modifier", None)
    if isinstance(node, promql.AggregateExpr) and modifier is not None:
        yield node.expr, modifier.labels
    if isinstance(node, promql.BinaryExpr) and modifier is not None and modifier.matching:
        yield node, modifier.matching.labels
    for child in children(node):
        yield from groupings(child)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("rate(ocean_compute_none[5m])", "ocean_compute_none"),
        ('ocean_compute_jobs{wallet="x"}', "wallet"),
        ('ocean_compute_jobs{phase="dreaming"}', "dreaming"),
        ('ocean_compute_jobs{phase=~"queued|dreaming"}', "dreaming"),
        ("1 - sum by (owner) (rate(ocean_compute_jobs[5m]))", "owner"),
        ("ocean_compute_jobs / on (owner) ocean_compute_jobs", "owner"),
        ("histogram_quantile(0.5, sum by (le) (ocean_compute_jobs))", "le"),
    ],
)
def test_the_check_finds_what_is_wrong(query: str, words: str) -> None:
    told: Series = {"ocean_compute_jobs": {"environment": {"test"}, "phase": {"queued"}}}
    check(promql.parse("sum by (phase) (ocean_compute_jobs)"), told, "")
    with pytest.raises(AssertionError, match=words):
        check(promql.parse(query), told, query)


def test_panels_and_alerts_are_whole() -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = set()
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"], panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in places, panel["title"]
                places.add((x, y))
    assert any(each["type"] == "datasource" for each in DASHBOARD["templating"]["list"])
    [scraped] = SCRAPING["scrape_configs"]
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "description"} == set(rule["annotations"])
        jobs = re.findall(r'job="([^"]+)"', rule["expr"])
        assert set(jobs) <= {scraped["job_name"]}

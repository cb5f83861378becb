"""Each process of an installation can be watched, those without an API too."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.consumer import Consumer, raw
from support.service import DATASET, KEY, Service, free_port

pytestmark = pytest.mark.docker

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
async def service(tmp_path: Path, postgres_url: str) -> AsyncIterator[Service]:
    """A process that only serves."""
    made = Service(tmp_path / "service")
    await made.start(DATABASE_URL=postgres_url, OPERATE="false")
    yield made
    assert made.stop() == 0
    assert "Traceback" not in made.log(), made.log()


def operate(service: Service, postgres_url: str, listen: str) -> subprocess.Popen[bytes]:
    """A process that only works on jobs, with the same configuration."""
    root = service.root
    variables = {
        "PROVIDER_PRIVATE_KEY": KEY,
        "DATA_DIR": str(service.data),
        "ENVIRONMENTS_FILE": str(root / "environments.yaml"),
        "ASSETS_DIR": str(root / "assets"),
        "FILES_DIR": str(root / "files"),
        "DATABASE_URL": postgres_url,
        "METRICS_LISTEN": listen,
        "PATH": os.environ["PATH"],
    }
    with (root / "operate.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "provider", "operate"], env=variables, stdout=log, stderr=log
        )


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def scrape(url: str) -> Samples:
    _, text = await get(url + "/metrics")
    return {
        (sample.name.removeprefix("ocean_compute_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def at(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def until_operators(url: str, wanted: int) -> None:
    async with asyncio.timeout(90):
        while at(await scrape(url), "operators") != wanted:
            await asyncio.sleep(0.5)


async def test_each_role_tells_its_part(service: Service, postgres_url: str, checksum: str) -> None:
    await until_operators(service.url, 0)
    _, text = await get(service.url + "/health/ready")
    assert json.loads(text) == {"status": "ready", "parts": {"store": "up", "disk": "up"}}
    listen = f"127.0.0.1:{free_port()}"
    own = f"http://{listen}"
    process = operate(service, postgres_url, listen)
    try:
        async with asyncio.timeout(90):
            while True:
                assert process.poll() is None, (service.root / "operate.log").read_text()
                with suppress(aiohttp.ClientError):
                    if (await get(own + "/health/ready"))[0] == 200:
                        break
                await asyncio.sleep(0.1)
        _, text = await get(own + "/health/ready")
        assert set(json.loads(text)["parts"]) == {"store", "engine", "operator", "disk"}
        await until_operators(service.url, 1)
        async with Consumer(service.url) as consumer:
            job = await consumer.start(raw("echo hello", checksum=checksum), [DATASET])
            assert (await consumer.follow(job["jobId"]))["status"] == 70
        serving, operating = await scrape(service.url), await scrape(own)
        assert (at(serving, "operating"), at(operating, "operating")) == (0, 1)
        for phase, here, there in (("queued", 1, 0), ("running", 0, 1), ("completed", 0, 1)):
            labels = {"environment": "test", "phase": phase}
            assert at(serving, "job_moves_total", **labels) == here
            assert at(operating, "job_moves_total", **labels) == there
        for samples in (serving, operating):
            assert at(samples, "store_commit_units_sum") > 0
            assert at(samples, "part_up", part="store") == 1
        queued = {"environment": "test", "phase": "queued"}
        assert at(operating, "job_phase_duration_seconds_count", **queued) == 1
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(120)
    assert code == 0
    await until_operators(service.url, 0)

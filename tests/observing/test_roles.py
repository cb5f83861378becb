"""Processes that share a database: each tells of itself, and how many there are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.service import free_port

from compute.store import leases
from compute.store.base import Action, Database, Listener, T, Work
from compute.store.database import open_database
from provider.chain.chains import Chains
from provider.keys import ProviderKey
from provider.metrics import Metrics
from provider.observing import Surroundings, observed
from provider.settings import Settings


class Shared(Database):
    """A database of which it is said that others write into it."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner

    @property
    def shared(self) -> bool:
        return True

    def hear(self, listener: Listener) -> Action:
        return self._inner.hear(listener)

    async def write(self, work: Work[T]) -> T:
        return await self._inner.write(work)

    async def read(self, work: Work[T]) -> T:
        return await self._inner.read(work)

    async def close(self) -> None:
        await self._inner.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Shared(await open_database(f"sqlite:///{tmp_path}/jobs.db"))
    yield opened
    await opened.close()


@asynccontextmanager
async def serving_only(database: Database, folder: Path, **variables: str) -> AsyncIterator[str]:
    """The own address of a process that works on no jobs."""
    listen = f"127.0.0.1:{free_port()}"
    key = "0x" + ProviderKey.generate().private_key.hex()
    settings = Settings.from_environ(
        {"PROVIDER_PRIVATE_KEY": key, "METRICS_LISTEN": listen, **variables}
    )
    around = Surroundings(database, folder, None, Chains(), None, lambda: False)
    async with observed(settings, Metrics(["small"], "1"), around):
        yield f"http://{listen}"


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_a_process_that_works_on_no_jobs_tells_who_does(
    database: Database, tmp_path: Path
) -> None:
    async with serving_only(database, tmp_path) as url:
        _, text = await get(url + "/health/ready")
        assert json.loads(text) == {"status": "ready", "parts": {"store": "up", "disk": "up"}}
        _, text = await get(url + "/metrics")
        assert "\nocean_compute_operators 0.0\n" in text
        assert "\nocean_compute_operating 0.0\n" in text
        assert 'part="engine"' not in text
    for name in ("one", "two"):
        await database.write(
            lambda connection, name=name: leases.renew(
                connection, leases.Holder(name, "m"), 1e11, 10.0
            )
        )
    async with serving_only(database, tmp_path) as url:
        _, text = await get(url + "/metrics")
        assert "\nocean_compute_operators 2.0\n" in text


async def test_the_own_address_may_show_health_alone(database: Database, tmp_path: Path) -> None:
    async with serving_only(database, tmp_path, METRICS="off") as url:
        assert (await get(url + "/metrics"))[0] == 404
        assert (await get(url + "/health/live")) == (200, '{"status": "live"}')


async def test_a_database_that_is_closed_is_down_and_its_figures_are_missing(
    database: Database, tmp_path: Path
) -> None:
    await database.close()
    async with serving_only(database, tmp_path) as url:
        status, text = await get(url + "/health/ready")
        assert status == 503
        assert json.loads(text)["parts"]["store"] == "down"
        status, text = await get(url + "/metrics")
        assert status == 200
        assert 'ocean_compute_part_up{part="store"} 0.0' in text
        assert "ocean_compute_jobs{" not in text
        assert "ocean_compute_data_free_bytes " in text

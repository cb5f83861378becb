"""A database on disk and jobs to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from job_factory import MakeJob
from support.postgres import PostgresServer
from support.sqlite import prepared

from compute.models import AlgorithmItem, DatasetItem, Image, Job, JobSpec
from compute.store.base import Database
from compute.store.database import open_database
from compute.store.jobs import JobStore


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind; of this floor alone."""
    if request.param == "sqlite":
        yield prepared(tmp_path / "jobs.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    made = server.prepared()
    yield made
    server.drop(made)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await open_database(url)
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> JobStore:
    return JobStore(database)


@pytest.fixture
def make_job() -> MakeJob:
    numbers = count(1)

    def make(*, dids: tuple[str, ...] = ("did:op:data",), **fields: Any) -> Job:
        number = next(numbers)
        spec = JobSpec(
            datasets=tuple(DatasetItem(did=did, service_id="access") for did in dids),
            algorithm=AlgorithmItem(
                did=fields.pop("algorithm", "did:op:algorithm"),
                image=Image(image="python", tag="3.11"),
                entrypoint="python $ALGO",
            ),
            max_duration_s=60,
        )
        defaults: dict[str, Any] = {
            "id": f"job-{number}",
            "owner": "0xAbCdEf0000000000000000000000000000000001",
            "environment": "small",
            "spec": spec,
            "created_at": 1000.0,
        }
        return Job(**(defaults | fields))

    return make

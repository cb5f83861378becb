"""The labelling algorithm's image, a database server, and a running service over both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from labelling_bodies import slow_posts
from labelling_client import Labelling
from mariadb import Server, is_installed, running
from support.service import Service

from examples.labelling import posts
from examples.labelling.demo import IMAGE

MANY = 8_000


@pytest.fixture(scope="session")
def labelling_image(example_images: None) -> str:
    """Made from what is in the tree, unless it is there already."""
    return IMAGE


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not is_installed():
        pytest.skip("no MariaDB server is installed: scripts/mariadb.sh does that")
    with running(tmp_path_factory.mktemp("mariadb")) as server:
        create = posts.create_statement("slow_posts")
        server.fill("slow_posts", create, posts.COLUMNS, slow_posts())
        yield server


@pytest.fixture(scope="module")
def labelling_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labelling")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def labelling_service(
    labelling_root: Path, labelling_image: str, mariadb: Server
) -> AsyncIterator[Service]:
    """One running service for all tests of a module."""
    service = Service(labelling_root / "shared")
    service.environments(
        {"network": "bridge", "maxJobDuration": 120},
        {"id": "one", "maxJobs": 1, "network": "bridge"},
    )
    mariadb.fill(posts.TABLE, posts.create_statement(), posts.COLUMNS, list(posts.posts(MANY)))
    forum, slow = labelling_root / "forum.sqlite", labelling_root / "slow.sqlite"
    posts.make_file(forum)
    posts.make_file(slow, slow_posts())
    section = {
        "environment": "test",
        "image": labelling_image,
        "queues": {"single": "one"},
        "sites": [f"{mariadb.host}:{mariadb.port}", "203.0.113.*:33*"],
        "files": {"forum": str(forum), "slow": str(slow)},
        "batchRows": 50,
    }
    service.dialects({"labelling": section})
    await service.start()
    yield service
    code = service.stop()
    leftovers = service.leftovers()
    log = service.log()
    service.sweep()
    assert code == 0, log
    assert not leftovers, log
    assert "Traceback" not in log, log


@pytest_asyncio.fixture(loop_scope="module")
async def labelling(labelling_service: Service) -> AsyncIterator[Labelling]:
    async with Labelling(labelling_service.url) as client:
        yield client

"""One service that holds all results of an environment, and its parties."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from eth_account import Account
from eth_account.signers.local import LocalAccount
from reviewer import Reviewer
from support.consumer import Consumer
from support.service import Service


@pytest.fixture(scope="module")
def owner() -> LocalAccount:
    """The wallet that decides in the environment ``held``."""
    return Account.create()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    tmp_path_factory: pytest.TempPathFactory, owner: LocalAccount
) -> AsyncIterator[Service]:
    service = Service(tmp_path_factory.mktemp("review") / "service")
    rules = {"hold": "always", "reviewers": [owner.address]}
    service.environments(
        {"id": "held", "egress": rules},
        {"id": "brief", "egress": rules | {"holdFor": 1}},
    )
    await service.start()
    yield service
    code, leftovers, log = service.stop(), service.leftovers(), service.log()
    assert code == 0, log
    assert not leftovers, log
    assert not list((service.data / "held").iterdir()), log
    assert "Traceback" not in log, log


@pytest_asyncio.fixture(loop_scope="module")
async def consumer(service: Service) -> AsyncIterator[Consumer]:
    async with Consumer(service.url) as consumer:
        yield consumer


@pytest_asyncio.fixture(loop_scope="module")
async def reviewer(service: Service, owner: LocalAccount) -> AsyncIterator[Reviewer]:
    async with Reviewer(service.url, owner) as reviewer:
        yield reviewer


@pytest_asyncio.fixture(loop_scope="module")
async def stranger(service: Service) -> AsyncIterator[Reviewer]:
    """Somebody who would like to review."""
    async with Reviewer(service.url) as stranger:
        yield stranger

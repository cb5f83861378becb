"""A stand-in provider, a fresh wallet, and a client that does not wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from eth_account import Account
from standin_market import MarketStandIn, NotedWallet
from standin_provider import Naps, StandIn

from provider.client import ComputeClient, Patience, RawAlgorithm


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def wallet() -> Any:
    return Account.create()


@pytest.fixture
def algorithm() -> RawAlgorithm:
    return RawAlgorithm("print(1)", "busybox", "sh $ALGO", tag="1")


@pytest.fixture
async def server(stand_in: StandIn) -> AsyncIterator[TestServer]:
    async with TestServer(stand_in.application()) as server:
        yield server


@pytest.fixture
def make_client(server: TestServer, wallet: Any, naps: Naps) -> Callable[..., ComputeClient]:
    def make(**options: Any) -> ComputeClient:
        options.setdefault("patience", Patience(attempts=4, sleep=naps))
        key = options.pop("key", wallet)
        return ComputeClient(str(server.make_url("/")), key, **options)

    return make


@pytest.fixture
async def client(make_client: Callable[..., ComputeClient]) -> AsyncIterator[ComputeClient]:
    async with make_client() as client:
        yield client


@pytest.fixture
def key_file(tmp_path: Path, wallet: Any) -> Path:
    path = tmp_path / "wallet.key"
    path.write_text(wallet.key.hex())
    return path


@pytest.fixture
def market() -> MarketStandIn:
    return MarketStandIn()


@pytest.fixture
async def shop(market: MarketStandIn, wallet: Any, naps: Naps) -> AsyncIterator[ComputeClient]:
    """A client of the market."""
    async with TestServer(market.application()) as server:
        url, patience = str(server.make_url("/")), Patience(attempts=4, sleep=naps)
        async with ComputeClient(url, wallet, patience=patience) as client:
            yield client


@pytest.fixture
def payer(market: MarketStandIn, wallet: Any) -> NotedWallet:
    return NotedWallet(wallet.address, market)

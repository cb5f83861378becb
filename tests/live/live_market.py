"""The service as a process, on the development chain and the real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from eth_account.signers.local import LocalAccount
from support.devchain import DevChain
from support.service import Service

PROVIDER, PUBLISHER, CONSUMER, STRANGER, OTHER = 1, 2, 3, 4, 5
"""Which of the chain's accounts is whose."""

ROWS = "a,b\n1,2\n3,4\n"
COUNT = """
cat /data/inputs/*/0 | wc -l
cat /data/inputs/*/0 > /data/outputs/rows.csv
echo "$DIDS" > /data/outputs/dids.json
"""


class Origin:
    """Where publishers' files lie, and which of them were asked for."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.asked: list[str] = []
        self.url = ""
        self._files = files
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/{name}", self._serve)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.asked.append(f"{request.method} {name}")
        return web.Response(text=self._files[name], content_type="text/csv")


class Market:
    """All that a sale needs: chain, provider, files, and who is who."""

    def __init__(self, chain: DevChain, service: Service, origin: Origin) -> None:
        self.chain = chain
        self.service = service
        self.origin = origin

    def account(self, which: int) -> LocalAccount:
        return self.chain.accounts[which]

    @property
    def ocean_token(self) -> str:
        token: str = self.chain.addresses["Ocean"]
        return token


def settings_of(chain: DevChain, provider: int = PROVIDER, **more: str) -> dict[str, str]:
    """The variables of a service on this chain, with the key of one of its accounts."""
    return {
        "PROVIDER_PRIVATE_KEY": "0x" + bytes(chain.accounts[provider].key).hex(),
        "NETWORK_URL": chain.url,
        "CHAIN_ID": str(chain.chain_id),
        "ADDRESS_FILE": str(chain.address_file),
        "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
        **more,
    }


def offers(chain: DevChain) -> tuple[dict[str, Any], ...]:
    """A free environment and one that costs a token and a half a minute."""
    price = {"token": chain.addresses["Ocean"], "perMinute": 1.5}
    return {"id": "free"}, {"id": "paid", "prices": {chain.chain_id: price}}


@asynccontextmanager
async def serving(service: Service, **environ: str) -> AsyncIterator[Service]:
    """The service, started; at the end it stops in good order and leaves nothing."""
    try:
        await service.start(**environ)
        yield service
    except BaseException:
        service.kill()
        service.sweep()
        raise
    code, leftovers, log = service.stop(), service.leftovers(), service.log()
    if leftovers:
        service.sweep()
    assert code == 0, log
    assert not leftovers, log
    assert "Traceback" not in log, log


@asynccontextmanager
async def files(**more: str) -> AsyncIterator[Origin]:
    """An origin with the two files of the market and ``more`` (``rows_csv`` is rows.csv)."""
    named = {name.replace("_", "."): text for name, text in more.items()}
    origin = Origin({"rows.csv": ROWS, "count.sh": COUNT, **named})
    await origin.start()
    try:
        yield origin
    finally:
        await origin.stop()


@pytest.fixture
async def market(devchain: DevChain, tmp_path: Path) -> AsyncIterator[Market]:
    async with files() as origin:
        service = Service(tmp_path / "provider")
        service.environments(*offers(devchain))
        async with serving(service, **settings_of(devchain)):
            yield Market(devchain, service, origin)

"""The providing side of the demo on a chain: a development chain, a provider that is paid
on it, and a publisher whose files lie behind a small web server.

Chain and provider are processes of their own, started as their users start them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from demo.processes import START_S, DemoFailedError, answers, free_port, make_key, service
from provider.client import AssetDraft, ServiceDraft

ENVIRONMENT = "market"
PRICE = "0.6"
"""What a minute costs, in whole OCEAN."""

ROWS = "".join(f"{number},{number * number % 97}\n" for number in range(1, 501))
ALGORITHM = """\
#!/bin/sh
# The mean of the second column of every dataset.
for file in /data/inputs/*/0; do
    awk -F, '{ sum += $2 } END { printf "{\\"rows\\": %d, \\"mean\\": %.3f}\\n", NR, sum / NR }' \\
        "$file" >/data/outputs/summary.json
done
cat /data/outputs/summary.json
"""


@dataclass(frozen=True, slots=True)
class Chain:
    """The running chain, as it told itself: ``wallets`` are private keys of funded wallets."""

    url: str = field(repr=False)
    chain_id: int
    engine: str
    address_file: Path
    wallets: tuple[str, ...] = field(repr=False)

    @property
    def fee_token(self) -> str:
        networks = json.loads(self.address_file.read_text())
        found = (one for one in networks.values() if one.get("chainId") == self.chain_id)
        return str(next(found)["Ocean"])


class Market:
    """The working folder, and what runs over it."""

    def __init__(self, folder: Path, image: str, checksum: str) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self._files_port = free_port()
        self._image, _, self._tag = image.partition(":")
        self._checksum = checksum

    @contextlib.asynccontextmanager
    async def chain(self) -> AsyncIterator[Chain]:
        """A chain with the Ocean contracts, from the moment they are deployed."""
        words = ["chain", "dev", "--port", "0", "--json"]
        words += ["--address-file", str(self.folder / "address.json")]
        async with service(self.folder, "chain", words, {}) as process:
            log = self.folder / "chain.log"
            for _ in range(START_S * 20):
                if process.returncode is not None:
                    raise DemoFailedError("the chain did not start")
                if told := _told(log):
                    yield told
                    return
                await asyncio.sleep(0.05)
            raise DemoFailedError(f"the chain was not ready within {START_S} s")

    @contextlib.asynccontextmanager
    async def open(self, chain: Chain) -> AsyncIterator[None]:
        """The provider and the publisher's files, until the provider has ended."""
        (self.folder / "assets").mkdir()
        make_key(self.folder / "provider.key")
        (self.folder / "environments.yaml").write_text(environments(chain))
        async with (
            self._files(),
            service(self.folder, "provider", ["serve"], self._variables(chain)) as process,
        ):
            await answers(process, self.url)
            yield
        shutil.rmtree(self.folder / "provider")

    def drafts(self) -> tuple[AssetDraft, AssetDraft]:
        """A dataset to compute on, and the algorithm."""
        dataset = AssetDraft(
            "Five hundred rows", [ServiceDraft("compute", [self._file("rows.csv")], 86_400)]
        )
        container = {
            "image": self._image,
            "tag": self._tag,
            "entrypoint": "sh $ALGO",
            "checksum": self._checksum,
        }
        section = {"language": "sh", "version": "1", "container": container}
        algorithm = AssetDraft(
            "Mean of a column",
            [ServiceDraft("compute", [self._file("mean.sh")], 86_400)],
            algorithm=section,
        )
        return dataset, algorithm

    def _file(self, name: str) -> dict[str, str]:
        url = f"http://127.0.0.1:{self._files_port}/{name}"
        return {"type": "url", "url": url, "method": "GET"}

    @contextlib.asynccontextmanager
    async def _files(self) -> AsyncIterator[None]:
        content = {"rows.csv": ROWS, "mean.sh": ALGORITHM}

        async def send(request: web.Request) -> web.Response:
            return web.Response(text=content[request.match_info["name"]])

        app = web.Application()
        app.router.add_get("/{name:rows.csv|mean.sh}", send)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._files_port).start()
            yield
        finally:
            await runner.cleanup()

    def _variables(self, chain: Chain) -> Mapping[str, str]:
        return {
            "PROVIDER_PRIVATE_KEY_FILE": str(self.folder / "provider.key"),
            "ENVIRONMENTS_FILE": str(self.folder / "environments.yaml"),
            "ASSETS_DIR": str(self.folder / "assets"),
            "DATA_DIR": str(self.folder / "provider"),
            "LISTEN_HOST": "127.0.0.1",
            "LISTEN_PORT": self.url.rpartition(":")[2],
            "PUBLIC_URL": self.url,
            "NETWORK_URL": json.dumps({str(chain.chain_id): chain.url}),
            "ADDRESS_FILE": str(chain.address_file),
            # The publisher's web server is on this machine: an address that is closed else.
            "ALLOWED_PRIVATE_NETWORKS": "127.0.0.1/32",
        }


def environments(chain: Chain) -> str:
    return f"""\
environments:
  - id: {ENVIRONMENT}
    description: Half a processor, paid by the minute
    cpu: 0.5
    ramGB: 0.25
    diskGB: 0.05
    maxJobs: 2
    maxJobDuration: 900
    stopGrace: 1.0
    images:
      allow: ["ocean-compute-test/*"]
      pull: never
    prices:
      {chain.chain_id}:
        token: "{chain.fee_token}"
        perMinute: "{PRICE}"
"""


def _told(log: Path) -> Chain | None:
    """The line that the chain prints once it is usable."""
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            told: dict[str, Any] = json.loads(line)
            return Chain(
                told["url"],
                told["chainId"],
                told["engine"],
                Path(told["addressFile"]),
                tuple(account["key"] for account in told["accounts"]),
            )
    return None

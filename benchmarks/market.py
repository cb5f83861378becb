"""What is sold on a chain, for the figures about orders: a development chain, a service that
follows it, one that knows no chain, and the same dataset and algorithm twice, published on
the chain and in the operators' folders. All documents name the same files of one web server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from eth_account.signers.local import LocalAccount
from support.consumer import Consumer
from support.devchain import DevChain
from support.service import IMAGE, Service, dataset_document, image_id

from provider.client import (
    AssetDraft,
    ComputeClient,
    Dataset,
    Ordered,
    Published,
    PublishedAlgorithm,
    ServiceDraft,
    publish,
)
from provider.client.onchain import ETHER, OnChain

PUBLISHER, CONSUMER = 2, 3
"""Which of the chain's accounts is whose."""

PAID_S = 600
OWN_FILES = {"ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8"}
"""So that a service may ask the web server of this process."""

FOLDER_DATASET = "did:op:" + "d2" * 32
FOLDER_ALGORITHM = "did:op:" + "a2" * 32


class Market:
    """A running chain, ``service`` that follows it and ``plain`` that does not, the assets,
    and one who buys them."""

    def __init__(self, chain: DevChain, service: Service, plain: Service) -> None:
        self.chain = chain
        self.service = service
        self.plain = plain
        self.dataset: Published
        self.algorithm: Published

    @property
    def buyer(self) -> LocalAccount:
        return self.chain.accounts[CONSUMER]

    async def publish(self, files_url: str) -> None:
        """Put dataset and algorithm on the chain, and datatokens into the buyer's hands."""
        account = self.chain.accounts[PUBLISHER]
        wallet = self._wallet(account)
        dataset, algorithm = _drafts(files_url)
        async with ComputeClient(self.service.url, account) as client:
            self.dataset = await publish(client, wallet, dataset, url=self.service.url)
            self.algorithm = await publish(client, wallet, algorithm, url=self.service.url)
            for published in (self.dataset, self.algorithm):
                await client.wait_for_asset(published.did, published.tx)
                await wallet.mint(published.datatokens[0], self.buyer.address, 1000 * ETHER)

    async def order(self) -> Ordered:
        """New orders of dataset and algorithm, with time in the environment ``paid``."""
        async with ComputeClient(self.service.url, self.buyer) as client:
            return await client.order_for(
                "paid",
                Dataset(self.dataset.did, "compute"),
                PublishedAlgorithm(self.algorithm.did, "compute"),
                pay=self._wallet(self.buyer),
                duration_s=PAID_S,
            )

    def paid_body(self, consumer: Consumer, ordered: Ordered) -> dict[str, Any]:
        """The signed start of a job that is paid with these orders."""
        assert isinstance(ordered.algorithm, PublishedAlgorithm)
        body = consumer.start_body(ordered.algorithm.to_wire(), [self.dataset.did], "paid")
        body["dataset"]["transferTxId"] = ordered.datasets[0].transfer_tx_id
        return body

    def unpaid_body(self, consumer: Consumer) -> dict[str, Any]:
        """The signed start of the same job on what lies in the operator's folder."""
        algorithm = {"documentId": FOLDER_ALGORITHM, "serviceId": "compute"}
        return consumer.start_body(algorithm, [FOLDER_DATASET], "test")

    def _wallet(self, account: LocalAccount) -> OnChain:
        return OnChain(
            self.chain.url,
            account,
            address_file=self.chain.address_file,
            chain_id=self.chain.chain_id,
        )


@asynccontextmanager
async def open_market(folder: Path) -> AsyncIterator[Market]:
    """Everything running and published, until the end of the context."""
    folder.mkdir()
    chain = DevChain.start(folder, "--no-anvil")
    try:
        async with (
            _files() as files_url,
            _serving(folder / "service", files_url, chain, chain_settings(chain)) as service,
            _serving(folder / "plain", files_url, chain, OWN_FILES) as plain,
        ):
            market = Market(chain, service, plain)
            await market.publish(files_url)
            yield market
    finally:
        chain.stop()


@asynccontextmanager
async def _serving(
    root: Path, files_url: str, chain: DevChain, settings: Mapping[str, str]
) -> AsyncIterator[Service]:
    """A service with the folder's assets, a free environment and one that has a price."""
    service = Service(root)
    price = {"token": chain.addresses["Ocean"], "perMinute": 1.5}
    service.environments({}, {"id": "paid", "prices": {chain.chain_id: price}})
    for document in _folder_documents(files_url):
        service.publish(document)
    try:
        await service.start(LOG_LEVEL="warning", **settings)
        yield service
    finally:
        service.stop()


def chain_settings(chain: DevChain) -> Mapping[str, str]:
    """The variables of a service that follows this chain."""
    return {
        "NETWORK_URL": chain.url,
        "CHAIN_ID": str(chain.chain_id),
        "ADDRESS_FILE": str(chain.address_file),
        **OWN_FILES,
    }


def _drafts(files_url: str) -> tuple[AssetDraft, AssetDraft]:
    """The compute service has the same name as the folder's."""
    dataset, algorithm = (
        [ServiceDraft("compute", [_file(files_url, name)], 86_400, id="compute")]
        for name in ("rows", "code")
    )
    return (
        AssetDraft("Rows", dataset),
        AssetDraft("True", algorithm, algorithm=_algorithm_section()),
    )


def _folder_documents(files_url: str) -> list[dict[str, Any]]:
    dataset = dataset_document(FOLDER_DATASET, [_file(files_url, "rows")])
    algorithm = dataset_document(FOLDER_ALGORITHM, [_file(files_url, "code")])
    algorithm["metadata"] |= {"type": "algorithm", "algorithm": _algorithm_section()}
    for document in (dataset, algorithm):
        document["services"][0]["datatokenAddress"] = ""
    return [dataset, algorithm]


def _algorithm_section() -> dict[str, Any]:
    container = {"image": IMAGE, "tag": "1", "entrypoint": "sh $ALGO", "checksum": image_id()}
    return {"language": "sh", "version": "1", "container": container}


def _file(files_url: str, name: str) -> dict[str, str]:
    return {"type": "url", "url": f"{files_url}/{name}", "method": "GET"}


@asynccontextmanager
async def _files() -> AsyncIterator[str]:
    content = {"rows": "a,b\n1,2\n3,4\n", "code": "true\n"}

    async def send(request: web.Request) -> web.Response:
        return web.Response(text=content[request.match_info["name"]])

    app = web.Application()
    app.router.add_get("/{name:rows|code}", send)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()

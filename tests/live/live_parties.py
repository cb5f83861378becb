"""Who trades on the market: wallets that publish, order and compute with our own client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from live_market import Origin
from support.consumer import Consumer
from support.devchain import DevChain
from support.service import IMAGE, Service, image_id

from provider.client import (
    AssetDraft,
    ComputeClient,
    Dataset,
    Job,
    Patience,
    Published,
    PublishedAlgorithm,
    RawAlgorithm,
    ServiceDraft,
    publish,
)
from provider.client.contract_calls import REUSE_ORDER, START_ORDER, Fee, word_of_tx
from provider.client.onchain import OnChain

TOKEN = 10**18
DAY_S = 86_400
EAGER = Patience(attempts=1, first_s=0.02, factor=1.3, last_s=0.3)
NOTHING = ("0x" + "00" * 20, "0x" + "00" * 20, 0)
GAS = 900_000
WITHIN_S = 150


class Party:
    """A wallet: on the chain (``wallet``), at a provider (``client``), and as a stranger to
    the project would speak to that provider (``plain``)."""

    def __init__(self, chain: DevChain, which: int, client: ComputeClient, plain: Consumer) -> None:
        self.chain = chain
        self.account = chain.accounts[which]
        self.wallet = _wallet(chain, which)
        self.client = client
        self.plain = plain

    @property
    def address(self) -> str:
        return self.wallet.address

    async def nonce(self) -> str:
        """The last one that the provider has seen."""
        query = {"userAddress": self.address}
        answer = await self.plain.call("GET", "/api/services/nonce", params=query)
        return str(answer["nonce"])

    async def finish(self, job: Job) -> Job:
        """The job once it is over, whatever became of it."""
        return await self.client.wait(job.id, WITHIN_S)

    async def results(self, job: Job) -> dict[str, str]:
        """The texts of a job's results, by name."""
        return {
            each.filename: (await self.client.read(job.id, each.index)).decode()
            for each in job.results
        }

    async def fee(self, environment: str, dataset: Dataset, seconds: int) -> Mapping[str, Any]:
        """A fee for a new order of a dataset, to be computed on with raw code."""
        answer = await self.client.initialize_compute(
            environment, dataset, raw("true"), duration_s=seconds
        )
        fee: Mapping[str, Any] = answer["datasets"][0]["providerFee"]
        return fee

    def send_order(
        self, datatoken: str, consumer: str, index: int, fee: Mapping[str, Any], *, gas: int = GAS
    ) -> str:
        """Order without asking whether the chain will agree; the transaction."""
        order = (consumer, index, Fee.from_wire(fee).values(), NOTHING)
        return self.chain.send(self.account, datatoken, START_ORDER.data(*order), gas=gas)

    def send_reuse(self, datatoken: str, tx: str, fee: Mapping[str, Any]) -> str:
        """The same for a renewal, of whichever order."""
        data = REUSE_ORDER.data(word_of_tx(tx), Fee.from_wire(fee).values())
        return self.chain.send(self.account, datatoken, data, gas=GAS)

    def start_body(self, environment: str, asset: Dataset, code: str = "true") -> dict[str, Any]:
        """A complete, signed body of a start of raw code over one dataset with its order."""
        body = self.plain.start_body(raw(code).to_wire(), [asset.did], environment)
        body["dataset"] = asset.to_wire()
        return body

    async def start_plainly(self, environment: str, asset: Dataset, code: str = "true") -> Any:
        """Start over plain HTTP: the answer as it is. Raises Refused."""
        body = self.start_body(environment, asset, code)
        return await self.plain.call("POST", "/api/services/compute", json=body)

    async def download_plainly(self, asset: Dataset) -> str:
        """The first file of an access service. Raises Refused."""
        nonce = self.plain.nonce()
        query = {
            "documentId": asset.did,
            "serviceId": asset.service_id,
            "fileIndex": "0",
            "transferTxId": asset.transfer_tx_id or "",
            "consumerAddress": self.address,
            "nonce": nonce,
            "signature": self.plain.sign(asset.did, nonce),
        }
        content = await self.plain.fetch("/api/services/download", query)
        return content.decode()


@asynccontextmanager
async def parties(
    chain: DevChain, service: Service, *which: int, metadata_url: str = ""
) -> AsyncIterator[list[Party]]:
    """These accounts as parties at a service."""
    async with AsyncExitStack() as stack:
        opened = []
        for number in which:
            account = chain.accounts[number]
            client = ComputeClient(
                service.url, account, patience=EAGER, metadata_url=metadata_url or service.url
            )
            await stack.enter_async_context(client)
            plain = await stack.enter_async_context(Consumer(service.url, account))
            opened.append(Party(chain, number, client, plain))
        yield opened


async def sell(
    seller: Party, draft: AssetDraft, *buyers: Party, url: str = "", wait: bool = True
) -> Published:
    """Publish, wait until the provider's index has it, and give buyers its datatokens."""
    published = await publish(seller.client, seller.wallet, draft, url=url or str(seller.plain.url))
    for buyer in buyers:
        for datatoken in published.datatokens:
            await seller.wallet.mint(datatoken, buyer.address, 20 * TOKEN)
    if wait:
        await seller.client.wait_for_asset(published.did, published.tx, timeout_s=120)
    return published


def service(
    origin: Origin,
    kind: Any = "compute",
    file: str = "rows.csv",
    *,
    timeout_s: int = DAY_S,
    **compute: Any,
) -> ServiceDraft:
    """A service over one file of the origin."""
    files = [{"type": "url", "url": f"{origin.url}/{file}", "method": "GET"}]
    return ServiceDraft(kind, files, timeout_s, compute=compute)


def dataset(name: str, *services: ServiceDraft, **more: Any) -> AssetDraft:
    return AssetDraft(name, services, more=more)


def algorithm(name: str, *services: ServiceDraft) -> AssetDraft:
    container = {
        "image": IMAGE,
        "tag": "1",
        "entrypoint": "sh $ALGO",
        "checksum": image_id(),
    }
    section = {"language": "sh", "version": "1", "container": container}
    return AssetDraft(name, services, algorithm=section)


def raw(code: str) -> RawAlgorithm:
    return RawAlgorithm(code, IMAGE, "sh $ALGO", "1", image_id())


def named(published: Published, service: int = 0, order: str | None = None) -> Dataset:
    return Dataset(published.did, str(service), transfer_tx_id=order)


def code_of(published: Published, order: str | None = None) -> PublishedAlgorithm:
    return PublishedAlgorithm(published.did, transfer_tx_id=order)


def _wallet(chain: DevChain, which: int) -> OnChain:
    account = chain.accounts[which]
    return OnChain(chain.url, account, address_file=chain.address_file, chain_id=chain.chain_id)

"""A session of ocean.py 3.1.2 with an Ocean Provider 2.1.6, held again with this service.

The whole service is there, on a fake engine and a chain in memory behind a real JSON-RPC
port. It has the recorded provider's key (of the well-known wallets of development chains)
and begins at the recorded time, so that the recorded signatures and sealed documents are
good here too. What depends on the chain of that day is put in place of it: the document is
published with the recorded bytes, and the recorded orders stand for orders with our fees.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import lzma
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from chain.stand_in_node import StandInNode
from ocean_consumer import CONTAINER, run_until_stopped, write_outputs

from compute.engines.fake import FakeEngine, FakeRun, FakeWorld
from compute.models import AlgorithmItem, DatasetItem, Image, Job, JobSpec
from compute.space import WatchedSpace
from compute.store.database import open_database
from compute.store.jobs import JobStore
from provider.app import create_app
from provider.assets.encryption import encrypt
from provider.chain import fake_events
from provider.chain.fake import FakeChain
from provider.chain.models import Receipt
from provider.keys import ProviderKey
from provider.migrations import VERSIONS
from provider.settings import Settings

RECORDED: dict[str, dict[str, Any]] = {
    each["name"]: each
    for each in json.loads(Path(__file__).with_name("recordings.json").read_text())
}
RECORDED_AT = 1795189635.0
WELL_KNOWN = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
KEY = ProviderKey.from_text(WELL_KNOWN)
CONSUMER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
DECRYPTER = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"
OCEAN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
FACTORY = "0x" + "fa" * 20
OLD_URL = "http://127.0.0.1:28032"

DATA_NFT, DATA_TOKEN = (
    "0x2C8Aa213240FF4658b711C6Cfe967D47553b474B",
    "0xe141e720664410014a3291d66f7e4ff830103554",
)
ALGORITHM_NFT, ALGORITHM_TOKEN = (
    "0x7B3E62D069AfcfE6E11E5Bf9554225c263eB6A47",
    "0x6aAffD7C5813e9cf6f1603654d37460DA8d5B323",
)
DATASET = "did:op:fbc79e065bc4ae2a2cb6916fe59a2d89a9b2126c872ffd2cc994182e3e3afc19"
ALGORITHM = "did:op:587ae498b0eaff14cde91197248328ccf59c37ac3059e463bcf1951b7541f9d5"
FIRST, SECOND = "801d687733b348a2b52602f96c057188", "4a2169f946404f9d95202db828e74795"

DATA = b"a,b\n1,2\n3,4\n"
SCRIPT = b"echo hello from algo; ls -R /data/inputs; echo RESULT > /data/outputs/result.txt\n"
ENVIRONMENTS = "environments:\n  - {id: ocean-compute, maxJobs: 10, images: {pull: never}}\n"
PATIENCE_S = 60


@dataclass(frozen=True)
class Answer:
    """What was answered to one recorded request. JSON is read."""

    status: int
    headers: Mapping[str, str]
    body: Any


class RecordedChain(FakeChain):
    """Answers for recorded transactions with those that were made in their place."""

    def __init__(self) -> None:
        super().__init__(8996)
        self.stand_ins: dict[str, str] = {}

    async def receipt(self, tx: str, *, patient: bool = True) -> Receipt:
        made = await super().receipt(self.stand_ins.get(tx, tx), patient=patient)
        return replace(made, tx=tx, logs=tuple(replace(log, tx=tx) for log in made.logs))


async def replayed(folder: Path) -> dict[str, Answer]:
    """The answers to the recorded requests, by the names of these, each made once and in
    the recorded order. The recorded ids of jobs are signed, so between publishing and
    buying the service is restarted with jobs of these ids in its queue."""
    answers: dict[str, Answer] = {}
    async with _surroundings(folder) as around, asyncio.timeout(PATIENCE_S):
        async with _service(around) as market:
            await _publishing(market, answers)
        await _queue_recorded_jobs(around.settings)
        async with _service(around) as market:
            for step in (_buying, _computing, _again, _downloading):
                await step(market, answers)
    return answers


@dataclass
class _Surroundings:
    """What outlives the service: its chain, its engine, the files of the publisher."""

    settings: Settings
    chain: RecordedChain
    world: FakeWorld
    origin: str
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    began: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.world.add_image("example/python:3")
        own = {"python": write_outputs, "sh": self._wait_then_write, "sleep": run_until_stopped}
        self.world.programs |= own

    def now(self) -> float:
        return RECORDED_AT + time.time() - self.began

    async def _wait_then_write(self, run: FakeRun) -> int:
        await self.go_on.wait()
        (run.path("/data/outputs") / "result.txt").write_text("RESULT 42\n")
        run.print("hello from algo")
        return 0


@dataclass
class _Market:
    """The service under test, and what a step of the session needs beside it."""

    client: TestClient[web.Request, web.Application]
    around: _Surroundings

    async def ask(self, name: str, **changes: Any) -> Answer:
        """Send a recorded request, with ``changes``."""
        call = {**RECORDED[name], **changes}
        options: dict[str, Any] = {}
        if "content_type" in call:
            options["data"] = _bytes(call["body"])
            options["headers"] = {"Content-Type": call["content_type"]}
        elif call["body"] is not None:
            options["json"] = call["body"]
        path = call["path"] + (f"?{call['query']}" if call["query"] else "")
        async with self.client.request(call["method"], path, **options) as answer:
            is_json = answer.content_type == "application/json"
            body = await (answer.json() if is_json else answer.read())
            return Answer(answer.status, dict(answer.headers), body)

    async def until(self, job_id: str, reached: Callable[[dict[str, Any]], bool]) -> None:
        """Ask for a job's outline, which needs no signature, until it is as wanted."""
        query = {"jobId": job_id, "consumerAddress": CONSUMER}
        while True:
            async with self.client.get("/api/services/compute", params=query) as answer:
                [job] = await answer.json()
            if reached(job):
                return
            assert job["dateFinished"] is None, job
            await asyncio.sleep(0.01)

    def order(self, tx: str, token: str, fee: Mapping[str, Any], consumer: str, index: int) -> None:
        """Have a recorded transaction be an order with a fee of ours."""
        started = fake_events.order_started(
            token,
            consumer=consumer,
            payer=CONSUMER,
            service_index=index,
            timestamp=int(RECORDED_AT),
        )
        chain = self.around.chain
        chain.stand_ins[tx] = chain.transact(started, _paid(token, fee), sender=CONSUMER)

    def publish(self, nft: str, document: bytes, sealed: bytes, *, created: bool) -> str:
        event = fake_events.metadata(
            nft,
            data=sealed,
            metadata_hash=hashlib.sha256(document).hexdigest(),
            flags=b"\x03",
            created=created,
            updated_by=CONSUMER,
            decryptor_url=OLD_URL,
            timestamp=int(RECORDED_AT),
        )
        return self.around.chain.transact(event, sender=CONSUMER)


async def _publishing(market: _Market, answers: dict[str, Answer]) -> None:
    """The document goes on the chain as the old provider sealed it. Its files lie where
    nobody listens any more, so afterwards it is published anew with files of ours."""
    for name in ("root", "aquarius_base", "ddo_missing", "encrypt_files", "validate"):
        answers[name] = await market.ask(name)
    answers["encrypt_document"] = await market.ask("encrypt_document")
    plain = RECORDED["decrypt"]["response"].encode()
    sealed = bytes.fromhex(RECORDED["encrypt_document"]["response"][2:])
    made = market.publish(DATA_NFT, plain, sealed, created=True)
    market.around.chain.stand_ins[RECORDED["decrypt"]["body"]["transactionId"]] = made
    answers["decrypt"] = await market.ask("decrypt")
    answers["ddo"] = await market.ask("ddo")
    for nft, document in _documents(json.loads(plain), market.around.origin):
        content = json.dumps(document, separators=(",", ":")).encode()
        blob = bytes.fromhex(encrypt(KEY.public_key, lzma.compress(content))[2:])
        market.publish(nft, content, blob, created=nft == ALGORITHM_NFT)


def _documents(data: dict[str, Any], origin: str) -> list[tuple[str, dict[str, Any]]]:
    for service in data["services"]:
        service["files"] = _sealed_file(f"{origin}/files/data.csv", DATA_NFT, DATA_TOKEN)
    files = _sealed_file(f"{origin}/files/algo.sh", ALGORITHM_NFT, ALGORITHM_TOKEN)
    access = {**data["services"][0], "files": files, "datatokenAddress": ALGORITHM_TOKEN}
    about = {"language": "sh", "version": "1", "container": CONTAINER}
    algorithm = {
        **data,
        "id": ALGORITHM,
        "nftAddress": ALGORITHM_NFT,
        "metadata": {**data["metadata"], "type": "algorithm", "algorithm": about},
        "services": [access],
    }
    return [(DATA_NFT, data), (ALGORITHM_NFT, algorithm)]


def _sealed_file(url: str, nft: str, datatoken: str) -> str:
    files = [{"type": "url", "url": url}]
    content = {"datatokenAddress": datatoken, "nftAddress": nft, "files": files}
    return encrypt(KEY.public_key, json.dumps(content).encode())


async def _buying(market: _Market, answers: dict[str, Answer]) -> None:
    for name in ("fileinfo_checksum", "environments", "initialize", "fileinfo", "nonce"):
        answers[name] = await market.ask(name)
    quoted, bought = answers["initialize"].body, RECORDED["start"]["body"]
    for item, paid, token, index in (
        (quoted["datasets"][0], bought["dataset"], DATA_TOKEN, 1),
        (quoted["algorithm"], bought["algorithm"], ALGORITHM_TOKEN, 0),
    ):
        market.order(paid["transferTxId"], token, item["providerFee"], KEY.address, index)


async def _computing(market: _Market, answers: dict[str, Answer]) -> None:
    """The recorded ids are those of two jobs that the service begins with; the one that
    is started here ends before its order is used again."""
    answers["start"] = await market.ask("start")
    await market.until(FIRST, lambda job: job["status"] == 40)
    answers["status_running"] = await market.ask("status_running")
    market.around.go_on.set()
    for job_id in (FIRST, answers["start"].body[0]["jobId"]):
        await market.until(job_id, lambda job: job["dateFinished"] is not None)
    answers["status_finished"] = await market.ask("status_finished")
    for name in ("result", "log", "status_again"):
        answers[name] = await market.ask(name)


async def _again(market: _Market, answers: dict[str, Answer]) -> None:
    await market.until(SECOND, lambda job: job["status"] == 40)
    for name in ("initialize_again", "start_again", "stop", "delete"):
        answers[name] = await market.ask(name)


async def _downloading(market: _Market, answers: dict[str, Answer]) -> None:
    answers["initialize_access"] = await market.ask("initialize_access")
    fee = answers["initialize_access"].body["providerFee"]
    query = dict(each.split("=", 1) for each in RECORDED["download"]["query"].split("&"))
    market.order(query["transferTxId"], DATA_TOKEN, fee, CONSUMER, 0)
    answers["download"] = await market.ask("download")


@asynccontextmanager
async def _surroundings(folder: Path) -> AsyncIterator[_Surroundings]:
    chain, world, origin = _chain(), FakeWorld(), _origin()
    await origin.start_server()
    async with StandInNode(chain) as node:
        yield _Surroundings(_settings(folder, node.url), chain, world, str(origin.make_url("")))
    await world.end()
    await origin.close()


@asynccontextmanager
async def _service(around: _Surroundings) -> AsyncIterator[_Market]:
    engine = FakeEngine(around.world)
    app = create_app(around.settings, engine=engine, space=WatchedSpace(), clock=around.now)
    async with TestClient(TestServer(app)) as client:
        yield _Market(client, around)


def _chain() -> RecordedChain:
    chain = RecordedChain()
    chain.publish(FACTORY, DATA_NFT, [DATA_TOKEN], owner=CONSUMER)
    chain.publish(FACTORY, ALGORITHM_NFT, [ALGORITHM_TOKEN], owner=CONSUMER)
    chain.token(OCEAN)
    return chain


def _origin() -> TestServer:
    """Where the publisher's files lie."""
    files = {"data.csv": (DATA, "text/csv"), "algo.sh": (SCRIPT, "text/x-sh")}

    async def serve(request: web.Request) -> web.Response:
        body, kind = files[request.match_info["name"]]
        return web.Response(body=body, content_type=kind)

    app = web.Application()
    app.router.add_get("/files/{name}", serve)
    return TestServer(app, host="127.0.0.1")


def _settings(folder: Path, node_url: str) -> Settings:
    entry = {"chainId": 8996, "ERC721Factory": FACTORY, "Ocean": OCEAN, "startBlock": 0}
    (folder / "address.json").write_text(json.dumps({"development": entry}))
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    (folder / "assets").mkdir()
    return Settings.from_environ(
        {
            "PROVIDER_PRIVATE_KEY": WELL_KNOWN,
            "DATA_DIR": str(folder / "data"),
            "ENVIRONMENTS_FILE": str(folder / "environments.yaml"),
            "ASSETS_DIR": str(folder / "assets"),
            "NETWORK_URL": node_url,
            "CHAIN_ID": "8996",
            "ADDRESS_FILE": str(folder / "address.json"),
            "PUBLIC_URL": OLD_URL,
            "AUTHORIZED_DECRYPTERS": DECRYPTER,
            "ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
        }
    )


async def _queue_recorded_jobs(settings: Settings) -> None:
    database = await open_database(settings.database_url, migrations=[VERSIONS])
    for job_id, entrypoint in ((FIRST, "sh $ALGO"), (SECOND, "sleep 1")):
        await JobStore(database).insert(_job(job_id, entrypoint), queue_limit=10)
    await database.close()


def _job(job_id: str, entrypoint: str) -> Job:
    image = Image(image=CONTAINER["image"], tag=CONTAINER["tag"])
    spec = JobSpec(
        datasets=(DatasetItem(did=DATASET, service_id="1"),),
        algorithm=AlgorithmItem(did=ALGORITHM, service_id="0", image=image, entrypoint=entrypoint),
        max_duration_s=3600,
        agreement_id=RECORDED["start"]["body"]["dataset"]["transferTxId"],
    )
    return Job(job_id, CONSUMER, "ocean-compute", spec, RECORDED_AT)


def _bytes(text: str) -> bytes:
    packed = text.startswith("base64:")
    return base64.b64decode(text.removeprefix("base64:")) if packed else text.encode()


def _paid(datatoken: str, fee: Mapping[str, Any]) -> fake_events.Emitted:
    """``ProviderFee`` as the contract emits it for a quoted fee."""
    return fake_events.provider_fee(
        datatoken,
        fee_address=fee["providerFeeAddress"],
        token=fee["providerFeeToken"],
        amount=int(fee["providerFeeAmount"]),
        data=bytes.fromhex(fee["providerData"][2:]),
        v=fee["v"],
        r=bytes.fromhex(fee["r"][2:]),
        s=bytes.fromhex(fee["s"][2:]),
        valid_until=fee["validUntil"],
    )

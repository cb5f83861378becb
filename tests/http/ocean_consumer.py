"""What the tests of the API share: wallets, assets, algorithms, a plain HTTP consumer."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from support.sqlite import prepared

from compute.engines.fake import FakeRun, FakeWorld
from provider.auth.signatures import personal_digest
from provider.keys import ProviderKey
from provider.migrations import VERSIONS
from provider.settings import Settings

DATA = "did:op:data"
OPEN = "did:op:open"
"""Allows raw algorithms and the network."""
ACCESS = "did:op:access"
ALGORITHM = "did:op:algorithm"
PICKY = "did:op:picky"
"""Trusts one version of one algorithm."""
PRIVATE = "did:op:private"

CODE = b"print('hello')\n"
IMAGE_ID = "sha256:" + hashlib.sha256(b"example/python:3").hexdigest()
CONTAINER = {
    "image": "example/python",
    "tag": "3",
    "entrypoint": "python $ALGO",
    "checksum": IMAGE_ID,
}
COMPUTE = "/api/services/compute"
RESULT = "/api/services/computeResult"
SERVICES = "/api/services/"

ENVIRONMENTS = """
environments:
  - id: small
    description: For tests
    cpu: 2
    ramGB: 0.5
    maxJobs: 3
    maxQueue: 5
    maxJobDuration: 60
    network: bridge
    images: {allow: ["example/python*"], pull: never}
    prices: {8996: {token: "0x00000000000000000000000000000000000000aa", perMinute: 2.5}}
  - id: members
    maxJobs: 1
    consumers: {allow: ["0x1563915e194D8CfBA1943570603F7606A3115508"]}
    consumerAddress: "0x00000000000000000000000000000000000000c2"
"""


def wallet(number: int) -> ProviderKey:
    return ProviderKey(bytes([number]) * 32)


ALICE, BOB = wallet(0x22), wallet(0x33)


def sign(key: ProviderKey, text: str) -> str:
    return key.sign_digest(personal_digest(text))


class Api:
    """A consumer over plain HTTP, as one would write it from the documentation."""

    def __init__(self, client: TestClient[web.Request, web.Application], world: FakeWorld) -> None:
        self.client = client
        self.world = world
        self.nonces: dict[str, int] = {}

    def nonce(self, key: ProviderKey) -> int:
        self.nonces[key.address] = self.nonces.get(key.address, 1) + 1
        return self.nonces[key.address]

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.client.request(method, path, **options) as response:
            return response.status, await _content(response)

    def start_body(self, key: ProviderKey = ALICE, **changes: Any) -> dict[str, Any]:
        """A good request to start, with ``changes``; signed over what results."""
        body: dict[str, Any] = {
            "consumerAddress": key.address,
            "environment": "small",
            "dataset": {"documentId": DATA, "serviceId": "compute"},
            "algorithm": {"documentId": ALGORITHM, "serviceId": "access"},
            **changes,
        }
        body = {name: value for name, value in body.items() if value is not None}
        dataset = body.get("dataset")
        did = dataset.get("documentId", "") if isinstance(dataset, dict) else ""
        body.setdefault("nonce", self.nonce(key))
        text = f"{body.get('consumerAddress')}{did}{body['nonce']}"
        body.setdefault("signature", sign(key, text))
        return body

    async def start(self, key: ProviderKey = ALICE, **changes: Any) -> str:
        status, jobs = await self.call("POST", COMPUTE, json=self.start_body(key, **changes))
        assert status == 200, jobs
        job_id = jobs[0]["jobId"]
        assert isinstance(job_id, str)
        return job_id

    def job_query(
        self, key: ProviderKey, job_id: str = "", did: str = "", nonce: int | None = None
    ) -> dict[str, str]:
        """Signed parameters of status, stop and delete."""
        number = self.nonce(key) if nonce is None else nonce
        query = {
            "consumerAddress": key.address,
            "nonce": str(number),
            "signature": sign(key, f"{key.address}{job_id}{did}{number}"),
        }
        return query | ({"jobId": job_id} if job_id else {}) | ({"documentId": did} if did else {})

    def result_query(self, key: ProviderKey, job_id: str, index: int | str = 0) -> dict[str, str]:
        nonce = self.nonce(key)
        return {
            "consumerAddress": key.address,
            "jobId": job_id,
            "index": str(index),
            "nonce": str(nonce),
            "signature": sign(key, f"{key.address}{job_id}{index}{nonce}"),
        }

    async def status(self, job_id: str) -> dict[str, Any]:
        status, jobs = await self.call("GET", COMPUTE, params={"jobId": job_id})
        assert status == 200, jobs
        job: dict[str, Any] = jobs[0]
        return job

    async def finished(self, job_id: str) -> dict[str, Any]:
        """Poll as a client does, until the job has ended."""
        async with asyncio.timeout(90):
            while (job := await self.status(job_id))["dateFinished"] is None:
                await asyncio.sleep(0.02)
        return job


async def _content(response: ClientResponse) -> Any:
    if response.content_type == "application/json":
        return await response.json()
    return await response.read()


def ddo(did: str, *services: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": did,
        "version": "4.1.0",
        "chainId": 8996,
        "nftAddress": "0x2C8Aa213240FF4658b711C6Cfe967D47553b474B",
        "nft": {"owner": BOB.address, "state": 0},
        "metadata": {"type": "dataset", "name": did},
        "services": list(services),
        **fields,
    }


def service(kind: str = "compute", path: str = "data.csv", **fields: Any) -> dict[str, Any]:
    return {
        "id": kind,
        "type": kind,
        "datatokenAddress": "0xe141e720664410014a3291d66f7e4ff830103554",
        "files": [{"type": "localfile", "path": path}],
        **fields,
    }


def algorithm_ddo(did: str = ALGORITHM, **fields: Any) -> dict[str, Any]:
    parameters = [{"name": "depth", "type": "number", "default": 3}]
    metadata = {
        "type": "algorithm",
        "algorithm": {"container": CONTAINER, "consumerParameters": parameters},
    }
    return ddo(did, service("access", "algo.py"), metadata=metadata, **fields)


def assets() -> list[dict[str, Any]]:
    trusted = {"did": ALGORITHM, "filesChecksum": hashlib.sha256(CODE).hexdigest()}
    allow = [{"type": "address", "values": [BOB.address]}]
    return [
        ddo(
            DATA,
            service(consumerParameters=[{"name": "year", "type": "number", "required": False}]),
            service("access", id="access"),
        ),
        ddo(OPEN, service(compute={"allowRawAlgorithm": True, "allowNetworkAccess": True})),
        ddo(ACCESS, service("access")),
        ddo(PICKY, service(compute={"publisherTrustedAlgorithms": [trusted]})),
        ddo(PRIVATE, service(), credentials={"allow": allow}),
        algorithm_ddo(),
    ]


async def write_outputs(run: FakeRun) -> int:
    """What the algorithm of these tests does."""
    outputs = run.path("/data/outputs")
    (outputs / "metrics.json").write_text('{"accuracy": 1}')
    (outputs / "deep").mkdir()
    (outputs / "deep" / 'pre "quoted" ü.csv').write_bytes(bytes(range(256)) * 40)
    run.print("hello from the algorithm")
    return 0


async def run_until_stopped(run: FakeRun) -> int:
    await run.stopping.wait()
    return 143


async def exit_3(run: FakeRun) -> int:
    return 3


PROGRAMS = {"python": write_outputs, "sleep": run_until_stopped, "false": exit_3}


def furnish(tmp_path: Path) -> Path:
    """Configure a machine: environments, assets, data."""
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    (tmp_path / "assets").mkdir()
    for number, document in enumerate(assets()):
        (tmp_path / "assets" / f"{number}.json").write_text(json.dumps(document))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "data.csv").write_text("a,b\n1,2\n")
    (tmp_path / "files" / "algo.py").write_bytes(CODE)
    prepared(tmp_path / "data" / "ocean-compute.db", VERSIONS)
    return tmp_path


def settings_of(folder: Path, **variables: str) -> Settings:
    return Settings.from_environ(
        {
            "PROVIDER_PRIVATE_KEY": "11" * 32,
            "DATA_DIR": str(folder / "data"),
            "ENVIRONMENTS_FILE": str(folder / "environments.yaml"),
            "ASSETS_DIR": str(folder / "assets"),
            "FILES_DIR": str(folder / "files"),
            **variables,
        }
    )


Serve = Callable[..., Coroutine[Any, Any, Api]]
"""Starts a service; environment variables by keyword, ``programs`` by first word."""

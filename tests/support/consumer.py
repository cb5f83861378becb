"""A consumer written from the published API alone: plain HTTP and an Ethereum signature.

Uses nothing of the project, so that it stands for any client in any language.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Self

import aiohttp
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from eth_utils import keccak

Json = dict[str, Any]
TERMINAL = {2, 7, 8, 11, 21, 22, 31, 32, 41, 42, 61, 70}


class Refused(Exception):
    """The provider answered with an error."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


class Consumer:
    """One wallet talking to one provider."""

    def __init__(self, url: str, account: LocalAccount | None = None) -> None:
        self.url = url
        self.account: LocalAccount = account or Account.create()
        self.address: str = self.account.address
        self._nonce = time.time_ns()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._session
        await self._session.close()

    def nonce(self) -> str:
        """A fresh nonce: the clock, but never the same twice."""
        self._nonce = max(self._nonce + 1, time.time_ns())
        return str(self._nonce)

    def sign(self, *parts: object) -> str:
        """EIP-191 over the Keccak hash of the concatenated parts."""
        digest = keccak(text="".join(str(part) for part in parts))
        return "0x" + bytes(self.account.sign_message(encode_defunct(digest)).signature).hex()

    async def call(self, method: str, path: str, **kwargs: Any) -> Any:
        assert self._session
        async with self._session.request(method, self.url + path, **kwargs) as response:
            body = await response.json(content_type=None)
            if response.status >= 400:
                raise Refused(response.status, body)
            return body

    def start_body(self, algorithm: Json, dids: list[str], environment: str) -> Json:
        """A complete, signed body of a start."""
        nonce = self.nonce()
        datasets = [{"documentId": did, "serviceId": "compute"} for did in dids]
        return {
            "consumerAddress": self.address,
            "nonce": nonce,
            "signature": self.sign(self.address, dids[0], nonce),
            "environment": environment,
            "dataset": datasets[0],
            "additionalDatasets": datasets[1:],
            "algorithm": algorithm,
        }

    async def start(self, algorithm: Json, dids: list[str], environment: str = "test") -> Json:
        body = self.start_body(algorithm, dids, environment)
        jobs: list[Json] = await self.call("POST", "/api/services/compute", json=body)
        assert len(jobs) == 1
        return jobs[0]

    async def status(self, job_id: str) -> Json:
        params = {"consumerAddress": self.address, "jobId": job_id}
        jobs: list[Json] = await self.call("GET", "/api/services/compute", params=params)
        assert len(jobs) == 1, jobs
        return jobs[0]

    async def follow(self, job_id: str, until: set[int] = TERMINAL, within: float = 150) -> Json:
        """Poll until the status is one of ``until``."""
        async with asyncio.timeout(within):
            while True:
                job = await self.status(job_id)
                if job["status"] in until:
                    return job
                await asyncio.sleep(0.05)

    async def stop(self, job_id: str, did: str = "") -> Json:
        return await self._wish("PUT", job_id, did)

    async def delete(self, job_id: str, did: str = "") -> Json:
        return await self._wish("DELETE", job_id, did)

    async def _wish(self, method: str, job_id: str, did: str) -> Json:
        nonce = self.nonce()
        params = {
            "consumerAddress": self.address,
            "jobId": job_id,
            "nonce": nonce,
            "signature": self.sign(self.address, job_id, did, nonce),
        }
        if did:
            params["documentId"] = did
        jobs: list[Json] = await self.call(method, "/api/services/compute", params=params)
        return jobs[0]

    def result_params(self, job_id: str, index: int) -> dict[str, str]:
        nonce = self.nonce()
        return {
            "consumerAddress": self.address,
            "jobId": job_id,
            "index": str(index),
            "nonce": nonce,
            "signature": self.sign(self.address, job_id, index, nonce),
        }

    async def result(self, job_id: str, index: int) -> bytes:
        query = self.result_params(job_id, index)
        return await self.fetch("/api/services/computeResult", query)

    async def fetch(self, path: str, query: Json) -> bytes:
        """Bytes as they are. Raises Refused with the refusal's JSON, or its text."""
        assert self._session
        async with self._session.get(self.url + path, params=query) as response:
            if response.status < 400:
                return await response.read()
            text = await response.text()
        try:
            raise Refused(response.status, json.loads(text))
        except ValueError:
            raise Refused(response.status, text) from None

    async def files(self, job: Json) -> dict[str, bytes]:
        """All results of a job by name."""
        return {
            entry["filename"]: await self.result(job["jobId"], entry["index"])
            for entry in job["results"]
        }


def raw(
    code: str,
    *,
    image: str = "ocean-compute-test/busybox",
    tag: str = "1",
    checksum: str,
    entrypoint: str = "sh $ALGO",
) -> Json:
    """A raw algorithm."""
    container = {"image": image, "tag": tag, "entrypoint": entrypoint, "checksum": checksum}
    return {"meta": {"rawcode": code, "container": container}}

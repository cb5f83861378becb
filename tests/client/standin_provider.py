"""A small provider to test the client against: real HTTP, real signatures, scripted faults.

It keeps the rules that a client depends on (paths by the root document, the signed texts,
nonces consumed once and together with a start, ``ETag`` and ``Range`` of results) and
nothing else. Faults are queued by operation and each spoils one request.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from provider.auth.messages import auth_text, result_text, start_text, stop_text
from provider.auth.signatures import personal_digest, recover
from provider.auth.typed import TypedRequest

PROVIDER_ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
ENDPOINTS = {
    "nonce": ("GET", "/api/services/nonce"),
    "create_auth_token": ("GET", "/api/services/createAuthToken"),
    "delete_auth_token": ("DELETE", "/api/services/deleteAuthToken"),
    "initializeCompute": ("POST", "/api/services/initializeCompute"),
    "computeStart": ("POST", "/api/services/compute"),
    "computeStatus": ("GET", "/api/services/compute"),
    "computeStop": ("PUT", "/api/services/compute"),
    "computeDelete": ("DELETE", "/api/services/compute"),
    "computeResult": ("GET", "/api/services/computeResult"),
    "computeEnvironments": ("GET", "/api/services/computeEnvironments"),
}
TEXTS = {
    1: "Warming up",
    7: "Job stopped",
    20: "Configuring volumes",
    40: "Running algorithm",
    41: "Algorithm failed",
    70: "Job completed",
}
TERMINAL = {7, 41, 70}


class Naps:
    """A clock that only notes how long it was asked to wait."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@dataclass
class Fault:
    """What to do with one request: answer ``status``, or break the connection.

    ``after`` does the request's work first, so that only the answer is lost; ``cut``
    breaks a result off after so many bytes.
    """

    status: int = 0
    after: bool = False
    cut: int | None = None
    body: Any = None


@dataclass
class StandInJob:
    """``script`` are the statuses that successive polls see; the last one stays. ``queue`` is
    what those of them that find it waiting are told about the queue, likewise."""

    id: str
    owner: str
    request: dict[str, Any]
    created: float
    script: list[int] = field(default_factory=lambda: [70])
    files: list[tuple[str, str, bytes]] = field(default_factory=list)
    ended: float | None = None
    queue: list[str] = field(default_factory=list)
    failure: dict[str, Any] | None = None

    def poll(self) -> dict[str, Any]:
        status = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if status in TERMINAL:
            self.ended = self.ended or time.time()
        described = self.described(status)
        if status == 1 and self.queue:
            described["queueDetail"] = self.queue.pop(0) if len(self.queue) > 1 else self.queue[0]
        return described

    def described(self, status: int) -> dict[str, Any]:
        done = self.ended is not None
        return {
            "jobId": self.id,
            "owner": self.owner,
            "status": status,
            "statusText": TEXTS[status],
            "environment": self.request["environment"],
            "documentId": self.request["dataset"]["documentId"],
            "inputDID": [self.request["dataset"]["documentId"]],
            "algoDID": self.request["algorithm"].get("documentId", ""),
            "dateCreated": str(self.created),
            "dateFinished": str(self.ended) if self.ended else None,
            "results": [self._listed(index) for index in range(len(self.files))] if done else [],
            "failure": self.failure,
            "terminationDetails": {
                "exitCode": 3 if status == 41 else 0,
                "OOMKilled": False,
                "reason": "exit_code" if status == 41 else "",
                "detail": "no such column" if status == 41 else "",
            },
        }

    def _listed(self, index: int) -> dict[str, Any]:
        name, kind, content = self.files[index]
        return {
            "index": index,
            "filename": name,
            "type": kind,
            "filesize": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }


class Refusal(Exception):
    def __init__(self, body: Any, status: int = 400) -> None:
        super().__init__(status)
        self.body = body
        self.status = status


class StandIn:
    """The provider. Tests set its fields and read what it saw."""

    endpoints = ENDPOINTS

    def __init__(self) -> None:
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.nonces: dict[str, int] = {}
        self.jobs: dict[str, StandInJob] = {}
        self.script = [1, 20, 40, 70]
        self.files: list[tuple[str, str, bytes]] = [
            ("metrics.json", "output", b'{"accuracy": 0.97}'),
            ("algorithm.log", "algorithmLog", b"epoch 1\nepoch 2\n"),
        ]
        self.environments: Any = {"8996": [{"id": "small", "desc": "one core", "priceMin": 0}]}
        self.signed_status = False
        self.chains: list[int] = [8996]
        self.prefix = ""
        self.dates = True
        self.casing: Callable[[str], str] = str
        self.tokens: set[str] = set()

    # Setting the stage

    def spoil(self, operation: str, *faults: Fault) -> None:
        self.faults[operation] += faults

    def calls(self, operation: str) -> list[dict[str, Any]]:
        return [parameters for name, parameters, _ in self.seen if name == operation]

    def headers(self, operation: str) -> list[dict[str, str]]:
        return [headers for name, _, headers in self.seen if name == operation]

    def application(self) -> web.Application:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_get(self.prefix + "/", self._root)
        for name, (method, path) in self.endpoints.items():
            app.router.add_route(method, self.prefix + path, self._handler(name))
        return app

    # Serving

    async def _root(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(("root", {}, dict(request.headers)))
        if self.faults["root"]:
            return self._spoiled(request, self.faults["root"].pop(0))
        addresses = {str(chain): PROVIDER_ADDRESS for chain in self.chains}
        endpoints = {
            self.casing(name): [method, path] for name, (method, path) in self.endpoints.items()
        }
        return web.json_response(
            {
                "software": "Provider",
                "chainIds": self.chains,
                "providerAddress": PROVIDER_ADDRESS,
                "providerAddresses": addresses,
                "serviceEndpoints": endpoints,
            }
        )

    def _handler(self, name: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            parameters = dict(request.query) or (
                await request.json() if request.can_read_body else {}
            )
            self.seen.append((name, parameters, dict(request.headers)))
            fault = self.faults[name].pop(0) if self.faults[name] else None
            if fault and not fault.after and fault.cut is None:
                return self._spoiled(request, fault)
            response: web.StreamResponse
            try:
                answer = getattr(self, "_" + name)(parameters)
            except Refusal as refusal:
                response = web.json_response(refusal.body, status=refusal.status)
            else:
                if name == "computeResult":
                    job, index = answer
                    return await self.send_file(request, job.files[index][2], fault)
                response = web.json_response(answer)
            if fault:
                return self._spoiled(request, fault)
            if not self.dates:
                response.headers["Date"] = "never"
            return response

        return handle

    def _spoiled(self, request: web.Request, fault: Fault) -> web.Response:
        if fault.status:
            body = fault.body if fault.body is not None else {"error": "try later"}
            if isinstance(body, str):
                return web.Response(text=body, status=fault.status)
            return web.json_response(body, status=fault.status)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def send_file(
        self, request: web.Request, content: bytes, fault: Fault | None
    ) -> web.StreamResponse:
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        start, status = 0, 200
        wanted = request.headers.get("Range")
        if wanted and request.headers.get("If-Range", etag) == etag:
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(content):
                return web.Response(status=416)
        response = web.StreamResponse(status=status, headers={"ETag": etag})
        response.content_length = len(content) - start
        if status == 206:
            response.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await response.prepare(request)
        end = len(content) if fault is None or fault.cut is None else start + fault.cut
        await response.write(content[start:end])
        if end < len(content):
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write_eof()
        return response

    # The API

    def _nonce(self, parameters: dict[str, Any]) -> Any:
        return {"nonce": str(self.nonces.get(parameters["userAddress"].lower(), 1))}

    def _computeEnvironments(self, parameters: dict[str, Any]) -> Any:  # noqa: N802
        return self.environments

    def _initializeCompute(self, parameters: dict[str, Any]) -> Any:  # noqa: N802
        return {"datasets": [{"validOrder": "0x1"} for _ in parameters["datasets"]]}

    def _computeStart(self, parameters: dict[str, Any]) -> Any:  # noqa: N802
        did = parameters["dataset"]["documentId"]
        owner = parameters["consumerAddress"]
        text = start_text(owner, did, parameters["nonce"])
        self._authorise(parameters, owner, "computeStart", "", text)
        job = self.add_job(owner, parameters)
        return [job.described(1)]

    def add_job(self, owner: str, request: dict[str, Any], age_s: float = 0.0) -> StandInJob:
        job = StandInJob(
            id=f"{len(self.jobs):032x}",
            owner=owner,
            request=request,
            created=time.time() - age_s,
            script=list(self.script),
            files=list(self.files),
        )
        self.jobs[job.id] = job
        return job

    def _computeStatus(self, parameters: dict[str, Any]) -> Any:  # noqa: N802
        owner, job_id = parameters["consumerAddress"], parameters.get("jobId", "")
        if "signature" in parameters:
            text = stop_text(owner, job_id, "", parameters["nonce"])
            self._authorise(parameters, owner, "computeStatus", job_id, text)
        elif self.signed_status or not job_id:
            raise Refusal({"error": "A signature is needed."}, 401)
        mine = [job for job in self.jobs.values() if job.owner == owner]
        return [job.poll() for job in mine if job_id in ("", job.id)]

    def _computeStop(self, parameters: dict[str, Any]) -> Any:  # noqa: N802
        job = self._own_job(parameters, "computeStop")
        job.script = [7]
        return [job.poll()]

    def _computeDelete(self, parameters: dict[str, Any]) -> Any:  # noqa: N802
        job = self._own_job(parameters, "computeDelete")
        del self.jobs[job.id]
        return ""

    def _computeResult(self, parameters: dict[str, Any]) -> Any:  # noqa: N802
        owner, job_id = parameters["consumerAddress"], parameters["jobId"]
        text = result_text(owner, job_id, parameters["index"], parameters["nonce"])
        self._authorise(parameters, owner, "computeResult", job_id, text)
        job = self.jobs.get(job_id)
        if job is None or int(parameters["index"]) >= len(job.files):
            raise Refusal({"error": "No such result"}, 404)
        return job, int(parameters["index"])

    def _create_auth_token(self, parameters: dict[str, Any]) -> Any:
        address = parameters["address"]
        text = auth_text(address, parameters["nonce"])
        self._authorise(parameters, address, "create_auth_token", "", text)
        token = f"token-{len(self.tokens)}-{parameters['expiration']}"
        self.tokens.add(token)
        return {"token": token}

    def _delete_auth_token(self, parameters: dict[str, Any]) -> Any:
        address = parameters["address"]
        text = auth_text(address, parameters["nonce"])
        self._authorise(parameters, address, "delete_auth_token", "", text)
        self.tokens.remove(parameters["token"])
        return {"success": "Token has been deactivated."}

    def _own_job(self, parameters: dict[str, Any], operation: str) -> StandInJob:
        owner, job_id = parameters["consumerAddress"], parameters["jobId"]
        text = stop_text(owner, job_id, "", parameters["nonce"])
        self._authorise(parameters, owner, operation, job_id, text)
        job = self.jobs.get(job_id)
        if job is None or job.owner != owner:
            raise Refusal({"error": "No such job"}, 404)
        return job

    def _authorise(
        self, parameters: dict[str, Any], owner: str, operation: str, job_id: str, text: str
    ) -> None:
        nonce = int(parameters["nonce"])
        digest = personal_digest(text)
        if "expiry" in parameters:
            request = TypedRequest(
                owner, operation, job_id, parameters, nonce, int(parameters["expiry"])
            )
            digest = request.digest(PROVIDER_ADDRESS, self.chains[0] if self.chains else None)
        if recover(digest, parameters["signature"]) != owner.lower():
            raise Refusal(_rules(["Invalid signature provided."]))
        stored = self.nonces.get(owner.lower(), 1)
        if nonce <= stored:
            raise Refusal(
                _rules(f"Invalid signature expected nonce ({stored}) > current nonce ({nonce}).")
            )
        self.nonces[owner.lower()] = nonce


def _rules(message: list[str] | str) -> Any:
    return {"success": False, "message": "Validation error", "errors": {"signature": message}}


@contextmanager
def in_a_thread(stand_in: StandIn) -> Iterator[str]:
    """Serve from a loop of its own, for tests that are not asynchronous; gives the URL."""
    loop = asyncio.new_event_loop()
    server = TestServer(stand_in.application())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start_server(), loop).result(10)
        yield str(server.make_url("")).rstrip("/")
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

"""A client of plain HTTP. The tests' algorithm is the uploaded file, run by a shell."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import aiohttp
from support.service import IMAGE
from yarl import URL

Json = dict[str, Any]

COPY = "cp /data/inputs/input.sh /data/outputs/output.jsonl"
ENDLESS = "while :; do sleep 0.05; done"


def section(**fields: Any) -> Json:
    """A section of the dialects file whose algorithm does what its input says."""
    base = {
        "environment": "test",
        "image": f"{IMAGE}:1",
        "entrypoint": "sh /data/inputs/input.sh",
        "inputName": "input.sh",
    }
    return base | fields


class Api:
    """The endpoint at ``url``, asked with the key of ``headers`` if there is one."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None
    ) -> None:
        self._session = session
        self._url = url
        self._headers = headers or {}

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Json]:
        """HTTP status and JSON body. ``path`` is sent as it stands."""
        url = URL(self._url + path, encoded=True)
        options = {"headers": self._headers} | options
        async with self._session.request(method, url, **options) as response:
            return response.status, await response.json()

    async def status(self) -> int:
        code, body = await self.call("GET", "/status")
        assert code == 200
        assert set(body) == {"status"}
        return int(body["status"])

    async def post(
        self,
        task_id: str | None,
        script: str | bytes | None,
        field: str = "task_file",
        **texts: str,
    ) -> tuple[int, Json]:
        """Hand in a task; None leaves a field away."""
        form = aiohttp.FormData(texts, default_to_multipart=True)
        if task_id is not None:
            form.add_field("task_id", task_id)
        if script is not None:
            raw = script.encode() if isinstance(script, str) else script
            form.add_field(field, io.BytesIO(raw), filename="../../input.sh")
        return await self.call("POST", "/tasks", data=form)

    async def task(self, task_id: str) -> int:
        code, body = await self.call("GET", f"/tasks/{task_id}")
        assert code == 200
        assert set(body) == {"status"}
        return int(body["status"])

    async def until(self, task_id: str, *states: int) -> int:
        """Ask until the task is in one of the states."""
        async with asyncio.timeout(60):
            while (state := await self.task(task_id)) not in states:
                assert state in (0, 1), state
                await asyncio.sleep(0.05)
        return state

    async def results(self, task_id: str, method: str = "GET", **headers: str) -> Answer:
        url = f"{self._url}/tasks/{task_id}/results"
        headers = self._headers | headers
        async with self._session.request(method, url, headers=headers) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def delete(self, task_id: str) -> tuple[int, Json]:
        return await self.call("DELETE", f"/tasks/{task_id}")


class Answer:
    """What came back of a download."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


ACCEPTED = (200, {"status": 200})


def refused(answer: tuple[int, Json], code: int, *texts: str) -> None:
    """Assert that it is an error in the API's envelope that says these texts."""
    assert answer[0] == code, answer
    assert set(answer[1]) == {"status", "error"}
    assert answer[1]["status"] == code
    for text in texts:
        assert text in answer[1]["error"]

"""A client of the labelling API that speaks plain HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Self

import aiohttp

Json = dict[str, Any]
PATIENCE_S = 90.0


class Labelling:
    def __init__(self, url: str, mount: str = "/labelling", key: str = "") -> None:
        self.tasks = f"{url}{mount}/api/tasks"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Json]:
        """HTTP status and document of ``path`` below the tasks."""
        async with self._session.request(method, self.tasks + path, json=body, **more) as response:
            return response.status, await response.json()

    async def outcome(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """``error_code`` and ``error_message`` of an answer, which is 200 by HTTP."""
        status, document = await self.ask(method, path, body)
        assert status == 200, document
        return document["error_code"], document["error_message"]

    async def create(self, body: Mapping[str, Any]) -> str:
        code, said = await self.outcome("POST", "/", dict(body))
        assert code == 200, said
        return str(said["task_id"])

    async def row(self, task_id: str) -> Json:
        code, row = await self.outcome("GET", f"/{task_id}/")
        assert code == 200, row
        return dict(row)

    async def until(self, task_id: str, done: Callable[[Json], bool]) -> Json:
        """The first state that is ``done``."""
        async with asyncio.timeout(PATIENCE_S):
            while not done(row := await self.row(task_id)):
                assert row["stat"] != "FAILURE", row
                await asyncio.sleep(0.03)
        return row

    async def finished(self, task_id: str) -> Json:
        return await self.until(task_id, lambda row: row["prod_stat"] is not None)

    async def over(self, task_id: str, stat: str) -> Json:
        """The state once it is this one, whatever it is."""
        async with asyncio.timeout(PATIENCE_S):
            while (row := await self.row(task_id))["stat"] != stat:
                await asyncio.sleep(0.03)
        return row

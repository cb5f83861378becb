"""A client of plain HTTP, and the algorithms that the tests run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from support.service import IMAGE

Json = dict[str, Any]
MODULE = "tests.shell"

_SCRIPTS: Mapping[str, str] = {
    "quick": "echo one; echo [1] > /data/outputs/response.json",
    "seed": 'for i in 1 2 3; do echo "step $i"; sleep 0.2; done;'
    ' echo \'{"hi": {"1": {"from": "a", "step": 1, "time": 1.5}}}\' > /data/outputs/response.json',
    "arguments": "cp /data/inputs/algoCustomData.json /data/outputs/response.json",
    "silent": "true",
    "fails": "exec >&2; echo first; echo boom; exit 3",
    "chatty": "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exit 1",
    "endless": 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done',
    "lines": "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.25; done; printf rest",
    "broken": "echo { > /data/outputs/response.json",
    "large": "(echo -n '\"'; head -c 1100000 /dev/zero | tr '\\0' a; echo '\"')"
    " > /data/outputs/response.json",
    "link": "ln -s /data/inputs/algoCustomData.json /data/outputs/response.json",
}


def algorithm(script: str, **fields: Any) -> Json:
    words = "'" + script.replace("'", "'\"'\"'") + "'"
    return {"image": f"{IMAGE}:1", "entrypoint": f"sh -c {words}", **fields}


def section(**fields: Any) -> Json:
    """A section of the dialects file with all the tests' algorithms."""
    names = {name: algorithm(script) for name, script in _SCRIPTS.items()}
    names["arguments"]["arguments"] = {
        "example_task.range.start": {"default": 1, "description": "The first number"},
        "example_task.range.end": {"default": 9},
    }
    names |= {
        "alone": algorithm(_SCRIPTS["endless"], environment="one"),
        "hasty": algorithm("true", environment="hasty"),
        "hasty_endless": algorithm(_SCRIPTS["endless"], environment="hasty"),
        "timed": algorithm(_SCRIPTS["endless"], environment="short"),
        "imageless": {"image": "ocean-compute-test/none:1"},
        "forbidden": algorithm("true", environment="picky"),
    }
    return {"environment": "test", "modules": {MODULE: names}, **fields}


ENVIRONMENTS: list[Json] = [
    {"maxJobs": 8, "stopGrace": 10},
    {"id": "one", "maxJobs": 1},
    {"id": "hasty", "maxJobs": 1, "maxQueueWait": 4},
    {"id": "short", "maxJobDuration": 2},
    {"id": "picky", "images": {"allow": ["python:*"], "pull": "never"}},
]


class Api:
    """Calls below one mount."""

    def __init__(self, session: aiohttp.ClientSession, mount: str, module: str = MODULE) -> None:
        self.session = session
        self.mount = mount
        self.module = module

    async def answer(
        self, call: str, method: str = "GET", body: Any = None, **query: Any
    ) -> tuple[int, Json]:
        """Status and document of any call."""
        url = f"{self.mount}/auto/{call}"
        async with self.session.request(method, url, params=query, json=body) as response:
            return response.status, await response.json()

    async def call(self, call: str, method: str = "GET", body: Any = None, **query: Any) -> Any:
        """The data of a call that succeeds."""
        status, document = await self.answer(call, method, body, **query)
        assert (status, document["code"]) == (200, 0), document
        assert document.keys() == {"code", "data"}
        return document["data"]

    async def refused(
        self, call: str, method: str = "GET", body: Any = None, **query: Any
    ) -> tuple[int, int, str]:
        """Status, code and text of a call that fails."""
        status, document = await self.answer(call, method, body, **query)
        assert document.keys() == {"code", "msg"}
        return status, document["code"], document["msg"]

    async def status(self, call: str, **query: Any) -> int:
        """Whatever it says."""
        async with self.session.get(f"{self.mount}/auto/{call}", params=query) as response:
            return response.status

    async def run(self, name: str, **query: Any) -> Json:
        info: Json = await self.call("run", module=self.module, name=name, **query)
        return info

    async def until(self, info: Json, reached: Callable[[Json], bool]) -> Json:
        """The task's info once it is as wanted."""
        query = {"task_id": info["task_id"]}
        if info["task_ns"]:
            query["task_ns"] = info["task_ns"]
        async with asyncio.timeout(60):
            while True:
                seen: Json = await self.call("task_info", **query)
                if reached(seen):
                    return seen
                await asyncio.sleep(0.05)

    async def begun(self, info: Json) -> Json:
        return await self.until(info, lambda seen: "process" in seen)

    async def done(self, info: Json) -> Json:
        return await self.until(info, lambda seen: "done_flag" in seen)

    async def log(self, info: Json, **query: Any) -> tuple[bytes, Mapping[str, str]]:
        """What a call for a log brings, and its headers."""
        query |= {"task_id": info["task_id"]}
        if info["task_ns"]:
            query |= {"task_ns": info["task_ns"]}
        async with self.session.get(f"{self.mount}/auto/task_log", params=query) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/plain"
            return await response.read(), response.headers

"""A run through the aaas API, by plain HTTP: describe, run, follow, ask, run again, end.

The image is made from the folder ``image`` (``docker build -t IMAGE examples/aaas/image``), and
CONFIG is the section ``aaas`` of the service's dialects file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

IMAGE = "ocean-compute-demo/aaas:1"
CONTEXT = Path(__file__).parent / "image"
MODULE, NAME = "starter.helloworld.auto", "hook_task"

CONFIG: dict[str, Any] = {
    "environment": "small",
    "modules": {
        MODULE: {
            NAME: {
                "image": IMAGE,
                "description": "Counts through a range and tells when each step was made.",
                "arguments": {
                    "example_task.range.start": {"default": 1, "description": "The first number"},
                    "example_task.range.end": {"default": 8, "description": "Not counted itself"},
                    "example_task.check_state.pause": {
                        "default": 0.4,
                        "description": "Seconds before each step",
                    },
                },
            }
        }
    },
}

Say = Callable[[str], None]

_NS = "test"
_PATIENCE_S = 60.0


class UnexpectedAnswerError(Exception):
    """The API said something that the demo does not go with."""


async def run(url: str, session: aiohttp.ClientSession, say: Say) -> None:
    """Tell the whole story to the API whose mount is ``url``. Raises UnexpectedAnswerError."""
    api = _Api(url, session)
    described = await api.call("run", module=MODULE, only_parse="1")
    for name, tree in described["trees"].items():
        say(f"only_parse  {name}: {tree['description']}")
    bound = {"bind_arg.example_task.range.start": "5"}
    query = {"module": MODULE, "name": NAME, "task_id": "counting", "task_ns": _NS, **bound}
    task = await api.call("run", **query)
    say(f"run         task {task['task_id']}, run_opts {task['run_opts']}")
    running = await _until(api, "counting", lambda info: "process" in info)
    say(f"task_info   pid {running['process']['pid']}")
    await _follow(api, "counting", say)
    done = await _until(api, "counting", lambda info: "done_flag" in info)
    if "exception" in done:
        raise UnexpectedAnswerError(f"the task failed: {done['exception']}")
    steps = done["task_resp"]["hi"]
    say(f"task_info   done_flag {done['done_flag']}, task_resp with {len(steps)} steps")
    again = await api.call("run", **query)
    if again["create_time"] != task["create_time"]:
        raise UnexpectedAnswerError("a second run of one task_id started a second task")
    say("run         the same task_id again: the same task, done already")
    await _end_another(api, say)


async def _end_another(api: _Api, say: Say) -> None:
    query = {"module": MODULE, "name": NAME, "task_id": "endless", "task_ns": _NS}
    await api.call("run", **query, **{"bind_arg.example_task.range.end": "100000"})
    await _until(api, "endless", lambda info: "process" in info)
    told = await api.call("end_task", task_id="endless", task_ns=_NS)
    ended = await _until(api, "endless", lambda info: "done_flag" in info)
    if (told, ended["done_flag"]) != (2, 3):
        raise UnexpectedAnswerError(f"end_task said {told}, done_flag is {ended['done_flag']}")
    say("end_task    another one was told to end: done_flag 3")


async def _follow(api: _Api, task_id: str, say: Say) -> None:
    """The log line by line, as it grows: each call says how far it came."""
    offset, over = 0, False
    while True:
        data, headers = await api.log(task_id=task_id, task_ns=_NS, log_offset=offset)
        for line in data.decode(errors="replace").splitlines():
            say(f"task_log    {line}")
        offset += len(data)
        if over and not data:
            return
        over = headers.get("AAAS-TASK-END") == "1"


async def _until(
    api: _Api, task_id: str, reached: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            info: dict[str, Any] = await api.call("task_info", task_id=task_id, task_ns=_NS)
            if reached(info):
                return info
            if "done_flag" in info:
                raise UnexpectedAnswerError(f"the task ended: {info}")
            await asyncio.sleep(0.1)


class _Api:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/") + "/auto/"
        self._session = session

    async def call(self, name: str, /, **query: str) -> Any:
        async with self._session.get(self._url + name, params=query) as response:
            answer = await response.json()
        if answer["code"] > 0:
            raise UnexpectedAnswerError(f"{name}: {answer['code']} {answer['msg']}")
        return answer["data"]

    async def log(self, **query: Any) -> tuple[bytes, dict[str, str]]:
        params = {**query, "pool_interval": 5, "pool_line": 3, "tail_follow": "True"}
        async with self._session.get(self._url + "task_log", params=params) as response:
            if "APP-ERROR-CODE" in response.headers:
                raise UnexpectedAnswerError(response.headers["APP-ERROR-MSG"])
            return await response.read(), dict(response.headers)

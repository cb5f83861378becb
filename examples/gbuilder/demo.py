"""A run through the gBuilder API, by plain HTTP: hand in a file, follow, download, check.

The image is made from the folder ``image`` (``docker build -t IMAGE examples/gbuilder/image``),
and CONFIG is the section ``gbuilder`` of the service's dialects file.
"""

from __future__ import annotations

import asyncio
import io
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from provider.dialects.gbuilder import structure
from provider.dialects.gbuilder.structure import Model

IMAGE = "ocean-compute-demo/gbuilder:1"
CONTEXT = Path(__file__).parent / "image"
SAMPLE = Path(__file__).parent / "input.jsonl"

CONFIG: dict[str, Any] = {"environment": "small", "image": IMAGE, "model": "ner"}

Say = Callable[[str], None]

_PATIENCE_S = 120.0
_DONE, _ERROR = 2, 3
_STATES = {-1: "no such task", 0: "running", 1: "waiting", _DONE: "done", _ERROR: "error"}


class UnexpectedAnswerError(Exception):
    """The API said something that the demo does not go with."""


async def run(url: str, session: aiohttp.ClientSession, say: Say) -> None:
    """Tell the whole story to the API whose mount is ``url``. Raises UnexpectedAnswerError."""
    url, task_id = url.rstrip("/"), f"demo-{uuid.uuid4().hex[:8]}"
    async with session.get(f"{url}/status") as response:
        say(f"GET /status                  {await response.text()}")
    form = aiohttp.FormData({"task_id": task_id})
    form.add_field("task_file", SAMPLE.read_bytes(), filename=SAMPLE.name)
    async with session.post(f"{url}/tasks", data=form) as response:
        answer = await response.text()
        say(f"POST /tasks                  {task_id}, {SAMPLE.name}: {answer}")
        _require(response.status == 200, answer)
    await _until_done(f"{url}/tasks/{task_id}", session, say)
    async with session.get(f"{url}/tasks/{task_id}/results") as response:
        _require(response.status == 200, await response.text())
        _show(await response.read(), say)
    async with session.delete(f"{url}/tasks/{task_id}") as response:
        say(f"DELETE /tasks/…              {await response.text()}")
        _require(response.status == 400, "a task that is over was stopped")


async def _until_done(url: str, session: aiohttp.ClientSession, say: Say) -> None:
    seen: int | None = None
    async with asyncio.timeout(_PATIENCE_S):
        while seen != _DONE:
            async with session.get(url) as response:
                state: int = (await response.json())["status"]
            if state != seen:
                say(f"GET /tasks/…                 {state}: {_STATES[state]}")
            _require(state not in (-1, _ERROR), f"the task is in state {state}")
            seen = state
            await asyncio.sleep(0.1)


def _show(output: bytes, say: Say) -> None:
    """Hold the file against the described structure and the input, and tell what is in it."""
    fault = structure.output_fault(io.BytesIO(output), Model.NER)
    _require(fault is None, f"the results are not what is described: {fault}")
    lines = [json.loads(line) for line in output.splitlines()]
    asked = [json.loads(line)["data"] for line in SAMPLE.read_bytes().splitlines()]
    _require([line["data"] for line in lines] == asked, "the results are for other lines")
    count = sum(len(line["entity"]) for line in lines)
    say(f"GET /tasks/…/results         {len(lines)} lines, {count} entities, as described")
    for line in (lines[0], lines[9]):
        named = zip(line["entity"], line["entity_type"], strict=True)
        say(f"  {line['data']}")
        say(f"    {', '.join(f'{entity} ({kind})' for entity, kind in named)}")


def _require(sound: bool, text: str) -> None:
    if not sound:
        raise UnexpectedAnswerError(text)

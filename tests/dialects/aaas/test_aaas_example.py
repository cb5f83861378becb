"""The example: its algorithm in its own image, its demo against the real service."""

from __future__ import annotations

import aiohttp
import pytest
from support.service import Service

from examples.aaas import demo

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]


async def test_the_demo_tells_its_story(lone: Service, example_images: None) -> None:
    lone.environments({"id": "small"})
    lone.dialects({"aaas": demo.CONFIG})
    await lone.start()
    said: list[str] = []
    async with aiohttp.ClientSession() as session:
        await demo.run(f"{lone.url}/aaas", session, said.append)
    logged = [line.removeprefix("task_log").strip() for line in said if "task_log" in line]
    assert logged == ["counting from 5 to 8", "step 1: 5", "step 2: 6", "step 3: 7", "done"]
    assert "task_info   done_flag 1, task_resp with 3 steps" in said
    assert said[-1].startswith("end_task")

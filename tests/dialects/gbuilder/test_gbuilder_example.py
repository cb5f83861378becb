"""The example: its algorithm in its own image, its demo against the real service."""

from __future__ import annotations

import aiohttp
import pytest
from support.service import Service

from examples.gbuilder import demo

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]


async def test_the_demo_tells_its_story(
    lone: Service, example_images: None, session: aiohttp.ClientSession
) -> None:
    lone.environments({"id": "small"})
    lone.dialects({"gbuilder": demo.CONFIG})
    await lone.start()
    said: list[str] = []
    await demo.run(f"{lone.url}/gbuilder", session, said.append)
    states = [line.split()[2] for line in said if line.startswith("GET /tasks/… ")]
    assert states[-1] == "2:"
    [found] = [line for line in said if "results" in line]
    assert "15 lines, 46 entities, as described" in found
    assert "    Marie Curie (PERSON), Warsaw (LOC), 7 November 1867 (DATE), Paris (LOC)" in [
        line[2:] if line.startswith("      ") else line for line in said
    ]

"""The example: its algorithm in its own image, its demo against the real service."""

from __future__ import annotations

import subprocess

import aiohttp
import pytest
from support.service import Service

from examples.gbuilder import demo

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

BASE = "python:3.11-slim-bookworm"


@pytest.fixture(scope="session")
def image() -> str:
    have = ["docker", "image", "inspect", BASE]
    if subprocess.run(have, capture_output=True).returncode:
        pytest.skip(f"{BASE} is not here; scripts/images.sh base makes it")
    build = ["docker", "build", "-q", "--network", "none", "-t", demo.IMAGE, str(demo.CONTEXT)]
    subprocess.run(build, check=True, capture_output=True)
    return demo.IMAGE


async def test_the_demo_tells_its_story(
    lone: Service, image: str, session: aiohttp.ClientSession
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

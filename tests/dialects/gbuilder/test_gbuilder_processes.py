"""A task's end, which another process brings about, is heard by the one that waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from gbuilder_client import ACCEPTED, COPY, Api, section
from support.serves import Serves

pytestmark = pytest.mark.docker


@pytest.fixture
async def serves(tmp_path: Path, postgres_url: str) -> AsyncIterator[Serves]:
    """The second one operates no jobs."""
    made = Serves(tmp_path / "service")
    made.service.environments({})
    made.service.dialects({"gbuilder": section(blockOnImmediate=True)})
    try:
        await made.start(postgres_url, {"OPERATE": "false"})
        yield made
        assert made.stop() == [0, 0], made.service.log()
        assert "Traceback" not in made.service.log(), made.service.log()
    finally:
        made.stop()
        made.service.sweep()


async def test_who_does_not_operate_waits_for_the_end_too(serves: Serves) -> None:
    async with aiohttp.ClientSession() as session:
        here, there = (Api(session, url + "/gbuilder") for url in serves.urls)
        assert await there.post("7", f"sleep 1; {COPY}", immediate="1") == ACCEPTED
        assert [await each.task("7") for each in (here, there)] == [2, 2]
        results = [await each.results("7") for each in (here, there)]
        assert results[0].status == 200
        assert results[0].body == results[1].body
        assert (await here.post("7", COPY))[0] == (await there.post("7", COPY))[0] == 409

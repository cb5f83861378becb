"""What the operator's section changes: queue, model, waiting requests, keys, the root."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from gbuilder_client import ACCEPTED, COPY, ENDLESS, Api, refused, section
from support.engine_proxy import EngineProxy
from support.service import Service

from provider.apikeys import hash_key, new_key

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def proxy(tmp_path: Path) -> AsyncIterator[EngineProxy]:
    proxy = EngineProxy(tmp_path / "engine.sock")
    await proxy.open()
    yield proxy
    await proxy.cut()


async def test_a_narrow_endpoint_at_the_root(lone: Service, session: aiohttp.ClientSession) -> None:
    """An unchanged client knows no mount."""
    lone.environments({"maxJobs": 1, "maxQueue": 1})
    lone.dialects({"gbuilder": section(mount="/")})
    await lone.start()
    api = Api(session, lone.url)
    assert await api.status() == 1
    await api.post("runs", ENDLESS)
    await api.until("runs", 0)
    assert await api.status() == 1
    await api.post("waits", COPY)
    assert await api.task("waits") == 1
    assert await api.status() == 2
    refused(await api.post("refused", COPY), 400, "try again when GET /status says 1")
    assert await api.task("refused") == -1
    assert await api.delete("waits") == ACCEPTED
    assert await api.task("waits") == 3
    refused(await api.delete("waits"), 400)
    assert await api.status() == 1
    assert await api.delete("runs") == ACCEPTED
    assert (await api.task("runs"), await api.status()) == (3, 1)


async def test_an_engine_that_is_gone_is_an_error(
    lone: Service, proxy: EngineProxy, session: aiohttp.ClientSession
) -> None:
    lone.environments({})
    lone.dialects({"gbuilder": section()})
    await lone.start(DOCKER_HOST=proxy.url)
    api = Api(session, lone.url + "/gbuilder")
    assert await api.status() == 1
    await proxy.cut()
    assert await api.status() == 3
    assert await api.post("patient", COPY) == ACCEPTED
    await proxy.open()
    assert await api.until("patient", 2, 3) == 2
    assert await api.status() == 1


async def test_requests_that_wait(lone: Service, session: aiohttp.ClientSession) -> None:
    lone.environments({})
    lone.dialects({"gbuilder": section(blockOnImmediate=True)})
    await lone.start()
    api = Api(session, lone.url + "/gbuilder")
    assert await api.post("waited", "sleep 0.5; " + COPY, immediate="") == ACCEPTED
    assert await api.task("waited") == 2
    assert await api.post("failed", "exit 1", immediate="1") == ACCEPTED
    assert await api.task("failed") == 3
    assert await api.post("unwaited", ENDLESS) == ACCEPTED
    assert await api.until("unwaited", 0) == 0
    refused(await api.post("unwaited", COPY, immediate="1"), 409)
    stopped = asyncio.create_task(api.post("stopped", ENDLESS, immediate="1"))
    await _begun(api, "stopped")
    assert not stopped.done()
    assert await api.delete("stopped") == ACCEPTED
    assert await stopped == ACCEPTED


async def test_a_service_that_ends_lets_requests_go(
    lone: Service, session: aiohttp.ClientSession
) -> None:
    lone.environments({})
    lone.dialects({"gbuilder": section(blockOnImmediate=True)})
    await lone.start()
    api = Api(session, lone.url + "/gbuilder")
    waiting = asyncio.create_task(api.post("left", ENDLESS, immediate="1"))
    await _begun(api, "left")
    async with asyncio.timeout(25):
        code, answer = await asyncio.gather(asyncio.to_thread(lone.stop), waiting)
    assert (code, answer) == (0, ACCEPTED)


async def test_files_are_looked_into_before_they_are_taken(
    lone: Service, session: aiohttp.ClientSession
) -> None:
    lone.environments({})
    lone.dialects({"gbuilder": section(model="re")})
    await lone.start()
    api = Api(session, lone.url + "/gbuilder")
    good = b'{"data": "a in b", "entity_pair": [["a", "b"]]}\n'
    refused(await api.post("bad", good + b'{"data": "a"}\n'), 400, "line 2", "entity_pair")
    refused(await api.post("bad", good + b"\xff\n"), 400, "line 2", "UTF-8")
    refused(await api.post("bad", b""), 400, "line 1", "nothing")
    refused(await api.post("bad", b"[" * (1 << 22)), 400, "line 1", "longer")
    assert await api.task("bad") == -1
    assert list((lone.data / "uploads").iterdir()) == []
    assert await api.post("bad", good) == ACCEPTED


async def test_tasks_of_one_key_are_invisible_to_another(
    lone: Service, session: aiohttp.ClientSession
) -> None:
    one, other = new_key(), new_key()
    lone.environments({})
    lone.dialects({"gbuilder": section(keys={"one": hash_key(one), "other": hash_key(other)})})
    await lone.start()
    url = lone.url + "/gbuilder"
    nobody = Api(session, url)
    wrong = Api(session, url, {"Authorization": f"Bearer {new_key()}"})
    answers = [
        await each.call("GET", path) for each in (nobody, wrong) for path in ("/status", "/tasks/7")
    ]
    answers += [await each.post("7", COPY) for each in (nobody, wrong)]
    assert len({str(answer) for answer in answers}) == 1
    refused(answers[0], 401, "key")
    first = Api(session, url, {"Authorization": f"Bearer {one}"})
    second = Api(session, url, {"X-Api-Key": other})
    assert await first.post("7", ENDLESS) == ACCEPTED
    assert await second.task("7") == -1
    refused(await second.delete("7"), 400, "no such task")
    assert await second.post("7", COPY) == ACCEPTED
    assert await second.until("7", 2, 3) == 2
    assert await first.until("7", 0) == 0
    assert await first.delete("7") == ACCEPTED
    assert one not in lone.log()


async def test_an_image_that_the_environment_does_not_allow(
    lone: Service, session: aiohttp.ClientSession
) -> None:
    lone.environments({"images": {"allow": ["python:*"], "pull": "never"}})
    lone.dialects({"gbuilder": section()})
    await lone.start()
    api = Api(session, lone.url + "/gbuilder")
    refused(await api.post("7", COPY), 400, "images.allow")
    assert await api.task("7") == -1


async def _begun(api: Api, task_id: str) -> None:
    async with asyncio.timeout(30):
        while await api.task(task_id) != 0:
            await asyncio.sleep(0.05)

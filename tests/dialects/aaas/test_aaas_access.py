"""Who may come in, whose tasks he sees, and what a restart leaves of them."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aaas_client import MODULE, Api, section
from support.service import Service

from provider.apikeys import hash_key, new_key

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

ALICE, BOB = new_key(), new_key()


def session_of(key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"})


async def test_keys_at_the_root(lone: Service) -> None:
    keys = {"alice": hash_key(ALICE), "bob": hash_key(BOB)}
    lone.dialects({"aaas": section(keys=keys, mount="/")})
    await lone.start()
    async with session_of(ALICE) as first, session_of(BOB) as second:
        await _see_their_own(Api(first, lone.url), Api(second, lone.url))
    async with session_of("wrong") as wrong, aiohttp.ClientSession() as without:
        refusals = [
            await Api(session, lone.url).refused(call, module=MODULE, name="quick", task_id="a")
            for session in (wrong, without)
            for call in ("run", "task_info", "all_task", "end_task", "all_task_ns", "clean_task")
        ]
        assert set(refusals) == {(401, 1, "A valid key is needed here.")}
        async with without.get(f"{lone.url}/auto/task_log", params={"task_id": "a"}) as response:
            assert response.status == 401
            assert response.headers["APP-ERROR-CODE"] == "1"
        async with without.get(f"{lone.url}/auto/none") as response:
            assert response.status == 404
    log = lone.log()
    assert ALICE not in log
    assert "dialect=aaas mount=/ keys=2" in log


async def test_no_key_takes_all_places_of_log_followers(lone: Service) -> None:
    keys = {"alice": hash_key(ALICE), "bob": hash_key(BOB)}
    lone.dialects({"aaas": section(keys=keys, mount="/", followers=2)})
    await lone.start()
    waiting = {"tail_follow": "1", "pool_interval": "60"}
    async with session_of(ALICE) as first, session_of(BOB) as second:
        alice, bob = Api(first, lone.url), Api(second, lone.url)
        url = f"{lone.url}/auto/task_log"
        info = await alice.begun(await alice.run("endless"))
        query = waiting | {"task_id": info["task_id"]}
        greedy = [await first.get(url, params=query) for _ in range(2)]
        for each in greedy:
            assert await each.content.readany() == b"up\n"
        own = await bob.begun(await bob.run("endless"))
        async with second.get(url, params=waiting | {"task_id": own["task_id"]}) as answer:
            assert answer.status == 200
            assert await answer.content.readany() == b"up\n"
            rest = [asyncio.create_task(each.read()) for each in greedy]
            done, kept = await asyncio.wait(rest, timeout=50, return_when="FIRST_COMPLETED")
            assert len(done) == 1
            assert done.pop().result() == b"", "ends as if its time were over"
            assert (await alice.refused("task_log", **query))[:2] == (429, 1)
        for api, each in ((alice, info), (bob, own)):
            await api.call("end_task", task_id=each["task_id"])
        await asyncio.gather(*kept)


async def _see_their_own(alice: Api, bob: Api) -> None:
    own, other = await alice.run("quick", task_id="same"), await bob.run("seed", task_id="same")
    assert own["name"] == "quick"
    assert other["name"] == "seed"
    mine = await alice.run("quick", task_ns="alices")
    query = {"task_id": mine["task_id"], "task_ns": "alices"}
    assert await bob.call("task_info", **query) == {}
    assert await bob.call("end_task", **query) == 0
    assert await bob.call("all_task", task_ns="alices") == []
    assert await bob.call("all_task_ns") == [""]
    assert await alice.call("all_task_ns") == ["", "alices"]
    assert (await bob.refused("task_log", **query))[1:] == (1, "no task")
    # Nor does a namespace reach into that of another key.
    assert (await bob.refused("all_task", task_ns="../alice/alices"))[:2] == (400, 100)
    done = await alice.done(mine)
    assert done["task_log"]["file_path"].startswith("/auto/task_log?")
    assert done["task_resp"] == [1]


async def test_without_keys_only_this_machine_is_served(lone: Service) -> None:
    lone.dialects({"aaas": section()})
    await lone.start()
    headers = {"X-Forwarded-For": "203.0.113.9"}
    async with aiohttp.ClientSession(headers=headers) as session:
        status, code, _ = await Api(session, f"{lone.url}/aaas").refused("all_task")
        assert (status, code) == (403, 1)


async def test_tasks_survive_a_kill(lone: Service) -> None:
    lone.dialects({"aaas": section()})
    await lone.start()
    async with aiohttp.ClientSession() as session:
        api = Api(session, f"{lone.url}/aaas")
        running = await api.begun(await api.run("endless", task_id="running"))
        waiting = await api.run("quick", task_id="waiting", delay="2")
        done = await api.done(await api.run("seed", task_id="done"))
        lone.kill()
        await lone.restart()
        assert await api.run("seed", task_id="done") == {
            **done,
            "process": {**done["process"], "ppid": lone.pid},
        }
        again = await api.call("task_info", task_id="running")
        assert again["process"]["pid"] == running["process"]["pid"]
        assert (await api.done(waiting))["task_resp"] == [1]
        following = asyncio.create_task(api.log(running, tail_follow="1", pool_interval=60))
        assert await api.call("end_task", task_id="running") == 2
        assert (await api.done(running))["done_flag"] == 3
        assert (await following)[0] == b"up\nbye\n"
    assert lone.stop() == 0
    assert not lone.leftovers()


async def test_no_argument_reaches_the_log_of_the_service(lone: Service) -> None:
    lone.dialects({"aaas": section()})
    await lone.start()
    async with aiohttp.ClientSession() as session:
        api = Api(session, f"{lone.url}/aaas")
        secret = {"bind_arg.a.b.password": "hunter-two"}
        done = await api.done(await api.run("arguments", **secret))
        assert "hunter-two" in json.dumps(done)
    assert "hunter-two" not in lone.log()

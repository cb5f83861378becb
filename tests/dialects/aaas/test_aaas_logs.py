"""The log of a task, asked for again and again as clients of the source do."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from typing import Any

import aiohttp
import pytest
from aaas_client import MODULE, Api, Json, algorithm, section
from support.service import Service

from provider.middlewares import SLOW_S

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

WIDE = algorithm(
    'trap "exit 0" TERM; head -c 14000000 /dev/zero | tr "\\0" x | fold -w 9999; echo; echo ready;'
    " while :; do sleep 0.05; done"
)
"""More than the kernel keeps for a client that takes nothing."""
UP = algorithm('trap "exit 0" TERM; echo of the new one; while :; do sleep 0.05; done')
FOLLOWING = (
    b"GET /aaas/auto/task_log?task_id=x&pool_interval=60&pool_line=10000&tail_follow=1"
    b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
)
LINES = b"".join(b"line %d\n" % number for number in range(1, 7)) + b"rest"


async def everything(api: Api, info: Json, **query: Any) -> tuple[bytes, int]:
    """All of a log, read as the client of the source does; in how many calls."""
    seen, over, calls = b"", False, 0
    async with asyncio.timeout(60):
        while True:
            data, headers = await api.log(info, log_offset=len(seen), **query)
            seen, calls = seen + data, calls + 1
            if over and not data:
                return seen, calls
            over = headers.get("AAAS-TASK-END") == "1"
            assert "AAAS-TAIL-N-OFFSET" not in headers


async def test_a_log_is_followed_from_before_the_start_to_the_end(api: Api) -> None:
    info = await api.run("lines")
    seen, calls = await everything(api, info, pool_interval=20, pool_line=3, tail_follow="True")
    assert seen == LINES
    # Three lines, three lines, the rest with the end, and the last look.
    assert calls <= 5


async def test_a_line_without_an_end_is_left_for_later(api: Api) -> None:
    info = await api.begun(await api.run("lines"))
    seen, _ = await everything(api, info, pool_interval=1, pool_line=100, tail_follow="true")
    assert seen == LINES


async def test_without_following_what_is_there_is_told_at_once(api: Api) -> None:
    info = await api.done(await api.run("lines"))
    started = time.monotonic()
    data, headers = await api.log(info, pool_line=2)
    assert data == b"line 1\nline 2\n"
    assert headers["AAAS-TASK-END"] == "1"
    assert (await api.log(info, pool_line=2, log_offset=14))[0] == b"line 3\nline 4\n"
    assert (await api.log(info, log_offset=10**9))[0] == b""
    assert (await api.log(info, tail_follow="True", pool_interval=30))[0] == LINES
    assert time.monotonic() - started < 25


async def test_a_log_is_read_backwards(api: Api) -> None:
    info = await api.done(await api.run("lines"))
    data, _ = await api.log(info, pool_line=-2, log_offset=len(LINES))
    assert data == b"restline 6\n"
    offset = len(LINES) - len(data)
    assert (await api.log(info, pool_line=-2, log_offset=offset))[0] == b"line 5\nline 4\n"
    assert (await api.log(info, pool_line=-2, log_offset=0, tail_follow="True"))[0] == b""


async def test_the_tail_tells_where_it_begins(api: Api) -> None:
    info = await api.done(await api.run("lines"))
    data, headers = await api.log(info, tail_mode="True", tail_line=2)
    assert data == b"line 6\nrest"
    assert int(headers["AAAS-TAIL-N-OFFSET"]) == len(LINES) - len(data)
    data, headers = await api.log(info, tail_mode="True")
    assert (data, int(headers["AAAS-TAIL-N-OFFSET"])) == (b"", len(LINES))


async def test_the_tail_of_a_running_task_is_followed(api: Api) -> None:
    info = await api.run("lines")
    async with asyncio.timeout(30):
        while b"line 2\n" not in (await api.log(info, pool_interval=20))[0]:
            await asyncio.sleep(0.05)
    data, headers = await api.log(
        info, tail_mode=1, tail_line=1, tail_follow=1, pool_interval=20, pool_line=3
    )
    begins = int(headers["AAAS-TAIL-N-OFFSET"])
    assert begins > 0
    assert LINES[begins:].startswith(data)
    assert data.count(b"\n") == 3


async def test_a_task_that_has_not_started_is_waited_for(api: Api) -> None:
    info = await api.run("quick", delay="30")
    started = time.monotonic()
    data, headers = await api.log(info, pool_interval="1.2")
    assert 1.0 <= time.monotonic() - started < 25
    assert (data, headers["AAAS-NOT-READY"]) == (b"", "1")
    assert "AAAS-TASK-END" not in headers
    asking = asyncio.create_task(api.log(info, pool_interval="60"))
    assert await api.call("end_task", task_id=info["task_id"]) == 1
    data, headers = await asyncio.wait_for(asking, 40)
    assert (data, headers["AAAS-TASK-END"]) == (b"", "1")
    assert "AAAS-NOT-READY" not in headers


async def test_the_end_of_a_silent_task_ends_the_waiting(api: Api) -> None:
    info = await api.begun(await api.run("endless"))
    while (await api.log(info))[0] != b"up\n":
        await asyncio.sleep(0.05)
    asking = asyncio.create_task(
        api.log(info, pool_interval="60", tail_follow="True", pool_line="100")
    )
    assert await api.call("end_task", task_id=info["task_id"]) == 2
    data, _ = await asyncio.wait_for(asking, 40)
    assert data == b"up\nbye\n"


@pytest.mark.parametrize(
    ("query", "code", "told"),
    [
        ({"task_id": uuid.uuid4().hex}, "1", "no task"),
        ({}, "100", "Miss param-task_id"),
        ({"task_id": "a/b"}, "100", "task_id has"),
    ],
)
async def test_errors_are_in_the_headers(
    api: Api, query: dict[str, str], code: str, told: str
) -> None:
    async with api.session.get(f"{api.mount}/auto/task_log", params=query) as response:
        assert response.status == 400
        assert response.headers["APP-ERROR-CODE"] == code
        assert response.headers["APP-ERROR-MSG"].startswith(told)


async def test_a_place_is_free_again_once_its_client_has_gone(lone: Service) -> None:
    lone.dialects({"aaas": section(followers=1)})
    await lone.start()
    async with aiohttp.ClientSession() as session:
        api = Api(session, lone.url + "/aaas")
        info = await api.begun(await api.run("endless"))
        query = {"task_id": info["task_id"], "tail_follow": "1", "pool_interval": "60"}
        first = await session.get(f"{api.mount}/auto/task_log", params=query)
        assert await first.content.readany() == b"up\n"
        status, code, _ = await api.refused("task_log", **query)
        assert (status, code) == (429, 1)
        first.close()
        async with asyncio.timeout(60):
            while await api.status("task_log", task_id=info["task_id"]) == 429:
                await asyncio.sleep(0.1)
        assert await api.call("end_task", task_id=info["task_id"]) == 2
        assert (await api.done(info))["done_flag"] == 3


async def test_a_log_goes_no_further_than_its_task(lone: Service) -> None:
    """A client that takes nothing is overtaken by a new task of the same name."""
    lone.dialects({"aaas": section(modules={MODULE: {"wide": WIDE, "up": UP}})})
    await lone.start()
    async with aiohttp.ClientSession() as session:
        api = Api(session, lone.url + "/aaas")
        info = await api.begun(await api.run("wide", task_id="x"))
        async with asyncio.timeout(30):
            while b"ready" not in (await api.log(info, tail_mode="1", tail_line=1))[0]:
                await asyncio.sleep(0.1)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", int(lone.url.rpartition(":")[2])))
            client.settimeout(60)
            client.sendall(FOLLOWING)
            await asyncio.to_thread(client.recv, 1)
            assert await api.call("end_task", task_id="x") == 2
            await api.done(info)
            async with asyncio.timeout(30):
                while await api.call("clean_task", task_info_ttl="5") != ["x"]:
                    await asyncio.sleep(0.2)
            again = await api.begun(await api.run("up", task_id="x"))
            seen = await asyncio.to_thread(
                lambda: b"".join(iter(lambda: client.recv(1 << 16), b""))
            )
        assert seen.endswith(b"0\r\n\r\n")
        assert b"of the new one" not in seen
        assert "done_flag" not in await api.call("task_info", task_id="x")
        assert await api.call("end_task", task_id="x") == 2
        await api.done(again)


async def test_a_long_poll_is_not_called_slow(lone: Service) -> None:
    lone.dialects({"aaas": section()})
    await lone.start()
    async with aiohttp.ClientSession() as session:
        api = Api(session, lone.url + "/aaas")
        info = await api.run("quick", delay="60")
        _, headers = await api.log(info, pool_interval=str(SLOW_S + 0.2))
        assert headers["AAAS-NOT-READY"] == "1"
        assert await api.call("end_task", task_id=info["task_id"]) == 1
    assert "path=/aaas/auto/task_log" not in lone.log()

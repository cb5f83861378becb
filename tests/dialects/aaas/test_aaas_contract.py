"""The calls of the API by plain HTTP, through the real service and the real engine."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from typing import Any

import aiohttp
import pytest
from aaas_client import MODULE, Api, section
from support.service import Service, containers, engine

from provider.dialects.aaas.tasks import LISTED_ARGUMENT_BYTES

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]


def fresh() -> str:
    return uuid.uuid4().hex


def running_pids(service: Service) -> set[int]:
    """The processes of all running containers of the service, as the engine tells them."""
    with engine() as client:
        found = [client.inspect_container(name) for name in containers(service.operator_id())]
    return {each["State"]["Pid"] for each in found if each["State"]["Running"]}


async def test_the_session_of_the_seed(api: Api) -> None:
    before = time.time()
    argument = {"bind_arg.example_task.range.start": "5"}
    task_ns = fresh()
    info = await api.run("seed", task_ns=task_ns, **argument)
    assert info.keys() == {"task_id", "task_ns", "module", "name", "run_opts", "create_time"}
    assert re.fullmatch("[0-9a-f]{32}", info["task_id"])
    assert (info["task_ns"], info["module"], info["name"]) == (task_ns, MODULE, "seed")
    assert info["run_opts"] == {**argument, "extra": {}, "bind_arg": {}}
    assert before <= info["create_time"] <= time.time()

    done = await api.done(info)
    assert done.keys() - info.keys() == {
        "process",
        "stage",
        "task_log",
        "done_flag",
        "done_time",
        "task_resp",
    }
    assert info.items() <= done.items()
    assert done["process"].keys() == {"pid", "ppid"}
    assert done["stage"] == ["start", "end"]
    assert done["done_flag"] == 1
    assert info["create_time"] < done["done_time"] <= time.time()
    assert done["task_resp"] == {"hi": {"1": {"from": "a", "step": 1, "time": 1.5}}}
    assert done["task_log"]["file_path"].startswith("/aaas/auto/task_log?")


async def test_the_pid_is_that_of_the_container(api: Api, service: Service) -> None:
    info = await api.begun(await api.run("endless"))
    assert info["process"]["pid"] in running_pids(service)
    assert info["process"]["ppid"] == service.pid
    assert info["stage"] == ["start"]
    assert await api.call("end_task", task_id=info["task_id"]) == 2
    done = await api.done(info)
    assert done["process"] == info["process"]
    assert done["done_flag"] == 3
    assert done["stage"] == ["start", "end"]
    assert "exception" not in done
    assert "end_flag" not in done
    assert (await api.log(info))[0] == b"up\nbye\n"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_both_methods_take_query_and_body(api: Api, method: str) -> None:
    body = {"module": "none", "name": "arguments", "bind_arg": {"a": {"b": {"c": [1]}}}}
    info = await api.call("run", method, body, module=MODULE)
    assert (info["module"], info["name"]) == (MODULE, "arguments")
    assert info["run_opts"] == {"extra": {}, "bind_arg": {"a": {"b": {"c": [1]}}}}
    assert (await api.done(info))["task_id"] == info["task_id"]


async def test_arguments_of_all_kinds_reach_the_container(api: Api) -> None:
    body = {
        "bind_arg": {"example_task": {"range": {"start": 4, "end": 7}}},
        "configs": {"c": 1},
        "run_opts": {"debug_log": True},
        "extra": {"e": None},
    }
    query = {"bind_arg.example_task.range.start": "5", "env.X": "y"}
    info = await api.call("run", "POST", body, module=MODULE, name="arguments", **query)
    done = await api.done(info)
    run_opts = {
        "debug_log": True,
        **query,
        "extra": {"e": None, "configs": {"c": 1}},
        "bind_arg": {"example_task": {"range": {"start": 4, "end": 7}}},
    }
    assert info["run_opts"] == run_opts
    assert done["task_resp"] == {
        "task_id": info["task_id"],
        "task_ns": None,
        "module": MODULE,
        "name": "arguments",
        "bind_arg": {"example_task.range.start": "5", "example_task.range.end": 7},
        "configs": {"c": 1},
        "run_opts": run_opts,
    }


async def test_only_parse_describes_and_starts_nothing(api: Api) -> None:
    described = await api.call("run", module=MODULE, only_parse="0", task_ns=(ns := fresh()))
    assert described["module"] == MODULE
    assert described["trees"]["arguments"]["tasks"] == {
        "example_task": {
            "def": {
                "range": {
                    "bind_arg": {
                        "start": {"default": 1, "description": "The first number"},
                        "end": {"default": 9, "description": ""},
                    }
                }
            }
        }
    }
    assert "busybox" not in json.dumps(described)
    assert ns not in await api.call("all_task_ns")


async def test_one_id_is_one_task(api: Api) -> None:
    info = await api.run("quick", task_id="mine")
    again = await api.call("run", module="gone", name="other", task_id="mine")
    assert again["create_time"] == info["create_time"]
    assert again["name"] == "quick"
    other = await api.run("quick", task_id="mine", task_ns=fresh())
    assert other["create_time"] != info["create_time"]


async def test_two_runs_at_once_with_one_id_start_one_task(api: Api) -> None:
    query = {"task_id": "twin", "task_ns": fresh()}
    infos = await asyncio.gather(*(api.run("quick", **query) for _ in range(8)))
    assert len({info["create_time"] for info in infos}) == 1
    assert len(await api.call("all_task", task_ns=query["task_ns"])) == 1


async def test_a_task_that_fails_has_an_exception(api: Api) -> None:
    done = await api.done(await api.run("fails"))
    assert done["done_flag"] == 1
    assert "task_resp" not in done
    exception = done["exception"]
    assert exception["type"] == "ExitCode"
    assert exception["info"] == ["the algorithm ended with exit code 3"]
    assert exception["traceback"].splitlines() == ["first", "boom"]


async def test_a_traceback_is_bounded_and_begins_with_a_whole_line(api: Api) -> None:
    traceback = (await api.done(await api.run("chatty")))["exception"]["traceback"]
    assert len(traceback) <= 4096
    assert traceback.startswith("line ")
    assert traceback.endswith("line 1999\n")


async def test_further_ends(api: Api) -> None:
    timed, imageless = await api.run("timed"), await api.run("imageless")
    timed, imageless = await api.done(timed), await api.done(imageless)
    assert (timed["done_flag"], timed["exception"]["type"]) == (1, "TimeLimit")
    assert timed["stage"] == ["start", "end"]
    assert (imageless["done_flag"], imageless["exception"]["type"]) == (1, "ImageUnavailable")
    assert "process" not in imageless
    assert "task_log" not in imageless
    assert imageless["stage"] == ["end"]


async def test_a_task_that_waits_too_long_fails(api: Api) -> None:
    blocking = await api.begun(await api.run("hasty_endless"))
    done = await api.done(await api.run("hasty"))
    assert (done["done_flag"], done["exception"]["type"]) == (1, "QueueWait")
    assert await api.call("end_task", task_id=blocking["task_id"]) == 2
    await api.done(blocking)


@pytest.mark.parametrize("name", ["silent", "broken", "large", "link"])
async def test_no_response_that_can_be_told_is_none(api: Api, name: str) -> None:
    done = await api.done(await api.run(name))
    assert done["done_flag"] == 1
    assert "task_resp" not in done


async def test_ending_a_waiting_task_takes_it_out_of_the_queue(api: Api) -> None:
    running = await api.begun(await api.run("alone"))
    waiting = await api.run("alone")
    assert "process" not in await api.call("task_info", task_id=waiting["task_id"])
    assert await api.call("end_task", task_id=waiting["task_id"]) == 1
    done = await api.done(waiting)
    assert (done["end_flag"], done["done_flag"], done["stage"]) == (1, 2, ["end"])
    assert not {"process", "task_resp", "exception"} & done.keys()
    assert await api.call("end_task", task_id=waiting["task_id"]) == 1
    assert await api.call("end_task", task_id=running["task_id"]) == 2
    assert (await api.done(running))["done_flag"] == 3
    # Skipped: it does not run once there is a place for it.
    assert await api.call("task_info", task_id=waiting["task_id"]) == done


async def test_ending_what_is_over_or_unknown(api: Api) -> None:
    info = await api.done(await api.run("quick"))
    assert await api.call("end_task", task_id=info["task_id"]) == 1
    assert await api.call("task_info", task_id=info["task_id"]) == info
    assert await api.call("end_task", task_id=fresh()) == 0


async def test_a_delay_is_waited(api: Api) -> None:
    info = await api.call("run", "POST", {"run_opts": {"delay": 1.5}}, module=MODULE, name="quick")
    assert info["run_opts"]["delay"] == 1.5
    done = await api.done(info)
    assert done["done_time"] - done["create_time"] >= 1.5


async def test_unknown_tasks_are_empty(api: Api) -> None:
    info = await api.run("quick", task_ns=fresh())
    assert await api.call("task_info", task_id=info["task_id"]) == {}
    assert await api.call("task_info", task_id=fresh(), task_ns=info["task_ns"]) == {}


async def test_tasks_and_namespaces_are_listed(api: Api) -> None:
    task_ns = fresh()
    assert await api.call("all_task", task_ns=task_ns) == []
    infos = [await api.done(await api.run("quick", task_ns=task_ns)) for _ in range(3)]
    assert await api.call("all_task", task_ns=task_ns) == infos
    assert await api.call("all_task", "POST", {"task_ns": task_ns}) == infos
    nameless = await api.run("quick")
    assert nameless["task_ns"] is None
    assert {"", task_ns} <= set(await api.call("all_task_ns"))
    listed = await api.call("all_task")
    assert nameless["task_id"] in {each["task_id"] for each in listed}
    assert {each["task_ns"] for each in listed} == {None}


async def test_cleaning_takes_what_is_over_for_long(api: Api) -> None:
    task_ns = fresh()
    old = await api.done(await api.run("quick", task_ns=task_ns))
    async with asyncio.timeout(30):
        while time.time() < old["done_time"] + 5.2:
            assert await api.call("clean_task", task_info_ttl="3600", task_ns=task_ns) == []
            await asyncio.sleep(0.5)
    new = await api.done(await api.run("quick", task_ns=task_ns))
    # Less than five seconds count as five.
    assert await api.call("clean_task", task_info_ttl="0", task_ns=task_ns) == [old["task_id"]]
    assert await api.call("all_task", task_ns=task_ns) == [new]
    again = await api.run("quick", task_ns=task_ns, task_id=old["task_id"])
    assert again["create_time"] > old["create_time"]


@pytest.mark.parametrize(
    ("call", "query", "told"),
    [
        ("run", {}, "Miss param-module"),
        ("run", {"module": MODULE}, "Miss param-name"),
        ("run", {"only_parse": "1"}, "Miss param-module"),
        ("run", {"module": "os", "name": "system"}, "There is no such module here"),
        ("run", {"module": "../x", "only_parse": "1"}, "There is no such module here"),
        ("run", {"module": MODULE, "name": "none"}, "The module has no such name"),
        ("run", {"module": MODULE, "name": "quick", "task_id": "../x"}, "task_id has"),
        ("run", {"module": MODULE, "name": "quick", "task_ns": "a/b"}, "task_ns has"),
        ("run", {"module": MODULE, "name": "quick", "task_id": "a\0b"}, "task_id has"),
        ("run", {"module": MODULE, "name": "quick", "delay": "-1"}, "delay is not"),
        ("task_info", {}, "Miss param-task_id"),
        ("task_info", {"task_id": "../../etc/passwd"}, "task_id has"),
        ("end_task", {}, "Miss param-task_id"),
        ("clean_task", {}, "Miss param-task_info_ttl"),
        ("clean_task", {"task_info_ttl": "old"}, "task_info_ttl is not"),
        ("all_task", {"task_ns": "x" * 129}, "task_ns has"),
        ("task_log", {}, "Miss param-task_id"),
        ("task_log", {"task_id": "a", "pool_line": "x"}, "pool_line is not"),
    ],
)
async def test_wrong_parameters(api: Api, call: str, query: dict[str, str], told: str) -> None:
    for method in ("GET", "POST"):
        status, code, text = await api.refused(call, method, **query)
        assert (status, code) == (400, 100)
        assert text.startswith(told)
    # The same in the body.
    status, code, _ = await api.refused(call, "POST", query)
    assert (status, code) == (400, 100)


@pytest.mark.parametrize(
    "body",
    [
        {"bind_arg": "x"},
        {"configs": []},
        {"run_opts": 5},
        {"extra": True},
        {"task_id": 7},
        {"name": {}},
        {"state_hook": {"type": "redis"}},
        {"run_opts": {"delay": "soon"}},
    ],
)
async def test_wrong_types(api: Api, body: dict[str, Any]) -> None:
    base = {"module": MODULE, "name": "quick"}
    status, code, _ = await api.refused("run", "POST", base | body)
    assert (status, code) == (400, 100)


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"a": NaN}', b"\xff", b"[" * 60_000])
async def test_what_is_no_json_is_refused(api: Api, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    url = f"{api.mount}/auto/run"
    async with api.session.post(url, data=raw, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["code"] == 100


async def test_an_image_that_the_environment_refuses(api: Api) -> None:
    status, code, _ = await api.refused("run", module=MODULE, name="forbidden")
    assert (status, code) == (400, 1)


@pytest.mark.parametrize("path", ["/auto/none", "/auto", "/auto/run/x", "/admin/shut_down"])
async def test_unknown_paths(api: Api, path: str) -> None:
    async with api.session.get(api.mount + path) as response:
        assert response.status == 404
        assert await response.json() == {"code": 1, "msg": "No matched route"}


async def test_other_methods(api: Api) -> None:
    async with api.session.put(f"{api.mount}/auto/run") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,POST"
        assert await response.json() == {"code": 1, "msg": "No matched route"}


async def test_a_list_of_large_tasks_is_bounded(lone: Service) -> None:
    lone.dialects({"aaas": section()})
    await lone.start()
    number = LISTED_ARGUMENT_BYTES // 60_000 + 5
    async with aiohttp.ClientSession() as session:
        api = Api(session, lone.url + "/aaas")
        for each in range(number):
            body = {"module": MODULE, "name": "quick", "task_id": f"t{each}", "text": "x" * 60_000}
            await api.call("run", "POST", {**body, "delay": 3600})
            await api.call("end_task", task_id=f"t{each}")
        listed = await api.call("all_task")
        assert [info["task_id"] for info in listed] == [f"t{each}" for each in range(number)]
        whole = [info for info in listed if info["run_opts"]]
        assert whole == listed[-len(whole) :]
        assert LISTED_ARGUMENT_BYTES - 130_000 < len(whole) * 60_000 < LISTED_ARGUMENT_BYTES
        assert (await api.call("task_info", task_id="t0"))["run_opts"]["text"] == "x" * 60_000

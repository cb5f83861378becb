"""Each call, field, number and error of the seed, by plain HTTP on the real engine."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from urllib.parse import quote

import aiohttp
import pytest
from gbuilder_client import ACCEPTED, COPY, ENDLESS, Api, Json, refused
from support.service import Service, containers

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]


def new() -> str:
    return uuid.uuid4().hex


async def results(api: Api, task_id: str) -> tuple[int, Json]:
    """A download that is refused."""
    return await api.call("GET", f"/tasks/{task_id}/results")


async def test_an_idle_endpoint_is_available(api: Api) -> None:
    assert await api.status() == 1


@pytest.mark.parametrize("field", ["task_file", "file"])
async def test_a_task_from_its_file_to_its_results(api: Api, field: str) -> None:
    task_id, script = new(), COPY + "\n# 数据\n"
    assert await api.task(task_id) == -1
    assert await api.post(task_id, script, field) == ACCEPTED
    assert await api.until(task_id, 2, 3) == 2
    answer = await api.results(task_id)
    assert (answer.status, answer.body.decode()) == (200, script)
    assert answer.headers["Content-Disposition"] == "attachment;filename=output.jsonl"
    assert answer.headers["ETag"] == f'"{hashlib.sha256(script.encode()).hexdigest()}"'
    part = await api.results(task_id, Range="bytes=0-1")
    assert (part.status, part.body) == (206, b"cp")
    head = await api.results(task_id, "HEAD")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(script.encode())))


async def test_immediate_makes_no_difference(api: Api) -> None:
    task_id = new()
    assert await api.post(task_id, "sleep 0.5; " + COPY, immediate="true") == ACCEPTED
    assert await api.task(task_id) in (0, 1)
    assert await api.until(task_id, 2, 3) == 2


async def test_running_is_zero_and_delete_stops_at_once(api: Api, service: Service) -> None:
    task_id = new()
    await api.post(task_id, ENDLESS)
    assert await api.until(task_id, 0) == 0
    refused(await results(api, task_id), 404, "no result yet")
    assert await api.delete(task_id) == ACCEPTED
    assert await api.task(task_id) == 3
    assert containers(service.operator_id()) == []
    refused(await results(api, task_id), 404, "stopped")
    refused(await api.delete(task_id), 400, "over already")
    assert await api.task(task_id) == 3


async def test_a_finished_task_stays_finished(api: Api) -> None:
    task_id = new()
    await api.post(task_id, COPY)
    await api.until(task_id, 2)
    refused(await api.delete(task_id), 400, "over already")
    assert await api.task(task_id) == 2
    assert (await api.results(task_id)).status == 200


async def test_a_failed_task_says_why(api: Api) -> None:
    task_id = new()
    await api.post(task_id, COPY + "; exit 7")
    assert await api.until(task_id, 2, 3) == 3
    refused(await results(api, task_id), 404, "Algorithm failed", "7")


async def test_parameters_and_names_of_outputs(api: Api) -> None:
    only, several = new(), new()
    await api.post(only, "cp /data/inputs/algoCustomData.json /data/outputs/found.json")
    await api.post(several, "cd /data/outputs; touch a b")
    assert await api.until(only, 2, 3) == 2
    answer = await api.results(only)
    assert answer.headers["Content-Disposition"] == "attachment;filename=found.json"
    assert answer.body == b'{"depth": 2}'
    assert await api.until(several, 2, 3) == 2
    refused(await results(api, several), 404, "output.jsonl", "2 files")


@pytest.mark.parametrize(
    "path", [new(), "..%2f..%2fetc%2fpasswd", "%2e%2e", "%00", "%ff", "a%5cb", "a" * 4000]
)
async def test_unknown_tasks(api: Api, path: str) -> None:
    assert await api.task(path) == -1
    refused(await api.call("GET", f"/tasks/{path}/results"), 404, "no such task")
    refused(await api.delete(path), 400, "no such task")


@pytest.mark.parametrize(
    "task_id",
    ["", " ", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a\nb", "a\u202eb", "a" * 129],
)
async def test_ids_that_are_refused(api: Api, task_id: str) -> None:
    refused(await api.post(task_id, COPY), 400, "task_id")


async def test_ids_of_any_language(api: Api) -> None:
    task_id = f"任务 v1.2 {new()}"
    assert await api.post(task_id, COPY) == ACCEPTED
    assert await api.until(quote(task_id), 2, 3) == 2


async def test_parts_that_are_missing(api: Api) -> None:
    task_id = new()
    refused(await api.post(None, COPY), 400, "task_id is missing")
    refused(await api.post(task_id, None), 400, "task_file is missing")
    refused(await api.post(task_id, COPY, "data"), 400, "task_file or file")
    refused(await api.call("POST", "/tasks"), 400, "task_id is missing")
    refused(
        await api.call("POST", "/tasks", data={"task_id": task_id}), 400, "task_file is missing"
    )
    refused(await api.call("POST", "/tasks", json={"task_id": task_id}), 400, "form")
    assert await api.task(task_id) == -1


async def test_parts_that_are_there_twice(api: Api) -> None:
    form = aiohttp.FormData({"task_id": new()}, default_to_multipart=True)
    form.add_field("task_file", COPY, filename="a")
    form.add_field("file", COPY, filename="b")
    refused(await api.call("POST", "/tasks", data=form), 400, "one file")
    form = aiohttp.FormData([("task_id", "a"), ("task_id", "b")], default_to_multipart=True)
    form.add_field("task_file", COPY, filename="a")
    refused(await api.call("POST", "/tasks", data=form), 400, "task_id is there twice")


async def test_a_form_that_is_none(api: Api) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x\r\n", b"--x\r\nnonsense\r\n\r\n--x--", b"\xff" * 1000):
        refused(await api.call("POST", "/tasks", data=body, headers=kind), 400)


async def test_a_file_that_is_too_large(api: Api, service: Service) -> None:
    task_id = new()
    refused(await api.post(task_id, b"#" * ((1 << 20) + 1)), 413, str(1 << 20))
    assert await api.task(task_id) == -1
    assert list((service.data / "uploads").iterdir()) == []
    assert await api.post(task_id, COPY.encode().ljust(1 << 20)) == ACCEPTED
    assert await api.until(task_id, 2, 3) == 2


async def test_an_id_is_taken_once(api: Api) -> None:
    task_id = new()
    posts = [api.post(task_id, f"{COPY} # {number}") for number in range(6)]
    answers = await asyncio.gather(*posts)
    assert sorted(code for code, _ in answers) == [200, 409, 409, 409, 409, 409]
    won = next(number for number, answer in enumerate(answers) if answer == ACCEPTED)
    assert await api.until(task_id, 2, 3) == 2
    refused(await api.post(task_id, COPY), 409, task_id)
    assert (await api.results(task_id)).body.endswith(f"# {won}".encode())


async def test_other_paths_and_methods(api: Api) -> None:
    refused(await api.call("GET", "/nothing"), 404)
    refused(await api.call("GET", "/tasks/"), 404)
    refused(await api.call("GET", "/tasks/a/b"), 404)
    refused(await api.call("GET", "/tasks"), 405)
    refused(await api.call("PUT", f"/tasks/{new()}"), 405)
    refused(await api.call("DELETE", "/status"), 405)
    assert (await api.call("GET", "//status"))[0] == 200


async def test_a_killed_service_goes_on_where_it_was(api: Api, service: Service) -> None:
    task_id = new()
    await api.post(task_id, "sleep 1; " + COPY)
    await api.until(task_id, 0)
    service.kill()
    await service.restart()
    refused(await api.post(task_id, COPY), 409)
    assert await api.until(task_id, 2, 3) == 2
    assert (await api.results(task_id)).status == 200

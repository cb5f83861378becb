"""The registry over HTTP: what is taken, what is refused, and images that are really built."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pipeline_caller import (
    ACCESS_KEY,
    AUTH,
    PREPROCESS,
    SECRET_KEY,
    TASK,
    TASKS,
    Caller,
    Json,
    build_file,
    zipped,
)
from pipeline_service import SECTION, a_service, end
from support.service import IMAGE, Service
from yarl import URL

from provider.apikeys import hash_key, new_key
from provider.registry.models import is_uid, new_uid

pytestmark = pytest.mark.docker

UNKNOWN = "00000000-0000-4000-8000-000000000000"
DOCKERFILE = f"FROM {IMAGE}:1\n"


async def test_what_is_told_of_an_item(caller: Caller) -> None:
    content = zipped(**{"a.csv": "1,2\n"})
    status, answer = await caller.post(
        "datasets",
        content,
        name="rows",
        description="of a table",
        f_pipeline_uid=caller.uids["pipeline"],
        type="application",
        extension="zip",
    )
    assert (status, answer["detail"]) == (201, "Create dataset successfully")
    item = answer["data"]
    assert is_uid(item["uid"])
    assert item["created_time"].endswith("+08:00")
    assert item | {"uid": "", "created_time": ""} == {
        "uid": "",
        "created_time": "",
        "name": "rows",
        "description": "of a table",
        "owner": ACCESS_KEY,
        "f_pipeline_uid": caller.uids["pipeline"],
        "extension": "zip",
        "type": "application",
        "status": "ready",
        "reason": "",
        "f_task_uid": "",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    path = f"datasets/{item['uid']}"
    assert await caller.registry("GET", path, auth=None) == (
        200,
        {"detail": "Metadata retrieved successfully", "data": item},
    )
    assert await caller.registry("GET", f"datasets/{item['uid'].upper()}/content") == (200, content)
    query = {"pipeline_uid": caller.uids["pipeline"]}
    status, answer = await caller.registry("GET", "datasets", auth=None, params=query)
    assert item in answer["data"]
    status, answer = await caller.registry("DELETE", path)
    assert (status, answer["data"]) == (200, item)
    for method, place in (("GET", path), ("GET", f"{path}/content"), ("DELETE", path)):
        status, answer = await caller.registry(method, place)
        assert (status, answer["data"]) == (404, None)


async def test_a_pipeline_may_be_sent_as_json_with_keys_in_it(caller: Caller) -> None:
    body = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "name": "p", "description": None}
    status, answer = await caller.registry("POST", "pipelines", auth=None, json=body)
    assert status == 201
    assert set(answer["data"]) == {"uid", "created_time", "name", "description", "owner"}
    status, answer = await caller.registry("GET", "pipelines")
    assert body["name"] in [each["name"] for each in answer["data"]]
    body["uid"] = answer["data"][0]["uid"]
    status, answer = await caller.registry("POST", "pipelines", auth=None, json=body)
    assert (status, answer["data"]) == (409, None)
    assert answer["detail"].startswith(f"uid: {body['uid']} is taken")


async def test_keys_as_fields_of_a_form_or_as_headers(caller: Caller) -> None:
    keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    fields = {"name": "c", "extension": "json", "pipeline_uid": caller.uids["pipeline"]}
    status, answer = await caller.post("configs", b"{}", auth=None, **fields, **keys)
    assert status == 201
    url = f"{caller.url}/registry/configs/{answer['data']['uid']}/content"
    headers = {"X-Access-Key": ACCESS_KEY, "X-Secret-Key": SECRET_KEY}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(url) as response,
        session.head(url) as head,
    ):
        assert await response.read() == b"{}"
        assert response.headers["Content-Disposition"] == "attachment;filename=c.json"
        assert head.status == 200


WRONG = aiohttp.encode_basic_auth(ACCESS_KEY, "wrong")


@pytest.mark.parametrize("auth", [None, WRONG, "Basic x", "Bearer x"])
async def test_who_is_not_a_user_changes_nothing(caller: Caller, auth: str | None) -> None:
    path = f"datasets/{caller.uids['dataset']}"
    calls: list[tuple[str, str, Json]] = [
        ("GET", "pipelines", {}),
        ("GET", f"{path}/content", {}),
        ("DELETE", path, {}),
        ("POST", "pipelines", {"json": {"name": "x"}}),
        ("POST", "configs", {"data": {"name": "x", "access_key": "user1", "secret_key": ""}}),
    ]
    for method, place, options in calls:
        status, answer = await caller.registry(method, place, auth=auth, **options)
        assert (status, answer["data"]) == (401, None)
    assert (await caller.registry("GET", path, auth=None))[0] == 200


@pytest.mark.parametrize(
    ("kind", "content", "fields", "status", "detail"),
    [
        ("pipelines", None, {}, 422, "name: is missing"),
        ("configs", b"1", {"extension": "json"}, 422, "name: is missing"),
        ("configs", None, {"name": "x", "extension": "json"}, 422, "file: is missing or empty"),
        ("configs", b"", {"name": "x", "extension": "json"}, 422, "file: is missing or empty"),
        ("configs", b"1", {"name": "x"}, 422, "extension: is missing"),
        ("configs", b"1", {"name": "x", "extension": "../x"}, 422, "extension: is not an"),
        ("configs", b"1", {"name": "x", "extension": "x", "uid": "../x"}, 422, "uid: is not a UID"),
        ("configs", b"1", {"pipeline_uid": "x"}, 422, "name: is missing"),
        ("datasets", b"1", {"name": "x", "extension": "csv"}, 422, "type: is missing"),
        ("models", b"1", {"name": "x", "extension": "x"}, 422, "input_format: is missing"),
        ("build_files", b"1", {"name": "x"}, 422, "sequence: is missing"),
        ("build_files", b"1", {"name": "x", "sequence": "last"}, 422, "sequence: is 'last'"),
        ("configs", b"x" * (1 << 20), {"name": "x", "extension": "x"}, 201, "Create config"),
        ("configs", b"x" * ((1 << 20) + 1), {"name": "x", "extension": "x"}, 413, "The file is"),
    ],
)
async def test_what_is_handed_in_wrong(
    caller: Caller, kind: str, content: bytes | None, fields: Json, status: int, detail: str
) -> None:
    pipeline = {} if kind == "pipelines" else {"pipeline_uid": caller.uids["pipeline"]}
    found, answer = await caller.post(kind, content, **(pipeline | fields))
    assert (found, answer["detail"][: len(detail)]) == (status, detail)


async def test_an_item_of_an_unknown_pipeline(caller: Caller) -> None:
    fields = {"name": "x", "extension": "x", "pipeline_uid": UNKNOWN}
    status, answer = await caller.post("configs", b"1", **fields)
    assert (status, answer["data"]) == (404, None)
    assert answer["detail"].startswith(f"pipeline_uid: there is no pipeline {UNKNOWN}")


@pytest.mark.parametrize(
    ("kind", "path", "status"),
    [
        ("GET", "unknown", 404),
        ("GET", "datasets", 422),
        ("GET", f"datasets?pipeline_uid={UNKNOWN}", 404),
        ("GET", "datasets?pipeline_uid=..", 422),
        ("GET", f"datasets/{UNKNOWN}", 404),
        ("GET", "datasets/..%2F..%2Fetc%2Fpasswd", 404),
        ("GET", f"datasets/{UNKNOWN}%00/content", 404),
        ("DELETE", "datasets/%2e%2e", 404),
        ("GET", f"pipelines/{UNKNOWN}/content", 404),
        ("PUT", f"datasets/{UNKNOWN}", 405),
    ],
)
async def test_paths_that_lead_nowhere(caller: Caller, kind: str, path: str, status: int) -> None:
    url = f"{caller.url}/registry/{path}"
    async with aiohttp.request(
        kind, URL(url, encoded=True), headers={"Authorization": AUTH}
    ) as response:
        assert response.status == status


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(21 << 20))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (zipped(**{"../x": "1"}), "the zip's entry '../x' leads out of its folder"),
        (zipped(**{"/x": "1"}), "the zip's entry '/x' has an absolute name"),
        (b"PK\3\4", "the file is not a zip"),
        (b"rows", "the file is not a zip"),
        (bomb(), f"the zip unpacks to {21 << 20} bytes; {20 << 20} are taken at most"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "fields"),
    [("datasets", {"type": "project"}), ("build_files", {"sequence": "running"})],
)
async def test_zips_that_are_refused(
    caller: Caller, kind: str, fields: Json, content: bytes, problem: str
) -> None:
    fields = {"name": "x", "extension": "zip", "pipeline_uid": caller.uids["pipeline"]} | fields
    status, answer = await caller.post(kind, content, **fields)
    assert (status, answer["data"]) == (422, None)
    assert answer["detail"].startswith(f"file: {problem}")


async def test_a_build_file_with_its_context(caller: Caller, pipelines_service: Service) -> None:
    text = DOCKERFILE + 'COPY src/say.sh /\nCMD ["sh", "/say.sh"]\n'
    say = "echo built from a context; cp $INPUTS/stages/0/* $OUTPUTS"
    context = zipped(**{"Dockerfile": text, "src/say.sh": say})
    before = pipelines_service.built_images()
    uid = await caller.add("build_files", context, sequence="running", extension="zip")
    assert len(pipelines_service.built_images() - before) == 1
    body = await caller.body()
    body["image_uid"]["running_uid"] = uid
    started = await caller.good(PREPROCESS, body)
    log = await caller.printed(started["uid"], "preprocessing", "preprocessing", "context")
    assert log["preprocessing"] == "built from a context\n"
    assert (await caller.ended(started["uid"]))["status"] == "finished"
    assert await caller.registry("GET", f"build_files/{uid}/content") == (200, context)
    assert (await caller.registry("DELETE", f"build_files/{uid}"))[0] == 200
    assert pipelines_service.built_images() == before


@pytest.mark.parametrize(
    ("content", "extension", "detail"),
    [
        (f"{DOCKERFILE}RUN echo nearly; exit 7\n".encode(), "dockerfile", "nearly"),
        (b"FROM no-such-image:1\n", "txt", "file: the image is not built"),
        (b"this is no build file\n", "", "file: the image is not built"),
        (b"\xff\xfe\0", "", "file: the image is not built"),
        (f"{DOCKERFILE}COPY nothing /\n".encode(), "", "file: the image is not built"),
        (zipped(**{"deep/Dockerfile": DOCKERFILE}), "zip", "no Dockerfile at its root"),
    ],
)
async def test_a_build_that_fails_leaves_nothing(
    caller: Caller, pipelines_service: Service, content: bytes, extension: str, detail: str
) -> None:
    before = pipelines_service.built_images()
    query = {"pipeline_uid": caller.uids["pipeline"]}
    listed = await caller.registry("GET", "build_files", params=query)
    fields = {"name": "x", "extension": extension, "sequence": "running", **query}
    status, answer = await caller.post("build_files", content, **fields)
    assert (status, answer["data"]) == (422, None)
    assert detail in answer["detail"]
    assert pipelines_service.built_images() == before
    assert await caller.registry("GET", "build_files", params=query) == listed
    assert left_in(pipelines_service) == []


def left_in(service: Service) -> list[Path]:
    return list((service.data / "uploads").iterdir())


async def test_a_taken_uid_is_not_built_again(caller: Caller, pipelines_service: Service) -> None:
    before = pipelines_service.built_images()
    fields = {"name": "x", "sequence": "running", "pipeline_uid": caller.uids["pipeline"]}
    status, answer = await caller.post(
        "build_files",
        f"{DOCKERFILE}RUN touch /other\n".encode(),
        uid=caller.uids["running"],
        **fields,
    )
    assert (status, answer["data"]) == (409, None)
    assert pipelines_service.built_images() == before
    started = await caller.good(PREPROCESS, await caller.body())
    assert (await caller.ended(started["uid"]))["status"] == "finished"


async def test_one_uid_twice_at_once(caller: Caller) -> None:
    fields = {"extension": "json", "uid": new_uid(), "name": "x"}
    fields["pipeline_uid"] = caller.uids["pipeline"]
    answers = await asyncio.gather(
        *(caller.post("configs", str(number).encode(), **fields) for number in range(5))
    )
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409, 409]
    [kept] = [number for number, (status, _) in enumerate(answers) if status == 201]
    path = f"configs/{fields['uid']}/content"
    assert await caller.registry("GET", path) == (200, str(kept).encode())


async def test_a_pipeline_that_holds_something_stays(caller: Caller) -> None:
    status, answer = await caller.registry("DELETE", f"pipelines/{caller.uids['pipeline']}")
    assert (status, answer["data"]) == (409, None)
    assert "has to be deleted first" in answer["detail"]


async def test_nothing_secret_is_logged(caller: Caller, pipelines_service: Service) -> None:
    await caller.parse(PREPROCESS, await caller.body(secret_key="very-wrong-secret"))
    log = pipelines_service.log()
    assert "very-wrong-secret" not in log
    assert AUTH.partition(" ")[2] not in log
    assert "Traceback" not in log


async def test_builds_are_refused_where_the_environment_does_not_allow_them(
    tmp_path: Path,
) -> None:
    service = a_service(tmp_path / "service", SECTION)
    service.environments({"images": {"allow": ["*"], "pull": "never"}})
    try:
        await service.start()
        async with aiohttp.ClientSession() as session:
            caller = Caller(service.url, session)
            caller.uids["pipeline"] = await caller.add("pipelines")
            fields = {"name": "x", "sequence": "running", "pipeline_uid": caller.uids["pipeline"]}
            status, answer = await caller.post("build_files", build_file("running"), **fields)
            assert (status, answer["data"]) == (422, None)
            assert answer["detail"].startswith("file: the image is not built: ")
    finally:
        end(service)


class KeyedCaller(Caller):
    """One that shows a key at the door."""

    def __init__(self, url: str, session: aiohttp.ClientSession, key: str) -> None:
        super().__init__(url, session)
        self.headers = {
            "X-Api-Key": key,
            "X-Access-Key": ACCESS_KEY,
            "X-Secret-Key": SECRET_KEY,
        }

    async def ask(self, method: str, url: str, **options: Any) -> tuple[int, Json]:
        async with self._session.request(
            method, self.url + url, headers=self.headers, **options
        ) as response:
            return response.status, json.loads(await response.text())


async def test_what_one_key_made_is_unknown_to_another(tmp_path: Path) -> None:
    keys = {name: new_key() for name in ("red", "blue")}
    hashes = {name: hash_key(key) for name, key in keys.items()}
    service = a_service(tmp_path / "service", {**SECTION, "keys": hashes})
    try:
        await service.start()
        async with aiohttp.ClientSession() as session:
            red, blue, nobody = (
                KeyedCaller(service.url, session, key) for key in (keys["red"], keys["blue"], "")
            )
            status, answer = await red.ask("POST", "/registry/pipelines", json={"name": "p"})
            assert status == 201
            uid = answer["data"]["uid"]
            parse = f"/entrypoint/Router/parse/{TASKS}"
            for path, method, options in (
                (f"/registry/pipelines/{uid}", "GET", {}),
                (parse, "POST", {"json": {"pipeline_uid": uid}}),
            ):
                assert (await red.ask(method, path, **options))[0] == 200
                assert (await blue.ask(method, path, **options))[0] == 404
                assert (await nobody.ask(method, path, **options))[0] == 401
            task = {"json": {"uid": UNKNOWN}}
            assert (await nobody.ask("POST", f"/entrypoint/Router/parse/{TASK}", **task))[0] == 401
    finally:
        end(service)


async def test_an_unchanged_client_finds_the_api_at_the_root(tmp_path: Path) -> None:
    service = a_service(tmp_path / "service", {**SECTION, "mount": "/"})
    try:
        await service.start()
        async with aiohttp.ClientSession() as session:
            for version in ("v1.1.5", "v1.1.8", "v2"):
                path = f"/api/{version}/entrypoint/Router/parse/{TASK}"
                async with session.post(service.url + path, json={"uid": UNKNOWN}) as response:
                    assert response.status == 404
                    assert UNKNOWN in (await response.json())["detail"]
    finally:
        end(service)

"""The document is valid, complete, and made only when somebody asks for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from described_service import sections
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from compute.engines.fake import FakeEngine, FakeWorld
from compute.space import WatchedSpace
from provider.app import create_app
from provider.dialects.pipelines.routes import _CALLS
from provider.openapi import document, page
from provider.openapi.operations import Answer, Api, Operation
from provider.openapi.routes import DESCRIPTION
from provider.settings import Settings

Json = dict[str, Any]
Client = TestClient[web.Request, web.Application]
ENVIRONMENTS = {"environments": [{"id": "test", "cpu": 1, "ramGB": 0.25, "diskGB": 0.03}]}


def application(folder: Path, dialects: Json) -> web.Application:
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "environments.yaml").write_text(yaml.safe_dump(ENVIRONMENTS))
    variables = {
        "PROVIDER_PRIVATE_KEY": "11" * 32,
        "DATA_DIR": str(folder / "data"),
        "ENVIRONMENTS_FILE": str(folder / "environments.yaml"),
        "ASSETS_DIR": str(folder / "assets"),
    }
    if dialects:
        (folder / "dialects.yaml").write_text(yaml.safe_dump({"dialects": dialects}))
        variables["DIALECTS_FILE"] = str(folder / "dialects.yaml")
    engine = FakeEngine(FakeWorld())
    return create_app(Settings.from_environ(variables), engine=engine, space=WatchedSpace())


@pytest.fixture
def app(tmp_path: Path) -> web.Application:
    return application(tmp_path, sections(tmp_path))


@pytest.fixture
def made(app: web.Application) -> Json:
    return document.make(app, app[DESCRIPTION].apis(), server="/")


@pytest.fixture
async def client(app: web.Application) -> AsyncIterator[Client]:
    async with TestClient(TestServer(app)) as client:
        yield client


def operations(made: Json) -> Iterator[tuple[str, Json]]:
    for path, item in made["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def unlike(app: web.Application) -> tuple[set[Any], set[Any]]:
    """Routes that are not described, and descriptions that no route serves."""
    routes = {each for each in document.served(app) if each[0] != "HEAD"}
    told = set(document.described(app[DESCRIPTION].apis()))
    return routes - told, told - routes


def test_a_validator_that_others_keep_finds_nothing(made: Json) -> None:
    assert list(OpenAPIV31SpecValidator(made).iter_errors()) == []


@pytest.mark.parametrize("mount", ["", "/"])
def test_each_route_is_described_and_each_description_has_a_route(
    tmp_path: Path, mount: str
) -> None:
    dialects = sections(tmp_path)
    if mount:
        dialects = {name: {**section, "mount": mount} for name, section in dialects.items()}
    assert unlike(application(tmp_path, dialects)) == (set(), set())


def test_a_route_that_nobody_described_is_found(app: web.Application) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/new/{name:[a-z]+}", handler)
    assert unlike(app) == ({("GET", "/new/{name}")}, set())


def test_head_is_there_exactly_where_the_router_takes_it(app: web.Application, made: Json) -> None:
    heads = {path for method, path in document.served(app) if method == "HEAD"}
    assert {path for path, item in made["paths"].items() if "head" in item} == heads


def test_only_what_is_mounted_is_described(tmp_path: Path) -> None:
    app = application(tmp_path, {"aaas": sections(tmp_path)["aaas"] | {"mount": "/tasks"}})
    made = document.make(app, app[DESCRIPTION].apis(), server="/")
    assert "/tasks/auto/run" in made["paths"]
    tags = {each["name"] for each in made["tags"]}
    assert "aaas" in tags
    assert not tags & {"gbuilder", "labelling", "pipelines"}


def test_each_call_of_the_pipelines_wire_has_an_operation(made: Json) -> None:
    start = "/pipelines/api/{version}/entrypoint/Router/parse/"
    found = {path.removeprefix(start) for path in made["paths"] if path.startswith(start)}
    assert found == set(_CALLS)


def test_everything_is_told_in_words(made: Json) -> None:
    ids = set()
    for name, operation in operations(made):
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"][0] in {each["name"] for each in made["tags"]}, name
        assert all(each["description"] for each in operation["parameters"]), name
        ids.add(operation["operationId"])
    assert len(ids) == len(list(operations(made)))


def test_each_operation_tells_of_too_much_and_of_outages(made: Json) -> None:
    for name, operation in operations(made):
        for status in ("429", "503"):
            answer = operation["responses"][status]
            if "$ref" in answer:
                answer = made["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            assert "Retry-After" in answer["headers"], name


def test_examples_are_what_they_are_examples_of(made: Json) -> None:
    shared = {"components": made["components"]}
    seen = 0
    for name, operation in operations(made):
        contents = [*operation.get("requestBody", {}).get("content", {}).values()]
        for answer in operation["responses"].values():
            contents += answer.get("content", {}).values()
        for content in contents:
            listed = [each["value"] for each in content.get("examples", {}).values()]
            listed += [content["example"]] if "example" in content else []
            for example in listed:
                found = Draft202012Validator(content["schema"] | shared).iter_errors(example)
                assert [error.message for error in found] == [], name
                seen += 1
        for parameter in operation["parameters"]:
            for example in parameter["schema"].get("examples", ()):
                Draft202012Validator(parameter["schema"]).validate(example)
    assert seen > 30


async def test_who_knows_the_document_does_not_get_it_again(client: Client) -> None:
    for path in ("/openapi.json", "/docs"):
        answer = await client.get(path)
        body = await answer.read()
        assert answer.status == 200
        etag = answer.headers["ETag"]
        for known in (etag, f'"other", W/{etag}', "*"):
            again = await client.get(path, headers={"If-None-Match": known})
            assert (again.status, await again.read()) == (304, b"")
            assert again.headers["ETag"] == etag
        other = await client.get(path, headers={"If-None-Match": '"other"'})
        assert (other.status, await other.read()) == (200, body)
        head = await client.head(path)
        assert head.headers["Content-Length"] == str(len(body))


async def test_the_document_is_served_as_it_is_made(client: Client, made: Json) -> None:
    answer = await client.get("/openapi.json")
    assert answer.content_type == "application/json"
    assert await answer.json() == json.loads(json.dumps(made))


def test_the_servers_address_is_the_public_one(app: web.Application) -> None:
    made = document.make(app, app[DESCRIPTION].apis(), server="https://provider.example")
    assert made["servers"] == [{"url": "https://provider.example"}]


class Links(HTMLParser):
    """What a page loads or links to, and the elements that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.anchors: set[str] = set()
        self.elements: set[str] = set()
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        for name, value in attrs:
            if name in {"href", "src"}:
                self.targets.add(value or "")
            if name == "id":
                self.anchors.add(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)


async def test_the_page_needs_nothing_but_itself(client: Client, made: Json) -> None:
    answer = await client.get("/docs")
    text = await answer.text()
    links = Links()
    links.feed(text)
    outside = {each for each in links.targets if not each.startswith("#")}
    assert outside == {"openapi.json"}
    assert {each[1:] for each in links.targets - outside} <= links.anchors
    assert not links.elements & {"script", "img", "link", "iframe", "object", "form"}
    assert links.handlers == []
    policy = answer.headers["Content-Security-Policy"]
    assert policy == page.POLICY
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert {each["operationId"] for name, each in operations(made) if "HEAD " not in name} <= (
        links.anchors
    )


def test_the_page_says_that_head_works_only_where_it_does(made: Json) -> None:
    shown = page.render(made).split('<section class="call"')[1:]
    [nonce] = [part for part in shown if "/api/services/nonce</code>" in part]
    assert "HEAD gives the headers alone" not in nonce
    [result] = [part for part in shown if "/api/services/computeResult</code>" in part]
    assert "HEAD gives the headers alone" in result


def test_the_page_escapes_what_it_shows(app: web.Application) -> None:
    evil = "<script>alert(1)</script>"
    answers = {200: Answer(evil, {"application/json": str}, {evil: evil}, example=evil)}
    call = Operation("GET", "/docs", "evil", evil, evil, answers, headers={evil: evil}, refusals=())
    made = document.make(app, [document.Mounted(Api({evil: evil}, [call], {}))], server="/")
    shown = page.render(made)
    assert evil not in shown
    assert shown.count("&lt;script&gt;") >= 7


def test_a_service_that_nobody_asks_does_not_make_it() -> None:
    """Neither the descriptions nor what makes the document are imported with the service."""
    code = (
        "import sys, provider.app, provider.dialects.aaas.routes;"
        "print([name for name in sys.modules if name.endswith(('.described', 'openapi.document',"
        " 'openapi.page', '.shapes'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

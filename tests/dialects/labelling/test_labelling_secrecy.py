"""The password of a site's database is nowhere but in the container's memory; who may ask."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from labelling_bodies import RUNAWAY, forum_body, seed_body, slow_posts
from labelling_client import Labelling
from mariadb import RESULTS, SCHEMA, Server
from support.service import Service, containers, engine

from examples.labelling import posts
from provider.apikeys import hash_key, new_key

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="function")]

KEYS = {"ann": new_key(), "ben": new_key()}


@pytest_asyncio.fixture
async def own(tmp_path: Path, labelling_image: str, mariadb: Server) -> AsyncIterator[Service]:
    """A service at the root, with keys of two parties."""
    service = Service(tmp_path / "own")
    service.environments({"network": "bridge"})
    forum = tmp_path / "forum.sqlite"
    posts.make_file(forum, slow_posts())
    section = {
        "mount": "/",
        "environment": "test",
        "image": labelling_image,
        "sites": ["*"],
        "files": {"slow": str(forum)},
        "batchRows": 50,
        "keys": {name: hash_key(key) for name, key in KEYS.items()},
    }
    service.dialects({"labelling": section})
    await service.start(LOG_LEVEL="DEBUG")
    yield service
    service.stop()
    service.sweep()


async def test_the_password_is_nowhere(own: Service, mariadb: Server) -> None:
    body = forum_body(
        MODEL_TYPE="regex_model",
        PATTERN=RUNAWAY,
        INPUT_SCHEMA=SCHEMA,
        INPUT_TABLE="slow_posts",
        SITE_CONFIG=mariadb.site(),
    )
    answers: list[str] = []
    async with Labelling(own.url, mount="", key=KEYS["ann"]) as ann:
        status, created = await ann.ask("POST", "/", body)
        assert status == 200, created
        task_id = created["error_message"]["task_id"]
        await ann.until(task_id, lambda row: bool(row["length_output_table"]))
        with engine() as client:
            [name] = containers(own.operator_id())
            inspected = json.dumps(client.inspect_container(name))
            printed = client.logs(name).decode()
        asked = [("GET", "/"), ("GET", f"/{task_id}/"), ("GET", f"/{task_id}/sample/")]
        answers = [json.dumps(created)] + [str(await ann.ask(*each)) for each in asked]
        broken = seed_body(SITE_CONFIG={**mariadb.site(), "port": "x", "passwort": 1}, QUEUE=7)
        answers.append(str(await ann.ask("POST", "/", broken)))
        while_running = _files_with(own.root, mariadb.password)
        await ann.outcome("POST", "/abort/", {"TASK_ID": task_id})
        answers.append(str(await ann.row(task_id)))
    wrong = forum_body(
        INPUT_SCHEMA=SCHEMA, SITE_CONFIG=mariadb.site(password=mariadb.password + "-not")
    )
    async with Labelling(own.url, mount="", key=KEYS["ann"]) as ann:
        failed = await ann.create(wrong)
        row = await ann.over(failed, "FAILURE")
        assert row["error_message"].startswith("user and password are not accepted")
        answers.append(str(row))
    for secret in (mariadb.password, quote(mariadb.password)):
        assert not any(secret in each for each in [*answers, inspected, printed, own.log()])
        assert while_running == []
        assert _files_with(own.root, secret) == []
    assert _files_with(own.root, base64.b64encode(mariadb.password.encode()).decode()) == []
    assert mariadb.ask(f"SHOW TABLES IN {RESULTS} LIKE 'slow_posts%%{task_id[:12]}'")


async def test_tasks_of_one_key_are_invisible_to_another(own: Service) -> None:
    body = forum_body(SITE_CONFIG={"drivername": "sqlite", "db": "slow"}, COUNTDOWN=600)
    async with (
        Labelling(own.url, mount="", key=KEYS["ann"]) as ann,
        Labelling(own.url, mount="", key=KEYS["ben"]) as ben,
        Labelling(own.url, mount="", key=new_key()) as nobody,
        Labelling(own.url, mount="") as keyless,
    ):
        task_id = await ann.create(body)
        assert (await ben.outcome("GET", f"/{task_id}/"))[0] == 404
        assert (await ben.outcome("GET", f"/{task_id}/sample/"))[0] == 404
        assert (await ben.outcome("POST", "/abort/", {"TASK_ID": task_id}))[0] == 404
        assert (await ben.outcome("POST", "/dump/", {"TASK_IDS": [task_id]}))[0] == 404
        assert (await ben.ask("GET", "/"))[1]["content"] == []
        refused = await nobody.ask("GET", f"/{task_id}/")
        assert refused == await keyless.ask("GET", f"/{task_id}/")
        assert refused[0] == 401
        assert (await keyless.ask("POST", "/", {"nonsense": 1}))[0] == 401
        assert (await ann.row(task_id))["stat"] == "PENDING"
        assert (await ann.outcome("POST", "/abort/", {"TASK_ID": task_id}))[0] == 200


async def test_a_kill_of_the_service_costs_nothing(own: Service) -> None:
    """The labelling goes on while the service is away, and is found again."""
    body = forum_body(
        MODEL_TYPE="regex_model",
        PATTERN=RUNAWAY,
        SITE_CONFIG={"drivername": "sqlite", "db": "slow"},
    )
    async with Labelling(own.url, mount="", key=KEYS["ann"]) as ann:
        task_id = await ann.create(body)
        await ann.until(task_id, lambda row: bool(row["length_output_table"]))
        own.kill()
        await own.restart()
        assert (await ann.row(task_id))["stat"] == "PENDING"
        row = await ann.finished(task_id)
        assert (row["stat"], row["prod_stat"]) == ("SUCCESS", "finish")
        assert row["length_receive_table"] == len(slow_posts())


def _files_with(folder: Path, text: str) -> list[Path]:
    """Files below a folder that hold a text, as bytes, whatever they are."""
    wanted = text.encode()
    found = []
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            # The service clears away as it goes.
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink() and wanted in path.read_bytes():
                    found.append(path)
    return found

"""The labelling API by plain HTTP: the real service, the real engine, real databases."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from labelling_bodies import RUNAWAY, forum_body, seed_body
from labelling_client import Labelling
from mariadb import RESULTS, SCHEMA, Server
from support.service import Service

from examples.labelling import demo, posts

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

FIELDS = [
    "task_id",
    "stat",
    "prod_stat",
    "model_type",
    "predict_type",
    "date_range",
    "target_table",
    "create_time",
    "peak_memory",
    "length_receive_table",
    "length_output_table",
    "length_prod_table",
    "result",
    "uniq_source_author",
    "rate_of_label",
    "run_time",
    "check_point",
    "error_message",
]
UNKNOWN = "f" * 32


def slow_body(**changes: Any) -> dict[str, Any]:
    """Labels some posts at once, and is then busy for a while."""
    given = {
        "MODEL_TYPE": "regex_model",
        "PATTERN": RUNAWAY,
        "SITE_CONFIG": {"drivername": "sqlite", "db": "slow"},
    }
    return forum_body(**(given | changes))


def maria_body(mariadb: Server, **changes: Any) -> dict[str, Any]:
    return forum_body(INPUT_SCHEMA=SCHEMA, SITE_CONFIG=mariadb.site(), **changes)


async def test_create_answers_with_the_whole_configuration(labelling: Labelling) -> None:
    body = seed_body(COUNTDOWN=3600)
    status, answer = await labelling.ask("POST", "/", body)
    assert status == 200
    message = answer["error_message"]
    task_id = message.pop("task_id")
    assert re.fullmatch("[0-9a-f]{32}", task_id)
    assert answer == {
        "error_code": 200,
        "error_message": {
            "model_type": "keyword_model",
            "predict_type": "author",
            "start_time": "2020-01-01",
            "end_time": "2021-01-01",
            "target_schema": "wh_tiktok",
            "target_table": "ts_page_content",
            "output_schema": "audience_result",
            "countdown": 3600,
            "queue": "queue1",
            "date_range": "2020-01-01 - 2021-01-01",
        },
    }
    row = await labelling.row(task_id)
    assert list(row) == FIELDS
    assert (row["stat"], row["prod_stat"], row["run_time"]) == ("PENDING", None, None)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", row["create_time"])
    assert (await labelling.outcome("POST", "/abort/", {"TASK_ID": task_id}))[0] == 200


async def test_a_whole_labelling_on_mariadb(labelling: Labelling, mariadb: Server) -> None:
    task_id = await labelling.create(maria_body(mariadb, PATTERN=posts.KEYWORDS))
    running = await labelling.until(task_id, lambda row: bool(row["length_output_table"]))
    assert (running["stat"], running["prod_stat"]) == ("PENDING", None)
    assert running["check_point"].startswith("2020-")
    assert running["run_time"] > 0
    row = await labelling.finished(task_id)
    table = row["result"]
    [(count, authors)] = mariadb.ask(
        f"SELECT COUNT(*), COUNT(DISTINCT source_author) FROM {RESULTS}.`{table}`"
    )
    [(received, everybody)] = mariadb.ask(
        f"SELECT COUNT(*), COUNT(DISTINCT author) FROM {SCHEMA}.{posts.TABLE}"
    )
    assert count > 0
    taken = {name: row[name] for name in FIELDS if name not in {"create_time", "peak_memory"}}
    assert isinstance(taken.pop("run_time"), float)
    assert isinstance(row["peak_memory"], float)
    assert taken == {
        "task_id": task_id,
        "stat": "SUCCESS",
        "prod_stat": "finish",
        "model_type": "keyword_model",
        "predict_type": "content",
        "date_range": "2020-01-01 - 2021-01-01",
        "target_table": posts.TABLE,
        "length_receive_table": received,
        "length_output_table": count,
        "length_prod_table": str(authors),
        "result": table,
        "uniq_source_author": str(everybody),
        "rate_of_label": f"{100 * authors / everybody:.2f}",
        "check_point": None,
        "error_message": None,
    }


async def test_a_sample_while_it_runs_and_an_abort(
    labelling: Labelling, labelling_service: Service
) -> None:
    task_id = await labelling.create(slow_body())
    early = await labelling.outcome("GET", f"/{task_id}/sample/")
    assert early[0] == 404
    assert "wait for awhile to retry it" in early[1]
    row = await labelling.until(task_id, lambda row: bool(row["length_output_table"]))
    assert row["stat"] == "PENDING"
    code, rows = await labelling.outcome("GET", f"/{task_id}/sample/")
    assert code == 200
    assert 1 <= len(rows) <= 50
    assert set(rows[0]) == {
        "task_id",
        "source_id",
        "source_author",
        "post_time",
        "label",
        "matched",
    }
    assert {(row["task_id"], row["label"]) for row in rows} == {(task_id, "word")}
    assert await labelling.outcome("POST", "/abort/", {"TASK_ID": task_id}) == (
        200,
        f"successfully send break status to task {task_id} in state",
    )
    row = await labelling.row(task_id)
    assert (row["stat"], row["prod_stat"]) == ("BREAK", None)
    # Again, by the path of the manual: nothing changes.
    assert (await labelling.outcome("POST", "/", {"TASK_ID": task_id}))[0] == 200
    after = await labelling.row(task_id)
    assert after["stat"] == "BREAK"
    assert after["length_output_table"] == row["length_output_table"]


async def test_abort_in_the_queue(labelling: Labelling) -> None:
    first = await labelling.create(slow_body(QUEUE="single"))
    await labelling.until(first, lambda row: bool(row["length_output_table"]))
    second = await labelling.create(slow_body(QUEUE="single"))
    assert (await labelling.outcome("POST", "/abort", {"TASK_ID": second}))[0] == 200
    row = await labelling.row(second)
    assert (row["stat"], row["run_time"], row["result"]) == ("BREAK", None, None)
    assert (await labelling.outcome("GET", f"/{second}/sample"))[0] == 404
    assert (await labelling.row(first))["stat"] == "PENDING"
    assert (await labelling.outcome("POST", "/", {"TASK_ID": first}))[0] == 200


async def test_a_finished_task_stays_finished(labelling: Labelling) -> None:
    task_id = await labelling.create(forum_body())
    await labelling.finished(task_id)
    code, said = await labelling.outcome("POST", "/abort/", {"TASK_ID": task_id})
    assert (code, said) == (400, f"task {task_id} is over already and cannot be aborted")
    row = await labelling.row(task_id)
    assert (row["stat"], row["prod_stat"]) == ("SUCCESS", "finish")
    code, said = await labelling.outcome("POST", "/dump/", {"TASK_IDS": [task_id]})
    assert (code, said) == (
        200,
        {"task_ids": [task_id], "tables": {task_id: [row["result"]]}},
    )


async def test_nothing_labelled_is_no_data(labelling: Labelling) -> None:
    task_id = await labelling.create(forum_body(PATTERN={}))
    row = await labelling.finished(task_id)
    assert (row["stat"], row["prod_stat"], row["result"]) == ("SUCCESS", "no_data", None)
    assert (row["length_receive_table"], row["length_output_table"]) == (posts.COUNT, 0)
    code, said = await labelling.outcome("GET", f"/{task_id}/sample/")
    assert code == 404
    assert "no_data" in said


async def test_a_failure_says_why(labelling: Labelling) -> None:
    task_id = await labelling.create(forum_body(INPUT_TABLE="no_such_table"))
    row = await labelling.over(task_id, "FAILURE")
    assert row["error_message"].startswith("the input table does not exist")
    assert (row["prod_stat"], row["result"]) == (None, None)
    code, _ = await labelling.outcome("POST", "/dump/", {"TASK_IDS": [task_id]})
    assert code == 400


async def test_countdown(labelling: Labelling) -> None:
    task_id = await labelling.create(forum_body(COUNTDOWN=2))
    started = asyncio.get_running_loop().time()
    await labelling.until(task_id, lambda row: row["run_time"] is not None)
    assert asyncio.get_running_loop().time() - started > 1.5
    await labelling.finished(task_id)


async def test_the_list_has_the_five_newest(labelling: Labelling) -> None:
    created = [await labelling.create(forum_body(COUNTDOWN=3600)) for _ in range(6)]
    status, answer = await labelling.ask("GET", "/")
    assert status == 200
    assert (answer["error_code"], answer["error_message"]) == (200, "OK")
    assert [row["task_id"] for row in answer["content"]] == created[:0:-1]
    assert all(list(row) == FIELDS for row in answer["content"])
    for task_id in created:
        assert (await labelling.outcome("POST", "/abort/", {"TASK_ID": task_id}))[0] == 200


@pytest.mark.parametrize("path", ["/", "//"])
@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"START_TIME": ...}, ["body", "START_TIME"]),
        ({"MODEL_TYPE": "rf_model"}, ["body", "MODEL_TYPE"]),
        ({"INPUT_TABLE": "a'; --"}, ["body", "INPUT_TABLE"]),
        ({"COUNTDOWN": [5]}, ["body", "COUNTDOWN"]),
        ({"SITE_CONFIG": ...}, ["body", "SITE_CONFIG"]),
        (
            {"PATTERN": {"a": ["("]}, "MODEL_TYPE": "regex_model"},
            ["body", "PATTERN", "a", 0],
        ),
    ],
)
async def test_bodies_that_fail_validation(
    labelling: Labelling, path: str, changes: dict[str, Any], place: list[Any]
) -> None:
    status, answer = await labelling.ask("POST", path[:1], seed_body(**changes))
    assert status == 422
    [mistake] = answer["detail"]
    assert mistake["loc"] == place
    assert sorted(mistake) == ["loc", "msg", "type"]


@pytest.mark.parametrize("body", ["", "{", "[]", '"x"', "[" * 100_000, '{"a": NaN}', "{} {}"])
async def test_bodies_that_are_none(labelling: Labelling, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with labelling._session.post(
        f"{labelling.tasks}/", data=body, headers=headers
    ) as response:
        assert response.status == 422
        assert (await response.json())["detail"][0]["loc"][0] == "body"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"END_TIME": "2019-12-31"}, "START_TIME must be before END_TIME"),
        ({"QUEUE": "queue7"}, "QUEUE: there is no such queue"),
        ({"SITE_CONFIG": {"drivername": "sqlite", "db": "../forum"}}, "SITE_CONFIG.db"),
        (
            {"SITE_CONFIG": {**seed_body()["SITE_CONFIG"], "host": "192.0.2.1"}},
            "SITE_CONFIG.host",
        ),
    ],
)
async def test_refusals(labelling: Labelling, changes: dict[str, Any], said: str) -> None:
    code, message = await labelling.outcome("POST", "/", seed_body(**changes))
    assert code == 400
    assert message.startswith(said)
    assert "192.0.2.1" not in message


@pytest.mark.parametrize("task_id", ["x", UNKNOWN, "..%2f..%2fetc%2fpasswd", "a" * 4000, "%00"])
async def test_ids_that_are_unknown(labelling: Labelling, task_id: str) -> None:
    assert (await labelling.outcome("GET", f"/{task_id}/"))[0] == 404


@pytest.mark.parametrize(
    ("task_id", "code"), [("x", 400), ("..%2f" * 11, 400), ("a" * 33, 400), (UNKNOWN, 404)]
)
async def test_samples_of_unknown_ids(labelling: Labelling, task_id: str, code: int) -> None:
    assert (await labelling.outcome("GET", f"/{task_id}/sample/"))[0] == code


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/abort/", {"TASK_ID": "x"}, 400),
        ("/", {"TASK_ID": "../" * 11}, 400),
        ("/abort/", {"TASK_ID": UNKNOWN}, 404),
        ("/dump/", {}, 404),
        ("/dump/", {"TASK_IDS": []}, 404),
        ("/dump", {"task_ids": [UNKNOWN]}, 404),
        ("/dump/", {"TASK_IDS": ["x"]}, 404),
    ],
)
async def test_aborts_and_dumps_of_unknown_ids(
    labelling: Labelling, path: str, body: dict[str, Any], code: int
) -> None:
    assert (await labelling.outcome("POST", path, body))[0] == code


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/", 405),
        ("DELETE", f"/{UNKNOWN}/", 405),
        ("GET", f"/{UNKNOWN}/report/", 404),
        ("POST", "/abort/x", 404),
        ("POST", f"/{UNKNOWN}/sample/", 405),
    ],
)
async def test_paths_that_are_none(
    labelling: Labelling, method: str, path: str, status: int
) -> None:
    found, answer = await labelling.ask(method, path)
    assert (found, list(answer)) == (status, ["detail"])


async def test_the_models_of_a_later_version_are_not_served(labelling: Labelling) -> None:
    url = labelling.tasks.removesuffix("tasks") + "models/prepare/"
    async with labelling._session.post(url, json={}) as response:
        assert response.status == 404


async def test_the_example(
    labelling: Labelling, labelling_service: Service, mariadb: Server
) -> None:
    """The same story on both kinds of databases."""
    told: list[str] = []
    url, session = labelling_service.url, labelling._session
    on_file = await demo.run(url, session, told.append)
    assert on_file["length_receive_table"] == posts.COUNT
    on_server = await demo.run(url, session, told.append, site=mariadb.site())
    assert on_server["length_receive_table"] > posts.COUNT
    assert on_file["rate_of_label"] == "99.67"
    assert len(told) >= 6

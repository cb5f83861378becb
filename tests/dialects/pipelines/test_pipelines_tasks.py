"""Tasks through the service's process and the real engine: every call and field of the wire."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pipeline_caller import (
    ACCESS_KEY,
    CHOICES,
    DELETE,
    LOG,
    OPTIMIZE,
    PREPROCESS,
    SECRET_KEY,
    TASK,
    TASKS,
    TRAIN,
    Caller,
    Json,
    names,
    over,
    unpacked,
    zipped,
)

from provider.registry.models import is_uid

pytestmark = pytest.mark.docker

ENDLESS = "echo begun; while true; do sleep 0.05; done"
KEYS = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
ORDER = ["prepare_file", "run_task", "upload"]


def require_fields(caller: Caller, task: Json, body: Json, output: str) -> None:
    assert list(task)[:11] == [
        output,
        "uid",
        "created_time",
        "name",
        "description",
        "execute_step",
        "status",
        "f_download_image_uid",
        "f_running_image_uid",
        "f_upload_image_uid",
        "f_pipeline_uid",
    ]
    assert is_uid(task[output])
    assert is_uid(task["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+08:00", task["created_time"])
    assert (task["name"], task["description"]) == ("test_task", "test task")
    assert task["f_pipeline_uid"] == caller.uids["pipeline"]
    for sequence in ("download", "running", "upload"):
        assert task[f"f_{sequence}_image_uid"] == body["image_uid"][f"{sequence}_uid"]


async def follow(caller: Caller, key: str, body: Json, output: str) -> Json:
    """Run a task to its end; its states are in the order of the table."""
    status, answer = await caller.parse(key, body)
    assert (status, answer["detail"]) == (200, "Excute task successfully")
    started = answer["data"]
    require_fields(caller, started, body, output)
    assert (started["execute_step"], started["status"]) == ("prepare_file", "init")
    seen = await caller.until(started["uid"], over)
    assert seen[-1]["status"] == "finished", seen[-1].get("reason")
    steps = [ORDER.index(task["execute_step"]) for task in seen]
    assert steps == sorted(steps)
    for task in seen:
        require_fields(caller, task, body, output)
        assert task | {"execute_step": "", "status": ""} == started | {
            "execute_step": "",
            "status": "",
        }
    assert {task["status"] for task in seen[:-1]} <= {"init", "running"}
    assert seen[-1]["execute_step"] == "upload"
    return seen[-1]


async def test_preprocessing_training_and_optimisation(caller: Caller) -> None:
    body = await caller.body("echo two; echo 3,4 >> $OUTPUTS/data")
    prepared = await follow(caller, PREPROCESS, body, "training_dataset_uid")
    dataset_uid = prepared["training_dataset_uid"]
    status, content = await caller.registry("GET", f"datasets/{dataset_uid}/content")
    assert (status, unpacked(content)) == (200, {"data": "a,b\n1,2\n3,4\n"})
    status, answer = await caller.registry("GET", f"datasets/{dataset_uid}")
    item = answer["data"]
    assert (item["status"], item["f_task_uid"]) == ("ready", prepared["uid"])
    assert (item["type"], item["name"], item["extension"]) == ("training", "prepared", "zip")
    log = await caller.good(LOG, {"task_uid": prepared["uid"], "type": "preprocessing"})
    assert list(log) == ["download_original_dataset", "preprocessing", "upload_training_dataset"]
    assert "/data/inputs/dataset:\nrows.csv" in log["download_original_dataset"]
    assert log["preprocessing"] == "two\n"
    assert log["upload_training_dataset"] == f"{dataset_uid}.zip\n"

    body = await caller.model_body(dataset_uid, "env | sort; ls -R $INPUTS")
    trained = await follow(caller, TRAIN, body, "model_uid")
    status, answer = await caller.parse(LOG, {"task_uid": trained["uid"], "type": "training"})
    assert (status, answer["detail"]) == (200, "Get log successfully")
    log = answer["data"]
    assert list(log) == ["download_training_dataset", "training", "upload_model"]
    assert f"OUTPUT_UID={trained['model_uid']}\n" in log["training"]
    assert f"TASK_UID={trained['uid']}\n" in log["training"]
    assert "TASK_TYPE=training\n" in log["training"]
    assert "/data/inputs/dataset" not in log["training"]
    assert ACCESS_KEY not in json.dumps(log)

    changes = {"type": "application", "model_uid": trained["model_uid"]}
    body = await caller.model_body(dataset_uid, "echo better >> $OUTPUTS/model", **changes)
    optimized = await follow(caller, OPTIMIZE, body, "model_uid")
    log = await caller.good(LOG, {"task_uid": optimized["uid"], "type": "retrain"})
    assert list(log) == ["download_optimization_dataset", "retrain", "upload_model"]
    status, content = await caller.registry("GET", f"models/{optimized['model_uid']}/content")
    assert status == 200
    assert names(content) == ["data", "model"]

    for field in ("pipeline_uid", "f_pipeline_uid"):
        listed = await caller.good(TASKS, {field: caller.uids["pipeline"]})
        assert listed[:3] == [optimized, trained, prepared]


async def test_a_log_while_it_is_written_and_a_task_that_is_stopped(caller: Caller) -> None:
    started = await caller.good(PREPROCESS, await caller.body(ENDLESS))
    uid = started["uid"]
    first = await caller.good(LOG, {"task_uid": uid, "type": "preprocessing"})
    assert first["upload_training_dataset"] == ""
    log = await caller.printed(uid, "preprocessing", "preprocessing", "begun")
    assert log["upload_training_dataset"] == ""
    task = await caller.good(TASK, {"uid": uid})
    assert (task["execute_step"], task["status"]) == ("run_task", "running")

    body = await caller.model_body(started["training_dataset_uid"])
    status, answer = await caller.parse(TRAIN, body)
    assert status == 409
    assert answer["detail"].startswith("dataset_uid: ")
    assert f"task {uid} has not finished" in answer["detail"]
    for path in (f"datasets/{caller.uids['dataset']}", f"build_files/{caller.uids['running']}"):
        status, answer = await caller.registry("DELETE", path)
        assert (status, answer["data"]) == (409, None)
        assert uid in answer["detail"]

    status, answer = await caller.parse(DELETE, {"task_uid": uid, **KEYS})
    assert (status, answer["detail"]) == (200, "Delete task successfully")
    assert (answer["data"]["execute_step"], answer["data"]["status"]) == ("run_task", "deleted")
    assert (await caller.good(TASK, {"uid": uid}))["status"] == "deleted"
    log = await caller.good(LOG, {"task_uid": uid, "type": "preprocessing"})
    assert "begun" in log["preprocessing"]
    status, answer = await caller.parse(TRAIN, body)
    assert status == 422
    assert "never got its content" in answer["detail"]

    await caller.good(DELETE, {"task_uid": uid, **KEYS})
    for key, question in ((TASK, {"uid": uid}), (DELETE, {"task_uid": uid, **KEYS})):
        status, answer = await caller.parse(key, question)
        assert (status, answer["data"]) == (404, None)
        assert uid in answer["detail"]


async def test_deleting_a_finished_task_keeps_what_it_made(caller: Caller) -> None:
    started = await caller.good(PREPROCESS, await caller.body())
    finished = await caller.ended(started["uid"])
    assert finished["status"] == "finished"
    deleted = await caller.good(DELETE, {"task_uid": started["uid"], **KEYS})
    assert deleted == finished | {"status": "deleted"}
    status, content = await caller.registry(
        "GET", f"datasets/{started['training_dataset_uid']}/content"
    )
    assert (status, unpacked(content)) == (200, {"data": "a,b\n1,2\n"})
    body = await caller.model_body(started["training_dataset_uid"])
    assert (await caller.ended((await caller.good(TRAIN, body))["uid"]))["status"] == "finished"


async def test_a_stage_that_fails(caller: Caller) -> None:
    started = await caller.good(PREPROCESS, await caller.body("echo oh; exit 3"))
    task = await caller.ended(started["uid"])
    assert (task["execute_step"], task["status"]) == ("run_task", "failed")
    assert task["reason"].startswith("stage running: exit_code (exit code 3)")
    log = await caller.good(LOG, {"task_uid": task["uid"], "type": "preprocessing"})
    assert log["preprocessing"] == "oh\n"
    assert log["upload_training_dataset"] == ""
    body = await caller.model_body(started["training_dataset_uid"])
    status, answer = await caller.parse(TRAIN, body)
    assert status == 422
    assert "exit code 3" in answer["detail"]
    uid = started["training_dataset_uid"]
    status, answer = await caller.registry("GET", f"datasets/{uid}/content")
    assert status == 422
    assert (await caller.registry("DELETE", f"datasets/{uid}"))[0] == 200


async def test_a_task_that_makes_no_file_of_the_kind(caller: Caller) -> None:
    started = await caller.good(PREPROCESS, await caller.body(dataset_file_extension="csv"))
    task = await caller.ended(started["uid"])
    assert (task["execute_step"], task["status"]) == ("upload", "failed")
    assert "0 files whose names end with .csv" in task["reason"]


async def test_one_file_of_the_kind_is_the_content_as_it_is(caller: Caller) -> None:
    body = await caller.body("mv $OUTPUTS/data $OUTPUTS/data.csv", dataset_file_extension="csv")
    started = await caller.good(PREPROCESS, body)
    assert (await caller.ended(started["uid"]))["status"] == "finished"
    uid = started["training_dataset_uid"]
    assert await caller.registry("GET", f"datasets/{uid}/content") == (200, b"a,b\n1,2\n")


async def test_what_a_form_offers(caller: Caller) -> None:
    choices = await caller.good(CHOICES, {"pipeline_uid": caller.uids["pipeline"]})
    assert set(choices) == {"datasets", "configs", "models", "images"}
    assert caller.uids["dataset"] in [each["uid"] for each in choices["datasets"]]
    for sequence in ("download", "running", "upload"):
        [image] = choices["images"][sequence]
        assert (image["uid"], image["sequence"]) == (caller.uids[sequence], sequence)
        assert "checksum" not in image


@pytest.mark.parametrize(
    "credentials",
    [
        {"access_key": "nobody", "secret_key": SECRET_KEY},
        {"access_key": ACCESS_KEY, "secret_key": "wrong"},
        {"access_key": "user2", "secret_key": SECRET_KEY},
        {"access_key": "", "secret_key": ""},
    ],
)
async def test_wrong_keys_have_one_answer(caller: Caller, credentials: Json) -> None:
    answers = {
        json.dumps(await caller.parse(key, body | credentials))
        for key, body in (
            (PREPROCESS, await caller.body()),
            (DELETE, {"task_uid": caller.uids["dataset"]}),
        )
    }
    assert len(answers) == 1
    status, answer = json.loads(answers.pop())
    assert (status, answer["data"]) == (401, None)
    assert "access_key, secret_key: these are not the keys of a user" in answer["detail"]


UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    "field",
    [
        "pipeline_uid",
        "dataset_uid",
        "config_uid",
        "model_uid",
        "image_uid.download_uid",
        "image_uid.running_uid",
        "image_uid.upload_uid",
    ],
)
async def test_an_unknown_uid_is_named(caller: Caller, field: str) -> None:
    model = {"extension": "zip", "input_format": "a", "output_format": "b"}
    model_uid = await caller.add("models", zipped(a="1"), **model)
    changes = {"type": "application", "model_uid": model_uid}
    body = await caller.model_body(caller.uids["dataset"], **changes)
    outer, _, inner = field.partition(".")
    body[outer] = body[outer] | {inner: UNKNOWN} if inner else UNKNOWN
    status, answer = await caller.parse(OPTIMIZE, body)
    assert (status, answer["data"]) == (404, None)
    assert answer["detail"].startswith(f"{field}: there is no ")
    assert UNKNOWN in answer["detail"]


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"pipeline_uid": "../../../etc/passwd"}, "pipeline_uid: is not a UID"),
        ({"type": "application"}, "dataset_uid: the dataset is of type project"),
        ({"type": ["project"]}, "type: is a list"),
        ({"image_uid": "x"}, "image_uid: is a text; write an object"),
        ({"image_uid": {}}, "image_uid.download_uid: is missing"),
        ({"task_name": None}, "task_name: is missing"),
        ({"dataset_file_extension": "/"}, "dataset_file_extension: is not an extension"),
    ],
)
async def test_what_is_wrong_is_named(caller: Caller, changes: Json, detail: str) -> None:
    status, answer = await caller.parse(PREPROCESS, await caller.body(**changes))
    assert (status, answer["data"]) == (422, None)
    assert answer["detail"].startswith(detail)


async def test_a_build_file_in_the_wrong_place(caller: Caller) -> None:
    body = await caller.body()
    body["image_uid"]["running_uid"] = caller.uids["download"]
    status, answer = await caller.parse(PREPROCESS, body)
    assert status == 422
    assert answer["detail"].startswith("image_uid.running_uid: the build file is for download")


async def test_nothing_is_left_of_a_run_that_was_refused(caller: Caller) -> None:
    before = await caller.good(CHOICES, {"pipeline_uid": caller.uids["pipeline"]})
    body = await caller.body(type="application")
    await caller.parse(PREPROCESS, body)
    after = await caller.good(CHOICES, {"pipeline_uid": caller.uids["pipeline"]})
    assert after["datasets"] == before["datasets"]


@pytest.mark.parametrize(
    ("key", "body", "status", "detail"),
    [
        ("unknown", {}, 404, "Not Found."),
        (TASK, {}, 422, "uid: is missing"),
        (TASK, {"uid": "../x"}, 422, "uid: is not a UID"),
        (TASK, {"uid": UNKNOWN}, 404, f"uid: there is no task {UNKNOWN}"),
        (LOG, {"task_uid": UNKNOWN, "type": "training"}, 404, "task_uid: there is no task"),
        (LOG, {"task_uid": UNKNOWN, "type": "optimization"}, 422, "type: is 'optimization'"),
        (LOG, {"task_uid": UNKNOWN}, 422, "type: is missing"),
        (TASKS, {"pipeline_uid": UNKNOWN}, 404, "pipeline_uid: there is no pipeline"),
        (CHOICES, {"pipeline_uid": 1}, 422, "pipeline_uid: is a number"),
        (DELETE, {"task_uid": UNKNOWN, **KEYS}, 404, "task_uid: there is no task"),
        (DELETE, {"task_uid": UNKNOWN}, 422, "access_key: is missing"),
        (TASK, [], 400, "The body must be a JSON object."),
    ],
)
async def test_questions_that_are_refused(
    caller: Caller, key: str, body: Any, status: int, detail: str
) -> None:
    found, answer = await caller.parse(key, body)
    assert (found, answer["data"]) == (status, None)
    assert answer["detail"].startswith(detail)


async def test_a_body_that_is_no_json(caller: Caller) -> None:
    for raw in (b"", b"{", b"\xff", b'{"uid": NaN}'):
        status, answer = await caller.parse(TASK, None, data=raw)
        assert (status, answer["data"]) == (400, None)


async def test_of_a_long_log_the_end(caller: Caller) -> None:
    script = "yes $(printf %999s | tr ' ' y) | head -c 2000000; echo end"
    started = await caller.good(PREPROCESS, await caller.body(script))
    assert (await caller.ended(started["uid"]))["status"] == "finished"
    log = await caller.good(LOG, {"task_uid": started["uid"], "type": "preprocessing"})
    left_out = 2_000_004 - (1 << 20)
    text = log["preprocessing"]
    assert text.startswith(f"[{left_out} bytes before this are left out]\n")
    assert text.endswith("y\nend\n")
    assert len(text.partition("\n")[2]) == 1 << 20


async def test_the_log_of_another_kind(caller: Caller) -> None:
    started = await caller.good(PREPROCESS, await caller.body())
    status, answer = await caller.parse(LOG, {"task_uid": started["uid"], "type": "training"})
    assert status == 422
    assert "is of type preprocessing" in answer["detail"]
    await caller.ended(started["uid"])

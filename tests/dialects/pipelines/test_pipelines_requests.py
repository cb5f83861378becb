"""The fields of requests: those of the manual, and what is wrong with others."""

from __future__ import annotations

from typing import Any

import pytest
from pipeline_bodies import OPTIMIZATION, PREPROCESSING, TRAINING, Json, changed

from provider.dialects.pipelines import registry_requests, requests
from provider.dialects.pipelines.credentials import Credentials, in_headers
from provider.dialects.pipelines.fields import FieldInvalid
from provider.dialects.pipelines.model import TaskKind
from provider.registry.models import Item, Kind

BODIES = {
    TaskKind.PREPROCESSING: PREPROCESSING,
    TaskKind.TRAINING: TRAINING,
    TaskKind.RETRAIN: OPTIMIZATION,
}
OPTIONAL = {"task_description", "dataset_description", "model_description", "foreignkey_uid"}
UID = PREPROCESSING["pipeline_uid"]


def read(kind: TaskKind, body: Json) -> None:
    requests.credentials(body)
    requests.run(kind, body)


def test_preprocessing_as_in_the_manual() -> None:
    call = requests.run(TaskKind.PREPROCESSING, PREPROCESSING)
    assert (call.name, call.description, call.type) == ("test_task", "test task", "project")
    assert call.pipeline_uid == PREPROCESSING["pipeline_uid"]
    assert call.dataset_uid == PREPROCESSING["dataset_uid"]
    assert call.config_uid == PREPROCESSING["config_uid"]
    assert call.images == {
        each: PREPROCESSING["image_uid"][f"{each}_uid"]
        for each in ("download", "running", "upload")
    }
    assert (call.wish.name, call.wish.description) == ("demo_training_dataset", "demo dataset")
    assert (call.wish.extension, call.wish.details) == ("zip", {"type": "training"})
    assert requests.credentials(PREPROCESSING) == Credentials("user1", "test")


def test_training_and_optimisation_as_in_the_manual() -> None:
    training = requests.run(TaskKind.TRAINING, TRAINING)
    optimization = requests.run(TaskKind.RETRAIN, OPTIMIZATION)
    assert training.model_uid == ""
    assert optimization.model_uid == OPTIMIZATION["model_uid"]
    assert training.wish == optimization.wish
    assert training.wish.details == {
        "type": "default",
        "input_format": "float32",
        "output_format": "float32",
    }


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (kind, field)
        for kind, body in BODIES.items()
        for field in [*body, *(f"image_uid.{each}" for each in body["image_uid"])]
        if field not in OPTIONAL
    ],
)
def test_a_missing_field_is_named(kind: TaskKind, field: str) -> None:
    body = changed(BODIES[kind], field, None)
    with pytest.raises(FieldInvalid, match=f"^{field}: is missing; write") as refused:
        read(kind, body)
    assert refused.value.status == 422


@pytest.mark.parametrize("field", sorted(OPTIONAL))
def test_an_optional_field_may_be_left_out(field: str) -> None:
    for kind, body in BODIES.items():
        if field in body:
            call = requests.run(kind, changed(body, field, None))
            assert "" in {call.description, call.wish.description, call.model_uid}


@pytest.mark.parametrize(
    ("kind", "field", "value", "problem"),
    [
        (TaskKind.PREPROCESSING, "type", "training", "is 'training'; write application or project"),
        (TaskKind.TRAINING, "type", "application", "is 'application'; write project"),
        (TaskKind.RETRAIN, "type", "project", "is 'project'; write application"),
        (TaskKind.PREPROCESSING, "dataset_type", "project", "write optimization or training"),
        (TaskKind.TRAINING, "model_type", "other", "is 'other'; write default"),
        (TaskKind.TRAINING, "task_name", 7, "is a number; write a text"),
        (TaskKind.TRAINING, "task_name", " ", "write one line of 1 to 200 printable letters"),
        (TaskKind.TRAINING, "task_name", "a\nb", "write one line"),
        (TaskKind.TRAINING, "task_name", "a" * 201, "write one line"),
        (TaskKind.TRAINING, "task_description", ["x"], "is a list; write a text"),
        (TaskKind.TRAINING, "task_description", "x" * 4001, "at most 4000 letters"),
        (TaskKind.TRAINING, "task_description", "\0", "none of them zero"),
        (TaskKind.TRAINING, "pipeline_uid", "../../etc", "is not a UID; write 32 hexadecimal"),
        (TaskKind.TRAINING, "pipeline_uid", True, "is true or false; write a text"),
        (TaskKind.TRAINING, "dataset_uid", {"uid": UID}, "is an object; write a text"),
        (TaskKind.TRAINING, "image_uid", UID, "is a text; write an object"),
        (TaskKind.TRAINING, "image_uid.running_uid", "x", "is not a UID"),
        (TaskKind.RETRAIN, "model_uid", "*", "is not a UID"),
        (TaskKind.TRAINING, "model_file_extension", "../zip", "is not an extension"),
        (TaskKind.TRAINING, "model_file_extension", ".zip", "is not an extension"),
        (TaskKind.TRAINING, "access_key", 1, "is not a text"),
        (TaskKind.TRAINING, "secret_key", ["test"], "is not a text"),
    ],
)
def test_a_value_that_is_not_taken(kind: TaskKind, field: str, value: Any, problem: str) -> None:
    body = changed(BODIES[kind], field, value)
    with pytest.raises(FieldInvalid) as refused:
        read(kind, body)
    assert refused.value.public.startswith(f"{field}: ")
    assert problem in refused.value.public


def test_uids_may_be_written_in_capitals() -> None:
    body = changed(TRAINING, "pipeline_uid", UID.upper())
    assert requests.run(TaskKind.TRAINING, body).pipeline_uid == UID


def test_questions_about_tasks() -> None:
    assert requests.task({"uid": UID}) == UID
    assert requests.log({"task_uid": UID, "type": "retrain"}) == (UID, TaskKind.RETRAIN)
    assert requests.deletion({"task_uid": UID}) == UID
    assert requests.of_pipeline({"pipeline_uid": UID}) == UID
    assert requests.of_pipeline({"f_pipeline_uid": UID}) == UID
    with pytest.raises(FieldInvalid, match="type: is 'optimization'; write"):
        requests.log({"task_uid": UID, "type": "optimization"})
    with pytest.raises(FieldInvalid, match="pipeline_uid: is missing"):
        requests.of_pipeline({})


def registered(kind: Kind, values: Json) -> Item:
    return registry_requests.item(kind, values, space="", owner="user1", now=1.5)


@pytest.mark.parametrize(
    ("kind", "values", "details", "extension"),
    [
        (Kind.PIPELINE, {}, {}, ""),
        (Kind.CONFIG, {"extension": "JSON"}, {}, "json"),
        (Kind.DATASET, {"type": "project", "extension": "csv"}, {"type": "project"}, "csv"),
        (Kind.BUILD_FILE, {"sequence": "upload"}, {"sequence": "upload"}, ""),
        (Kind.BUILD_FILE, {"sequence": "running", "extension": ""}, {"sequence": "running"}, ""),
        (
            Kind.MODEL,
            {"input_format": "a", "output_format": "b", "extension": "zip"},
            {"type": "default", "input_format": "a", "output_format": "b"},
            "zip",
        ),
    ],
)  # fmt: skip
def test_what_is_registered(kind: Kind, values: Json, details: Json, extension: str) -> None:
    item = registered(kind, {"name": "n", "f_pipeline_uid": UID, "description": "", **values})
    assert (item.kind, item.name, item.owner, item.created_at) == (kind, "n", "user1", 1.5)
    assert (item.details, item.extension) == (details, extension)
    assert item.pipeline_uid == ("" if kind is Kind.PIPELINE else UID)
    assert registered(kind, {"name": "n", "pipeline_uid": UID, "uid": UID, **values}).uid == UID


@pytest.mark.parametrize(
    ("kind", "values", "field"),
    [
        (Kind.PIPELINE, {"name": ""}, "name"),
        (Kind.PIPELINE, {"uid": "../x"}, "uid"),
        (Kind.CONFIG, {}, "extension"),
        (Kind.DATASET, {"type": "other", "extension": "zip"}, "type"),
        (Kind.BUILD_FILE, {"sequence": "first"}, "sequence"),
        (Kind.BUILD_FILE, {"sequence": "running", "extension": "tar"}, "extension"),
        (Kind.MODEL, {"output_format": "b", "extension": "zip"}, "input_format"),
    ],
)
def test_what_is_not_registered(kind: Kind, values: Json, field: str) -> None:
    with pytest.raises(FieldInvalid, match=f"^{field}: "):
        registered(kind, {"name": "n", "pipeline_uid": UID, **values})


def test_an_item_needs_a_pipeline() -> None:
    with pytest.raises(FieldInvalid, match=r"^pipeline_uid: is missing"):
        registered(Kind.CONFIG, {"name": "n", "extension": "json"})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Authorization": "Bearer x"}, None),
        ({"Authorization": "Basic dXNlcjE6dGU6c3Q="}, Credentials("user1", "te:st")),
        ({"Authorization": "Basic %%%"}, Credentials("", "")),
        ({"X-Access-Key": "user1", "X-Secret-Key": "test"}, Credentials("user1", "test")),
        ({"X-Access-Key": "user1"}, Credentials("user1", "")),
    ],
)
def test_credentials_in_headers(headers: dict[str, str], expected: Credentials | None) -> None:
    assert in_headers(headers) == expected


def test_a_secret_is_not_shown() -> None:
    assert "test" not in repr(Credentials("user1", "test"))

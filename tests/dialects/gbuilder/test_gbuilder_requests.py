"""Forms and ids as they come in, and what the operator has run for them."""

from __future__ import annotations

import pytest
from gbuilder_samples import FILE, settings

from compute.models import Image
from provider.dialects.gbuilder import requests
from provider.dialects.gbuilder.errors import UploadIncomplete
from provider.dialects.gbuilder.requests import MOST_ID_LENGTH, Upload

UNUSABLE = {
    "nothing": "",
    "blanks": "  ",
    "a dot": ".",
    "dots": "..",
    "dots and blanks": ". .",
    "parent": "../etc/passwd",
    "absolute": "/etc/passwd",
    "folder": "a/b",
    "backslash": "a\\b",
    "zero": "a\0b",
    "line": "a\nb",
    "delete": "a\x7fb",
    "direction": "a\u202eb",
    "separator": "a\u2028b",
    "too long": "a" * (MOST_ID_LENGTH + 1),
}


@pytest.mark.parametrize("task_id", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_ids_that_no_task_can_have(task_id: str) -> None:
    assert not requests.is_task_id(task_id)
    with pytest.raises(UploadIncomplete, match="task_id") as caught:
        requests.upload({"task_id": task_id}, FILE)
    assert (caught.value.status, caught.value.field) == (400, "task_id")


@pytest.mark.parametrize(
    "task_id",
    ["1", "task-7", "v1.2", "..a", "中文任务", "a b", "a%2Fb", "?#", "a" * MOST_ID_LENGTH],
)
def test_ids_that_tasks_can_have(task_id: str) -> None:
    assert requests.upload({"task_id": task_id}, FILE) == Upload(task_id, FILE, False)


@pytest.mark.parametrize("value", ["true", "false", ""])
def test_immediate_counts_by_being_there(value: str) -> None:
    assert requests.upload({"task_id": "1", "immediate": value}, FILE).immediate


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UploadIncomplete, match="task_id is missing"):
        requests.upload({}, FILE)
    with pytest.raises(UploadIncomplete, match="task_file is missing"):
        requests.upload({"task_id": "1", "task_file_name": "x"}, None)


def test_the_call_is_the_operators_own() -> None:
    given = Upload("../7", FILE, True)
    configured = settings(
        entrypoint="python run.py", parameters={"depth": 2}, inputName="rows.jsonl"
    )
    call = requests.task_call(configured, "", given)
    assert (call.owner, call.namespace, call.name) == ("gbuilder", "gbuilder/-", "../7")
    assert (call.environment, call.files) == ("small", {"rows.jsonl": FILE.path})
    [stage] = call.stages
    assert (stage.name, stage.image) == ("algorithm", Image(image="example/ner", tag="1"))
    assert (stage.entrypoint, stage.parameters) == ("python run.py", {"depth": 2})
    assert (stage.files, stage.network) == (("rows.jsonl",), False)


def test_each_key_has_ids_of_its_own() -> None:
    call = requests.task_call(settings(), "lab", Upload("7", FILE, False))
    assert (call.owner, call.namespace) == ("gbuilder:lab", "gbuilder/lab")

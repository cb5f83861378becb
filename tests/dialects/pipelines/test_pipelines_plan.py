"""What fits together, the job that is made of it, and the content that is made of the job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pipeline_bodies import OPTIMIZATION, PREPROCESSING, TRAINING
from pipeline_jobs import OUTPUT_UID, TASK_UID, result

from provider.dialects.pipelines import plan, requests
from provider.dialects.pipelines.fields import FieldInvalid
from provider.dialects.pipelines.model import RunCall, TaskKind
from provider.dialects.pipelines.outputs import Chosen, NoContentError, choose
from provider.registry.models import Item, ItemState, Kind

CALLS = {
    TaskKind.PREPROCESSING: requests.run(TaskKind.PREPROCESSING, PREPROCESSING),
    TaskKind.TRAINING: requests.run(TaskKind.TRAINING, TRAINING),
    TaskKind.RETRAIN: requests.run(TaskKind.RETRAIN, OPTIMIZATION),
}


def items(call: RunCall, dataset_type: str = "") -> dict[str, Item]:
    details: dict[Kind, Any] = {
        Kind.DATASET: {
            "type": dataset_type or {"preprocessing": "project"}.get(call.kind, "training")
        }
    }
    found = {}
    for field, (kind, uid) in call.named().items():
        sequence = field.removeprefix("image_uid.").removesuffix("_uid")
        image = {
            "sequence": sequence,
            "image": f"built/{sequence}",
            "tag": "1",
            "checksum": "sha256:1",
        }
        found[field] = Item(
            uid=uid,
            kind=kind,
            space="",
            owner="user1",
            name=f"the {kind.noun}",
            created_at=1.0,
            pipeline_uid=call.pipeline_uid,
            extension="zip",
            details=image if kind is Kind.BUILD_FILE else details.get(kind, {}),
        )
    return found  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "type_", "taken"),
    [
        (TaskKind.PREPROCESSING, "project", {"project"}),
        (TaskKind.PREPROCESSING, "application", {"application"}),
        (TaskKind.TRAINING, "project", {"training", "project"}),
        (TaskKind.RETRAIN, "application", {"optimization", "training", "application"}),
    ],
)
@pytest.mark.parametrize("dataset_type", ["project", "application", "training", "optimization"])
def test_which_datasets_are_taken(
    kind: TaskKind, type_: str, taken: set[str], dataset_type: str
) -> None:
    call = replace(CALLS[kind], type=type_)
    if dataset_type in taken:
        plan.require_fitting(call, items(call, dataset_type))
        return
    with pytest.raises(FieldInvalid, match=f"dataset_uid: the dataset is of type {dataset_type}"):
        plan.require_fitting(call, items(call, dataset_type))


@pytest.mark.parametrize("kind", TaskKind)
def test_build_files_have_their_places(kind: TaskKind) -> None:
    call = CALLS[kind]
    found = items(call)
    found["image_uid.running_uid"] = found["image_uid.download_uid"]
    with pytest.raises(
        FieldInvalid, match=r"image_uid.running_uid: the build file is for download"
    ):
        plan.require_fitting(call, found)


@pytest.mark.parametrize("field", ["config_uid", "image_uid.upload_uid"])
def test_build_files_and_configurations_are_of_the_pipeline(field: str) -> None:
    call = CALLS[TaskKind.TRAINING]
    found = items(call)
    found[field] = replace(found[field], pipeline_uid=TASK_UID)
    with pytest.raises(FieldInvalid, match=f"{field}: belongs to pipeline {TASK_UID}"):
        plan.require_fitting(call, found)
    found = items(call)
    found["dataset_uid"] = replace(found["dataset_uid"], pipeline_uid=TASK_UID)
    plan.require_fitting(call, found)


def made(call: RunCall) -> Item:
    return plan.output(
        call, uid=OUTPUT_UID, task_uid=TASK_UID, space="blue", owner="user1", now=2.0
    )


def test_the_job_of_an_optimisation() -> None:
    call = CALLS[TaskKind.RETRAIN]
    task = plan.task_call(
        call, items(call), made(call), environment="test", path_of=lambda item: Path(item.uid)
    )
    assert (task.owner, task.namespace, task.name) == (
        "pipelines:user1",
        "pipelines/blue",
        TASK_UID,
    )
    assert task.files == {
        "dataset/the_dataset.zip": Path(call.dataset_uid),
        "config/the_config.zip": Path(call.config_uid),
        "model/the_model.zip": Path(call.model_uid),
    }
    download, running, upload = task.stages
    assert [stage.name for stage in task.stages] == ["download", "running", "upload"]
    assert [stage.network for stage in task.stages] == [True, False, True]
    assert set(download.files) == set(task.files)
    assert running.files == upload.files == ("config/the_config.zip",)
    assert [stage.image.image for stage in task.stages] == [
        "built/download",
        "built/running",
        "built/upload",
    ]
    assert running.variables == {
        "TASK_UID": TASK_UID,
        "TASK_TYPE": "retrain",
        "PIPELINE_UID": call.pipeline_uid,
        "OUTPUT_UID": OUTPUT_UID,
        "OUTPUT_EXTENSION": "zip",
        "CONFIG_FILE": "/data/inputs/config/the_config.zip",
    }
    assert download.variables == running.variables | {
        "DATASET_FILE": "/data/inputs/dataset/the_dataset.zip",
        "MODEL_FILE": "/data/inputs/model/the_model.zip",
    }
    assert not any("KEY" in name for stage in task.stages for name in stage.variables)
    assert not any("key" in name for name in task.about)


def test_a_training_is_given_no_model() -> None:
    call = CALLS[TaskKind.TRAINING]
    task = plan.task_call(
        call, items(call), made(call), environment="test", path_of=lambda item: Path(item.uid)
    )
    assert [name.partition("/")[0] for name in task.files] == ["dataset", "config"]


def test_the_output_is_there_before_the_run() -> None:
    model, dataset = made(CALLS[TaskKind.TRAINING]), made(CALLS[TaskKind.PREPROCESSING])
    assert (model.kind, model.state, model.content) == (Kind.MODEL, ItemState.PENDING, None)
    assert (model.name, model.task_uid, model.space) == ("demo_model", TASK_UID, "blue")
    assert (dataset.kind, dataset.details) == (Kind.DATASET, {"type": "training"})


@pytest.mark.parametrize(
    ("names", "extension", "chosen", "packed"),
    [
        (["a.zip"], "zip", [0], False),
        (["a.txt", "deep/A.ZIP", "b"], "zip", [1], False),
        (["model.onnx", "notes.txt"], "onnx", [0], False),
        (["weights.tar.gz"], "tar.gz", [0], False),
        (["a.txt"], "zip", [0], True),
        (["a.zip", "b.zip", "c"], "zip", [0, 1, 2], True),
    ],
)
def test_which_outputs_become_the_content(
    names: list[str], extension: str, chosen: list[int], packed: bool
) -> None:
    results = [result(number, name) for number, name in enumerate(names)]
    logs = [result(len(names), f"upload.{extension}", "algorithmLog")]
    assert choose(results + logs, extension) == Chosen(
        tuple(results[number] for number in chosen), packed
    )


@pytest.mark.parametrize(
    ("names", "extension", "problem"),
    [
        ([], "zip", "wrote nothing"),
        (["a.txt"], "onnx", r"0 files whose names end with \.onnx"),
        (["a.onnx", "b.onnx"], "onnx", "wrote 2 files"),
    ],
)
def test_outputs_that_are_no_content(names: list[str], extension: str, problem: str) -> None:
    with pytest.raises(NoContentError, match=problem):
        choose([result(number, name) for number, name in enumerate(names)], extension)

"""The pipelines API as its document describes it. Its calls have one route, and a word each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from provider.dialects.pipelines import shapes
from provider.dialects.pipelines.settings import PipelinesSettings
from provider.dialects.shared import described
from provider.openapi import files
from provider.openapi.operations import (
    JSON,
    MULTIPART,
    Answer,
    Api,
    Body,
    Operation,
    Security,
)
from provider.registry.models import WITH_CONTENT, Kind

TAG: Final = "pipelines"
REGISTRY: Final = "pipelines registry"

_VERSIONED: Final = "/api/{version}"
_ROUTE: Final = f"{_VERSIONED}/entrypoint/Router/parse/{{key}}"
_USER: Final[Security] = ({"userAccessKey": [], "userSecretKey": []},)

_UID: Final = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
_KEYS: Final = {"access_key": "alice", "secret_key": "of her own"}
_RUN: Final = {
    **_KEYS,
    "task_name": "prepare",
    "task_description": "",
    "pipeline_uid": _UID,
    "dataset_uid": _UID,
    "config_uid": _UID,
    "image_uid": {"download_uid": _UID, "running_uid": _UID, "upload_uid": _UID},
}
_AS_DATASET: Final = {
    "type": "project",
    "dataset_name": "prepared",
    "dataset_description": "",
    "dataset_file_extension": "zip",
    "dataset_type": "training",
}
_AS_MODEL: Final = {
    "type": "project",
    "model_name": "first",
    "model_description": "",
    "model_file_extension": "zip",
    "model_type": "default",
    "model_input_format": "csv",
    "model_output_format": "json",
}
_MISSING: Final = Answer(
    "There is no such thing, or no such version in the path.",
    {JSON: shapes.PipelinesError | files.NoSuchPath},
)
_FORMS: Final[dict[Kind, Any]] = {
    Kind.PIPELINE: shapes.PipelineForm,
    Kind.DATASET: shapes.DatasetForm,
    Kind.CONFIG: shapes.ConfigForm,
    Kind.BUILD_FILE: shapes.BuildFileForm,
    Kind.MODEL: shapes.ModelForm,
}


def api(section: PipelinesSettings) -> Api:
    """The API as the section has it."""
    calls = [*_calls(), *_asking()]
    registry = [each for kind in Kind for each in _registry(kind)]
    inside = described.security(section)
    return Api(
        tags={
            TAG: "Tasks of three stages over items of a registry. Any version will do in a path.",
            REGISTRY: "What users hand in: pipelines, datasets, configs, build files, models.",
        },
        operations=[*calls, *registry],
        refusals=described.refusals(shapes.PipelinesError, {404: _MISSING}),
        always=tuple({*described.always(section), 401}),
        security=inside,
    )


def _call(
    key: str,
    name: str,
    summary: str,
    text: str,
    body: Any,
    example: dict[str, Any],
    data: Any,
    refusals: Sequence[int] = (404,),
) -> Operation:
    return Operation(
        "POST",
        _ROUTE.replace("{key}", key),
        f"pipelines{name}",
        summary,
        text,
        {200: Answer("Done.", {JSON: data})},
        path_values=shapes.VersionPath,
        body=Body({JSON: body}, {"body": example}),
        refusals=(400, 404, 422, *refusals),
        route=_ROUTE,
    )


def _calls() -> list[Operation]:
    """Those that start and end tasks, for users."""
    may = (403, 409)
    return [
        _call(
            "jPqyAFWh7hBKRRNK",
            "Preprocess",
            "Prepare a dataset",
            "Queues a task that makes a dataset for training or optimisation.",
            shapes.PreprocessBody,
            {**_RUN, **_AS_DATASET},
            shapes.RunAnswer,
            may,
        ),
        _call(
            "q8uzMBcM5YJH6dPf",
            "Train",
            "Train a model",
            "Queues a task that makes a model.",
            shapes.TrainBody,
            {**_RUN, **_AS_MODEL},
            shapes.RunAnswer,
            may,
        ),
        _call(
            "Oi6u8dkur8GTKPxS",
            "Optimise",
            "Optimise a model",
            "Queues a task that makes a model out of another.",
            shapes.OptimiseBody,
            {**_RUN, **_AS_MODEL, "type": "application", "model_uid": _UID},
            shapes.RunAnswer,
            may,
        ),
        _call(
            "CNNfUmDpcWXp7vdM",
            "Delete",
            "Delete a task",
            "Ends one that is not over; of one that is, removes what is left of its job. What it"
            " has made stays.",
            shapes.DeleteBody,
            {**_KEYS, "task_uid": _UID},
            shapes.TaskAnswer,
        ),
    ]


def _asking() -> list[Operation]:
    """Those that tell something, for whoever is let in."""
    return [
        _call(
            "KlnZtRyqy3rPAZWL",
            "Task",
            "How a task is",
            "As `finished` only when what it has made can be used.",
            shapes.TaskBody,
            {"uid": _UID},
            shapes.TaskAnswer,
        ),
        _call(
            "bJ7xLmgp4WSWK498",
            "Log",
            "The logs of a task",
            "Of each stage; the end of one that is long.",
            shapes.LogBody,
            {"task_uid": _UID, "type": "training"},
            shapes.LogAnswer,
        ),
        _call(
            "s8i1TNiTXwwv02mv",
            "Tasks",
            "The tasks of a pipeline",
            "Newest first.",
            shapes.OfPipelineBody,
            {"pipeline_uid": _UID},
            shapes.TasksAnswer,
        ),
        _call(
            "oNjkVj60RqS8DQTX",
            "Choices",
            "What a run of a pipeline can be made of",
            "The items of its registry, by kind.",
            shapes.OfPipelineBody,
            {"pipeline_uid": _UID},
            shapes.ChoicesAnswer,
        ),
    ]


def _registry(kind: Kind) -> list[Operation]:
    folder, noun = f"{_VERSIONED}/registry/{kind.value}", kind.noun
    name = "".join(word.capitalize() for word in noun.split())
    one = {200: Answer(f"The {noun}.", {JSON: shapes.ItemAnswer})}
    whole = shapes.ItemPath
    pipeline = kind is Kind.PIPELINE

    def operation(
        method: str, path: str, id_: str, summary: str, text: str, **more: Any
    ) -> Operation:
        return Operation(method, path, f"pipelines{id_}", summary, text, tag=REGISTRY, **more)

    content = {MULTIPART: _FORMS[kind]} | ({JSON: _FORMS[kind]} if pipeline else {})
    found = [
        operation(
            "POST",
            folder,
            f"Create{name}",
            f"Hand in a {noun}",
            "A form, with the user's keys as fields of it or as headers.",
            answers={201: Answer(f"The {noun}.", {JSON: shapes.ItemAnswer})},
            path_values=shapes.VersionPath,
            body=Body(content),
            refusals=(400, 404, 409, 422),
            security=(*_USER, {}),
        ),
        operation(
            "GET",
            folder,
            f"List{name}",
            f"Every {noun}" + ("" if pipeline else " of a pipeline"),
            "Those of the caller's own space.",
            answers={200: Answer("A list.", {JSON: shapes.ItemsAnswer})},
            path_values=shapes.VersionPath,
            query=None if pipeline else shapes.PipelineQuery,
            refusals=(404, 422),
            security=_USER if pipeline else None,
        ),
        operation(
            "GET",
            folder + "/{uid}",
            f"Get{name}",
            f"A {noun}",
            "Without its content.",
            answers=one,
            path_values=whole,
            refusals=(404,),
        ),
        operation(
            "DELETE",
            folder + "/{uid}",
            f"Remove{name}",
            f"Remove a {noun}",
            "One that something needs is refused.",
            answers=one,
            path_values=whole,
            refusals=(404, 409),
            security=_USER,
        ),
    ]
    if kind in WITH_CONTENT:
        found.append(
            operation(
                "GET",
                folder + "/{uid}/content",
                f"Content{name}",
                f"The content of a {noun}",
                "The file; parts of it by `Range`.",
                answers=files.STORED,
                path_values=whole,
                headers=files.CONDITIONS,
                refusals=(404, 409, 422),
                security=_USER,
            )
        )
    return found

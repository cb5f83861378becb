"""The labelling API as its document describes it. Bodies are the models that check them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from provider.dialects.labelling.requests import ID_LENGTH, AbortBody, CreateBody, DumpBody
from provider.dialects.labelling.settings import LabellingSettings
from provider.dialects.labelling.states import ProdStat, Stat
from provider.dialects.shared import described
from provider.openapi.operations import JSON, Answer, Api, Body, Operation, shape

TAG: Final = "labelling"

_ID: Final = "0f4c1e0c8a6d4f5a9d3b7a1f2e6c8b90"
_CREATE: Final = {
    "MODEL_TYPE": "keyword_model",
    "PREDICT_TYPE": "author_name",
    "START_TIME": "2026-01-01",
    "END_TIME": "2026-02-01",
    "PATTERN": {"sports": ["football", "tennis"]},
    "INPUT_SCHEMA": "forum",
    "INPUT_TABLE": "posts",
    "OUTPUT_SCHEMA": "labels",
    "SITE_CONFIG": {"drivername": "sqlite", "db": "forum"},
}


@shape
class TaskIdPath(TypedDict):
    task_id: Annotated[str, Field(min_length=1, pattern="^[^/]+$", examples=[_ID])]
    """The task's id, 32 hexadecimal digits."""


@shape
class LabellingRefusal(TypedDict):
    """A rule says no; the HTTP status is 200 all the same."""

    error_code: Annotated[int, Field(ge=400, le=599)]
    error_message: str


@shape
class CreatedTask(TypedDict):
    """What was asked for, and the id of the task."""

    task_id: Annotated[str, Field(min_length=ID_LENGTH, max_length=ID_LENGTH)]
    model_type: str
    predict_type: str
    start_time: str
    end_time: str
    target_schema: str
    target_table: str
    output_schema: str
    countdown: int
    queue: str
    date_range: str


@shape
class Created(TypedDict):
    error_code: Literal[200]
    error_message: CreatedTask


@shape
class Told(TypedDict):
    error_code: Literal[200]
    error_message: str


@shape
class StateRow(TypedDict):
    """All that is known of a task. What its algorithm has not told is null."""

    task_id: str
    stat: Stat
    """PENDING until the labelling is over."""
    prod_stat: ProdStat | None
    """There when the results are."""
    model_type: str | None
    predict_type: str | None
    date_range: str | None
    target_table: str | None
    create_time: str
    """UTC, without an offset."""
    peak_memory: float | None
    """MiB."""
    length_receive_table: int | None
    length_output_table: int | None
    length_prod_table: str | None
    result: str | None
    """Names of result tables, with commas between."""
    uniq_source_author: str | None
    rate_of_label: str | None
    """Percent."""
    run_time: float | None
    """Minutes."""
    check_point: str | None
    error_message: str | None


@shape
class Listed(TypedDict):
    error_code: Literal[200]
    error_message: Literal["OK"]
    content: list[StateRow]


@shape
class FoundTask(TypedDict):
    error_code: Literal[200]
    error_message: StateRow


@shape
class Sampled(TypedDict):
    error_code: Literal[200]
    error_message: list[dict[str, str | float | bool | None]]
    """Rows of result tables."""


@shape
class Tables(TypedDict):
    task_ids: list[str]
    tables: dict[str, list[str]]
    """Names of result tables by task."""


@shape
class Dumped(TypedDict):
    error_code: Literal[200]
    error_message: Tables


@shape
class Mistake(TypedDict):
    loc: list[str | int]
    """Where in the body."""
    msg: str
    type: str


@shape
class LabellingDetail(TypedDict):
    """An error that the HTTP status tells."""

    detail: str | list[Mistake]


def api(section: LabellingSettings) -> Api:
    """The API as the section has it."""
    return Api(
        tags={
            TAG: "Tasks that label rows of a table. A rule that says no is told by `error_code`,"
            " with HTTP status 200; each path may end with a slash."
        },
        operations=_operations(),
        refusals=described.refusals(LabellingDetail),
        always=described.always(section),
        security=described.security(section),
    )


def _answer(text: str, kind: Any) -> dict[int, Answer]:
    return {200: Answer(text, {JSON: kind | LabellingRefusal})}


def _operations() -> list[Operation]:
    tasks, task = "/api/tasks", "/api/tasks/{task_id}"
    return [
        Operation(
            "POST",
            tasks,
            "labellingCreate",
            "Start labelling",
            "Queues a task. A body with `TASK_ID` alone ends that task, as `abort` does. The form"
            " of `PATTERN` depends on `MODEL_TYPE`.",
            _answer("The task.", Created | Told),
            body=Body({JSON: CreateBody}, {"keywords": _CREATE}),
            refusals=(422,),
        ),
        Operation(
            "GET",
            tasks,
            "labellingList",
            "The newest tasks",
            "Five at most, the newest first.",
            _answer("The tasks.", Listed),
            refusals=(),
        ),
        Operation(
            "POST",
            tasks + "/abort",
            "labellingAbort",
            "End a task",
            "One that is over is refused.",
            _answer("It is told to end.", Told),
            body=Body({JSON: AbortBody}, {"task": {"TASK_ID": _ID}}),
            refusals=(422,),
        ),
        Operation(
            "POST",
            tasks + "/dump",
            "labellingDump",
            "The result tables of tasks",
            "Of tasks that have results, all at once. The field may be called `task_ids` as well.",
            _answer("The tables.", Dumped),
            body=Body({JSON: DumpBody}, {"tasks": {"TASK_IDS": [_ID]}}),
            refusals=(422,),
        ),
        Operation(
            "GET",
            task,
            "labellingTask",
            "How a task is",
            "All that is known of it.",
            _answer("The task.", FoundTask),
            path_values=TaskIdPath,
            refusals=(404,),
        ),
        Operation(
            "GET",
            task + "/sample",
            "labellingSample",
            "Some rows of the results",
            "Drawn at random, at most fifty of each table.",
            _answer("The rows.", Sampled),
            path_values=TaskIdPath,
            refusals=(404,),
        ),
    ]

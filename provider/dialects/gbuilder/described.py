"""The gBuilder endpoint as its document describes it."""

from __future__ import annotations

from typing import Annotated, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from provider.dialects.gbuilder.requests import MOST_ID_LENGTH
from provider.dialects.gbuilder.settings import GBuilderSettings
from provider.dialects.shared import described
from provider.openapi import files
from provider.openapi.operations import JSON, MULTIPART, Answer, Api, Body, Operation, shape

TAG: Final = "gbuilder"

TaskId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MOST_ID_LENGTH,
        pattern=r"^[^/\\]+$",
        examples=["task-1"],
    ),
]


@shape
class TaskPath(TypedDict):
    task_id: TaskId
    """As its caller has called it."""


@shape
class TaskForm(TypedDict):
    """A task. Other fields are ignored."""

    task_id: TaskId
    """A name for the task: printable characters without / and \\, not only dots."""
    task_file: files.AnyBytes
    """The data. The field may be called `file` as well."""
    immediate: NotRequired[str]
    """There to be answered when the task is over, where the operator allows that."""


@shape
class EndpointStatus(TypedDict):
    """1 available, 2 full, 3 out of order."""

    status: Literal[1, 2, 3]


@shape
class TaskStatus(TypedDict):
    """-1 no such task, 0 running, 1 waiting, 2 done, 3 failed or stopped."""

    status: Literal[-1, 0, 1, 2, 3]


@shape
class Accepted(TypedDict):
    status: Literal[200]


@shape
class GBuilderError(TypedDict):
    status: int
    """The HTTP status again."""
    error: str
    """What is wrong."""


def api(section: GBuilderSettings) -> Api:
    """The API as the section has it."""
    task = "/tasks/{task_id}"
    return Api(
        tags={TAG: "Tasks of one algorithm: upload a file, ask, fetch the result."},
        operations=[
            Operation(
                "GET",
                "/status",
                "gbuilderStatus",
                "Whether tasks are taken",
                "Full means that a task would be refused, not that others run.",
                {200: Answer("The endpoint's state.", {JSON: EndpointStatus})},
                refusals=(),
            ),
            Operation(
                "POST",
                "/tasks",
                "gbuilderStart",
                "Start a task",
                "Takes the file in and queues the task. An id is taken for good: a second task of"
                " the same one is refused.",
                {200: Answer("It is queued.", {JSON: Accepted})},
                body=Body(
                    {MULTIPART: TaskForm},
                    {"task": {"task_id": "task-1", "task_file": '{"data": "Ada"}\n'}},
                ),
                refusals=(400, 403, 409),
            ),
            Operation(
                "GET",
                task,
                "gbuilderTask",
                "How a task is",
                "One that there is not has the state -1.",
                {200: Answer("The task's state.", {JSON: TaskStatus})},
                path_values=TaskPath,
                refusals=(404,),
            ),
            Operation(
                "GET",
                task + "/results",
                "gbuilderResult",
                "The result of a task",
                "The output file; parts of it by `Range`.",
                files.STORED,
                path_values=TaskPath,
                headers=files.CONDITIONS,
                refusals=(404,),
            ),
            Operation(
                "DELETE",
                task,
                "gbuilderStop",
                "Stop a task",
                "Its id stays taken. A task that is over, or that there is not, is refused.",
                {200: Answer("It is stopped.", {JSON: Accepted})},
                path_values=TaskPath,
                refusals=(400, 404),
            ),
        ],
        refusals=described.refusals(GBuilderError),
        always=described.always(section),
        security=described.security(section),
    )

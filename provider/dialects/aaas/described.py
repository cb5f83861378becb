"""The aaas API as its document describes it. Each call takes GET and POST alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provider.dialects.aaas.logs import NOT_READY, TAIL_OFFSET, TASK_END
from provider.dialects.aaas.requests import MOST_ID_LETTERS, MOST_LINES
from provider.dialects.aaas.settings import AaasSettings
from provider.dialects.shared import described
from provider.openapi.operations import JSON, TEXT, Answer, Api, Body, Operation, shape

TAG: Final = "aaas"

Id = Annotated[str, Field(max_length=MOST_ID_LETTERS, pattern=r"^[^/\\]*$", examples=["one"])]
"""Of callers' own choice: printable, without separators and outer spaces."""


@shape
class AaasError(TypedDict):
    code: Annotated[int, Field(ge=1)]
    """100 for a mistake in the arguments, 1 for all else."""
    msg: str


@shape
class RunArguments(TypedDict):
    """What to run. What is not named here is kept as an option of the run."""

    module: Annotated[str, Field(min_length=1, examples=["lab"])]
    """A module of the operator's list."""
    name: NotRequired[Annotated[str, Field(min_length=1, examples=["count"])]]
    """One of its algorithms; needed unless `only_parse`."""
    task_id: NotRequired[Id]
    """A task that there is already is told instead. Left out, one is made up."""
    task_ns: NotRequired[Id]
    """The namespace of the task."""
    only_parse: NotRequired[bool | str]
    """There and not empty to have the module described instead of run."""
    rst_format: NotRequired[Literal["", "dict", "json", "raw"]]
    """Of a description; all are JSON."""
    delay: NotRequired[Annotated[float, Field(ge=0)]]
    """Seconds to wait before the run."""


@shape
class RunBody(RunArguments):
    configs: NotRequired[dict[str, Any]]
    """Handed to the algorithm."""
    bind_arg: NotRequired[dict[str, Any]]
    """Arguments by `task.method.argument`, dotted or nested."""
    run_opts: NotRequired[dict[str, Any]]
    """Further options, as if they stood beside the others."""
    extra: NotRequired[dict[str, Any]]
    """Kept with the task; `configs` may be in here."""


@shape
class TaskArguments(TypedDict):
    task_id: Annotated[Id, Field(min_length=1)]
    """The task."""
    task_ns: NotRequired[Id]
    """The namespace; left out, the nameless one."""


@shape
class NamespaceArguments(TypedDict):
    task_ns: NotRequired[Id]
    """The namespace; left out, the nameless one."""


@shape
class CleanArguments(NamespaceArguments):
    task_info_ttl: Annotated[float, Field(ge=0, examples=[3600])]
    """Seconds that a task that is over stays; 5 at least."""


@shape
class LogArguments(TaskArguments):
    pool_interval: NotRequired[Annotated[float, Field(ge=0, examples=[1])]]
    """Seconds to wait for the start, and for more lines; 10 where it is left out, 60 at most."""
    pool_line: NotRequired[Annotated[int, Field(ge=-MOST_LINES, le=MOST_LINES)]]
    """How many lines; below zero backwards from `log_offset`."""
    log_offset: NotRequired[Annotated[int, Field(ge=0, le=1 << 53)]]
    """Bytes from the log's beginning."""
    tail_mode: NotRequired[Literal["", "0", "1", "true", "false", "yes", "no", "on", "off"]]
    """True for the last `tail_line` lines."""
    tail_line: NotRequired[Annotated[int, Field(ge=0, le=MOST_LINES)]]
    """How many lines from the end."""
    tail_follow: NotRequired[Literal["", "0", "1", "true", "false", "yes", "no", "on", "off"]]
    """True to wait for lines that come."""


@shape
class Process(TypedDict):
    pid: int
    ppid: int


@shape
class TaskLog(TypedDict):
    file_path: str
    """The path of the call that shows it."""


@shape
class TaskException(TypedDict):
    type: str
    info: list[str]
    traceback: str
    """The end of the log."""


@shape
class TaskInfo(TypedDict):
    """A task; what is not known yet is missing."""

    task_id: str
    task_ns: str | None
    module: str
    name: str
    run_opts: dict[str, Any]
    create_time: float
    """Seconds since the epoch."""
    process: NotRequired[Process]
    stage: NotRequired[list[Literal["start", "end"]]]
    end_flag: NotRequired[Literal[1]]
    """There when it was told to end before it had begun."""
    done_flag: NotRequired[Literal[1, 2, 3]]
    """1 over, 2 ended before it began, 3 ended while it ran."""
    done_time: NotRequired[float | None]
    """Seconds since the epoch."""
    task_log: NotRequired[TaskLog]
    task_resp: NotRequired[Any]
    """What the algorithm left as its response."""
    exception: NotRequired[TaskException]


@with_config(ConfigDict(extra="forbid"))
class NoTask(TypedDict):
    """There is no such task."""


@shape
class ModuleDescription(TypedDict):
    module: str
    trees: dict[str, dict[str, Any]]
    """By the names of its algorithms: what they are and what can be bound."""


@shape
class AaasRunAnswer(TypedDict):
    code: Literal[0]
    data: TaskInfo | ModuleDescription


@shape
class InfoAnswer(TypedDict):
    code: Literal[0]
    data: TaskInfo | NoTask
    """Empty for a task that there is not."""


@shape
class ListAnswer(TypedDict):
    code: Literal[0]
    data: list[TaskInfo]


@shape
class NamesAnswer(TypedDict):
    code: Literal[0]
    data: list[str]


@shape
class EndAnswer(TypedDict):
    code: Literal[0]
    data: Literal[0, 1, 2]
    """0 no such task, 1 over before, 2 told to end."""


_LOG: Final = Answer(
    "Whole lines of the log.",
    {TEXT: str},
    {
        NOT_READY: "1 when the task has not begun.",
        TASK_END: "1 when it is over.",
        TAIL_OFFSET: "Where the last lines begin, in bytes.",
    },
)


class _Call(NamedTuple):
    """One call; its arguments as a query and as a body."""

    path: str
    name: str
    summary: str
    text: str
    query: Any
    body: Any
    answer: Answer
    example: Mapping[str, Any]


_CALLS: Final = (
    _Call(
        "run",
        "Run",
        "Run an algorithm",
        "Queues a task, or tells of the one that has this id.",
        RunArguments,
        RunBody,
        Answer("The task.", {JSON: AaasRunAnswer}),
        {"module": "lab", "name": "count"},
    ),
    _Call(
        "task_info",
        "TaskInfo",
        "How a task is",
        "Empty for one that there is not.",
        TaskArguments,
        TaskArguments,
        Answer("The task.", {JSON: InfoAnswer}),
        {"task_id": "one"},
    ),
    _Call(
        "all_task",
        "AllTask",
        "All tasks of a namespace",
        "The newest thousand, oldest first.",
        NamespaceArguments,
        NamespaceArguments,
        Answer("The tasks.", {JSON: ListAnswer}),
        {},
    ),
    _Call(
        "all_task_ns",
        "AllTaskNs",
        "All namespaces",
        "Those that have tasks; the nameless one is empty.",
        None,
        dict[str, Any],
        Answer("The namespaces.", {JSON: NamesAnswer}),
        {},
    ),
    _Call(
        "end_task",
        "EndTask",
        "Have a task end",
        "One that waits is taken out of the queue, one that runs is told.",
        TaskArguments,
        TaskArguments,
        Answer("What came of it.", {JSON: EndAnswer}),
        {"task_id": "one"},
    ),
    _Call(
        "clean_task",
        "CleanTask",
        "Delete tasks that are over",
        "Those of a namespace that have been over for some time.",
        CleanArguments,
        CleanArguments,
        Answer("Their ids.", {JSON: NamesAnswer}),
        {"task_info_ttl": 3600},
    ),
    _Call(
        "task_log",
        "TaskLog",
        "The log of a task",
        "Waits for the task's start. An error is told by the headers `APP-ERROR-CODE` and"
        " `APP-ERROR-MSG` as well.",
        LogArguments,
        LogArguments,
        _LOG,
        {"task_id": "one", "pool_interval": 1},
    ),
)


def api(section: AaasSettings) -> Api:
    """The API as the section has it."""
    return Api(
        tags={
            TAG: "Tasks by module and name, in namespaces. Arguments come from the query and"
            " from a JSON body; the query counts where both have one."
        },
        operations=list(_operations()),
        refusals=described.refusals(AaasError),
        always=described.always(section),
        security=described.security(section),
    )


def _operations() -> Iterator[Operation]:
    for call in _CALLS:
        more = (403, 404, 409) if call.path == "run" else (404,)
        for method in ("GET", "POST"):
            posted = method == "POST"
            body = Body({JSON: call.body}, {"arguments": call.example}, required=False)
            yield Operation(
                method,
                f"/auto/{call.path}",
                f"aaas{call.name}{'Posted' if posted else ''}",
                call.summary + (" (arguments in the body)" if posted else ""),
                call.text,
                {200: call.answer},
                query=None if posted else call.query,
                body=body if posted else None,
                refusals=(400, *more),
            )

"""What goes out: numbers, the file that is handed out, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from compute.errors import ComputeError, EngineUnavailable, QueueFull, StoreUnavailable
from compute.models import Job, ResultFile
from provider.dialects.gbuilder.states import TaskState, task_state
from provider.errors import KeyedRefusal, NoSuchResult, ProviderError

RETRY_AFTER_S: Final = "2"

ACCEPTED: Final[Mapping[str, Any]] = {"status": 200}

_COMPUTE_STATUS: Final[Mapping[type[ComputeError], int]] = {
    QueueFull: 400,
    EngineUnavailable: 503,
    StoreUnavailable: 503,
}
_HTTP_TEXTS: Final[Mapping[int, str]] = {
    404: "There is nothing at this path; see the calls of this API.",
    405: "This path takes another method; see Allow.",
    408: "The request did not arrive in time; send it again.",
    413: "The request is too large.",
}


def handed_out(job: Job, output: str) -> ResultFile:
    """The file that the client gets: the output of this name, else the only one.

    Raises NoSuchResult, whose text says why there is none.
    """
    state = task_state(job)
    if state is TaskState.ERROR:
        raise NoSuchResult(f"The task has no result: {_why(job)}")
    if state is not TaskState.DONE:
        raise NoSuchResult("The task has no result yet; ask for its status until that is 2 or 3.")
    outputs = [file for file in job.results if file.type == "output"]
    named = [file for file in outputs if file.filename == output]
    if named or len(outputs) == 1:
        return (named or outputs)[0]
    raise NoSuchResult(
        f"The task has no result: its algorithm wrote no {output}, but {len(outputs)} files of"
        " other names. It has to write that one, or exactly one."
    )


def _why(job: Job) -> str:
    """How the task failed, in one line."""
    end = job.termination
    if end is None or not (end.detail or end.reason):
        return job.phase.text
    return " ".join(f"{job.phase.text} ({end.detail or end.reason})".split())


def error(fault: Exception) -> tuple[int, str] | None:
    """HTTP status and text of an error, None for one that no client may read."""
    if isinstance(fault, KeyedRefusal):
        return fault.status, (
            "The image of this endpoint may not run in its environment; the operator has to allow"
            " it in images.allow of environments.yaml."
        )
    if isinstance(fault, QueueFull):
        return _COMPUTE_STATUS[QueueFull], f"{fault.public}; try again when GET /status says 1."
    if isinstance(fault, ProviderError):
        return fault.status, fault.public
    if isinstance(fault, ComputeError) and type(fault) in _COMPUTE_STATUS:
        return _COMPUTE_STATUS[type(fault)], fault.public
    if isinstance(fault, web.HTTPException):
        return fault.status, _HTTP_TEXTS.get(fault.status, fault.reason)
    return None


def render(request: web.Request, fault: Exception) -> web.Response | None:
    """An error in this API's envelope: its number is the HTTP status and ``status`` alike."""
    found = error(fault)
    if found is None:
        return None
    status, text = found
    response = web.json_response({"status": status, "error": text}, status=status)
    if isinstance(fault, web.HTTPException) and "Allow" in fault.headers:
        response.headers["Allow"] = fault.headers["Allow"]
    if status == web.HTTPServiceUnavailable.status_code:
        response.headers["Retry-After"] = RETRY_AFTER_S
    return response

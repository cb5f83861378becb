"""What goes back: envelopes, a task's info, a module's description. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from compute.errors import (
    ComputeError,
    EngineUnavailable,
    QueueFull,
    StoreUnavailable,
    UnknownJob,
)
from compute.models import Job
from provider import bounded_json
from provider.dialects.aaas import errors, states
from provider.dialects.aaas.settings import Algorithm, Argument
from provider.errors import ProviderError, RequestMalformed

MOST_RESPONSE_BYTES = 1 << 20
MOST_TRACEBACK_BYTES = 4 << 10
NO_ROUTE = "No matched route"

_COMPUTE_STATUS: Mapping[type[ComputeError], int] = {
    UnknownJob: 404,
    QueueFull: 429,
    StoreUnavailable: 503,
    EngineUnavailable: 503,
}
_HTTP_TEXTS: Mapping[int, str] = {
    404: NO_ROUTE,
    405: NO_ROUTE,
    408: "The request did not arrive in time",
    413: "The request is too large",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task leaves behind: its response as bytes of JSON, the end of its log."""

    response: bytes | None = None
    traceback: bytes = b""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as this wire tells it; ``code`` is above 0."""

    status: int
    code: int
    message: str

    @property
    def body(self) -> Mapping[str, Any]:
        return {"code": self.code, "msg": self.message}

    @property
    def headers(self) -> Mapping[str, str]:
        """For a call whose body is a log."""
        text = self.message.encode("ascii", "replace").decode()
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
        return {"APP-ERROR-CODE": str(self.code), "APP-ERROR-MSG": text}


def dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def success(data: Any) -> Mapping[str, Any]:
    return {"code": 0, "data": data}


def refusal(error: Exception) -> Refusal | None:
    """None for what no client may read."""
    if isinstance(error, (errors.ParameterWrong, RequestMalformed)):
        return Refusal(error.status, errors.PARAMETER, error.public)
    if isinstance(error, ProviderError):
        return Refusal(error.status, errors.OTHER, error.public)
    if isinstance(error, ComputeError) and type(error) in _COMPUTE_STATUS:
        return Refusal(_COMPUTE_STATUS[type(error)], errors.OTHER, error.public)
    status = getattr(error, "status", 0)
    if 400 <= status < 500:
        return Refusal(status, errors.OTHER, _HTTP_TEXTS.get(status, "The request is refused"))
    return None


def about(module: str, name: str, task_ns: str, run_opts: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept with a job, to be told again in :func:`task_info`."""
    return {
        "module": module,
        "name": name,
        "task_ns": task_ns,
        "run_opts": dict(run_opts),
    }


def task_info(
    job: Job, outcome: Outcome | None = None, *, mount: str, ppid: int
) -> Mapping[str, Any]:
    """A task as its caller sees it; ``outcome`` of one that is over."""
    kept = job.spec.about
    info: dict[str, Any] = {
        "task_id": job.name,
        "task_ns": kept["task_ns"] or None,
        "module": kept["module"],
        "name": kept["name"],
        "run_opts": kept["run_opts"],
        "create_time": job.created_at,
        **states.progress(job, ppid),
    }
    if states.has_begun(job):
        info["task_log"] = {"file_path": _log_path(job, mount)}
    if outcome is None:
        return info
    found, response = parsed_response(outcome.response)
    if found:
        info["task_resp"] = response
    if states.has_failed(job):
        kind, text = states.failure(job)
        traceback = outcome.traceback.decode(errors="replace")
        info["exception"] = {"type": kind, "info": [text], "traceback": traceback}
    return info


def parsed_response(raw: bytes | None) -> tuple[bool, Any]:
    """Whether an algorithm left a response that can be told, and the response."""
    if raw is None or len(raw) > MOST_RESPONSE_BYTES:
        return False, None
    try:
        return True, bounded_json.loads(raw, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return False, None


def last_lines(raw: bytes, whole: bool) -> bytes:
    """The end of a log for a traceback. What was cut out of it, unless it is ``whole``, begins
    with a line of its own if there is one."""
    cut = raw[-MOST_TRACEBACK_BYTES:]
    if whole and len(cut) == len(raw):
        return raw
    _, newline, rest = cut.partition(b"\n")
    return rest if newline and rest else cut


def description(module: str, algorithms: Mapping[str, Algorithm]) -> Mapping[str, Any]:
    """What ``only_parse`` shows: the names of a module and what can be bound. No image."""
    return {
        "module": module,
        "trees": {
            name: {
                "description": algorithm.description,
                "tasks": _tasks(algorithm.arguments),
            }
            for name, algorithm in algorithms.items()
        },
    }


def _tasks(arguments: Mapping[str, Argument]) -> Mapping[str, Any]:
    tasks: dict[str, Any] = {}
    for path, argument in arguments.items():
        task, method, name = path.rsplit(".", 2)
        methods = tasks.setdefault(task, {"def": {}})["def"]
        methods.setdefault(method, {"bind_arg": {}})["bind_arg"][name] = {
            "default": argument.default,
            "description": argument.description,
        }
    return tasks


def _log_path(job: Job, mount: str) -> str:
    """Where the log is to be had: no file of this machine is anybody's business."""
    task_ns = job.spec.about["task_ns"]
    named = {"task_id": job.name} | ({"task_ns": task_ns} if task_ns else {})
    return f"{mount.rstrip('/')}/auto/task_log?{urlencode(named)}"


def _no_number(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value

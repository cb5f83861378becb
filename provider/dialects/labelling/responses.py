"""The answers of the labelling API.

Each is HTTP 200 with the outcome in ``error_code``; ``error_message`` carries what was asked
for, or what is wrong. Only a body that fails validation (422), a caller who may not come in
and a path that there is not are told by the status, as ``detail``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from compute.errors import ComputeError, EngineUnavailable, QueueFull, StoreUnavailable
from compute.models import Job
from provider.dialects.labelling import states
from provider.dialects.labelling.progress import Progress, Row, as_json
from provider.dialects.labelling.requests import BodyInvalid, CreateBody, Refused
from provider.errors import KeyedRefusal, NoSuchJob, ProviderError, RequestMalformed, Stopping

Json = dict[str, Any]

OK = 200
_REAL_STATUSES = frozenset({401, 403, 429})
_COMPUTE_CODES: Mapping[type[ComputeError], int] = {
    QueueFull: 503,
    EngineUnavailable: 503,
    StoreUnavailable: 503,
}
_NOT_RUN_HERE = "failed to start: the operator's environment does not allow the labelling image"


def outcome(code: int, message: Any, **more: Any) -> web.Response:
    document = {"error_code": code, "error_message": message, **more}
    return web.Response(text=as_json(document), content_type="application/json")


def created(call: CreateBody, job: Job) -> web.Response:
    return outcome(OK, {**call.about(), "task_id": job.id})


def listed(rows: Sequence[Json]) -> web.Response:
    return outcome(OK, "OK", content=list(rows))


def found(row: Json) -> web.Response:
    return outcome(OK, row)


def sampled(rows: Sequence[Row]) -> web.Response:
    return outcome(OK, list(rows))


def aborted(task_id: str) -> web.Response:
    return outcome(OK, f"successfully send break status to task {task_id} in state")


def dumped(tables: Mapping[str, Sequence[str]]) -> web.Response:
    """Where the results of the tasks are."""
    where = {task_id: list(names) for task_id, names in tables.items()}
    return outcome(OK, {"task_ids": list(tables), "tables": where})


def state_row(job: Job, progress: Progress, now: float) -> Json:
    """All that is known of a task, in the order of the state table."""
    about = job.spec.about
    return {
        "task_id": job.id,
        "stat": states.stat(job),
        "prod_stat": states.prod_stat(job, progress),
        "model_type": about.get("model_type"),
        "predict_type": about.get("predict_type"),
        "date_range": about.get("date_range"),
        "target_table": about.get("target_table"),
        "create_time": _iso(job.created_at),
        "peak_memory": progress.peak_memory,
        "length_receive_table": progress.received,
        "length_output_table": progress.labelled,
        "length_prod_table": _as_text(progress.labelled_authors),
        "result": ",".join(progress.tables) or None,
        "uniq_source_author": _as_text(progress.authors),
        "rate_of_label": progress.rate,
        "run_time": _minutes(job, progress, now),
        "check_point": progress.check_point,
        "error_message": states.error_message(job, progress),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _as_text(count: int | None) -> str | None:
    return None if count is None else str(count)


def _minutes(job: Job, progress: Progress, now: float) -> float | None:
    """By the engine's clock; by the algorithm's only where that says nothing."""
    seconds = progress.run_time_s
    if job.started_at is not None:
        seconds = max(0.0, (job.ended_at or job.finished_at or now) - job.started_at)
    return None if seconds is None else round(seconds / 60, 4)


def render(_: web.Request, error: Exception) -> web.Response | None:
    """The answer to an error; None for one that a client may not read."""
    if isinstance(error, BodyInvalid):
        return _detail(422, error.detail)
    if isinstance(error, RequestMalformed):
        return _detail(422, [{"loc": ["body"], "msg": error.public, "type": "json_invalid"}])
    if isinstance(error, Refused):
        return outcome(error.code, error.public)
    if isinstance(error, NoSuchJob):
        return outcome(404, "task_id is not found")
    if isinstance(error, KeyedRefusal):
        return outcome(503, _NOT_RUN_HERE)
    if isinstance(error, ProviderError):
        return _by_provider(error)
    if isinstance(error, ComputeError):
        code = _COMPUTE_CODES.get(type(error))
        return None if code is None else outcome(code, f"{error.public}; try again")
    if isinstance(error, web.HTTPException):
        return _by_http(error)
    return None


def _by_provider(error: ProviderError) -> web.Response:
    if error.status in _REAL_STATUSES:
        return _detail(error.status, error.public)
    response = outcome(error.status, error.public)
    if isinstance(error, Stopping):
        # For the proxies in between as well, which are to ask another service.
        response.set_status(error.status)
    return response


def _by_http(error: web.HTTPException) -> web.Response:
    response = _detail(error.status, error.reason)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _detail(status: int, detail: Any) -> web.Response:
    text = as_json({"detail": detail})
    return web.Response(status=status, text=text, content_type="application/json")

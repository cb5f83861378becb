"""The answers, by the names of their fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from aiohttp import web

from compute.errors import ComputeError, EngineUnavailable, QueueFull, StoreUnavailable
from compute.models import Job
from provider.dialects.pipelines import states
from provider.dialects.pipelines.model import MANNERS, SEQUENCES, About, task_uid
from provider.errors import ProviderError
from provider.registry.models import Item, Kind

RUN_DETAIL: Final = "Excute task successfully"
"""Spelt so on the wire; clients compare it."""
TASK_DETAIL: Final = "Metadata retrieved successfully"
LOG_DETAIL: Final = "Get log successfully"
DELETE_DETAIL: Final = "Delete task successfully"
CHOICES_DETAIL: Final = "Choices retrieved successfully"

IMAGE_FIELDS: Final = frozenset({"image", "tag", "checksum"})
"""Of a build file's details: whoever knows them could run the image elsewhere."""

_ZONE: Final = timezone(timedelta(hours=8))
"""Of the times in the API's manual."""

_STATUS: Mapping[type[ComputeError], int] = {
    QueueFull: 429,
    EngineUnavailable: 503,
    StoreUnavailable: 503,
}


def envelope(detail: str, data: object, *, status: int = 200) -> web.Response:
    text = json.dumps({"detail": detail, "data": data}, ensure_ascii=False)
    return web.Response(
        body=text.encode("utf-8", "replace"),
        status=status,
        content_type="application/json",
        charset="utf-8",
    )


def error(request: web.Request, fault: Exception) -> web.Response | None:
    """The answer to a refusal; None for what is a fault of ours."""
    if isinstance(fault, ProviderError):
        return envelope(fault.public, None, status=fault.status)
    if isinstance(fault, ComputeError):
        status = next((_STATUS[kind] for kind in _STATUS if isinstance(fault, kind)), None)
        return None if status is None else envelope(fault.public, None, status=status)
    if isinstance(fault, web.HTTPException) and fault.status >= 400:
        return envelope(f"{fault.reason}.", None, status=fault.status)
    return None


def task(job: Job, about: About, missing: Item | None) -> dict[str, Any]:
    """A task, the output's UID first, as it is shown for a run; ``missing`` is the output as long
    as it is not there."""
    state, reason = states.outcome(job, missing)
    answer: dict[str, Any] = {
        MANNERS[about.kind].output_field: about.output_uid,
        "uid": task_uid(job.id),
        "created_time": created_time(job.created_at),
        "name": about.name,
        "description": about.description,
        "execute_step": state.execute_step,
        "status": state.status,
        **{f"f_{each}_image_uid": about.images[each] for each in SEQUENCES},
        "f_pipeline_uid": about.pipeline_uid,
    }
    return answer | {"reason": reason} if reason else answer


def item(each: Item) -> dict[str, Any]:
    """An item of the registry."""
    answer: dict[str, Any] = {
        "uid": each.uid,
        "created_time": created_time(each.created_at),
        "name": each.name,
        "description": each.description,
        "owner": each.owner,
    }
    if each.kind is Kind.PIPELINE:
        return answer
    return answer | {
        "f_pipeline_uid": each.pipeline_uid,
        "extension": each.extension,
        **{name: text for name, text in each.details.items() if name not in IMAGE_FIELDS},
        "status": each.state.value,
        "reason": each.reason,
        "f_task_uid": each.task_uid,
        "size": each.content.size if each.content else None,
        "sha256": each.content.sha256 if each.content else "",
    }


def choices(by_kind: Mapping[Kind, Sequence[Item]]) -> dict[str, Any]:
    """What a form for a run of a pipeline offers."""
    answer: dict[str, Any] = {
        kind.value: [item(each) for each in by_kind[kind]]
        for kind in (Kind.DATASET, Kind.CONFIG, Kind.MODEL)
    }
    images = by_kind[Kind.BUILD_FILE]
    answer["images"] = {
        sequence: [item(each) for each in images if each.details["sequence"] == sequence]
        for sequence in SEQUENCES
    }
    return answer


def created_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, _ZONE).isoformat(timespec="microseconds")

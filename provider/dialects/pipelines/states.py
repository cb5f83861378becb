"""How a task is, in the words of the wire: the table of steps and statuses. Pure.

``init`` and ``running`` with ``prepare_file`` and ``run_task`` are the API's own. How tasks end is
not documented for it, nor what it calls the third stage: ``upload``, ``finished``, ``failed`` and
``deleted`` are this service's.
"""

from __future__ import annotations

from typing import NamedTuple

from compute.models import Job
from compute.status import Phase
from provider.dialects.pipelines.model import DOWNLOAD, UPLOAD
from provider.registry.models import Item, ItemState

PREPARE_FILE = "prepare_file"
RUN_TASK = "run_task"
UPLOADING = "upload"

_PREPARING = frozenset({Phase.STARTED, Phase.CONFIGURING_VOLUMES, Phase.PROVISIONED})
_STOPPED = frozenset({Phase.STOPPED, Phase.DELETED})


class State(NamedTuple):
    """The two fields of an answer."""

    execute_step: str
    status: str


_UPLOAD_RUNS = State(UPLOADING, "running")


def state(job: Job) -> State:
    """One that is over keeps the step that it came to."""
    if job.phase is Phase.QUEUED:
        return State(PREPARE_FILE, "init")
    if job.phase is Phase.FILTERING:
        return State(RUN_TASK, "running")
    if job.phase in {Phase.PUBLISHING, Phase.HELD}:
        return _UPLOAD_RUNS
    if job.phase is Phase.COMPLETED:
        return State(UPLOADING, "finished")
    if job.phase in _STOPPED:
        return State(_step(job), "deleted")
    if job.phase.terminal:
        return State(_step(job), "failed")
    return State(_step(job), "running")


def outcome(job: Job, missing: Item | None) -> tuple[State, str]:
    """How a task is, and why it failed if it did. A job that is done makes a task that is finished
    only if there is what it was to make: ``missing`` is that item as long as it is not there."""
    if job.phase is not Phase.COMPLETED or missing is None:
        return state(job), failure(job)
    if missing.state is ItemState.PENDING:
        return _UPLOAD_RUNS, ""
    return State(UPLOADING, "failed"), missing.reason


def failure(job: Job) -> str:
    """Why a task failed, in a sentence; nothing for one that did not."""
    if not job.phase.terminal or job.phase is Phase.COMPLETED or job.phase in _STOPPED:
        return ""
    end = job.termination
    if end is None:
        return job.phase.text
    where = f"stage {end.stage}: " if end.stage else ""
    code = f" (exit code {end.exit_code})" if end.exit_code is not None else ""
    return f"{where}{end.reason}{code}" + (f": {end.detail}" if end.detail else "")


def _step(job: Job) -> str:
    if job.phase is Phase.PUBLISHING_FAILED:
        return UPLOADING
    stage = job.present.name
    if stage == DOWNLOAD or job.phase is Phase.EXPIRED:
        return PREPARE_FILE
    if stage == UPLOAD:
        return UPLOADING
    return PREPARE_FILE if job.phase in _PREPARING and job.stage == 0 else RUN_TASK

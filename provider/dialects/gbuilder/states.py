"""The numbers of this API for the phases of a job, and for a service. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from compute.models import Job
from compute.status import Phase
from provider.task_specs import Readiness


class EndpointState(IntEnum):
    """What ``GET /status`` says. The 0 in the source's example is not in its own list."""

    AVAILABLE = 1
    FULL = 2
    ERROR = 3


class TaskState(IntEnum):
    """What ``GET /tasks/<id>`` says."""

    UNKNOWN = -1
    RUNNING = 0
    WAITING = 1
    DONE = 2
    ERROR = 3


_ENDPOINT: Final[Mapping[Readiness, EndpointState]] = {
    Readiness.AVAILABLE: EndpointState.AVAILABLE,
    Readiness.FULL: EndpointState.FULL,
    Readiness.DOWN: EndpointState.ERROR,
}


def endpoint_state(readiness: Readiness) -> EndpointState:
    """Full when a task would be refused, not while others run: tasks may wait here."""
    return _ENDPOINT[readiness]


def task_state(job: Job | None) -> TaskState:
    """None is a task that there is not.

    A stopped task is an error, whether it ran or waited: its id stays taken, so that "no such
    task" would be wrong, and a client that waits for an end has one.
    """
    if job is None or job.phase is Phase.DELETED:
        return TaskState.UNKNOWN
    if job.phase is Phase.QUEUED:
        return TaskState.WAITING
    if not job.phase.terminal:
        return TaskState.RUNNING
    failed = job.phase is not Phase.COMPLETED or (job.termination and job.termination.exit_code)
    return TaskState.ERROR if failed else TaskState.DONE

"""How a job is, in the words of a task's info. Pure.

A task shows a process from its container's start on; until then it waits, whatever is made
ready for it. ``done_flag`` comes with the end, when the results are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from compute.models import Job
from compute.status import Phase

STOPPED = "stopped"


class DoneFlag(IntEnum):
    """How a task came to its end."""

    DONE = 1
    """It ran to its end, or failed: then there is an exception."""
    ENDED_BEFORE = 2
    """It was ended before it had started."""
    INTERRUPTED = 3
    """It was ended while it ran."""


class EndAnswer(IntEnum):
    """What came of asking a task to end."""

    UNKNOWN = 0
    OVER = 1
    """It had ended before, or was taken out of the queue."""
    TOLD = 2


def has_begun(job: Job) -> bool:
    """True once a container of the task has started."""
    return job.started_at is not None or bool(job.runs)


def pid_of(job: Job) -> int | None:
    """The process of the task's container on the engine's machine, also when it is over;
    None before, and where it was over too fast to be seen."""
    if job.pid is not None:
        return job.pid
    return job.runs[-1].pid if job.runs else None


def done_flag(job: Job) -> DoneFlag | None:
    """None for a task that is not over."""
    if not job.phase.terminal:
        return None
    if job.phase is not Phase.STOPPED:
        return DoneFlag.DONE
    return DoneFlag.INTERRUPTED if has_begun(job) else DoneFlag.ENDED_BEFORE


def has_failed(job: Job) -> bool:
    """True for an end that neither the algorithm nor its caller meant."""
    if not job.phase.terminal or job.phase is Phase.COMPLETED:
        return False
    if job.phase is Phase.STOPPED:
        return job.termination is not None and job.termination.reason != STOPPED
    return True


def failure(job: Job) -> tuple[str, str]:
    """What failed, as a type's name and as a sentence."""
    end = job.termination
    reason = end.reason if end else job.phase.value
    name = "".join(word.capitalize() for word in reason.split("_"))
    return name, (end.detail if end else "") or job.phase.text


def end_answer(before: Job, after: Job) -> EndAnswer:
    """``before`` is how the task was when it was asked to end, ``after`` how it is now."""
    if before.phase.terminal or (after.phase.terminal and not has_begun(after)):
        return EndAnswer.OVER
    return EndAnswer.TOLD


def progress(job: Job, ppid: int) -> Mapping[str, Any]:
    """The fields that come one by one as the task goes on; ``ppid`` is what stands above it."""
    pid, flag = pid_of(job), done_flag(job)
    begun = has_begun(job)
    fields: dict[str, Any] = {}
    if pid is not None:
        fields["process"] = {"pid": pid, "ppid": ppid}
    stages = ["start"] * begun + ["end"] * (flag is not None)
    if stages:
        fields["stage"] = stages
    if flag is DoneFlag.ENDED_BEFORE:
        fields["end_flag"] = 1
    if flag is not None:
        fields |= {"done_flag": flag.value, "done_time": job.finished_at}
    return fields

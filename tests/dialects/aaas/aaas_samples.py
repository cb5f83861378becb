"""Jobs as a run of this API leaves them, for tests of what is pure."""

from __future__ import annotations

from typing import Any

from compute.models import AlgorithmItem, Image, Job, JobSpec, Stage, StageRun, Termination
from compute.status import Phase
from provider.dialects.aaas import responses

MODULE, NAME = "starter.helloworld.auto", "hook_task"
RUN_OPTS = {"bind_arg.example_task.range.start": "5", "extra": {}, "bind_arg": {}}


def job(phase: Phase = Phase.QUEUED, *, task_ns: str = "test", **changes: Any) -> Job:
    stage = Stage(
        algorithm=AlgorithmItem(image=Image(image="example/a", tag="1"), entrypoint=""),
        max_duration_s=60,
    )
    about = responses.about(MODULE, NAME, task_ns, RUN_OPTS)
    values: dict[str, Any] = {
        "id": "0" * 32,
        "owner": "aaas",
        "environment": "small",
        "spec": JobSpec(stages=(stage,), about=about),
        "created_at": 1616126469.5,
        "namespace": f"aaas/-/{task_ns}",
        "name": "mine",
        "phase": phase,
    }
    if phase.terminal:
        values["finished_at"] = 1616126471.25
    return Job(**(values | changes))


def began(phase: Phase, *, pid: int | None = 13197, **changes: Any) -> Job:
    """A job whose container has started."""
    return job(phase, started_at=1616126470.0, pid=pid, **changes)


def ran(phase: Phase, reason: str, *, pid: int | None = 13197, **changes: Any) -> Job:
    """A job whose container has ended."""
    run = StageRun("algorithm", "sha256:1", 1616126470.0, 1616126471.0, 0, pid=pid)
    end = Termination(phase, reason, f"detail of {reason}")
    return began(phase, pid=pid, runs=(run,), termination=end, **changes)


def unstarted(phase: Phase, reason: str) -> Job:
    """A job that came to its end before a container of it had started."""
    return job(phase, termination=Termination(phase, reason, f"detail of {reason}"))

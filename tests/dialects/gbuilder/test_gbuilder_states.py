"""The numbers of this API; those of all dialects side by side are in test_states_of_all.py."""

from __future__ import annotations

import pytest
from gbuilder_samples import job

from compute.models import Job
from compute.status import TERMINAL, Phase
from provider.dialects.gbuilder.states import endpoint_state, task_state
from provider.task_specs import Readiness


@pytest.mark.parametrize(
    ("readiness", "number"),
    [(Readiness.AVAILABLE, 1), (Readiness.FULL, 2), (Readiness.DOWN, 3)],
)
def test_states_of_the_endpoint(readiness: Readiness, number: int) -> None:
    assert endpoint_state(readiness) == number


@pytest.mark.parametrize(
    ("seen", "number"),
    [
        (None, -1),
        (job(Phase.DELETED), -1),
        (job(Phase.QUEUED), 1),
        (job(Phase.STARTED), 0),
        (job(Phase.CONFIGURING_VOLUMES), 0),
        (job(Phase.PROVISIONED), 0),
        (job(Phase.RUNNING), 0),
        (job(Phase.FILTERING), 0),
        (job(Phase.PUBLISHING), 0),
        (job(Phase.PUBLISHING, "exit_code", 3), 0),
        (job(Phase.COMPLETED), 2),
        (job(Phase.COMPLETED, "completed", 0, "output.jsonl"), 2),
        (job(Phase.COMPLETED, "exit_code", 1, "output.jsonl"), 3),
        (job(Phase.EXPIRED, "queue_wait"), 3),
        (job(Phase.STOPPED, "stopped"), 3),
        (job(Phase.ALGORITHM_FAILED, "time_limit", 137), 3),
        (job(Phase.QUOTA_EXCEEDED, "disk_quota"), 3),
    ],
)
def test_states_of_a_task(seen: Job | None, number: int) -> None:
    assert task_state(seen) == number


def test_only_a_completed_task_is_done() -> None:
    assert {phase for phase in Phase if task_state(job(phase)) == 2} == {Phase.COMPLETED}
    assert all(task_state(job(phase)) in (3, 2, -1) for phase in TERMINAL)

"""The table of states, and what a task's info shows in each."""

from __future__ import annotations

from typing import Any

import pytest
from aaas_samples import began, job, ran, unstarted

from compute.models import Job
from compute.status import Phase
from provider.dialects.aaas import states
from provider.dialects.aaas.states import DoneFlag, EndAnswer

PROCESS = {"pid": 13197, "ppid": 7}
DONE_TIME = 1616126471.25


def over(flag: int, **more: Any) -> dict[str, Any]:
    return {"done_flag": flag, "done_time": DONE_TIME, **more}


WAITING: dict[str, Any] = {}
RUNNING = {"process": PROCESS, "stage": ["start"]}
ENDED = {"process": PROCESS, "stage": ["start", "end"]}


@pytest.mark.parametrize(
    ("seen", "fields", "exception"),
    [
        (job(Phase.QUEUED), WAITING, None),
        (job(Phase.STARTED), WAITING, None),
        (job(Phase.CONFIGURING_VOLUMES), WAITING, None),
        (job(Phase.PROVISIONED), WAITING, None),
        (began(Phase.RUNNING), RUNNING, None),
        (began(Phase.FILTERING), RUNNING, None),
        (began(Phase.PUBLISHING), RUNNING, None),
        (ran(Phase.COMPLETED, "completed"), ENDED | over(1), None),
        (ran(Phase.ALGORITHM_FAILED, "exit_code"), ENDED | over(1), "ExitCode"),
        (ran(Phase.ALGORITHM_FAILED, "out_of_memory"), ENDED | over(1), "OutOfMemory"),
        (ran(Phase.ALGORITHM_FAILED, "time_limit"), ENDED | over(1), "TimeLimit"),
        (ran(Phase.QUOTA_EXCEEDED, "disk_quota"), ENDED | over(1), "DiskQuota"),
        (ran(Phase.PUBLISHING_FAILED, "filter_failed"), ENDED | over(1), "FilterFailed"),
        (ran(Phase.STOPPED, "stopped"), ENDED | over(3), None),
        (
            unstarted(Phase.STOPPED, "stopped"),
            over(2, stage=["end"], end_flag=1),
            None,
        ),
        (unstarted(Phase.EXPIRED, "queue_wait"), over(1, stage=["end"]), "QueueWait"),
        (
            unstarted(Phase.IMAGE_FAILED, "image_unavailable"),
            over(1, stage=["end"]),
            "ImageUnavailable",
        ),
        (
            unstarted(Phase.VOLUMES_FAILED, "volume_fault"),
            over(1, stage=["end"]),
            "VolumeFault",
        ),
        (
            unstarted(Phase.STOPPED, "environment_removed"),
            over(2, stage=["end"], end_flag=1),
            "EnvironmentRemoved",
        ),
    ],
)
def test_each_state_shows_its_fields(
    seen: Job, fields: dict[str, Any], exception: str | None
) -> None:
    assert states.progress(seen, ppid=7) == fields
    assert states.has_failed(seen) is (exception is not None)
    if exception is not None:
        assert states.failure(seen)[0] == exception


@pytest.mark.parametrize("phase", list(Phase))
def test_the_done_flag_comes_with_the_end_and_not_before(phase: Phase) -> None:
    assert (states.done_flag(job(phase)) is not None) is phase.terminal


def test_a_process_that_was_over_too_fast_to_be_seen_is_not_made_up() -> None:
    seen = ran(Phase.COMPLETED, "completed", pid=None)
    assert states.progress(seen, ppid=7) == over(DoneFlag.DONE, stage=["start", "end"])


def test_the_process_is_still_told_when_the_row_has_forgotten_it() -> None:
    seen = ran(Phase.COMPLETED, "completed")
    assert states.pid_of(job(Phase.COMPLETED, runs=seen.runs)) == 13197


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        (job(Phase.QUEUED), unstarted(Phase.STOPPED, "stopped"), EndAnswer.OVER),
        (job(Phase.STARTED), unstarted(Phase.STOPPED, "stopped"), EndAnswer.OVER),
        (job(Phase.QUEUED), began(Phase.RUNNING), EndAnswer.TOLD),
        (job(Phase.QUEUED), ran(Phase.STOPPED, "stopped"), EndAnswer.TOLD),
        (began(Phase.RUNNING), began(Phase.RUNNING), EndAnswer.TOLD),
        (began(Phase.RUNNING), ran(Phase.STOPPED, "stopped"), EndAnswer.TOLD),
        (
            ran(Phase.COMPLETED, "completed"),
            ran(Phase.COMPLETED, "completed"),
            EndAnswer.OVER,
        ),
    ],
)
def test_what_an_end_answers(before: Job, after: Job, answer: EndAnswer) -> None:
    assert states.end_answer(before, after) is answer

"""The table of steps and statuses, and answers about a task field by field."""

from __future__ import annotations

import pytest
from pipeline_jobs import IMAGES, OUTPUT_UID, PIPELINE_UID, TASK_UID, a_job, about

from compute.models import Termination
from compute.status import TERMINAL, Phase
from provider.dialects.pipelines import responses, states
from provider.dialects.pipelines.model import TaskKind
from provider.dialects.pipelines.states import State
from provider.registry.models import Item, ItemState, Kind

FAILED = TERMINAL - {Phase.COMPLETED, Phase.STOPPED, Phase.DELETED}
OTHERWISE = {Phase.EXPIRED, Phase.PUBLISHING_FAILED}
STEPS = ("prepare_file", "run_task", "upload")


@pytest.mark.parametrize(
    ("phase", "stage", "step", "status"),
    [
        (Phase.QUEUED, 0, "prepare_file", "init"),
        (Phase.STARTED, 0, "prepare_file", "running"),
        (Phase.CONFIGURING_VOLUMES, 0, "prepare_file", "running"),
        (Phase.PROVISIONED, 0, "prepare_file", "running"),
        (Phase.RUNNING, 0, "prepare_file", "running"),
        (Phase.STARTED, 1, "run_task", "running"),
        (Phase.PROVISIONED, 1, "run_task", "running"),
        (Phase.RUNNING, 1, "run_task", "running"),
        (Phase.STARTED, 2, "upload", "running"),
        (Phase.RUNNING, 2, "upload", "running"),
        (Phase.FILTERING, 2, "run_task", "running"),
        (Phase.PUBLISHING, 2, "upload", "running"),
        (Phase.COMPLETED, 2, "upload", "finished"),
        (Phase.EXPIRED, 0, "prepare_file", "failed"),
        (Phase.PUBLISHING_FAILED, 1, "upload", "failed"),
        *((phase, 1, "run_task", "failed") for phase in sorted(FAILED - OTHERWISE)),
        *((Phase.STOPPED, stage, step, "deleted") for stage, step in enumerate(STEPS)),
        (Phase.DELETED, 0, "prepare_file", "deleted"),
    ],
)  # fmt: skip
def test_the_table(phase: Phase, stage: int, step: str, status: str) -> None:
    assert states.state(a_job(phase=phase, stage=stage)) == (step, status)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_state_and_only_the_failed_a_reason(phase: Phase) -> None:
    job = a_job(phase=phase)
    assert states.state(job).execute_step in STEPS
    assert bool(states.failure(job)) is (phase in FAILED)


def test_a_failure_names_stage_reason_and_code() -> None:
    end = Termination(
        Phase.ALGORITHM_FAILED, "exit_code", "It said no.", exit_code=3, stage="running"
    )
    job = a_job(phase=Phase.ALGORITHM_FAILED, stage=1, termination=end)
    assert states.failure(job) == "stage running: exit_code (exit code 3): It said no."


def missing(state: ItemState, reason: str = "") -> Item:
    return Item(OUTPUT_UID, Kind.DATASET, "", "user1", "d", 1.0, state=state, reason=reason)


def test_a_task_is_finished_only_with_its_output() -> None:
    done, running = a_job(phase=Phase.COMPLETED, stage=2), a_job(phase=Phase.RUNNING, stage=1)
    pending, failed = missing(ItemState.PENDING), missing(ItemState.FAILED, "nothing there")
    assert states.outcome(done, None) == (State("upload", "finished"), "")
    assert states.outcome(done, pending) == (State("upload", "running"), "")
    assert states.outcome(done, failed) == (State("upload", "failed"), "nothing there")
    assert states.outcome(running, pending) == (State("run_task", "running"), "")


def test_an_answer_is_that_of_the_manual() -> None:
    assert responses.task(a_job(), about(), missing(ItemState.PENDING)) == {
        "training_dataset_uid": OUTPUT_UID,
        "uid": TASK_UID,
        "created_time": "2024-09-18T18:13:22.552851+08:00",
        "name": "test_task",
        "description": "test task",
        "execute_step": "prepare_file",
        "status": "init",
        "f_download_image_uid": IMAGES["download"],
        "f_running_image_uid": IMAGES["running"],
        "f_upload_image_uid": IMAGES["upload"],
        "f_pipeline_uid": PIPELINE_UID,
    }


@pytest.mark.parametrize("kind", [TaskKind.TRAINING, TaskKind.RETRAIN])
def test_the_other_kinds_name_a_model(kind: TaskKind) -> None:
    answer = responses.task(a_job(), about(kind), None)
    assert answer["model_uid"] == OUTPUT_UID
    assert "training_dataset_uid" not in answer


def test_times_have_microseconds_also_when_there_are_none() -> None:
    assert responses.created_time(1726654402.0) == "2024-09-18T18:13:22.000000+08:00"

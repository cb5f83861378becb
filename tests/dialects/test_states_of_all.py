"""One job, five wires: what each API says of every state that a job can be in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from compute.models import (
    AlgorithmItem,
    Image,
    Job,
    JobSpec,
    ResultFile,
    Stage,
    StageRun,
    Termination,
)
from compute.status import TERMINAL, Goal, Phase
from provider.dialects.aaas import states as aaas
from provider.dialects.gbuilder import states as gbuilder
from provider.dialects.labelling import states as labelling
from provider.dialects.labelling.progress import Progress
from provider.dialects.ocean import responses as ocean
from provider.dialects.pipelines import states as pipelines

NAMES = ("download", "running", "upload")
OUTPUT = ResultFile(0, "output.jsonl", 3, "00" * 32, "output")


def a_job(phase: Phase, *, stage: int = 0, **changes: Any) -> Job:
    """A job of three stages in this phase of that stage, as the store would return it."""
    stages = tuple(
        Stage(
            name=name,
            algorithm=AlgorithmItem(image=Image(image="lab"), entrypoint=""),
            max_duration_s=60,
        )
        for name in NAMES
    )
    runs = tuple(StageRun(name, "sha256:1", 2.0, 3.0, 0, pid=7 + n) for n, name in
                 enumerate(NAMES[:stage]))  # fmt: skip
    over = {"finished_at": 9.0} if phase in TERMINAL else {}
    job = Job(
        id="1" * 32,
        owner="lab",
        environment="small",
        spec=JobSpec(stages=stages),
        created_at=1.0,
        phase=phase,
        stage=stage,
        runs=runs,
    )
    return replace(job, **(over | changes))


def running(stage: int) -> dict[str, Any]:
    return {"started_at": 4.0, "pid": 70 + stage}


def ended(phase: Phase, reason: str, exit_code: int | None = None) -> dict[str, Any]:
    return {"termination": Termination(phase, reason, "as told", exit_code)}


def after_all(stage: int = 2) -> dict[str, Any]:
    runs = tuple(StageRun(name, "sha256:1", 2.0, 3.0, 0, pid=7) for name in NAMES[: stage + 1])
    return {"runs": runs, "started_at": 2.0, "pid": 7}


@dataclass(frozen=True)
class Row:
    """A state, and what it is called: Ocean's number, gBuilder's, the pipelines' step and
    status, the labelling's two, and of aaas whether there is a process, done_flag, end_flag and
    an exception."""

    job: Job
    ocean: int
    gbuilder: int
    pipelines: tuple[str, str]
    labelling: tuple[str, str | None]
    aaas: tuple[bool, int | None, bool, bool]


WAITS = (False, None, False, False)
RUNS = (True, None, False, False)
FAILED_UNSEEN = (False, 1, False, True)
FAILED = (True, 1, False, True)
NO_PROD = ("SUCCESS", None)

ROWS = {
    "waiting": Row(
        a_job(Phase.QUEUED), 1, 1, ("prepare_file", "init"), ("PENDING", None), WAITS
    ),
    "waited too long": Row(
        a_job(Phase.EXPIRED, **ended(Phase.EXPIRED, "queue_wait")),
        2, 3, ("prepare_file", "failed"), ("FAILURE", None), FAILED_UNSEEN,
    ),
    "taken from the queue": Row(
        a_job(Phase.STARTED), 10, 0, ("prepare_file", "running"), ("PENDING", None), WAITS
    ),
    "its space is made": Row(
        a_job(Phase.CONFIGURING_VOLUMES),
        20, 0, ("prepare_file", "running"), ("PENDING", None), WAITS,
    ),
    "inputs are in place": Row(
        a_job(Phase.PROVISIONED), 30, 0, ("prepare_file", "running"), ("PENDING", None), WAITS
    ),
    "the first stage runs": Row(
        a_job(Phase.RUNNING, **running(0)),
        40, 0, ("prepare_file", "running"), ("PENDING", None), RUNS,
    ),
    "the second is made ready": Row(
        a_job(Phase.STARTED, stage=1), 10, 0, ("run_task", "running"), ("PENDING", None), RUNS
    ),
    "the second runs": Row(
        a_job(Phase.RUNNING, stage=1, **running(1)),
        40, 0, ("run_task", "running"), ("PENDING", None), RUNS,
    ),
    "the last runs": Row(
        a_job(Phase.RUNNING, stage=2, **running(2)),
        40, 0, ("upload", "running"), ("PENDING", None), RUNS,
    ),
    "filtered": Row(
        a_job(Phase.FILTERING, stage=2, **after_all()),
        50, 0, ("run_task", "running"), NO_PROD, RUNS,
    ),
    "published": Row(
        a_job(Phase.PUBLISHING, stage=2, **after_all()),
        60, 0, ("upload", "running"), NO_PROD, RUNS,
    ),
    "held for review": Row(
        a_job(Phase.HELD, stage=2, **after_all()),
        51, 0, ("upload", "running"), NO_PROD, RUNS,
    ),
    "done": Row(
        a_job(Phase.COMPLETED, stage=2, results=(OUTPUT,), **after_all(),
              **ended(Phase.COMPLETED, "completed", 0)),
        70, 2, ("upload", "finished"), ("SUCCESS", "finish"), (True, 1, False, False),
    ),
    "done, no output": Row(
        a_job(Phase.COMPLETED, stage=2, **after_all(), **ended(Phase.COMPLETED, "completed", 0)),
        70, 2, ("upload", "finished"), ("SUCCESS", "no_data"), (True, 1, False, False),
    ),
    "the algorithm failed": Row(
        a_job(Phase.ALGORITHM_FAILED, stage=1, **after_all(1),
              **ended(Phase.ALGORITHM_FAILED, "exit_code", 3)),
        41, 3, ("run_task", "failed"), ("FAILURE", None), FAILED,
    ),
    "it failed, and its log is published": Row(
        a_job(Phase.PUBLISHING, stage=1, **after_all(1),
              **ended(Phase.ALGORITHM_FAILED, "exit_code", 3)),
        60, 0, ("upload", "running"), ("FAILURE", None), RUNS,
    ),
    "the disk was full": Row(
        a_job(Phase.QUOTA_EXCEEDED, stage=1, **after_all(1),
              **ended(Phase.QUOTA_EXCEEDED, "disk_quota", 1)),
        42, 3, ("run_task", "failed"), ("FAILURE", None), FAILED,
    ),
    "the image is missing": Row(
        a_job(Phase.IMAGE_FAILED, **ended(Phase.IMAGE_FAILED, "image_unavailable")),
        11, 3, ("prepare_file", "failed"), ("FAILURE", None), FAILED_UNSEEN,
    ),
    "no space could be made": Row(
        a_job(Phase.VOLUMES_FAILED, **ended(Phase.VOLUMES_FAILED, "volume_fault")),
        21, 3, ("prepare_file", "failed"), ("FAILURE", None), FAILED_UNSEEN,
    ),
    "no container could be made": Row(
        a_job(Phase.CONTAINER_FAILED, **ended(Phase.CONTAINER_FAILED, "engine_refused")),
        22, 3, ("prepare_file", "failed"), ("FAILURE", None), FAILED_UNSEEN,
    ),
    "an input is missing": Row(
        a_job(Phase.DATA_FAILED, **ended(Phase.DATA_FAILED, "input_unavailable")),
        31, 3, ("prepare_file", "failed"), ("FAILURE", None), FAILED_UNSEEN,
    ),
    "the algorithm's file is missing": Row(
        a_job(Phase.ALGORITHM_MISSING, **ended(Phase.ALGORITHM_MISSING, "input_unavailable")),
        32, 3, ("prepare_file", "failed"), ("FAILURE", None), FAILED_UNSEEN,
    ),
    "results could not be published": Row(
        a_job(Phase.PUBLISHING_FAILED, stage=2, **after_all(),
              **ended(Phase.PUBLISHING_FAILED, "publishing_fault", 0)),
        61, 3, ("upload", "failed"), ("FAILURE", None), FAILED,
    ),
    "stopped while it waited": Row(
        a_job(Phase.STOPPED, goal=Goal.STOP, **ended(Phase.STOPPED, "stopped")),
        7, 3, ("prepare_file", "deleted"), ("BREAK", None), (False, 2, True, False),
    ),
    "stopped while it ran": Row(
        a_job(Phase.STOPPED, stage=1, goal=Goal.STOP, **after_all(1),
              **ended(Phase.STOPPED, "stopped", 143)),
        7, 3, ("run_task", "deleted"), ("BREAK", None), (True, 3, False, False),
    ),
}  # fmt: skip


def test_every_phase_is_in_the_table() -> None:
    assert {row.job.phase for row in ROWS.values()} == set(Phase) - {Phase.DELETED}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_ocean(row: Row) -> None:
    document = ocean.job(row.job, "http://here")
    assert document["status"] == row.ocean
    assert (document["dateFinished"] is not None) is row.job.phase.terminal
    assert [stage["name"] for stage in document["stages"]] == list(NAMES)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_gbuilder(row: Row) -> None:
    assert gbuilder.task_state(row.job) == row.gbuilder


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_pipelines(row: Row) -> None:
    assert pipelines.state(row.job) == row.pipelines


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_labelling(row: Row) -> None:
    nothing_told = Progress()
    told = (labelling.stat(row.job), labelling.prod_stat(row.job, nothing_told))
    assert told == row.labelling


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_aaas(row: Row) -> None:
    info = aaas.progress(row.job, 1)
    process, flag, end_flag, exception = row.aaas
    assert ("process" in info) is process
    assert info.get("done_flag") == flag
    assert ("end_flag" in info) is end_flag
    assert aaas.has_failed(row.job) is exception


def test_a_task_that_there_is_not() -> None:
    assert gbuilder.task_state(None) == -1
    assert gbuilder.task_state(a_job(Phase.DELETED)) == -1

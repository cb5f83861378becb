"""How a job is, in the words of the labelling API: the table of its states."""

from __future__ import annotations

from typing import Any

import pytest

from compute.models import AlgorithmItem, Image, Job, JobSpec, ResultFile, Stage, Termination
from compute.status import Goal, Phase
from provider.dialects.labelling import responses, states
from provider.dialects.labelling.progress import NOTHING, Progress

OUTPUT = ResultFile(0, "progress.json", 2, "00", "output")
LOG = ResultFile(0, "algorithm.log", 2, "00", "algorithmLog")
LABELLED = Progress(received=10, labelled=4)
IN_VAIN = Progress(received=10, labelled=0)


def job(phase: Phase, **fields: Any) -> Job:
    algorithm = AlgorithmItem(image=Image(image="label", tag="1"), entrypoint="")
    stage = Stage(name="labelling", algorithm=algorithm, max_duration_s=60)
    about = {
        "model_type": "rule_model",
        "predict_type": "content",
        "date_range": "2021-01-01 - 2021-03-01",
        "target_table": "wh_bbs_02",
    }
    spec = JobSpec(stages=(stage,), about=about)
    return Job(
        id="535b5afb57ed11eca09604ea56825bad",
        owner="labelling",
        environment="small",
        spec=spec,
        created_at=1638972536.7,
        phase=phase,
        **fields,
    )


def end(phase: Phase, reason: str = "exit_code", code: int | None = None) -> Termination:
    return Termination(phase, reason, exit_code=code)


DONE = end(Phase.COMPLETED, code=0)
FAILED = end(Phase.ALGORITHM_FAILED, code=3)
STOPPED = end(Phase.STOPPED, "stopped")


@pytest.mark.parametrize(
    ("phase", "fields", "progress", "stat", "prod_stat"),
    [
        (Phase.QUEUED, {}, NOTHING, "PENDING", None),
        (
            Phase.EXPIRED,
            {"termination": end(Phase.EXPIRED, "queue_wait")},
            NOTHING,
            "FAILURE",
            None,
        ),
        (Phase.STARTED, {}, NOTHING, "PENDING", None),
        (Phase.CONFIGURING_VOLUMES, {}, NOTHING, "PENDING", None),
        (Phase.PROVISIONED, {}, NOTHING, "PENDING", None),
        (Phase.RUNNING, {}, LABELLED, "PENDING", None),
        (Phase.FILTERING, {"termination": DONE}, LABELLED, "SUCCESS", None),
        (Phase.FILTERING, {"termination": FAILED}, LABELLED, "FAILURE", None),
        (Phase.PUBLISHING, {"termination": DONE}, LABELLED, "SUCCESS", None),
        (Phase.PUBLISHING, {"termination": FAILED}, LABELLED, "FAILURE", None),
        (Phase.PUBLISHING, {"termination": STOPPED, "goal": Goal.STOP}, LABELLED, "BREAK", None),
        (Phase.COMPLETED, {"termination": DONE}, LABELLED, "SUCCESS", "finish"),
        (Phase.COMPLETED, {"termination": DONE}, IN_VAIN, "SUCCESS", "no_data"),
        (
            Phase.COMPLETED,
            {"termination": DONE, "results": (OUTPUT, LOG)},
            NOTHING,
            "SUCCESS",
            "finish",
        ),
        (Phase.COMPLETED, {"termination": DONE, "results": (LOG,)}, NOTHING, "SUCCESS", "no_data"),
        (Phase.COMPLETED, {"termination": end(Phase.COMPLETED, code=1)}, LABELLED, "FAILURE", None),
        (Phase.ALGORITHM_FAILED, {"termination": FAILED}, LABELLED, "FAILURE", None),
        (Phase.IMAGE_FAILED, {}, NOTHING, "FAILURE", None),
        (Phase.VOLUMES_FAILED, {}, NOTHING, "FAILURE", None),
        (Phase.CONTAINER_FAILED, {}, NOTHING, "FAILURE", None),
        (Phase.DATA_FAILED, {}, NOTHING, "FAILURE", None),
        (Phase.ALGORITHM_MISSING, {}, NOTHING, "FAILURE", None),
        (Phase.QUOTA_EXCEEDED, {}, LABELLED, "FAILURE", None),
        (Phase.PUBLISHING_FAILED, {}, LABELLED, "FAILURE", None),
        (Phase.QUEUED, {"goal": Goal.STOP}, NOTHING, "BREAK", None),
        (Phase.RUNNING, {"goal": Goal.STOP}, LABELLED, "BREAK", None),
        (Phase.RUNNING, {"goal": Goal.DELETE}, LABELLED, "BREAK", None),
        (Phase.STOPPED, {"goal": Goal.STOP}, LABELLED, "BREAK", None),
        # BREAK is final, even if the end came just before the stop.
        (Phase.COMPLETED, {"goal": Goal.STOP, "termination": DONE}, LABELLED, "BREAK", None),
        (
            Phase.ALGORITHM_FAILED,
            {"goal": Goal.STOP, "termination": FAILED},
            NOTHING,
            "BREAK",
            None,
        ),
    ],
)
def test_states(
    phase: Phase, fields: dict[str, Any], progress: Progress, stat: str, prod_stat: str | None
) -> None:
    made = job(phase, **fields)
    assert (states.stat(made), states.prod_stat(made, progress)) == (stat, prod_stat)


def test_every_phase_has_a_state() -> None:
    assert {states.stat(job(phase)) for phase in Phase} == {
        "PENDING",
        "SUCCESS",
        "FAILURE",
        "BREAK",
    }


def test_the_manual_s_row() -> None:
    """The example of the API's manual, from a job and a progress file."""
    said = Progress(
        received=5760849,
        labelled=536715,
        labelled_authors=109614,
        authors=228206,
        tables=("Ptt",),
    )
    times = {"started_at": 1638972540.0, "ended_at": 1638972540.0 + 33.9207 * 60}
    made = job(Phase.COMPLETED, termination=DONE, **times)
    row = responses.state_row(made, said, now=1e10)
    assert row == {
        "task_id": "535b5afb57ed11eca09604ea56825bad",
        "stat": "SUCCESS",
        "prod_stat": "finish",
        "model_type": "rule_model",
        "predict_type": "content",
        "date_range": "2021-01-01 - 2021-03-01",
        "target_table": "wh_bbs_02",
        "create_time": "2021-12-08T14:08:56",
        "peak_memory": None,
        "length_receive_table": 5760849,
        "length_output_table": 536715,
        "length_prod_table": "109614",
        "result": "Ptt",
        "uniq_source_author": "228206",
        "rate_of_label": "48.03",
        "run_time": 33.9207,
        "check_point": None,
        "error_message": None,
    }
    assert list(row)[:4] == ["task_id", "stat", "prod_stat", "model_type"]


def test_run_time_grows_while_it_runs() -> None:
    running = job(Phase.RUNNING, started_at=100.0)
    assert responses.state_row(running, NOTHING, now=130.0)["run_time"] == 0.5
    assert responses.state_row(job(Phase.QUEUED), NOTHING, now=130.0)["run_time"] is None


def test_why_it_failed() -> None:
    told = Progress(error="the input table does not exist")
    by_itself = job(
        Phase.ALGORITHM_FAILED,
        termination=Termination(Phase.ALGORITHM_FAILED, "exit_code", "exit code 1", 1),
    )
    assert states.error_message(by_itself, told) == (
        "the input table does not exist (exit_code: exit code 1)"
    )
    killed = job(Phase.ALGORITHM_FAILED, termination=end(Phase.ALGORITHM_FAILED, "out_of_memory"))
    assert states.error_message(killed, told) == "out_of_memory"
    assert states.error_message(job(Phase.COMPLETED, termination=DONE), told) is None

"""Every branch of what happens next, as tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from compute_samples import a_job, an_environment

from compute import decide
from compute.decide import (
    LONGEST_RETRY_S,
    STOPPED,
    Adopt,
    Conclude,
    Filter,
    Filtered,
    Finish,
    Kill,
    Launch,
    PrepareImage,
    Provision,
    Publish,
    Purge,
    Rest,
    Step,
    next_step,
    verdict,
)
from compute.engines.base import GONE, ContainerState, Observation
from compute.failures import Reason
from compute.models import Termination
from compute.status import TERMINAL, UNFINISHED, Goal, Phase

CREATED = Observation(ContainerState.CREATED)
RUNNING = Observation(ContainerState.RUNNING, started_at=500.0)
EXITED = Observation(ContainerState.EXITED, exit_code=0, started_at=500.0, finished_at=550.0)
STATES = (GONE, CREATED, RUNNING, EXITED)

QUOTA = Termination(
    Phase.QUOTA_EXCEEDED, "disk_quota", "the outputs filled the disk that the environment gives"
)
COMPLETED = Termination(Phase.COMPLETED, "completed", "", 0)
TIME_LIMIT = Termination(Phase.ALGORITHM_FAILED, "time_limit", "the algorithm ran longer than 60 s")


def step(
    phase: Phase,
    goal: Goal = Goal.RUN,
    seen: Observation | None = None,
    *,
    now: float = 510.0,
    full: bool = False,
    **job: Any,
) -> Step:
    values = {"created_at": 0.0, "started_at": 500.0} | job
    environment = an_environment(
        maxQueueWait=600, stopGrace=3.0, maxJobDuration=100, filterImage="lab/filter:1"
    )
    return next_step(a_job(phase=phase, goal=goal, **values), environment, now, seen, full)


@pytest.mark.parametrize("phase", sorted(TERMINAL - {Phase.DELETED}))
def test_an_ended_job_rests_until_it_is_to_be_deleted(phase: Phase) -> None:
    assert step(phase) == Rest()
    assert step(phase, Goal.STOP) == Rest()
    assert step(phase, Goal.DELETE) == Purge()


@pytest.mark.parametrize("goal", list(Goal))
def test_a_deleted_job_rests(goal: Goal) -> None:
    assert step(Phase.DELETED, goal) == Rest()


@pytest.mark.parametrize(
    ("goal", "now", "expected"),
    [
        (Goal.RUN, 0.0, Rest(600.0)),
        (Goal.RUN, 599.9, Rest(600.0)),
        (
            Goal.RUN,
            600.0,
            Finish(
                Termination(Phase.EXPIRED, "queue_wait", "waited longer than 600 s for a place")
            ),
        ),
        (Goal.STOP, 1.0, Finish(STOPPED)),
        (Goal.STOP, 700.0, Finish(STOPPED)),
        (Goal.DELETE, 1.0, Finish(STOPPED)),
    ],
)
def test_in_the_queue(goal: Goal, now: float, expected: Step) -> None:
    assert step(Phase.QUEUED, goal, now=now) == expected


@pytest.mark.parametrize(
    ("phase", "goal", "expected"),
    [
        (Phase.STARTED, Goal.RUN, PrepareImage()),
        (Phase.STARTED, Goal.STOP, Finish(STOPPED)),
        (Phase.STARTED, Goal.DELETE, Finish(STOPPED)),
        (Phase.CONFIGURING_VOLUMES, Goal.RUN, Provision()),
        (Phase.CONFIGURING_VOLUMES, Goal.STOP, Finish(STOPPED)),
        (Phase.CONFIGURING_VOLUMES, Goal.DELETE, Finish(STOPPED)),
        (Phase.PUBLISHING, Goal.RUN, Publish()),
        (Phase.PUBLISHING, Goal.STOP, Publish()),
        (Phase.PUBLISHING, Goal.DELETE, Publish()),
    ],
)
def test_phases_that_need_no_look_at_the_engine(phase: Phase, goal: Goal, expected: Step) -> None:
    assert step(phase, goal) == expected


@pytest.mark.parametrize(
    ("goal", "seen", "expected"),
    [
        (Goal.RUN, GONE, Launch()),
        (Goal.RUN, CREATED, Launch()),
        (Goal.RUN, RUNNING, Adopt(500.0)),
        (Goal.RUN, EXITED, Adopt(500.0)),
        (Goal.RUN, Observation(ContainerState.EXITED), Adopt(510.0)),
        (Goal.STOP, GONE, Finish(STOPPED)),
        (Goal.STOP, CREATED, Finish(STOPPED)),
        (Goal.STOP, RUNNING, Adopt(500.0)),
        (Goal.STOP, EXITED, Adopt(500.0)),
        (Goal.DELETE, GONE, Finish(STOPPED)),
        (Goal.DELETE, CREATED, Finish(STOPPED)),
        (Goal.DELETE, RUNNING, Adopt(500.0)),
        (Goal.DELETE, EXITED, Adopt(500.0)),
    ],
)
def test_provisioned(goal: Goal, seen: Observation, expected: Step) -> None:
    assert step(Phase.PROVISIONED, goal, seen) == expected


@pytest.mark.parametrize(
    ("goal", "changes", "expected"),
    [
        (Goal.RUN, {}, Rest(560.0)),
        (Goal.RUN, {"now": 559.9}, Rest(560.0)),
        (Goal.RUN, {"now": 560.0}, Kill(TIME_LIMIT, 3.0)),
        (Goal.RUN, {"full": True}, Kill(QUOTA, 0.0)),
        (Goal.RUN, {"started_at": None}, Rest(570.0)),
        (Goal.RUN, {"termination": TIME_LIMIT}, Kill(TIME_LIMIT, 3.0)),
        (Goal.STOP, {}, Kill(STOPPED, 3.0)),
        (Goal.STOP, {"now": 9999.0, "full": True}, Kill(STOPPED, 3.0)),
        (Goal.STOP, {"termination": TIME_LIMIT}, Kill(TIME_LIMIT, 3.0)),
        (Goal.DELETE, {}, Kill(STOPPED, 0.0)),
    ],
)
def test_a_running_container(goal: Goal, changes: dict[str, Any], expected: Step) -> None:
    assert step(Phase.RUNNING, goal, RUNNING, **changes) == expected


@pytest.mark.parametrize("goal", list(Goal))
def test_a_container_that_ended_by_itself_keeps_its_own_outcome(goal: Goal) -> None:
    assert step(Phase.RUNNING, goal, EXITED) == Conclude(COMPLETED, EXITED)


@pytest.mark.parametrize("goal", list(Goal))
def test_a_container_that_was_ended_keeps_the_reason_written_down_before(goal: Goal) -> None:
    killed = replace(EXITED, exit_code=137)
    expected = Conclude(TIME_LIMIT, killed)
    assert step(Phase.RUNNING, goal, killed, termination=TIME_LIMIT) == expected


def test_a_vanished_container_ends_the_run() -> None:
    conclusion = step(Phase.RUNNING, Goal.RUN, GONE)
    assert isinstance(conclusion, Conclude)
    assert conclusion.seen is GONE
    assert conclusion.termination.phase is Phase.ALGORITHM_FAILED
    assert conclusion.termination.reason == "container_gone"


@pytest.mark.parametrize("goal", list(Goal))
def test_a_container_that_was_never_started_is_no_finished_run(goal: Goal) -> None:
    taken = step(Phase.RUNNING, goal, replace(CREATED, exit_code=0))
    assert not (isinstance(taken, Conclude) and taken.termination.phase is Phase.COMPLETED)


FILTER_TOOK_LONG = Finish(
    Termination(
        Phase.PUBLISHING_FAILED,
        "filter_failed",
        "the environment's filter took too long; the outputs are withheld",
    )
)
FILTER_EXITED_3 = Finish(
    Termination(
        Phase.PUBLISHING_FAILED,
        "filter_failed",
        "the environment's filter ended with exit code 3; the outputs are withheld",
    )
)


@pytest.mark.parametrize(
    ("goal", "seen", "now", "expected"),
    [
        (Goal.RUN, GONE, 510.0, Filter()),
        (Goal.RUN, CREATED, 510.0, Filter()),
        (Goal.RUN, RUNNING, 510.0, Rest(600.0)),
        (Goal.RUN, RUNNING, 600.0, FILTER_TOOK_LONG),
        (Goal.RUN, EXITED, 510.0, Filtered()),
        (Goal.RUN, replace(EXITED, exit_code=3), 510.0, FILTER_EXITED_3),
        (Goal.STOP, GONE, 510.0, Filter()),
        (Goal.STOP, EXITED, 510.0, Filtered()),
        (Goal.STOP, replace(EXITED, exit_code=3), 510.0, FILTER_EXITED_3),
        (Goal.DELETE, GONE, 510.0, Filtered()),
        (Goal.DELETE, RUNNING, 510.0, Filtered()),
        (Goal.DELETE, EXITED, 510.0, Filtered()),
    ],
)
def test_filtering(goal: Goal, seen: Observation, now: float, expected: Step) -> None:
    assert step(Phase.FILTERING, goal, seen, now=now) == expected


PUBLISHING_FAILED = Termination(Phase.PUBLISHING_FAILED, "filter_failed", "withheld")


@pytest.mark.parametrize("goal", list(Goal))
@pytest.mark.parametrize("seen", STATES, ids=lambda seen: str(seen.state))
@pytest.mark.parametrize(
    ("phase", "termination"),
    [
        (Phase.PROVISIONED, Termination(Phase.CONTAINER_FAILED, "engine_refused")),
        (Phase.PROVISIONED, STOPPED),
        (Phase.FILTERING, PUBLISHING_FAILED),
        (Phase.PUBLISHING, PUBLISHING_FAILED),
    ],
)
def test_an_end_that_was_written_down_is_carried_through(
    goal: Goal, seen: Observation, phase: Phase, termination: Termination
) -> None:
    assert step(phase, goal, seen, termination=termination) == Finish(termination)


@pytest.mark.parametrize("ended", [COMPLETED, STOPPED, QUOTA, TIME_LIMIT])
def test_an_outcome_before_its_results_is_no_end(ended: Termination) -> None:
    assert step(Phase.PUBLISHING, termination=ended) == Publish()
    assert step(Phase.FILTERING, seen=GONE, termination=ended) == Filter()
    assert step(Phase.RUNNING, seen=EXITED, termination=ended) == Conclude(ended, EXITED)


BUSY = sorted(UNFINISHED - {Phase.QUEUED})


@pytest.mark.parametrize("phase", BUSY)
def test_a_failed_try_is_waited_out(phase: Phase) -> None:
    assert step(phase, seen=EXITED, retry_at=511.0) == Rest(511.0)
    assert step(phase, seen=EXITED, retry_at=510.0) != Rest(510.0)


@pytest.mark.parametrize("phase", BUSY)
def test_a_date_from_before_the_clock_was_put_back_is_not_waited_for(phase: Phase) -> None:
    late = 510.0 + LONGEST_RETRY_S
    assert step(phase, seen=EXITED, retry_at=late) == Rest(late)
    assert not isinstance(step(phase, seen=EXITED, retry_at=late + 1.0), Rest)


@pytest.mark.parametrize("phase", BUSY)
@pytest.mark.parametrize("goal", [Goal.STOP, Goal.DELETE])
def test_a_wish_does_not_wait_for_the_next_try(phase: Phase, goal: Goal) -> None:
    assert not isinstance(step(phase, goal, EXITED, retry_at=9999.0), Rest)


@pytest.mark.parametrize("phase", [Phase.PROVISIONED, Phase.RUNNING, Phase.FILTERING])
def test_nothing_is_assumed_of_a_container_that_was_not_looked_at(phase: Phase) -> None:
    with pytest.raises(ValueError, match="needs an observation"):
        step(phase)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("goal", list(Goal))
@pytest.mark.parametrize("seen", STATES, ids=lambda seen: str(seen.state))
def test_every_end_that_is_decided_on_is_a_legal_move(
    phase: Phase, goal: Goal, seen: Observation
) -> None:
    for now in (0.0, 510.0, 99_999.0):
        taken = step(phase, goal, seen, now=now)
        if isinstance(taken, Finish):
            assert decide_may_end(phase, taken.termination.phase)
        if isinstance(taken, Conclude):
            assert decide_may_end(Phase.PUBLISHING, taken.termination.phase)


def decide_may_end(source: Phase, target: Phase) -> bool:
    from compute.status import may_move

    return target in TERMINAL and may_move(source, target)


@pytest.mark.parametrize(
    ("seen", "full", "phase", "reason", "code"),
    [
        (EXITED, False, Phase.COMPLETED, "completed", 0),
        (replace(EXITED, oom_killed=True), False, Phase.COMPLETED, "completed", 0),
        (replace(EXITED, exit_code=3), False, Phase.ALGORITHM_FAILED, "exit_code", 3),
        (
            replace(EXITED, exit_code=137, oom_killed=True),
            False,
            Phase.ALGORITHM_FAILED,
            "out_of_memory",
            137,
        ),
        (replace(EXITED, exit_code=137), False, Phase.ALGORITHM_FAILED, "exit_code", 137),
        (replace(EXITED, exit_code=153), False, Phase.QUOTA_EXCEEDED, "disk_quota", 153),
        (replace(EXITED, exit_code=1), True, Phase.QUOTA_EXCEEDED, "disk_quota", 1),
        (EXITED, True, Phase.QUOTA_EXCEEDED, "disk_quota", 0),
        (replace(EXITED, error="no such file"), False, Phase.ALGORITHM_FAILED, "exit_code", 0),
        (GONE, False, Phase.ALGORITHM_FAILED, "container_gone", None),
        (GONE, True, Phase.ALGORITHM_FAILED, "container_gone", None),
    ],
)
def test_verdict(
    seen: Observation, full: bool, phase: Phase, reason: str, code: int | None
) -> None:
    termination = verdict(seen, full)
    assert (termination.phase, termination.reason, termination.exit_code) == (phase, reason, code)
    assert termination.oom_killed is seen.oom_killed


def test_a_verdict_of_failure_says_why() -> None:
    assert verdict(replace(EXITED, exit_code=3), False).detail == (
        "the algorithm ended with exit code 3"
    )
    assert verdict(replace(EXITED, exit_code=127, error="no such file"), False).detail == (
        "no such file"
    )


def test_over_quota_keeps_how_the_algorithm_ended() -> None:
    told = decide.over_quota(Termination(Phase.COMPLETED, "completed", "", 0, True))
    assert told == replace(QUOTA, exit_code=0, oom_killed=True)


@pytest.mark.parametrize(
    ("phase", "failure"),
    [
        (Phase.STARTED, Phase.IMAGE_FAILED),
        (Phase.CONFIGURING_VOLUMES, Phase.VOLUMES_FAILED),
        (Phase.PROVISIONED, Phase.CONTAINER_FAILED),
        (Phase.RUNNING, None),
        (Phase.FILTERING, Phase.PUBLISHING_FAILED),
        (Phase.PUBLISHING, Phase.PUBLISHING_FAILED),
        (Phase.QUEUED, None),
        *((phase, None) for phase in sorted(TERMINAL)),
    ],
)
def test_giving_up(phase: Phase, failure: Phase | None) -> None:
    end = decide.gives_up(phase, Reason.VOLUME_FAULT, "in words", 5)
    assert end == (failure and Termination(failure, "volume_fault", "in words", tries=5))
    assert end is None or decide_may_end(phase, end.phase)


@pytest.mark.parametrize(
    ("phase", "observation", "expected"),
    [
        (Phase.QUEUED, None, Finish),
        (Phase.STARTED, None, Finish),
        (Phase.CONFIGURING_VOLUMES, None, Finish),
        (Phase.PROVISIONED, Observation(ContainerState.RUNNING), Finish),
        (Phase.RUNNING, Observation(ContainerState.RUNNING), Kill),
        (Phase.RUNNING, Observation(ContainerState.EXITED, exit_code=0), Conclude),
        (Phase.FILTERING, Observation(ContainerState.RUNNING), Finish),
        (Phase.PUBLISHING, None, Finish),
    ],
)
def test_a_job_whose_environment_is_gone_ends_without_results(
    phase: Phase, observation: Observation | None, expected: type[Step]
) -> None:
    taken = next_step(a_job(phase=phase), None, 0.0, observation)
    assert isinstance(taken, expected)
    assert isinstance(taken, Finish | Kill | Conclude)
    assert taken.termination.reason == "environment_removed"
    assert taken.termination.phase in {Phase.STOPPED, Phase.PUBLISHING_FAILED}

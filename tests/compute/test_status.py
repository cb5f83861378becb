"""The table of numbers is a contract with every client: pinned here word by word."""

from __future__ import annotations

import itertools

import pytest

from compute.status import ACTIVE, STATUS, TERMINAL, UNFINISHED, Goal, Phase, may_move

NUMBERS = [
    (Phase.QUEUED, 1, "Warming up", False),
    (Phase.EXPIRED, 2, "Job expired in queue", True),
    (Phase.STOPPED, 7, "Job stopped", True),
    (Phase.DELETED, 8, "Job deleted successfully", True),
    (Phase.STARTED, 10, "Job started", False),
    (Phase.IMAGE_FAILED, 11, "Pulling algorithm image failed", True),
    (Phase.CONFIGURING_VOLUMES, 20, "Configuring volumes", False),
    (Phase.VOLUMES_FAILED, 21, "Volume creation failed", True),
    (Phase.CONTAINER_FAILED, 22, "Container creation failed", True),
    (Phase.PROVISIONED, 30, "Provisioning success", False),
    (Phase.DATA_FAILED, 31, "Data provisioning failed", True),
    (Phase.ALGORITHM_MISSING, 32, "Algorithm provisioning failed", True),
    (Phase.RUNNING, 40, "Running algorithm", False),
    (Phase.ALGORITHM_FAILED, 41, "Algorithm failed", True),
    (Phase.QUOTA_EXCEEDED, 42, "Disk quota exceeded", True),
    (Phase.FILTERING, 50, "Filtering results", False),
    (Phase.HELD, 51, "Results held for review", False),
    (Phase.PUBLISHING, 60, "Publishing results", False),
    (Phase.PUBLISHING_FAILED, 61, "Publishing results failed", True),
    (Phase.COMPLETED, 70, "Job completed", True),
]


@pytest.mark.parametrize(("phase", "number", "text", "terminal"), NUMBERS)
def test_a_phase_has_its_number_its_text_and_its_end(
    phase: Phase, number: int, text: str, terminal: bool
) -> None:
    assert (phase.number, phase.text, phase.terminal) == (number, text, terminal)


def test_every_phase_is_in_the_table_and_no_number_is_used_twice() -> None:
    assert {row[0] for row in NUMBERS} == set(Phase) == set(STATUS)
    assert len({status.number for status in STATUS.values()}) == len(Phase)


def test_active_phases_are_those_between_the_queue_and_the_end() -> None:
    assert {phase.number for phase in ACTIVE} == {10, 20, 30, 40, 50, 60}
    assert ACTIVE | {Phase.QUEUED, Phase.HELD} == UNFINISHED
    assert not UNFINISHED & TERMINAL


MOVES = {
    (1, 10),
    (1, 2),
    (1, 7),
    (10, 20),
    (40, 10),  # the next stage
    (10, 11),
    (10, 41),
    (10, 7),
    (20, 30),
    (20, 21),
    (20, 31),
    (20, 32),
    (20, 41),
    (20, 7),
    (30, 40),
    (30, 22),
    (30, 41),
    (30, 7),
    (40, 50),
    (40, 60),
    (50, 60),
    (50, 61),
    (60, 51),
    (51, 70),
    (51, 41),
    (51, 42),
    (51, 7),
    (51, 61),
    (60, 70),
    (60, 41),
    (60, 42),
    (60, 7),
    (60, 61),
} | {(end, 8) for end in (2, 7, 11, 21, 22, 31, 32, 41, 42, 61, 70)}


@pytest.mark.parametrize(
    ("source", "target"), list(itertools.product(Phase, Phase)), ids=lambda phase: str(phase)
)
def test_the_table_of_moves_is_complete(source: Phase, target: Phase) -> None:
    assert may_move(source, target) is ((source.number, target.number) in MOVES)


def test_every_phase_is_reached_from_the_queue_and_every_job_can_be_deleted() -> None:
    reached, edge = {Phase.QUEUED}, {Phase.QUEUED}
    while edge:
        edge = {b for a in edge for b in Phase if may_move(a, b)} - reached
        reached |= edge
    assert reached == set(Phase)
    assert all(may_move(end, Phase.DELETED) for end in TERMINAL - {Phase.DELETED})


def test_goals_only_move_forward() -> None:
    assert [goal.rank for goal in (Goal.RUN, Goal.STOP, Goal.DELETE)] == [0, 1, 2]

"""Phases, goals, and the one table of status numbers. Pure.

A job row holds two things: the *phase* says what is, the *goal* says what is
wanted. The API writes goals, the reconciler writes phases, so neither ever
overwrites the other. Clients see the number and text of the phase; a wish that is
not yet fulfilled shows as ``stopreq``, never as a number that is not true yet. A job of
several stages goes through STARTED to RUNNING for each of them.

Numbers follow Ocean's operator service where it has one (1, 10-32, 40, 50, 60, 70)
and tell apart what it does not (2, 7, 8, 11, 21, 22, 41, 42, 51, 61).
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Phase(StrEnum):
    """What a job is doing, as stored."""

    QUEUED = "queued"
    EXPIRED = "expired"
    STOPPED = "stopped"
    DELETED = "deleted"
    STARTED = "started"
    IMAGE_FAILED = "image_failed"
    CONFIGURING_VOLUMES = "configuring_volumes"
    VOLUMES_FAILED = "volumes_failed"
    CONTAINER_FAILED = "container_failed"
    PROVISIONED = "provisioned"
    DATA_FAILED = "data_failed"
    ALGORITHM_MISSING = "algorithm_missing"
    RUNNING = "running"
    ALGORITHM_FAILED = "algorithm_failed"
    QUOTA_EXCEEDED = "quota_exceeded"
    FILTERING = "filtering"
    PUBLISHING = "publishing"
    HELD = "held"
    PUBLISHING_FAILED = "publishing_failed"
    COMPLETED = "completed"

    @property
    def terminal(self) -> bool:
        """True once nothing more will run for this job."""
        return self in TERMINAL

    @property
    def number(self) -> int:
        """The status number that clients see."""
        return STATUS[self].number

    @property
    def text(self) -> str:
        """The status text that clients see."""
        return STATUS[self].text


class Goal(StrEnum):
    """What the owner wants. Only ever moves forward: run, stop, delete."""

    RUN = "run"
    STOP = "stop"
    DELETE = "delete"

    @property
    def rank(self) -> int:
        return list(Goal).index(self)


class Status(NamedTuple):
    number: int
    text: str


STATUS = MappingProxyType(
    {
        Phase.QUEUED: Status(1, "Warming up"),
        Phase.EXPIRED: Status(2, "Job expired in queue"),
        Phase.STOPPED: Status(7, "Job stopped"),
        Phase.DELETED: Status(8, "Job deleted successfully"),
        Phase.STARTED: Status(10, "Job started"),
        Phase.IMAGE_FAILED: Status(11, "Pulling algorithm image failed"),
        Phase.CONFIGURING_VOLUMES: Status(20, "Configuring volumes"),
        Phase.VOLUMES_FAILED: Status(21, "Volume creation failed"),
        Phase.CONTAINER_FAILED: Status(22, "Container creation failed"),
        Phase.PROVISIONED: Status(30, "Provisioning success"),
        Phase.DATA_FAILED: Status(31, "Data provisioning failed"),
        Phase.ALGORITHM_MISSING: Status(32, "Algorithm provisioning failed"),
        Phase.RUNNING: Status(40, "Running algorithm"),
        Phase.ALGORITHM_FAILED: Status(41, "Algorithm failed"),
        Phase.QUOTA_EXCEEDED: Status(42, "Disk quota exceeded"),
        Phase.FILTERING: Status(50, "Filtering results"),
        Phase.HELD: Status(51, "Results held for review"),
        Phase.PUBLISHING: Status(60, "Publishing results"),
        Phase.PUBLISHING_FAILED: Status(61, "Publishing results failed"),
        Phase.COMPLETED: Status(70, "Job completed"),
    }
)

TERMINAL = frozenset(
    {
        Phase.EXPIRED,
        Phase.STOPPED,
        Phase.DELETED,
        Phase.IMAGE_FAILED,
        Phase.VOLUMES_FAILED,
        Phase.CONTAINER_FAILED,
        Phase.DATA_FAILED,
        Phase.ALGORITHM_MISSING,
        Phase.ALGORITHM_FAILED,
        Phase.QUOTA_EXCEEDED,
        Phase.PUBLISHING_FAILED,
        Phase.COMPLETED,
    }
)

ACTIVE = frozenset(Phase) - TERMINAL - {Phase.QUEUED, Phase.HELD}
"""Phases that occupy one of an environment's places."""

UNFINISHED = frozenset(Phase) - TERMINAL

_NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.QUEUED: frozenset({Phase.STARTED, Phase.EXPIRED, Phase.STOPPED}),
    Phase.STARTED: frozenset(
        {Phase.CONFIGURING_VOLUMES, Phase.IMAGE_FAILED, Phase.ALGORITHM_FAILED, Phase.STOPPED}
    ),
    Phase.CONFIGURING_VOLUMES: frozenset(
        {
            Phase.PROVISIONED,
            Phase.VOLUMES_FAILED,
            Phase.DATA_FAILED,
            Phase.ALGORITHM_MISSING,
            Phase.ALGORITHM_FAILED,
            Phase.STOPPED,
        }
    ),
    Phase.PROVISIONED: frozenset(
        {Phase.RUNNING, Phase.CONTAINER_FAILED, Phase.ALGORITHM_FAILED, Phase.STOPPED}
    ),
    Phase.RUNNING: frozenset({Phase.STARTED, Phase.FILTERING, Phase.PUBLISHING}),
    Phase.FILTERING: frozenset({Phase.PUBLISHING, Phase.PUBLISHING_FAILED}),
    Phase.HELD: frozenset(
        {
            Phase.COMPLETED,
            Phase.ALGORITHM_FAILED,
            Phase.QUOTA_EXCEEDED,
            Phase.STOPPED,
            Phase.PUBLISHING_FAILED,
        }
    ),
    Phase.PUBLISHING: frozenset(
        {
            Phase.HELD,
            Phase.COMPLETED,
            Phase.ALGORITHM_FAILED,
            Phase.QUOTA_EXCEEDED,
            Phase.STOPPED,
            Phase.PUBLISHING_FAILED,
        }
    ),
}


def may_move(source: Phase, target: Phase) -> bool:
    """True when ``source -> target`` is a legal move. Any terminal job may be deleted."""
    if target is Phase.DELETED:
        return source in TERMINAL and source is not Phase.DELETED
    return target in _NEXT.get(source, frozenset())

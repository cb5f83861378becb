"""What a queued job waits for, read for a whole environment at once.

One look costs what the queue holds; whoever answers many questions keeps it for a moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection

from compute.fairness import NOTHING, Resources, Turn
from compute.models import Job
from compute.store import claims, turns
from compute.store.claims import Share

MOST_RUNNING = 64
"""Running jobs that are asked for the time when they end at the latest."""


class Rival(NamedTuple):
    """An environment that room is kept for on a machine, and since when its job waits."""

    machine: str
    environment: str
    since: float


@dataclass(frozen=True, slots=True)
class Survey:
    """``turns`` are the owners with the ids of their due jobs, ``delayed`` the dates of those
    that are not due. ``free`` is by machine, without what is kept there for ``rivals``, who
    come before this environment. ``running`` are some of its jobs."""

    turns: Sequence[Turn[str]]
    delayed: Mapping[str, float]
    places: int
    free: Mapping[str, Resources]
    rivals: Sequence[Rival]
    running: Sequence[Job] = ()


def survey(
    connection: Connection, environment: str, share: Share, now: float, there_since: float
) -> Survey:
    """Of machines that were told of since ``there_since``."""
    there = claims.taken(connection)
    machines = claims.known_machines(connection, there_since)
    running = claims.running_of(connection, environment) if share.owner_limit else {}
    circle, delayed = _circle(connection, environment, now)
    return Survey(
        turns=[claims.limited_to(turn, share.owner_limit, running) for turn in circle],
        delayed=delayed,
        places=max(0, share.places - there.active[environment]),
        free={
            name: capacity - there.used.get(name, NOTHING) for name, capacity in machines.items()
        },
        rivals=[rival for name in machines for rival in _rivals(connection, name, environment)],
    )


def _circle(
    connection: Connection, environment: str, now: float
) -> tuple[list[Turn[str]], dict[str, float]]:
    due: dict[str, list[str]] = {}
    delayed: dict[str, float] = {}
    wanted = turns.wanted(connection, environment)
    for owner, rows in groupby(wanted, key=lambda row: str(row.owner_key)):
        for row in rows:
            if row.retry_at <= now:
                due.setdefault(owner, []).append(row.id)
            else:
                delayed[row.id] = row.retry_at
    seats = turns.seats(connection, environment)
    return [Turn(owner, due[owner]) for owner in seats if owner in due], delayed


def _rivals(connection: Connection, machine: str, environment: str) -> list[Rival]:
    known = claims.waits(connection, machine)
    since = known[environment][0] if environment in known else float("inf")
    return [
        Rival(machine, other, theirs)
        for other, (theirs, kept) in known.items()
        if kept and other != environment and theirs <= since
    ]


def less_kept(found: Survey, needs: Mapping[str, Resources]) -> Mapping[str, Resources]:
    """What is free on each machine when what is kept for others is left alone."""
    free = dict(found.free)
    for rival in found.rivals:
        free[rival.machine] -= needs.get(rival.environment, NOTHING)
    return free

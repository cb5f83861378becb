"""Starting queued jobs on a machine: what is there, what is planned, what is written.

All in one transaction of the one writer, so that whoever claims at the same time sees these
jobs as started. What to start is decided in :mod:`compute.fairness`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from compute.fairness import NOTHING, Line, Plan, Resources, Start, Turn, plan
from compute.status import ACTIVE, Phase
from compute.store import rows, turns
from compute.store.tables import jobs, machines, queue_waits

MOST_AT_ONCE = 32
"""Starts of one environment in one claim, so that no other writer waits for too many."""

LOST_S = 300.0
"""A machine that no operator has told of for so long is not there."""

_ACTIVE = sorted(phase.value for phase in ACTIVE)


class Share(NamedTuple):
    """What an environment gives: to each job ``needs``, ``places`` at a time, of these
    ``owner_limit`` to one owner."""

    needs: Resources
    places: int
    owner_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What an operator can start: on which machine, of how much, in which environments.

    ``patience_s`` is after how long room is kept for a job that does not fit. ``operator``
    is the process that claims.
    """

    machine: str
    capacity: Resources
    shares: Mapping[str, Share]
    gpu_devices: tuple[str, ...] = ()
    patience_s: float = 60.0
    operator: str = ""


@dataclass(slots=True)
class Taken:
    """What active jobs take: how many of each environment there are on all machines, and
    their resources by machine."""

    active: Counter[str] = field(default_factory=Counter)
    used: dict[str, Resources] = field(default_factory=dict)


def start_next(connection: Connection, claim: Claim, now: float) -> list[Row[Any]]:
    """Start what fits, in fair order, of each environment :data:`MOST_AT_ONCE` at most; the
    new rows."""
    there = taken(connection)
    known = waits(connection, claim.machine)
    lines = sorted(_lines(connection, claim, there, known, now), key=_first)
    free = claim.capacity - there.used.get(claim.machine, NOTHING)
    made = plan(lines, free, now=now, patience_s=claim.patience_s)
    _keep_waits(connection, claim.machine, known, made)
    started = _start(connection, claim, made.starts)
    for environment, owner in _last_served(made.starts):
        turns.served(connection, environment, owner)
    return started


_TAKEN = (
    select(
        jobs.c.environment,
        jobs.c.machine,
        func.count().label("number"),
        *(func.sum(column).label(column.name) for column in rows.PROMISED),
    )
    .where(jobs.c.phase.in_(_ACTIVE))
    .group_by(jobs.c.environment, jobs.c.machine)
)
_WAITS = select(queue_waits).where(queue_waits.c.machine == bindparam("its_machine"))


def taken(connection: Connection) -> Taken:
    found = Taken()
    for row in connection.execute(_TAKEN):
        found.active[row.environment] += row.number
        promised = Resources(*(int(row._mapping[column.name]) for column in rows.PROMISED))
        found.used[row.machine] = found.used.get(row.machine, NOTHING) + promised
    return found


def waits(connection: Connection, machine: str) -> dict[str, tuple[float, bool]]:
    """By environment: since when its next job does not fit, and whether room is kept."""
    found = connection.execute(_WAITS, {"its_machine": machine})
    return {row.environment: (row.since, bool(row.kept)) for row in found}


def running_of(connection: Connection, environment: str) -> dict[str, int]:
    """How many jobs of each owner are active in an environment."""
    query = (
        select(jobs.c.owner_key, func.count().label("number"))
        .where(jobs.c.phase.in_(_ACTIVE), jobs.c.environment == environment)
        .group_by(jobs.c.owner_key)
    )
    return {row.owner_key: row.number for row in connection.execute(query)}


def _lines(
    connection: Connection,
    claim: Claim,
    there: Taken,
    known: Mapping[str, tuple[float, bool]],
    now: float,
) -> Iterable[Line[int]]:
    for environment, share in claim.shares.items():
        places = min(share.places - there.active[environment], MOST_AT_ONCE)
        if places <= 0:
            continue
        running = running_of(connection, environment) if share.owner_limit else {}
        limit = share.owner_limit
        full = {owner for owner, number in running.items() if limit and number >= limit}
        found = turns.due(connection, environment, now, most=places, full=full)
        if not found:
            continue
        since = known[environment][0] if environment in known else None
        limited = [limited_to(turn, limit, running) for turn in found]
        yield Line(environment, share.needs, places, limited, since)


def limited_to(turn: Turn[Any], limit: int | None, running: Mapping[str, int]) -> Turn[Any]:
    """The turn with what the owner may still have run."""
    if limit is None:
        return turn
    return Turn(turn.owner, turn.jobs, max(0, limit - running.get(turn.owner, 0)))


def _first(line: Line[int]) -> int:
    """The number of the job that a line has next."""
    return line.turns[0].jobs[0]


def _keep_waits(
    connection: Connection, machine: str, known: Mapping[str, tuple[float, bool]], made: Plan[int]
) -> None:
    """Write down what has changed only: most claims change nothing of it."""
    wanted = {name: (since, name in made.kept) for name, since in made.waits.items()}
    gone = [name for name, what in known.items() if wanted.get(name) != what]
    if gone:
        mine = queue_waits.c.machine == machine
        connection.execute(
            delete(queue_waits).where(mine, queue_waits.c.environment.in_(sorted(gone)))
        )
    fresh = [
        {"machine": machine, "environment": name, "since": since, "kept": kept}
        for name, (since, kept) in wanted.items()
        if known.get(name) != (since, kept)
    ]
    if fresh:
        connection.execute(insert(queue_waits), fresh)


def _start(connection: Connection, claim: Claim, starts: Sequence[Start[int]]) -> list[Row[Any]]:
    """Move the jobs to STARTED, with what they are promised; the new rows in order."""
    devices = _Devices(connection, claim)
    return [row for start in starts for row in _start_one(connection, claim, start, devices)]


def _start_one(
    connection: Connection, claim: Claim, start: Start[int], devices: _Devices
) -> Sequence[Row[Any]]:
    needs = claim.shares[start.environment].needs
    values = {
        "job": start.job,
        "its_operator": claim.operator,
        "its_machine": claim.machine,
        "its_devices": rows.devices_text(devices.take(needs.gpus)),
        **{_PROMISED + name: number for name, number in promised(needs).items()},
    }
    return connection.execute(_START, values).all()


_PROMISED = "its_"
_START = (
    update(jobs)
    .where(jobs.c.sequence == bindparam("job"), jobs.c.phase == Phase.QUEUED.value)
    .values(
        phase=Phase.STARTED.value,
        attempts=0,
        retry_at=0.0,
        revision=jobs.c.revision + 1,
        operator=bindparam("its_operator"),
        machine=bindparam("its_machine"),
        gpu_devices=bindparam("its_devices"),
        **{column.name: bindparam(_PROMISED + column.name) for column in rows.PROMISED},
    )
    .returning(*rows.COLUMNS)
)


class _Devices:
    """The devices of a machine that no active job has; looked up when one is needed."""

    def __init__(self, connection: Connection, claim: Claim) -> None:
        self._connection = connection
        self._claim = claim
        self._free: list[str] | None = None

    def take(self, number: int) -> tuple[str, ...]:
        if not number:
            return ()
        if self._free is None:
            used = _used_devices(self._connection, self._claim.machine)
            self._free = [name for name in self._claim.gpu_devices if name not in used]
        mine, self._free = self._free[:number], self._free[number:]
        return tuple(mine)


def _used_devices(connection: Connection, machine: str) -> set[str]:
    query = select(jobs.c.gpu_devices).where(
        jobs.c.phase.in_(_ACTIVE), jobs.c.machine == machine, jobs.c.gpu_devices.is_not(None)
    )
    texts = connection.execute(query).scalars()
    return {name for text in texts for name in rows.read_devices(text)}


def _last_served(starts: Sequence[Start[int]]) -> list[tuple[str, str]]:
    """Each owner once, in the order of its last start."""
    backwards = dict.fromkeys((start.environment, start.owner) for start in reversed(starts))
    return list(backwards)[::-1]


def promised(needs: Resources) -> dict[str, int]:
    """The columns of what a job is promised."""
    return dict(zip((column.name for column in rows.PROMISED), needs.parts, strict=True))


# Machines


def present(connection: Connection, claim: Claim, now: float) -> None:
    """Note that an operator works on this machine, and what there is of it."""
    values = {"seen_at": now, **promised(claim.capacity)}
    mine = machines.c.id == claim.machine
    known = connection.execute(update(machines).where(mine).values(**values)).rowcount
    if not known:
        connection.execute(insert(machines).values(id=claim.machine, **values))


def settle(connection: Connection, claim: Claim, *, alone: bool) -> None:
    """Write down where active jobs are that nobody has: those started before machines were
    told apart. ``alone`` means that there is no other machine, whatever the engine was
    called before: then all active jobs are here."""
    active = jobs.c.phase.in_(_ACTIVE)
    for environment, share in claim.shares.items():
        mine = update(jobs).where(active, jobs.c.environment == environment, jobs.c.machine == "")
        connection.execute(mine.values(machine=claim.machine, **promised(share.needs)))
    if alone:
        moved = update(jobs).where(active, jobs.c.machine != claim.machine)
        connection.execute(moved.values(machine=claim.machine))
        connection.execute(delete(machines).where(machines.c.id != claim.machine))
        connection.execute(delete(queue_waits).where(queue_waits.c.machine != claim.machine))


def known_machines(connection: Connection, since: float) -> dict[str, Resources]:
    """What there is of each machine that an operator has told of ``since`` then."""
    query = select(machines).where(machines.c.seen_at >= since)
    return {
        row.id: Resources(row.millicpus, row.memory_bytes, row.disk_bytes, row.gpus)
        for row in connection.execute(query)
    }

"""Who is next, and what fits. Pure: values in, a plan or an explanation out.

Two rules share out what there is.

*Inside an environment owners take turns.* Owners with waiting jobs stand in a circle; the one
whose turn it is has its oldest job started and goes to the end, and so does a newcomer. So an
owner is served after at most as many starts as there are owners, however many jobs each has.

*On a machine jobs start only where they fit.* The sum of what active jobs were promised never
exceeds the machine. Environments take turns as well: one whose next job did not fit is asked
first from then on. If that has been so for a while, what it needs is kept for it, so that
small jobs of others cannot slip past for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

J = TypeVar("J")

MILLI = 1000
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Resources:
    """What a job needs or a machine has: thousandths of a processor, bytes, whole devices."""

    millicpus: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    gpus: int = 0

    @classmethod
    def of(cls, *, cpus: float, memory_bytes: int, disk_bytes: int, gpus: int) -> Resources:
        """Processors as a fraction; what is less than a thousandth counts as one."""
        return cls(max(1, round(cpus * MILLI)), memory_bytes, disk_bytes, gpus)

    def __add__(self, other: Resources) -> Resources:
        return Resources(*(a + b for a, b in zip(self.parts, other.parts, strict=True)))

    def __sub__(self, other: Resources) -> Resources:
        return Resources(*(a - b for a, b in zip(self.parts, other.parts, strict=True)))

    @property
    def parts(self) -> tuple[int, int, int, int]:
        return (self.millicpus, self.memory_bytes, self.disk_bytes, self.gpus)

    def short_of(self, free: Resources) -> tuple[str, ...]:
        """The names in :data:`NAMES` of what these needs lack. What is not needed is never
        lacking, however little of it is free."""
        pairs = zip(NAMES, self.parts, free.parts, strict=True)
        return tuple(name for name, needed, left in pairs if needed > max(0, left))

    def fit(self, free: Resources) -> bool:
        """True when all that is needed is free."""
        return not self.short_of(free)

    def amount(self, name: str) -> float:
        """How much of one of :data:`NAMES`: processors, GiB, devices."""
        part = self.parts[NAMES.index(name)]
        units = {"cpu": MILLI, "ram": GIB, "disk": GIB, "gpu": 1}
        return part / units[name]


NAMES = ("cpu", "ram", "disk", "gpu")
NOTHING = Resources()


# The order of one environment


@dataclass(frozen=True, slots=True)
class Turn(Generic[J]):
    """An owner with its waiting jobs in order. ``left`` is how many more of its jobs may run
    at a time, None for any number."""

    owner: str
    jobs: Sequence[J]
    left: int | None = None


def in_turn(turns: Iterable[Turn[J]]) -> Iterator[tuple[str, J]]:
    """Jobs in the order in which places go to them: round and round, one job of an owner at a
    time, as long as the owner may have more. ``turns`` stand in the order of the circle."""
    circle = deque((turn.owner, iter(turn.jobs), _allowed(turn)) for turn in turns)
    while circle:
        owner, jobs, left = circle.popleft()
        if left <= 0:
            continue
        for job in jobs:
            yield owner, job
            circle.append((owner, jobs, left - 1))
            break


def held_back(turns: Iterable[Turn[J]]) -> list[Turn[J]]:
    """What :func:`in_turn` leaves out: the jobs that their owners may not have run yet."""
    rest = [Turn(turn.owner, turn.jobs[_allowed(turn) :]) for turn in turns]
    return [turn for turn in rest if turn.jobs]


def _allowed(turn: Turn[J]) -> int:
    return len(turn.jobs) if turn.left is None else max(0, turn.left)


# The plan of one machine


@dataclass(frozen=True, slots=True)
class Line(Generic[J]):
    """An environment's jobs that wait for the machine.

    ``places`` are free. ``since`` is when its next job was first found not to fit, None if
    that is not so. ``turns`` stand in the order of the circle.
    """

    environment: str
    needs: Resources
    places: int
    turns: Sequence[Turn[J]]
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Start(Generic[J]):
    environment: str
    owner: str
    job: J


@dataclass(slots=True)
class Plan(Generic[J]):
    """What to start, in order. ``waits``: since when the next job of an environment does not
    fit. ``kept``: environments that the room they need is kept for."""

    starts: list[Start[J]] = field(default_factory=list)
    waits: dict[str, float] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


def plan(lines: Sequence[Line[J]], free: Resources, *, now: float, patience_s: float) -> Plan[J]:
    """Share out what is ``free`` among the lines.

    Lines whose next job has been found not to fit come first, the longest waiting before all;
    then the others as they are given. After each start a line goes behind the others. Nothing
    that fits stays undone, except into what is kept for a job that has not fitted for
    ``patience_s`` seconds.
    """
    made: Plan[J] = Plan()
    kept = NOTHING
    waiting = sorted(lines, key=lambda line: (line.since is None, line.since or 0.0))
    circle = deque((line, in_turn(line.turns), line.places, line.since) for line in waiting)
    while circle:
        line, jobs, places, since = circle.popleft()
        head = next(jobs, None) if places > 0 else None
        if head is None:
            continue
        if line.needs.fit(free - kept):
            free -= line.needs
            made.starts.append(Start(line.environment, *head))
            circle.append((line, jobs, places - 1, None))
            continue
        since = now if since is None else since
        made.waits[line.environment] = since
        if now - since >= patience_s:
            made.kept.append(line.environment)
            kept += line.needs
    return made


# Why a job waits


class Reason(StrEnum):
    """What a queued job waits for."""

    PLACE = "place"
    MACHINE = "machine"
    CONSUMER_LIMIT = "consumer_limit"
    DELAY = "delay"
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class Shortage:
    """What a machine lacks for a job: processors, GiB (ram, disk), devices."""

    resource: str
    needed: float
    free: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a queued job waits for.

    ``position`` is its place in the order of its environment, 1 for the next one; None for a
    job whose time has not come. ``short`` is what the machine lacks, empty with MACHINE while
    none is there. ``until`` is when the
    job's own delay ends. ``wait_ends_at`` is when it expires in the queue, ``frees_by`` when
    a place becomes free at the latest, None where that is not known.
    """

    reason: Reason
    position: int | None
    short: tuple[Shortage, ...] = ()
    until: float | None = None
    wait_ends_at: float | None = None
    frees_by: float | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """What there is for an environment's next job: free places, and the resources free on the
    machine that has the most for it, None while no machine is known."""

    places: int
    needs: Resources
    free: Resources | None
    frees_by: float | None = None


def positions(turns: Sequence[Turn[J]]) -> dict[J, tuple[int, bool]]:
    """Each job's place in the order, and whether its owner's limit holds it back."""
    found: dict[J, tuple[int, bool]] = {}
    for _, job in in_turn(turns):
        found[job] = (len(found) + 1, False)
    for _, job in in_turn(held_back(turns)):
        found[job] = (len(found) + 1, True)
    return found


def explain(place: tuple[int, bool], room: Room) -> Waiting:
    """Why a job that is due has not been started."""
    position, limited = place
    if limited:
        return Waiting(Reason.CONSUMER_LIMIT, position)
    if room.places <= 0:
        return Waiting(Reason.PLACE, position, frees_by=room.frees_by)
    short = () if room.free is None else _shortages(room.needs, room.free)
    if short or room.free is None:
        return Waiting(Reason.MACHINE, position, short)
    if position > room.places:
        return Waiting(Reason.PLACE, position, frees_by=room.frees_by)
    return Waiting(Reason.NEXT, position)


def _shortages(needs: Resources, free: Resources) -> tuple[Shortage, ...]:
    return tuple(
        Shortage(name, needs.amount(name), max(0.0, free.amount(name)))
        for name in needs.short_of(free)
    )


def roomiest(needs: Resources, frees: Mapping[str, Resources]) -> Resources | None:
    """Of several machines the free resources of the one that lacks the least."""
    return min(frees.values(), key=lambda free: len(needs.short_of(free)), default=None)

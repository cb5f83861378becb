"""Who has used the processors: this process, the service, neighbours, and all the rest.

The engine works in many short processes and in the kernel, and nobody's account has it all.
So its share is what the whole machine was busy, less what is known to be somebody else's. What
processes have used that have ended is in the account of their parents; those of containers are
handed to the first process of the machine, whose dead therefore count as the engine's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_ENGINE = ("dockerd", "containerd", "docker-proxy", "docker-init", "runc", "crun")
_FIRST, _KERNEL = 1, 2


@dataclass(frozen=True)
class Spent:
    """Seconds: of the clock, and of processors. ``client`` is this process, ``service`` the
    process that was named and ``children`` what that has started and seen end; ``neighbours``
    have nothing to do with it, or are the machine's host; ``rest`` is all else."""

    wall: float
    client: float
    service: float
    children: float
    neighbours: float
    rest: float


class _Process(NamedTuple):
    pid: int
    name: str
    parent: int
    own: float
    children: float


class _Account(NamedTuple):
    wall: float
    client: float
    service: float
    children: float
    neighbours: float
    taken: float
    busy: float


async def spent(work: Callable[[], Awaitable[object]], pid: int = 0) -> Spent:
    """What ``work`` costs. ``pid`` is the service, if one takes part."""
    before = _account(pid)
    await work()
    after = _account(pid)
    return _between(before, after)


def _between(before: _Account, after: _Account) -> Spent:
    used = _Account(*(b - a for a, b in zip(before, after, strict=True)))
    known = used.client + used.service + used.children + used.neighbours
    return Spent(
        wall=used.wall,
        client=used.client,
        service=used.service,
        children=used.children,
        neighbours=used.neighbours + used.taken,
        rest=max(0.0, used.busy - known),
    )


def _account(pid: int) -> _Account:
    found = {each.pid: each for each in _processes()}
    us, service = found[os.getpid()], found.get(pid)
    theirs = set(found) - {us.pid, pid, _FIRST, _KERNEL}
    neighbours = found[_FIRST].own + sum(
        found[one].own + found[one].children for one in theirs if not _is_concerned(found, one, pid)
    )
    busy, taken = machine_seconds()
    return _Account(
        time.perf_counter(),
        us.own + us.children,
        service.own if service else 0.0,
        service.children if service else 0.0,
        neighbours,
        taken,
        busy,
    )


def _is_concerned(found: dict[int, _Process], pid: int, service: int) -> bool:
    """True for the engine, the kernel, the service's children, and containers."""
    if found[pid].name.startswith(_ENGINE):
        return True
    parent = found[pid].parent
    if parent in (_KERNEL, service):
        return True
    return parent in found and found[parent].name.startswith("containerd-shim")


def _processes() -> list[_Process]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        found.append(_process(text))
    return found


def _process(text: str) -> _Process:
    pid, _, rest = text.partition(" (")
    name, _, rest = rest.rpartition(") ")
    fields = rest.split()
    own, children = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    return _Process(int(pid), name, int(fields[1]), own / _TICKS, children / _TICKS)


def machine_seconds() -> tuple[float, float]:
    """All processors together: busy, and taken by the machine's host."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, irq, soft, steal = (int(field) for field in fields[:8])
    return (user + nice + system + irq + soft) / _TICKS, steal / _TICKS


def tree_seconds(pid: int) -> float:
    """Of a process and of those it has started, the living and the dead."""
    return sum(
        each.own + (each.children if each.pid == pid else 0.0)
        for each in _processes()
        if pid in (each.pid, each.parent)
    )

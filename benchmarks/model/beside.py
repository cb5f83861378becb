"""How much of a container's processor time is used beside its way from creation to removal.

An engine is several programs and the kernel; while one of them waits, others are at work. Alone,
a container's time by the clock is not told apart into work and waiting: half as much work on
the way and twice the waiting look the same. Several at once differ, as what is waited for
leaves processors to the others. So the share is looked for with which the model's containers,
driven alone, follow each other as the measured ones do. Nothing else is fitted.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import simpy

from benchmarks.model.inputs import Container
from benchmarks.model.parts import Events, Machine, Process

_SHARES = [step / 20 for step in range(19)]
_CONTAINERS = 240


def share(containers: Mapping[int, Container], cores: int, phases: Sequence[float]) -> float:
    """The best one. ``phases`` are a job's, and cut a container up as they cut up jobs."""

    def off(beside: float) -> float:
        said = {
            number: interval(containers[1].wall_s, each, number, cores, beside, phases)
            for number, each in containers.items()
        }
        return sum((said[number] / each.wall_s - 1) ** 2 for number, each in containers.items())

    return min(_SHARES, key=off)


def interval(
    alone_s: float,
    container: Container,
    at_once: int,
    cores: int,
    beside: float,
    phases: Sequence[float],
) -> float:
    """Seconds from one container to the next when so many are there at once. ``alone_s`` is how
    long one takes by the clock when it is alone."""
    world, chance = simpy.Environment(), random.Random(1)
    machine = Machine(world, cores)
    client = Process(world, machine)
    left = iter(range(_CONTAINERS))
    parts = [seconds / sum(phases) for seconds in phases]

    def one_after_the_other() -> Events:
        for _ in left:
            for part in parts:
                yield from client.run(part * container.client_s)
                piece = part * chance.expovariate(1.0)
                wall_s = alone_s - container.client_s
                yield from machine.work(piece * container.cpu_s, piece * wall_s, beside)

    for _ in range(at_once):
        world.process(one_after_the_other())
    world.run()
    return float(world.now) / _CONTAINERS

"""What the model is made of: processors, processes, the store, links. Each knows how busy it was.

A process of the service is one thread: what it does waits for the process and then for a
processor. What the engine does waits for a processor alone. Processors go round in small turns,
so that whoever is ready has a part of them, as under the kernel's scheduler.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import simpy

from benchmarks.model.inputs import Writes

Events = Generator[simpy.Event, Any, None]
TURN_S = 0.01
BATCH_LIMIT = 256


class Part:
    """Something of which there are ``capacity``. ``busy`` is the time all were in use together."""

    def __init__(self, world: simpy.Environment, capacity: int = 1) -> None:
        self.world = world
        self.resource = simpy.Resource(world, capacity)
        self.capacity = capacity
        self.busy = 0.0
        self.longest = 0

    def hold(self, seconds: float) -> Events:
        """Have one for so long."""
        with self.resource.request() as turn:
            self.longest = max(self.longest, len(self.resource.queue))
            yield turn
            yield self.world.timeout(seconds)
        self.busy += seconds

    def utilisation(self, seconds: float) -> float:
        return self.busy / (seconds * self.capacity)


class Machine(Part):
    """Processors. ``taken`` of them, which may be a fraction, are busy with something else."""

    def __init__(self, world: simpy.Environment, cores: int, taken: float = 0.0) -> None:
        super().__init__(world, cores)
        self._slower = cores / (cores - taken)

    def burn(self, seconds: float) -> Events:
        left = seconds * self._slower
        while left > 1e-12:
            turn = min(TURN_S, left)
            yield from self.hold(turn)
            left -= turn

    def work(self, cpu_s: float, wall_s: float, beside: float = 0.0) -> Events:
        """What takes ``wall_s`` on an idle machine, and processors for ``cpu_s``. Of that the
        share ``beside``, or more where the time is too short, is used next to the rest."""
        aside_s = max(beside * cpu_s, cpu_s - wall_s)
        aside = self.world.process(self.burn(aside_s)) if aside_s > 0 else None
        yield from self.burn(cpu_s - aside_s)
        yield self.world.timeout(max(0.0, wall_s - (cpu_s - aside_s)))
        if aside is not None:
            yield aside


class Process(Part):
    """A process of the service: one thread on a machine."""

    def __init__(self, world: simpy.Environment, machine: Machine) -> None:
        super().__init__(world)
        self.machine = machine

    def run(self, cpu_s: float) -> Events:
        with self.resource.request() as turn:
            self.longest = max(self.longest, len(self.resource.queue))
            yield turn
            yield from self.machine.burn(cpu_s)
        self.busy += cpu_s


class Store(Part):
    """Writes of all processes, one transaction after the other. Each process's writer commits
    together what has gathered in it while it waited for its turn."""

    def __init__(self, world: simpy.Environment, writes: Writes) -> None:
        super().__init__(world)
        self._writes = writes
        self._waiting: dict[Process, list[tuple[simpy.Event, float]]] = {}
        self.units = self.commits = 0

    def nonce(self, process: Process) -> simpy.Event:
        return self._submit(process, self._writes.nonce_s)

    def move(self, process: Process) -> simpy.Event:
        return self._submit(process, self._writes.move_s)

    def _submit(self, process: Process, unit_s: float) -> simpy.Event:
        """Happens when the unit of work is durable."""
        answer = self.world.event()
        waiting = self._waiting.setdefault(process, [])
        waiting.append((answer, unit_s))
        if len(waiting) == 1:
            self.world.process(self._write(process))
        return answer

    def _write(self, process: Process) -> Events:
        waiting = self._waiting[process]
        while waiting:
            with self.resource.request() as turn:
                self.longest = max(self.longest, len(waiting))
                yield turn
                batch = waiting[:BATCH_LIMIT]
                seconds = self._writes.base_s + sum(unit_s for _, unit_s in batch)
                yield self.world.timeout(seconds)
                self.busy += seconds
                self.units += len(batch)
                self.commits += 1
                del waiting[: len(batch)]
            for answer, _ in batch:
                answer.succeed()


class Link(Part):
    """A connection that carries so many streams at their full speed; more wait."""

    def __init__(self, world: simpy.Environment, streams: int, stream_bytes_per_s: float) -> None:
        super().__init__(world, max(1, streams))
        self._rate = stream_bytes_per_s

    def carry(self, size: int, machine: Machine, byte_cpu_s: float) -> Events:
        """So many bytes, with the processor time that they cost a machine."""
        if not size:
            return
        with self.resource.request() as turn:
            self.longest = max(self.longest, len(self.resource.queue))
            yield turn
            began = self.world.now
            yield from machine.work(size * byte_cpu_s, size / self._rate)
            self.busy += self.world.now - began


def together(parts: Sequence[Part], seconds: float) -> float:
    """How busy parts of one kind were on average."""
    if not parts:
        return 0.0
    return sum(part.utilisation(seconds) for part in parts) / len(parts)

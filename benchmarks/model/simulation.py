"""The service as queues: jobs come, are accepted, have their turn, and give results.

Arrivals are a batch, or at random and independent of each other (Poisson). The same seed gives
the same run, and each job of it draws the same lots whatever else there is. What each part
takes is measured (:mod:`benchmarks.model.service_times`), and containers vary around that
(exponentially); what waits for what is the service's own order of things:

1. A process that serves checks and answers the request, once its unit of work is durable.
2. The job waits for a place on any machine.
3. A process that operates there takes it through its phases. Each ends with a durable move,
   staging takes a link, containers take processors.
4. The client asks for the status and downloads the result, signatures and nonces included.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import simpy

from benchmarks.model.inputs import ServiceTimes
from benchmarks.model.parts import Events, Link, Machine, Part, Process, Store, together

SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass(frozen=True)
class Plant:
    """What there is. Each machine has ``cores`` and ``places``, and a link in and one out of
    ``link_bytes_per_s``. Of processes there are ``serves`` and ``operates`` in all, spread over
    the machines; with no ``operates`` the only one that serves operates as well."""

    machines: int = 1
    cores: int = 2
    places: int = 4
    serves: int = 1
    operates: int = 0
    store: str = SQLITE
    link_bytes_per_s: float = 1.25e9
    taken: float = 0.0

    def __post_init__(self) -> None:
        if self.store == SQLITE and (self.machines, self.serves, self.operates) != (1, 1, 0):
            raise ValueError("a SQLite file is one process's own")
        if self.serves < 1 or self.operates < bool(self.operates) * self.machines:
            raise ValueError("a machine without a process runs no jobs")


@dataclass(frozen=True)
class Demand:
    """What is asked: ``batch`` jobs at once by so many clients, or ``per_second`` at random for
    ``seconds``. A job stages ``dataset_bytes`` and its client asks ``looks`` times for the status
    and downloads ``result_bytes``, each time with a signature."""

    batch: int = 0
    clients: int = 20
    per_second: float = 0.0
    seconds: float = 0.0
    dataset_bytes: int = 0
    result_bytes: int = 0
    looks: int = 0


@dataclass(frozen=True)
class Report:
    """``utilisation`` of each part over the whole time, mean seconds in each phase, and the
    longest queue before each part. ``units`` of work were written for a job."""

    asked: int
    finished: int
    seconds: float
    utilisation: Mapping[str, float]
    phases: Mapping[str, float]
    longest: Mapping[str, int]
    units: float

    @property
    def per_second(self) -> float:
        return self.finished / self.seconds

    @property
    def saturates_first(self) -> str:
        """The part that has least left. Places are none: what they wait for is."""
        found = {name: used for name, used in self.utilisation.items() if name != "places"}
        return max(found, key=lambda name: found[name])


def simulate(times: ServiceTimes, plant: Plant, demand: Demand, seed: int = 1) -> Report:
    """All that was asked for until it is finished. Utilisation is that until the last job came;
    of a batch, until the last has finished."""
    return _World(times, plant, demand, seed).report()


class _World:
    def __init__(self, times: ServiceTimes, plant: Plant, demand: Demand, seed: int) -> None:
        self._times, self._plant, self._demand = times, plant, demand
        self._seed = seed
        self._random = random.Random(seed)
        self._env = simpy.Environment()
        self._machines = [
            Machine(self._env, plant.cores, plant.taken) for _ in range(plant.machines)
        ]
        self._serves = self._spread(plant.serves)
        self._operates = self._spread(plant.operates) or self._serves
        self._store = Store(self._env, times.writes[plant.store])
        self._ins = self._links(times.staging.bytes_per_s)
        self._outs = self._links(times.egress.bytes_per_s)
        self._free = simpy.Store(self._env)
        for _ in range(plant.places):
            self._free.items.extend(self._machines)
        self._placed = 0.0
        self._next_serve = cycle(self._serves)
        self._next_operate = {
            machine: cycle([each for each in self._operates if each.machine is machine])
            for machine in self._machines
        }
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._asked = self._finished = 0
        self._longest_queue = 0
        self._claiming: dict[Process, bool] = {}
        self._shares = _shares(times, plant.places)

    def _spread(self, number: int) -> list[Process]:
        return [
            Process(self._env, self._machines[index % len(self._machines)])
            for index in range(number)
        ]

    def _links(self, stream: float) -> dict[Machine, Link]:
        streams = int(self._plant.link_bytes_per_s / stream)
        return {machine: Link(self._env, streams, stream) for machine in self._machines}

    def report(self) -> Report:
        demand = self._demand
        if demand.batch:
            for number in range(demand.clients):
                share = demand.batch // demand.clients + (number < demand.batch % demand.clients)
                self._env.process(self._client(share))
            self._env.run()
            return self._told(self._env.now, self._env.now)
        self._env.process(self._arrivals())
        self._env.run(until=demand.seconds)
        used = self._utilisation(demand.seconds)
        self._env.run()
        return self._told(self._env.now, demand.seconds, used)

    def _told(self, end: float, until: float, used: Mapping[str, float] | None = None) -> Report:
        parts: dict[str, Sequence[Part]] = {
            "processors": self._machines,
            "serving": self._serves,
            "operating": self._operates,
            "store": [self._store],
            "staging link": [*self._ins.values()],
            "egress link": [*self._outs.values()],
        }
        return Report(
            asked=self._asked,
            finished=self._finished,
            seconds=end,
            utilisation=used or self._utilisation(until),
            units=self._store.units / self._finished,
            phases={name: total / self._finished for name, total in self._sums.items()},
            longest={
                "places": self._longest_queue,
                **{name: max(each.longest for each in found) for name, found in parts.items()},
            },
        )

    def _utilisation(self, seconds: float) -> dict[str, float]:
        places = self._plant.places * self._plant.machines
        found = {
            "processors": together(self._machines, seconds),
            "serving": together(self._serves, seconds),
            "operating": together(self._operates, seconds),
            "store": self._store.utilisation(seconds),
            "staging link": together([*self._ins.values()], seconds),
            "egress link": together([*self._outs.values()], seconds),
            "places": self._placed / (seconds * places),
        }
        if self._operates is self._serves:
            found.pop("operating")
        return found

    def _arrivals(self) -> Events:
        while True:
            yield self._env.timeout(self._random.expovariate(self._demand.per_second))
            if self._env.now >= self._demand.seconds:
                return
            self._env.process(self._job())

    def _client(self, jobs: int) -> Events:
        """Asks for one job after the other, without waiting for their ends."""
        for _ in range(jobs):
            accepted = self._env.event()
            self._env.process(self._job(accepted))
            yield accepted

    def _job(self, accepted: simpy.Event | None = None) -> Events:
        self._asked += 1
        lots = random.Random(f"{self._seed} {self._asked}")
        serve, began = next(self._next_serve), self._env.now
        yield from serve.run(self._times.start_s)
        yield self._store.move(serve)
        if accepted is not None:
            accepted.succeed()
        self._announce(self._operates[0])
        began = self._passed("accepting", began)
        self._longest_queue = max(self._longest_queue, len(self._free.get_queue))
        machine: Machine = yield self._free.get()
        began, placed = self._passed("queued", began), self._env.now
        operate = next(self._next_operate[machine])
        yield from self._operated(operate, lots)
        self._announce(operate)
        self._placed += self._env.now - placed
        yield self._free.put(machine)
        began = self._passed("operated", began)
        yield from self._fetched(next(self._next_serve))
        self._passed("fetched", began)
        self._finished += 1

    def _announce(self, known: Process) -> None:
        """That a job waits or has ended is heard by all processes that operate. Each looks for
        something to start, which is a write; the one that is ``known`` has that among its own."""
        for process in self._operates:
            if process is known:
                continue
            if process in self._claiming:
                self._claiming[process] = True
            else:
                self._env.process(self._claim(process))

    def _claim(self, process: Process) -> Events:
        """Once more if there was news meanwhile."""
        self._claiming[process] = True
        while self._claiming[process]:
            self._claiming[process] = False
            yield self._store.move(process)
        del self._claiming[process]

    def _passed(self, name: str, began: float) -> float:
        self._sums[name] += self._env.now - began
        return self._env.now

    def _operated(self, operate: Process, lots: random.Random) -> Events:
        times, machine = self._times, operate.machine
        for phase, share in self._shares.items():
            if phase == "configuring_volumes":
                link, staging = self._ins[machine], times.staging
                size = self._demand.dataset_bytes
                yield from link.carry(size, machine, staging.byte_cpu_s)
            yield from operate.run(share.own_s)
            some = lots.expovariate(1.0)
            yield from machine.work(some * share.cpu_s, some * share.wall_s, times.beside)
            for _ in range(share.units):
                yield self._store.move(operate)

    def _fetched(self, serve: Process) -> Events:
        times, demand = self._times, self._demand
        for _ in range(demand.looks):
            yield from serve.run(times.status_s)
        if demand.result_bytes:
            yield from serve.run(times.result_s)
            yield self._store.nonce(serve)
            link = self._outs[serve.machine]
            yield from link.carry(demand.result_bytes, serve.machine, times.egress.byte_cpu_s)


@dataclass(frozen=True)
class _Share:
    """A phase's part: of the operator's processor time, of everybody else's and of the clock's
    meanwhile, and its units of work in the store."""

    own_s: float
    cpu_s: float
    wall_s: float
    units: int


def _shares(times: ServiceTimes, places: int) -> dict[str, _Share]:
    """A job's processor time, cut up as its phases cut up the clock when it is alone. What it
    then waits for neither processors nor the store is waited for here as well."""
    total = sum(times.phases.values())
    units = _spread_units(times)
    writes = times.writes[SQLITE]
    stored = round(times.units_a_job) * (writes.base_s + writes.move_s)
    wall = max(0.0, times.job_wall_s - times.operator_s - stored)
    other = times.job_s(places) - times.operator_s
    return {
        name: _Share(
            times.operator_s * seconds / total,
            other * seconds / total,
            wall * seconds / total,
            units[name],
        )
        for name, seconds in times.phases.items()
    }


def _spread_units(times: ServiceTimes) -> dict[str, int]:
    """One a phase at least; what is more falls to the last phases, which write down how the
    job went."""
    names = list(times.phases)
    units = dict.fromkeys(names, 1)
    for number in range(max(0, round(times.units_a_job) - len(names))):
        units[names[-1 - number % len(names)]] += 1
    return units

"""How much of everything a rate of jobs needs, and what it is held up by.

Ceilings follow from service times alone (the utilisation law: what a part does in a second is
its demand a job times the jobs a second). How many parts are wanted is that with room to spare;
the simulation then tells how long jobs wait there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from benchmarks.model.inputs import ServiceTimes
from benchmarks.model.simulation import POSTGRESQL, SQLITE, Demand, Plant, Report, simulate

ROOM = 0.7
"""How busy a part may be: above, waiting grows faster than what is gained."""

MIB, GIB = 1 << 20, 1 << 30
RATES = (10, 1_000, 100_000)
DATASETS = {"none, or cached": 0, "100 MiB": 100 * MIB, "1 GiB": GIB}
LOOKS = 5
RESULT_BYTES = MIB
LINK_BYTES_PER_S = 1.25e9
PLACES_A_CORE = 2
LARGE = 16
"""Processors of a machine where one like that which was measured is not enough."""


_JOBS, _LEAST_S, _LONGEST_S = 3_000, 60.0, 3600.0
"""Of what is simulated: about so many jobs, within these times."""


@dataclass(frozen=True)
class Needs:
    """Seconds of each part that a job takes."""

    processors: float
    serving: float
    operating: float
    store: float
    staging_link: float
    egress_link: float


@dataclass(frozen=True)
class Scenario:
    """A rate, what is staged for each job, and the installations that it takes: each one of
    them is ``plant`` with a database of its own."""

    per_minute: float
    dataset_bytes: int
    installations: int
    plant: Plant

    @property
    def demand(self) -> Demand:
        rate = self.per_minute / 60 / self.installations
        seconds = min(max(_JOBS / rate, _LEAST_S), _LONGEST_S)
        return _demand(self.dataset_bytes, per_second=rate, seconds=seconds)


def needs(times: ServiceTimes, plant: Plant, demand: Demand) -> Needs:
    """``plant`` says which database it is, and of what kind machines and links are."""
    serving = times.start_s + demand.looks * times.status_s
    serving += times.result_s * bool(demand.result_bytes)
    moving = demand.result_bytes * times.egress.byte_cpu_s
    moving += demand.dataset_bytes * times.staging.byte_cpu_s
    return Needs(
        processors=serving + moving + times.job_s(plant.places),
        serving=serving,
        operating=times.operator_s,
        store=written(times, plant.store, demand),
        staging_link=demand.dataset_bytes / plant.link_bytes_per_s,
        egress_link=demand.result_bytes / plant.link_bytes_per_s,
    )


def written(
    times: ServiceTimes, store: str, demand: Demand, *, operates: int = 1, sharing: int = 1
) -> float:
    """Seconds of the writer, when so many units of work share a transaction. Each further
    process that operates looks for work at the news of a job, and at its end."""
    writes = times.writes[store]
    moves = 1 + times.units_a_job + 2 * (operates - 1)
    nonces = float(bool(demand.result_bytes))
    base = (moves + nonces) * writes.base_s / sharing
    return moves * writes.move_s + nonces * writes.nonce_s + base


def ceilings(times: ServiceTimes) -> Mapping[str, float]:
    """Jobs a minute at which a single one of each part has no time left. As many units of work
    share a transaction as a process has places: each job waits for its own."""
    plant = Plant(cores=times.cores)
    none, some, much = (_demand(size) for size in DATASETS.values())
    each = needs(times, plant, none)
    signed = 1 + LOOKS + 1
    sharing = plant.places
    rows = {
        "signature checks, one process": signed * times.signature_s,
        "a process that serves": each.serving,
        "a process that operates": each.operating,
        "one process that does both (SQLite)": each.serving + each.operating,
        "writes, SQLite": written(times, SQLITE, none, sharing=sharing),
        "writes, PostgreSQL": written(times, POSTGRESQL, none, sharing=sharing),
        f"engine alone, {times.cores} processors": times.container_s(plant.places) / times.cores,
        f"a machine of {times.cores} processors": each.processors / times.cores,
        "staging 100 MiB, 10 Gbit/s": needs(times, plant, some).staging_link,
        "staging 1 GiB, 10 Gbit/s": needs(times, plant, much).staging_link,
        "results of 1 MiB, 10 Gbit/s": each.egress_link,
    }
    return {name: 60 / seconds for name, seconds in rows.items()}


def sized(times: ServiceTimes, per_minute: float, dataset_bytes: int) -> Scenario:
    """The least that leaves room."""
    demand, rate = _demand(dataset_bytes), per_minute / 60
    for cores in (times.cores, LARGE):
        kind = Plant(cores=cores)
        if rate * _busiest(needs(times, kind, demand), cores) <= ROOM:
            places = _places(times, kind, rate, dataset_bytes)
            return Scenario(per_minute, dataset_bytes, 1, replace(kind, places=places))
    kind = Plant(cores=LARGE, store=POSTGRESQL)
    installations = 1
    while True:
        share = rate / installations
        plant = _shared(times, kind, share, demand)
        store = share * written(times, POSTGRESQL, demand, operates=plant.operates)
        if store <= ROOM or _is_least(plant):
            break
        installations = max(installations + 1, math.ceil(installations * 1.02))
    rate = share
    places = _places(times, plant, rate, dataset_bytes)
    return Scenario(per_minute, dataset_bytes, installations, replace(plant, places=places))


def _busiest(one: Needs, cores: int) -> float:
    """Where a single process does everything on one machine."""
    links = max(one.staging_link, one.egress_link)
    return max(one.serving + one.operating, one.store, one.processors / cores, links)


def _shared(times: ServiceTimes, kind: Plant, rate: float, demand: Demand) -> Plant:
    """Several processes over one database."""
    one = needs(times, kind, demand)
    links = max(one.staging_link, one.egress_link)
    machines = max(_count(rate * one.processors / kind.cores), _count(rate * links))
    return replace(
        kind,
        machines=machines,
        serves=_count(rate * one.serving),
        operates=max(machines, _count(rate * one.operating)),
    )


def _is_least(plant: Plant) -> bool:
    """A smaller installation would not be one."""
    return plant.machines == plant.serves == plant.operates == 1


def scenarios(times: ServiceTimes) -> Iterator[tuple[Scenario, str, Report]]:
    """Each rate with each size of datasets, and how the simulation fares."""
    for per_minute in RATES:
        for name, size in DATASETS.items():
            scenario = sized(times, per_minute, size)
            yield scenario, name, simulate(times, scenario.plant, scenario.demand)


def _demand(dataset_bytes: int, per_second: float = 0.0, seconds: float = 0.0) -> Demand:
    return Demand(
        per_second=per_second,
        seconds=seconds,
        dataset_bytes=dataset_bytes,
        result_bytes=RESULT_BYTES,
        looks=LOOKS,
    )


def _count(busy: float) -> int:
    """How many share what would keep so many busy."""
    return max(1, math.ceil(busy / ROOM))


def _places(times: ServiceTimes, plant: Plant, rate: float, dataset_bytes: int) -> int:
    """Of each machine: enough for the processors, and for jobs that stage meanwhile."""
    held = times.job_wall_s / ROOM + dataset_bytes / times.staging.bytes_per_s
    return max(PLACES_A_CORE * plant.cores, math.ceil(rate * held / ROOM / plant.machines))

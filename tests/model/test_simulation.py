"""The queueing model against what is known of queues."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import simpy

from benchmarks.model.beside import interval, share
from benchmarks.model.inputs import Container, ServiceTimes, Transfer, Writes
from benchmarks.model.parts import Machine, Process, Store
from benchmarks.model.scenarios import ROOM, ceilings, sized
from benchmarks.model.simulation import POSTGRESQL, Demand, Plant, simulate

NO_WRITES = Writes(0.0, 0.0, 0.0, 0.0, 0.0)
WRITES = Writes(0.001, 0.00005, 0.001, 0.00005, 0.001)
TIMES = ServiceTimes(
    machine="a drawing board",
    measured="2026-01-01",
    cores=2,
    signature_s=0.00004,
    status_s=0.0002,
    start_s=0.003,
    result_s=0.002,
    writes={"sqlite": WRITES, "postgresql": WRITES},
    units_a_job=7.2,
    operator_s=0.05,
    helpers_s=0.02,
    kernel_s=0.02,
    containers={1: Container(0.25, 0.22, 0.01), 4: Container(0.15, 0.23, 0.01)},
    beside=0.5,
    job_wall_s=0.4,
    phases={"started": 0.05, "configuring_volumes": 0.05, "provisioned": 0.2, "publishing": 0.1},
    staging=Transfer(5e8, 2e-9),
    egress=Transfer(1e9, 5e-10),
)
PHASES = [*TIMES.phases.values()]
ONLY_ACCEPTING = replace(
    TIMES,
    start_s=0.005,
    writes={"sqlite": NO_WRITES},
    operator_s=0.0,
    helpers_s=0.0,
    kernel_s=0.0,
    containers={1: Container(0.0, 0.0, 0.0)},
    job_wall_s=0.0,
)
MUCH = Demand(per_second=3, seconds=60, dataset_bytes=1 << 26, result_bytes=1 << 20, looks=5)


def test_the_mean_wait_of_one_server_is_that_of_the_formula() -> None:
    """Pollaczek and Khinchine for M/D/1: half of busy / (1 - busy) of a service."""
    busy, service = 0.7, ONLY_ACCEPTING.start_s
    demand = Demand(per_second=busy / service, seconds=150)
    report = simulate(ONLY_ACCEPTING, Plant(), demand)
    wait = report.phases["accepting"] - service
    assert report.asked > 20_000
    assert wait == pytest.approx(service * busy / (2 * (1 - busy)), rel=0.1)
    assert report.utilisation["serving"] == pytest.approx(busy, rel=0.03)


def test_a_seed_is_a_run() -> None:
    assert simulate(TIMES, Plant(), MUCH, seed=7) == simulate(TIMES, Plant(), MUCH, seed=7)
    assert simulate(TIMES, Plant(), MUCH, seed=7) != simulate(TIMES, Plant(), MUCH, seed=8)


@pytest.mark.parametrize(
    ("plant", "demand"),
    [
        (Plant(), Demand(batch=77, clients=20)),
        (Plant(), MUCH),
        (Plant(machines=3, serves=2, operates=4, store=POSTGRESQL), MUCH),
    ],
    ids=["batch", "at random", "several machines"],
)
def test_each_job_that_came_is_finished_and_nothing_is_busier_than_always(
    plant: Plant, demand: Demand
) -> None:
    report = simulate(TIMES, plant, demand)
    assert report.finished == report.asked == (demand.batch or report.asked) > 0
    assert all(0 <= used <= 1 for used in report.utilisation.values())
    alone = TIMES.job_wall_s + demand.dataset_bytes / TIMES.staging.bytes_per_s
    assert report.phases["operated"] > 0.9 * alone


def test_a_batch_goes_as_fast_as_its_processors_and_never_slower_with_more() -> None:
    rates = []
    for cores in (1, 2, 4, 8):
        plant = Plant(cores=cores, places=4)
        report = simulate(TIMES, plant, Demand(batch=200))
        rates.append(report.per_second)
        used = report.utilisation["processors"] * cores * report.seconds
        assert used == pytest.approx(200 * (TIMES.job_s(4) + TIMES.start_s), rel=0.1)
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(1 / (TIMES.job_s(4) + TIMES.start_s), rel=0.1)


def test_processors_that_others_take_are_missed() -> None:
    whole = simulate(TIMES, Plant(places=8), Demand(batch=100))
    half = simulate(TIMES, Plant(places=8, taken=1.0), Demand(batch=100))
    assert half.per_second == pytest.approx(whole.per_second / 2, rel=0.05)
    assert half.saturates_first == "processors"


def test_units_that_wait_share_a_transaction_and_processes_take_turns() -> None:
    world = simpy.Environment()
    machine = Machine(world, 2)
    here, there = Process(world, machine), Process(world, machine)
    store = Store(world, Writes(1.0, 0.01, 0.1, 0.0, 0.0))
    answers = [store.nonce(here), *(store.nonce(there) for _ in range(3))]
    late: list[simpy.Event] = []

    def hand_in_later() -> simpy.events.ProcessGenerator:
        yield world.timeout(0.5)
        late.extend(store.move(each) for each in (here, there) for _ in range(300))

    world.process(hand_in_later())
    world.run()
    assert all(answer.processed for answer in answers + late)
    # One alone; then each process in turn, 256 at most: 3 and 253, 256, and what is left.
    assert (store.units, store.commits) == (604, 5)
    assert world.now == pytest.approx(5 * 1.0 + 4 * 0.01 + 600 * 0.1)


def test_each_further_process_that_operates_looks_for_work_at_all_news() -> None:
    calm = Demand(per_second=0.2, seconds=600)
    alone = Plant(store=POSTGRESQL, operates=1)
    units = [
        simulate(TIMES, replace(alone, operates=operates), calm).units for operates in (1, 2, 4)
    ]
    assert units[1] == pytest.approx(units[0] + 2, abs=0.1)
    assert units[2] == pytest.approx(units[0] + 6, abs=0.3)


def test_the_share_beside_is_found_again_from_containers_that_have_it() -> None:
    kind = Container(0.2, 0.15, 0.01)
    boxes = {
        number: replace(kind, wall_s=interval(kind.wall_s, kind, number, 2, 0.4, PHASES))
        for number in (1, 2, 4)
    }
    assert boxes[1].wall_s == pytest.approx(kind.wall_s, rel=0.1)
    assert share(boxes, 2, PHASES) == pytest.approx(0.4, abs=0.15)


def test_a_file_is_one_process_own() -> None:
    with pytest.raises(ValueError, match="SQLite"):
        Plant(machines=2, serves=2)
    with pytest.raises(ValueError, match="without a process"):
        Plant(machines=2, serves=2, operates=1, store=POSTGRESQL)


@pytest.mark.parametrize("per_minute", [10, 1000, 100_000])
def test_what_is_sized_has_room(per_minute: float) -> None:
    scenario = sized(TIMES, per_minute, 0)
    report = simulate(TIMES, scenario.plant, replace(scenario.demand, seconds=30.0))
    assert report.utilisation[report.saturates_first] < ROOM + 0.1
    assert (scenario.installations > 1) == (per_minute > ceilings(TIMES)["writes, PostgreSQL"])


def test_inputs_are_read_as_they_were_kept(tmp_path: Path) -> None:
    TIMES.save(tmp_path / "times.json")
    assert ServiceTimes.load(tmp_path / "times.json") == TIMES

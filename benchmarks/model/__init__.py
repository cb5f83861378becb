"""Beyond one machine: a discrete-event model of the service, fed with what is measured here.

``figures`` is its row in the table: what the model says of this machine, against what this
machine does. docs/scale.md tells the rest.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.model.inputs import ServiceTimes
from benchmarks.model.jobs import FOUR, Bench, Run
from benchmarks.model.service_times import measure
from benchmarks.model.simulation import Demand, Plant, simulate

BATCH, PLACES = 200, 4
MOST_ROUNDS = 3
"""For the model's inputs; more tell nothing new."""

SEEDS = 10
GOAL = 1.2


async def figures(rounds: int) -> list[Figure]:
    times = await measure(min(rounds, MOST_ROUNDS))
    run = await batch()
    return [compared(times, run)]


async def batch() -> Run:
    """Two hundred trivial jobs, four at once."""
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        bench = Bench(Path(folder) / "service")
        try:
            await bench.open()
            await bench.trivial(PLACES, FOUR)
            return await bench.trivial(BATCH, FOUR)
        finally:
            await bench.close()


def compared(times: ServiceTimes, run: Run) -> Figure:
    """The model has the processors that the run had: without what neighbours took meanwhile,
    and this process, which is the client."""
    taken = (run.spent.neighbours + run.spent.client) / run.spent.wall
    plant = Plant(cores=times.cores, places=PLACES, taken=taken)
    demand = Demand(batch=run.jobs, looks=round(run.looks / run.jobs))
    said = statistics.mean(simulate(times, plant, demand, seed).per_second for seed in range(SEEDS))
    apart = max(said / run.per_second, run.per_second / said)
    name = f"{BATCH} jobs, {PLACES} at once: the model's / measured"
    return Figure(name, said, run.per_second, "/s", apart, GOAL, True)

"""Measures here what the model needs: everything alone, or one job at a time.

What is measured with many jobs at once is what the model is held against, and not here. Of
processor time the median of the rounds counts, of the clock the least: what neighbours do only
ever adds to that.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.model import beside, containers, stores, wire
from benchmarks.model.busy import Spent
from benchmarks.model.inputs import Container, ServiceTimes
from benchmarks.model.jobs import ONE, Bench, Run
from benchmarks.nginx import Nginx

AT_ONCE = (1, 2, 4)
CONTAINERS = 12
JOBS = 12


async def measure(rounds: int) -> ServiceTimes:
    with tempfile.TemporaryDirectory(prefix="ocean-compute-bench-") as folder:
        served = Path(folder) / "served"
        served.mkdir()
        bench, nginx = Bench(Path(folder) / "service"), Nginx(Path(folder) / "nginx", served)
        try:
            await nginx.ready()
            wire.publish(bench, nginx, served)
            await bench.open()
            return await _measure(bench, rounds)
        finally:
            await bench.close()
            nginx.end()


async def _measure(bench: Bench, rounds: int) -> ServiceTimes:
    alone: dict[int, list[Spent]] = {number: [] for number in AT_ONCE}
    runs: list[Run] = []
    await bench.trivial(2, ONE)
    for _ in range(rounds):
        for number in AT_ONCE:
            alone[number].append(await containers.measured(CONTAINERS, number))
        runs.append(await bench.trivial(JOBS, ONE))
    boxes = {number: _container(found) for number, found in alone.items()}
    cores = len(os.sched_getaffinity(0))
    start, status = await wire.starts(bench), await wire.statuses(bench)
    # The client has looked at each job once and waited for the whole of it.
    looks = _median(runs, lambda run: run.looks / run.jobs) * status
    operator = _median(runs, lambda run: run.spent.service / run.jobs) - start - looks
    quickest = min(runs, key=lambda run: run.spent.wall)
    phases = {name: value for name, value in quickest.phases.items() if name != "queued"}
    return ServiceTimes(
        machine=_machine(),
        measured=time.strftime("%Y-%m-%d"),
        cores=cores,
        signature_s=wire.signature(bench.consumer),
        status_s=status,
        start_s=start,
        result_s=await wire.results(bench),
        writes=await stores.measured(),
        units_a_job=_median(runs, lambda run: run.units) - 1,
        operator_s=operator,
        helpers_s=_median(runs, lambda run: run.spent.children / run.jobs),
        kernel_s=max(0.0, _median(runs, lambda run: run.spent.rest / run.jobs) - boxes[1].cpu_s),
        containers=boxes,
        beside=beside.share(boxes, cores, [*phases.values()]),
        job_wall_s=quickest.spent.wall / JOBS,
        phases=phases,
        staging=await wire.staging(bench, operator + start, phases["configuring_volumes"]),
        egress=await wire.egress(bench),
    )


def _container(found: Sequence[Spent]) -> Container:
    return Container(
        min(each.wall for each in found) / CONTAINERS,
        statistics.median(each.rest for each in found) / CONTAINERS,
        statistics.median(each.client for each in found) / CONTAINERS,
    )


def _median(runs: Sequence[Run], of: Callable[[Run], float]) -> float:
    return statistics.median(map(of, runs))


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"{cores} processors ({platform.machine()}), Linux {platform.release()}"

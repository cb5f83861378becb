"""``python -m benchmarks.model measure FILE`` measures this machine, which takes some minutes;
``tables FILE`` prints the tables of docs/scale.md, ``page FILE`` puts them there; ``batch FILE``
is what the model says of two hundred trivial jobs.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from benchmarks.model import BATCH, MOST_ROUNDS, PLACES
from benchmarks.model.inputs import ServiceTimes
from benchmarks.model.service_times import measure
from benchmarks.model.simulation import Demand, Plant, simulate
from benchmarks.model.tables import tables

MEASURED = Path(__file__).with_name("measured.json")
PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
BEGIN, END = "<!-- python -m benchmarks.model page -->", "<!-- end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("measure", "tables", "page", "batch"))
    parser.add_argument("file", type=Path, nargs="?", default=MEASURED)
    options = parser.parse_args()
    if options.command == "measure":
        asyncio.run(measure(MOST_ROUNDS)).save(options.file)
        return
    times = ServiceTimes.load(options.file)
    if options.command == "tables":
        print("\n".join(tables(times)))
        return
    if options.command == "page":
        before, _, rest = PAGE.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text("\n".join((before + BEGIN, *tables(times), END + after)))
        return
    report = simulate(times, Plant(cores=times.cores, places=PLACES), Demand(batch=BATCH))
    print(f"{report.per_second:.2f} jobs/s; {report.saturates_first} saturates first")
    for name, used in report.utilisation.items():
        print(f"{name}: {used:.0%} busy, {report.longest.get(name, 0)} waiting at most")


if __name__ == "__main__":
    main()

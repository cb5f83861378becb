"""Figures, each against a reference measured in the same run, printed as ratios.

Rounds alternate between the figure and its reference, medians are compared, so that a
machine that is slow for a while is slow for both. Run it with ``make bench``; ``--only GROUP``
measures one group. The figures are kept in ``build/bench.json``, or the file after ``--json``.
What each row says stands in docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure

GROUPS = (
    *("signatures", "requests", "nonces", "jobs", "transfers"),
    *("footprint", "scale", "chain", "model"),
)
"""Modules of this package; each has ``async def figures(rounds) -> list[Figure]``."""


KEPT = Path("build/bench.json")


async def measure(group: str, rounds: int) -> list[Figure]:
    found: list[Figure] = await importlib.import_module(f"benchmarks.{group}").figures(rounds)
    return found


def printed(figures: list[Figure]) -> Table:
    table = Table("figure", "ours", "reference", "ratio", "goal", "")
    for figure in figures:
        table.add_row(*_row(figure))
    return table


def written(figures: list[Figure]) -> str:
    """The table as Markdown."""
    head = ["| figure | ours | reference | ratio | goal | |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(_row(figure))} |" for figure in figures)])


def _row(figure: Figure) -> list[str]:
    reference = "-" if figure.reference is None else f"{figure.reference:,.3g} {figure.unit}"
    ratio = "-" if figure.ratio is None else f"{figure.ratio:.2f}"
    ours = f"{figure.figure:,.3g} {figure.unit}"
    return [figure.name, ours, reference, ratio, figure.wanted, figure.verdict]


def put(page: Path, text: str) -> None:
    """Replace what stands between the page's marks."""
    before, begin, rest = page.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


_BEGIN, _END = "<!-- figures -->", "<!-- end -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, default=KEPT)
    parser.add_argument("--page", type=Path, help="a page to put the table into")
    parser.add_argument("--only", choices=GROUPS, action="append")
    options = parser.parse_args()
    figures: list[Figure] = []
    broken: list[str] = []
    for group in options.only or GROUPS:
        Console(stderr=True).print(f"measuring {group} …", style="dim")
        try:
            figures += asyncio.run(measure(group, options.rounds))
        except Exception:  # the other groups' figures are worth having all the same
            traceback.print_exc()
            broken.append(group)
        options.json.parent.mkdir(exist_ok=True)
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2))
    Console().print(printed(figures))
    if options.page:
        put(options.page, written(figures))
    for group in broken:
        Console(stderr=True).print(f"{group} could not be measured, see above", style="red")
    return 0 if not broken and all(figure.reached for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

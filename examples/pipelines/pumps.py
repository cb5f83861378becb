"""A small table to learn from: readings of water pumps, and whether each failed within a week.

Made by the same numbers on every machine. As with readings from the field, some are missing and
some are absurd; the first task of the pipeline leaves these out.
"""

from __future__ import annotations

import csv
import io
import math
import random

ROWS = 320
HEADER = ("temperature_c", "vibration_mm_s", "pressure_bar", "running_hours", "failed")


def table() -> str:
    """The table as CSV."""
    chance = random.Random(20240918)  # noqa: S311 (an example's data)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    for _ in range(ROWS):
        writer.writerow(_row(chance))
    return out.getvalue()


def _row(chance: random.Random) -> list[str]:
    temperature, vibration = chance.gauss(62, 9), abs(chance.gauss(3.2, 1.4))
    pressure, hours = chance.gauss(5.5, 0.8), chance.uniform(50, 9000)
    burden = (
        (temperature - 62) / 9 + 1.6 * (vibration - 3.2) / 1.4
        - 0.8 * (pressure - 5.5) / 0.8 + (hours - 4500) / 2600
    )  # fmt: skip
    failed = chance.random() < 1 / (1 + math.exp(-1.5 * burden))
    row = [f"{temperature:.1f}", f"{vibration:.2f}", f"{pressure:.2f}", f"{hours:.0f}"]
    if chance.random() < 0.05:
        row[chance.randrange(4)] = chance.choice(["", "-999"])
    return [*row, str(int(failed))]

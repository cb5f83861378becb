"""Clean the readings, split them, and bring them to one scale."""

import csv
import json
import os
import random
import statistics
from pathlib import Path

OUTPUTS = Path(os.environ["OUTPUTS"])
config = json.loads(Path(os.environ["CONFIG_FILE"]).read_text())

with (Path(os.environ["INPUTS"]) / "stages/0/dataset").open(newline="") as file:
    header, *lines = csv.reader(file)
rows = [
    [float(value) for value in line]
    for line in lines
    if all(value not in ("", config["missing"]) for value in line)
]
print(f"{len(lines)} rows, {len(lines) - len(rows)} with missing readings left out")

random.Random(config["seed"]).shuffle(rows)  # noqa: S311 (a split, no secret)
first = round(len(rows) * config["train_share"])
second = first + (len(rows) - first) // 2
parts = {"train": rows[:first], "validation": rows[first:second], "test": rows[second:]}

columns = list(zip(*parts["train"], strict=True))[:-1]
scale = [(statistics.mean(column), statistics.pstdev(column)) for column in columns]
for name, part in parts.items():
    with (OUTPUTS / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for *readings, failed in part:
            scaled = [
                (value - mean) / spread
                for value, (mean, spread) in zip(readings, scale, strict=True)
            ]
            writer.writerow([*(f"{value:.6f}" for value in scaled), int(failed)])
    print(f"{name}: {len(part)} rows")
(OUTPUTS / "scale.json").write_text(json.dumps(dict(zip(header[:-1], scale, strict=True))))

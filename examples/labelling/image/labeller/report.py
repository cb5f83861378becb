"""What the outside may see while the labelling runs: counts, and a sample of the results.

Both files are replaced as a whole, so that a reader never sees half of one.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SAMPLE_ROWS = 200


class Report:
    """Counts up to the last batch that is in the database."""

    def __init__(self, outputs: Path, task_id: str) -> None:
        self.received = 0
        self.labelled = 0
        self.labelled_authors = 0
        self.authors = 0
        self.check_point: str | None = None
        self._error: str | None = None
        self._tables: list[str] = []
        self._sample: list[Mapping[str, Any]] = []
        self._outputs = outputs
        self._chance = random.Random(task_id)  # noqa: S311 (a sample, no secret)
        self._started = time.monotonic()

    def add(self, table: str, received: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """A batch is in the database."""
        self.received += received
        if rows and table not in self._tables:
            self._tables.append(table)
        for row in rows:
            self.labelled += 1
            self._keep(row)
        if rows:
            self._write_sample(table)

    def write(self) -> None:
        said = {
            "received": self.received,
            "labelled": self.labelled,
            "labelled_authors": self.labelled_authors,
            "authors": self.authors,
            "tables": self._tables,
            "peak_memory": _peak_mib(),
            "run_time_s": round(time.monotonic() - self._started, 3),
            "check_point": self.check_point,
            "error": self._error,
        }
        self._replace("progress.json", json.dumps(said))

    def fail(self, text: str) -> None:
        self._error = text
        self.write()

    def _keep(self, row: Mapping[str, Any]) -> None:
        """Each labelled row so far has the same chance of being in the sample."""
        if len(self._sample) < SAMPLE_ROWS:
            self._sample.append(row)
        elif (place := self._chance.randrange(self.labelled)) < SAMPLE_ROWS:
            self._sample[place] = row

    def _write_sample(self, table: str) -> None:
        (self._outputs / "sample").mkdir(exist_ok=True)
        lines = (json.dumps(row, ensure_ascii=False, default=str) for row in self._sample)
        self._replace(f"sample/{table}.jsonl", "".join(f"{line}\n" for line in lines))

    def _replace(self, name: str, text: str) -> None:
        path = self._outputs / name
        beside = path.with_name(f".{path.name}.part")
        beside.write_text(text, encoding="utf-8", errors="replace")
        os.replace(beside, path)


def _peak_mib() -> float | None:
    """The most memory that this program has had. The kernel's resource usage would not do: it
    counts what the process was before it became this program."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return None

"""What is to be labelled, as it lies in the inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Task:
    """Rows of ``input_table`` from ``start_time`` on and before ``end_time`` (dates).

    ``predict_type`` is the column that patterns are about.
    """

    task_id: str
    model_type: str
    predict_type: str
    start_time: str
    end_time: str
    pattern: Mapping[str, list[Any]]
    input_schema: str
    input_table: str
    output_schema: str
    id_column: str = "id"
    time_column: str = "post_time"
    batch_rows: int = 1000

    @classmethod
    def read(cls, path: Path) -> Task:
        return cls(**json.loads(path.read_text()))

    @property
    def output_table(self) -> str:
        """One of its own for each task; MySQL's names are at most 64 characters long."""
        return f"{self.input_table[:50]}_{self.task_id[:12]}"

    def columns(self) -> list[str]:
        """The columns that the patterns look at."""
        found = [self.predict_type]
        for rules in self.pattern.values() if self.model_type == "rule_model" else ():
            for rule in rules:
                found += _fields(rule)
        return list(dict.fromkeys(found))


def _fields(rule: Any) -> list[str]:
    if not isinstance(rule, dict):
        return []
    found = [rule["field"]] if "field" in rule else []
    for value in rule.values():
        for each in value if isinstance(value, list) else [value]:
            found += _fields(each)
    return found

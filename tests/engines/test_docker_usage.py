"""What a container takes, as engines on either version of control groups tell it."""

from __future__ import annotations

from typing import Any

import pytest

from compute.engines.base import Usage
from compute.engines.docker.usage import usage

CPU = {"cpu_usage": {"total_usage": 1_500_000_000}}
FIRST_VERSION = {
    "cpu_stats": CPU,
    "memory_stats": {
        "usage": 300,
        "max_usage": 900,
        "stats": {"total_inactive_file": 100, "inactive_file": 7},
    },
}
SECOND_VERSION = {
    "cpu_stats": CPU,
    "memory_stats": {"usage": 300, "stats": {"inactive_file": 50}},
}


@pytest.mark.parametrize(
    ("stats", "told"),
    [
        (FIRST_VERSION, Usage(200, 900, 1.5)),
        (SECOND_VERSION, Usage(250, None, 1.5)),
        ({"memory_stats": {"usage": 10, "stats": {"inactive_file": 50}}}, Usage(0, None, 0.0)),
        ({"memory_stats": {"usage": 10}}, Usage(10, None, 0.0)),
        ({"cpu_stats": CPU, "memory_stats": {}}, None),
        ({}, None),
    ],
    ids=["first", "second", "only files", "few words", "ended", "nothing"],
)
def test_usage_is_read(stats: dict[str, Any], told: Usage | None) -> None:
    assert usage(stats) == told

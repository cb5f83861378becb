"""What a container takes, as the Docker API tells it.

Control groups of the first version keep a highest mark, those of the second do not pass one on.
Either counts files that are cached for a container as its memory; those that can be dropped are
taken off, as ``docker stats`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker import APIClient
from docker.errors import NotFound

from compute.engines.base import Usage
from compute.engines.docker.calls import request

_DROPPABLE = ("total_inactive_file", "inactive_file")
"""Of the first and of the second version."""

_NANO = 1e9

LOOK_S = 5.0
"""An answer takes up to a second when the container ends meanwhile; nobody depends on it."""


def of(client: APIClient, name: str) -> Usage | None:
    """None unless the container runs."""
    try:
        with request(
            client,
            "GET",
            f"/containers/{name}/stats",
            params={"stream": "false", "one-shot": "true"},
            silence_s=LOOK_S,
        ) as response:
            return usage(response.json())
    except NotFound:
        return None


def usage(stats: Mapping[str, Any]) -> Usage | None:
    """From an answer's document, which is empty where nothing runs. Pure."""
    memory = stats.get("memory_stats") or {}
    if not memory.get("usage"):
        return None
    details = memory.get("stats") or {}
    droppable = next((int(details[each]) for each in _DROPPABLE if each in details), 0)
    highest = memory.get("max_usage")
    cpu = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    return Usage(
        memory_bytes=max(0, int(memory["usage"]) - droppable),
        peak_bytes=int(highest) if highest else None,
        cpu_s=int(cpu.get("total_usage") or 0) / _NANO,
    )

"""What decides how a job runs in an environment, for those who want to run it the same way
elsewhere: the names and units of ``environments.yaml``. Pure."""

from __future__ import annotations

from typing import Any

from compute.environments import Environment

FIELDS = (
    "user",
    "pids",
    "tmpMB",
    "maxOutputFiles",
    "maxLogMB",
    "writableRoot",
    "network",
    "networkStages",
    "stopGrace",
    "images",
    "filterImage",
)
"""Those of them that the environment object does not have by other names."""


def runtime(item: Environment) -> dict[str, Any]:
    """The fields as JSON values."""
    return item.model_dump(mode="json", include=set(FIELDS))

"""What all tests share: the real engine's image, and the development chain."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.devchain import devchain
from support.postgres import both_url, empty_postgres_url, postgres_server, postgres_url
from support.service import image_id

__all__ = [
    "both_url",
    "checksum",
    "devchain",
    "empty_postgres_url",
    "postgres_server",
    "postgres_url",
]

TESTS = Path(__file__).parent
LONGEST_ID = 24


LONG = (
    "system/test_several_processes.py",
    "compute/test_crashes.py",
    "system/test_frozen_operator.py",
    "openapi/test_generated_requests.py",
    "dialects/pipelines/test_pipelines_processes.py",
    "limits/test_hostile_connections.py",
    "limits/test_watchers.py",
    "system/test_live_logs.py",
)
"""Files that take longest: begun last, they would be waited for alone."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the tests by file: the long files first, then those of most tests."""
    if not hasattr(config, "workerinput"):
        return
    sizes = Counter(item.path for item in items)
    turns = {TESTS / name: turn for turn, name in enumerate(LONG)}
    items.sort(
        key=lambda item: (turns.get(item.path, len(LONG)), -sizes[item.path], str(item.path))
    )


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long texts are numbered: some are made anew each time, and processes that share the
    tests have to know them by the same names."""
    return argname if isinstance(val, str | bytes) and len(val) > LONGEST_ID else None


# How long a machine takes to make an example says nothing about the code.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@pytest.fixture(scope="session")
def checksum() -> str:
    """The id of the test image, as a consumer would pin it."""
    return image_id()

"""What all tests share: the real engine's image, and the development chain."""

from __future__ import annotations

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

LONGEST_ID = 24


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

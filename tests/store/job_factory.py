"""The type of the ``make_job`` fixture, and the mark of tests for SQLite alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compute.models import Job

MakeJob = Callable[..., Job]

only_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""For what is of that kind of database alone: its files, its lock, its settings."""

"""Fixtures of the ground floor's tests."""

from __future__ import annotations

import pytest
from compute_samples import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()

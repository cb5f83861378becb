"""The type of the ``make_job`` fixture, the mark of tests for SQLite alone, and claims on a
machine that has enough of all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compute.fairness import Resources
from compute.models import Job
from compute.store.claims import Claim, Share
from compute.store.jobs import JobStore

MakeJob = Callable[..., Job]

only_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""For what is of that kind of database alone: its files, its lock, its settings."""
MACHINE = "machine"
ENOUGH = Resources(1 << 30, 1 << 50, 1 << 60, 1 << 20)
ONE_EACH = Resources(1000, 1 << 30, 1 << 30)


def a_claim(
    environment: str = "small",
    places: int = 1,
    *,
    needs: Resources = ONE_EACH,
    owner_limit: int | None = None,
    capacity: Resources = ENOUGH,
    machine: str = MACHINE,
) -> Claim:
    """Of one environment."""
    return Claim(machine, capacity, {environment: Share(needs, places, owner_limit)})


async def claim(store: JobStore, environment: str, places: int, *, now: float) -> list[Job]:
    """Fill the places of one environment on a machine that has enough of all."""
    return await store.claim(a_claim(environment, places), now=now)

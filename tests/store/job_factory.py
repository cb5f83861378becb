"""The type of the ``make_job`` fixture."""

from __future__ import annotations

from collections.abc import Callable

from compute.models import Job

MakeJob = Callable[..., Job]

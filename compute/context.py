"""Which job the present task works on: for log lines that do not name one themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

JOB: ContextVar[str] = ContextVar("job", default="")
"""The id of the job, empty where the work is about none. Tasks and threads inherit it."""


@contextmanager
def about(job_id: str) -> Iterator[None]:
    """All that is logged inside is about this job."""
    token = JOB.set(job_id)
    try:
        yield
    finally:
        JOB.reset(token)

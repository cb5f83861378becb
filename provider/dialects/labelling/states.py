"""How a job is, in the words of the labelling API. Pure.

``stat`` has no word for running: a task is PENDING until its labelling is over. SUCCESS says
that it is, ``prod_stat`` that the results are there too, so that "done" means both. A task
that was told to stop is BREAK at once and for ever.
"""

from __future__ import annotations

from typing import Literal

from compute.models import Job
from compute.status import Goal, Phase
from provider.dialects.labelling.progress import Progress

Stat = Literal["PENDING", "SUCCESS", "FAILURE", "BREAK"]
ProdStat = Literal["finish", "no_data"]

_LABELLED = frozenset({Phase.FILTERING, Phase.PUBLISHING, Phase.HELD, Phase.COMPLETED})


def stat(job: Job) -> Stat:
    """The state of the labelling."""
    if job.goal is not Goal.RUN or job.phase in {Phase.STOPPED, Phase.DELETED}:
        return "BREAK"
    if _failed(job):
        return "FAILURE"
    return "SUCCESS" if job.phase in _LABELLED else "PENDING"


def prod_stat(job: Job, progress: Progress) -> ProdStat | None:
    """The state of the results; None while there are none to come, or none yet."""
    if stat(job) != "SUCCESS" or not job.phase.terminal:
        return None
    return "finish" if _has_data(job, progress) else "no_data"


def error_message(job: Job, progress: Progress) -> str | None:
    """Why it failed, for people."""
    if stat(job) != "FAILURE" or job.termination is None:
        return None
    end = job.termination
    told = f"{end.reason}: {end.detail}" if end.detail else end.reason
    by_itself = end.reason == "exit_code" and progress.error
    return f"{progress.error} ({told})" if by_itself else told


def _failed(job: Job) -> bool:
    end = job.termination
    if end is not None and job.phase in _LABELLED:
        return end.phase is not Phase.COMPLETED or end.exit_code not in {None, 0}
    return job.phase.terminal and job.phase is not Phase.COMPLETED


def _has_data(job: Job, progress: Progress) -> bool:
    if progress.labelled is not None:
        return progress.labelled > 0
    return any(file.type == "output" for file in job.results)

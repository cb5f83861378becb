"""Held jobs as their reviewers see them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from compute.egress.verdict import Finding, Verdict
from compute.models import Job

MOST_FILES_LISTED = 100
"""Of each job in a list of jobs."""


def held_jobs(jobs: Sequence[Job], wallet: str, *, in_full: bool) -> list[dict[str, Any]]:
    """``wallet`` in any case is who asks; ``in_full`` with all files."""
    most = None if in_full else MOST_FILES_LISTED
    return [held_job(job, wallet, most) for job in jobs]


def held_job(job: Job, wallet: str, most_files: int | None = None) -> dict[str, Any]:
    """One job: what ran, on what, for whom, which rules ask this wallet, what is held."""
    verdict, end = job.verdict or Verdict(), job.termination
    return {
        "jobId": job.id,
        "owner": job.owner,
        "environment": job.environment,
        "status": job.phase.number,
        "statusText": job.phase.text,
        "inputDID": [item.did for item in job.spec.datasets],
        "algoDID": job.spec.algorithm.did,
        "images": list(_images(job)),
        "exitCode": end.exit_code if end else None,
        "dateCreated": _time(job.created_at),
        "dateHeld": _moment(verdict.held_at),
        "heldUntil": _moment(verdict.held_until),
        "sources": [
            _source(finding) for finding in verdict.held if wallet.lower() in finding.reviewers
        ],
        "undecided": sum(not finding.decision for finding in verdict.held),
        "fileCount": len(job.held),
        "files": [
            {
                "index": file.index,
                "filename": file.filename,
                "filesize": file.filesize,
                "type": file.type,
                "sha256": file.sha256,
            }
            for file in job.held[:most_files]
        ],
    }


def _images(job: Job) -> Iterator[dict[str, str]]:
    """Stage by stage, as it was asked for and what it was."""
    runs = {run.stage: run.image_id for run in job.runs}
    for stage in job.spec.stages:
        image_id = runs.get(stage.name, "")
        yield {"image": stage.algorithm.image.reference, "imageId": image_id}


def _source(finding: Finding) -> dict[str, Any]:
    return {
        "source": finding.source,
        "rules": list(finding.fired),
        "decision": finding.decision.value,
        "decidedBy": finding.by,
        "dateDecided": _moment(finding.at),
    }


def _moment(at: float | None) -> str | None:
    return None if at is None else _time(at)


def _time(seconds: float) -> str:
    return f"{seconds:.6f}"

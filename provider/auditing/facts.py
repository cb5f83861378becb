"""What a record tells of jobs and of the configuration. Pure but for reading files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compute.models import Job, JobSpec
from compute.status import Phase
from provider import __version__
from provider.auditing import records
from provider.settings import Settings


def outcome(job: Job, now: float) -> dict[str, Any]:
    """How a job ended: what ran, on what, for whom, with what result; no name of a file."""
    results = "".join(f"{file.index} {file.sha256}\n" for file in job.results)
    ended = job.termination
    details: dict[str, Any] = {
        "owner": job.owner,
        "environment": job.environment,
        "status": job.phase.number,
        "results": len(job.results),
        "resultsSha256": hashlib.sha256(results.encode()).hexdigest() if results else "",
        "images": list(dict.fromkeys(_images(job))),
        **assets_of(job.spec),
    }
    if ended is not None and ended.exit_code is not None:
        details["exitCode"] = ended.exit_code
    if job.phase is Phase.DELETED:
        details["expired"] = job.expires_at is not None and job.expires_at <= now
    return details


def _images(job: Job) -> Iterator[str]:
    """What ran, stage by stage. The job itself names the last one once more."""
    yield from (run.image_id for run in job.runs)
    if job.image_id:
        yield job.image_id


def started(spec: JobSpec) -> dict[str, Any]:
    """What a job that was allowed is about: no code, no parameter."""
    images = [stage.algorithm.image for stage in spec.stages]
    found: dict[str, Any] = {
        "images": [
            f"{image.by_tag().reference}@{image.checksum}" if image.checksum else image.reference
            for image in images
        ],
        **assets_of(spec),
    }
    if spec.encrypt_to:
        found["encryptTo"] = spec.encrypt_to
    order = records.transaction(spec.agreement_id)
    return found | ({"order": order} if order else {})


def assets_of(spec: JobSpec) -> dict[str, Any]:
    """Which assets a job is about."""
    algorithm = spec.algorithm.did
    found = {"dids": records.dids([item.did for item in spec.datasets])}
    return {**found, "algorithm": "".join(records.dids([algorithm])) or "raw"}


def configuration(settings: Settings, *, operates: bool) -> dict[str, Any]:
    """What the service runs with, as far as an auditor cares."""
    return {
        "version": __version__,
        "operates": operates,
        "provider": settings.key.address,
        "environmentsSha256": digest_of(settings.environments_file),
        "dialectsSha256": digest_of(settings.dialects_file),
        "chains": list(settings.chain_ids),
        "requireSignedStatus": settings.require_signed_status,
        "requireTypedSignatures": settings.require_typed_signatures,
    }


def digest_of(path: Path | None) -> str:
    """SHA-256 of a file of the configuration, "" where there is none."""
    if path is None:
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""

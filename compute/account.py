"""The account of a job: what ran, on what, within which limits, with what result. Pure.

Plain JSON of texts, whole numbers, truth values and nothing, so that it can be written in one
way only. It is the same wherever the same job runs: no path, host, container or process is in
it, and all times lie under ``times`` but those of reviewers. No name or address of an input
and no text of a consumer's is told: parameters and variables are named by their SHA-256.

It is put together of parts that are written down when they are known: of each stage what it
was given and how it was run (:func:`stage`), and at the job's end all else (:func:`ended`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from compute import __version__, references
from compute.digests import Digest
from compute.egress.verdict import Finding, Verdict
from compute.engines.base import ContainerSpec
from compute.environments import Environment
from compute.models import Image, Job, Stage
from compute.staged import Staged, StagedInput

SOFTWARE = "ocean-compute"

Facts = Mapping[str, Any]

_NOT_KNOWN: Facts = {
    "image": {"digests": []},
    "command": None,
    "network": None,
    "limits": None,
    "algorithm": {"files": None},
    "inputs": None,
    "given": None,
    "customData": None,
    "filters": [],
}


def launched(container: ContainerSpec, environment: Environment, digests: Sequence[str]) -> Facts:
    """How a stage's container is made. ``digests`` are those by which registries know its
    image (``name@sha256:…``)."""
    return {
        "image": {"digests": sorted(digests)},
        "command": list(container.command),
        "network": container.network,
        "limits": {
            "nanoCpus": round(container.cpus * 10**9),
            "memoryBytes": container.memory_bytes,
            "gpus": container.gpus,
            "pids": container.pids,
            "tmpBytes": container.tmp_bytes,
            "outputBytes": environment.disk_bytes,
            "outputFiles": environment.maxOutputFiles,
            "logBytes": container.log_bytes,
            "user": container.user,
            "writableRoot": container.writable_root,
            "capabilities": [],
            "noNewPrivileges": True,
        },
    }


def digests_of(image: Image, known: Sequence[str]) -> list[str]:
    """Those of an image's digests that are of the repository it was asked for by: others say
    what else lies on the machine."""
    wanted = references.familiar(image.image)
    return [each for each in known if references.familiar(each.partition("@")[0]) == wanted]


def stage(staged: Staged | None, how: Facts | None, filters: Sequence[str] = ()) -> Facts:
    """What a stage was given and how it was run; None where that was not written down.
    ``filters`` are the images that the outputs have to pass after it."""
    facts = {**_NOT_KNOWN, **(how or {}), "filters": list(filters)}
    if staged is None:
        return facts
    return {
        **facts,
        "algorithm": {"files": [_digest(each) for each in staged.algorithm]},
        "inputs": [_input(each) for each in staged.inputs],
        "given": [_digest(each) for each in staged.given],
        "customData": _digest(staged.custom_data) if staged.custom_data else None,
    }


def ended(job: Job) -> Facts:
    """All but what is told by :func:`stage`, of a job that has just come to its end."""
    end = job.termination
    return {
        "job": job.id,
        "owner": job.owner,
        "environment": job.environment,
        "stages": [_stage_of(job, each) for each in job.spec.stages],
        "egress": None if job.verdict is None else _egress(job.verdict),
        "encryptedTo": job.spec.encrypt_to,
        "results": [
            {
                "index": file.index,
                "filename": file.filename,
                "type": file.type,
                "sha256": file.sha256,
                "size": file.filesize,
            }
            for file in job.results
        ],
        "end": {
            "status": job.phase.number,
            "text": job.phase.text,
            "reason": end.reason if end else "",
            "exitCode": end.exit_code if end else None,
        },
        "times": {
            "created": moment(job.created_at),
            "finished": moment(job.finished_at),
            "stages": [
                {
                    "name": run.stage,
                    "started": moment(run.started_at),
                    "ended": moment(run.ended_at),
                }
                for run in job.runs
            ],
        },
        "software": {"name": SOFTWARE, "version": __version__},
    }


def whole(end: Facts, stages: Mapping[int, Facts]) -> dict[str, Any]:
    """The account. ``end`` is what :func:`ended` made, ``stages`` are those of
    :func:`stage` by their numbers."""
    told = []
    for number, each in enumerate(end["stages"]):
        facts = stages.get(number, _NOT_KNOWN)
        told.append(
            {
                **facts,
                **each,
                "image": {**facts["image"], **each["image"]},
                "algorithm": {**facts["algorithm"], **each["algorithm"]},
            }
        )
    account: dict[str, Any] = _without_surrogates({**end, "stages": told})
    return account


def moment(at: float | None) -> str | None:
    """RFC 3339 in UTC, with microseconds."""
    if at is None:
        return None
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def _stage_of(job: Job, asked: Stage) -> dict[str, Any]:
    run = next((run for run in job.runs if run.stage == asked.name), None)
    algorithm = asked.algorithm
    return {
        "name": asked.name,
        "ran": run is not None,
        "image": {
            "reference": algorithm.image.by_tag().reference,
            "checksum": algorithm.image.checksum,
            "id": run.image_id if run else None,
        },
        "entrypoint": algorithm.entrypoint,
        "algorithm": {"did": algorithm.did, "serviceId": algorithm.service_id},
        "datasets": [{"did": item.did, "serviceId": item.service_id} for item in asked.datasets],
        "variablesSha256": _json_digest(asked.variables) if asked.variables else None,
        "maxSeconds": asked.max_duration_s,
        "exitCode": run.exit_code if run else None,
        "outOfMemory": run.oom_killed if run else False,
    }


def _egress(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome.value,
        "fired": list(verdict.fired),
        "sources": [_finding(each) for each in verdict.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "source": finding.source,
        "outcome": finding.outcome.value,
        "fired": list(finding.fired),
        "decision": finding.decision.value,
        "by": finding.by,
        "at": moment(finding.at),
    }


def _input(file: StagedInput) -> dict[str, Any]:
    return {
        "did": file.did,
        "serviceId": file.service_id,
        "index": file.index,
        "sha256": file.sha256,
        "size": file.size,
        "changed": file.changed,
    }


def _digest(found: Digest) -> dict[str, Any]:
    return asdict(found)


def _json_digest(value: object) -> str:
    """Of the value as JSON: names sorted, no blanks, all but ASCII escaped."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _without_surrogates(value: Any) -> Any:
    """Half a pair can be in a consumer's texts and in no UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {key: _without_surrogates(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(each) for each in value]
    return value

"""Rows of the job table to jobs and back. Pure.

What is only ever read as a whole (specification, termination, results) is one JSON text.
It is written with every non-ASCII character escaped: a text from a consumer may hold what
no database stores (a NUL, half a surrogate pair) and must come back as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypedDict

from sqlalchemy import Row

from compute.egress.verdict import Verdict
from compute.models import Job, JobSpec, Move, Outline, ResultFile, StageRun, Termination
from compute.status import Goal, Phase
from compute.store.tables import jobs

PROMISED = (jobs.c.millicpus, jobs.c.memory_bytes, jobs.c.disk_bytes, jobs.c.gpus)
"""What a job was promised of its machine."""

_UNREAD = {"owner_key", *(column.name for column in PROMISED)}
COLUMNS = tuple(column for column in jobs.c if column.name not in _UNREAD)
"""What a job is made of, its specification apart."""

OUTLINE = (jobs.c.id, jobs.c.owner, jobs.c.created_at, jobs.c.finished_at, jobs.c.phase)


class Changes(TypedDict, total=False):
    """What a move or a note may change besides the phase; fields of Job."""

    stage: int
    attempts: int
    retry_at: float
    image_id: str
    started_at: float | None
    ended_at: float | None
    pid: int | None
    expires_at: float | None
    termination: Termination | None
    runs: tuple[StageRun, ...]
    results: tuple[ResultFile, ...]
    filters: int
    verdict: Verdict | None
    held: tuple[ResultFile, ...]


def job_of(row: Row[Any], spec: JobSpec) -> Job:
    return Job(
        id=row.id,
        owner=row.owner,
        environment=row.environment,
        spec=spec,
        created_at=row.created_at,
        namespace=row.namespace,
        name=row.name,
        phase=Phase(row.phase),
        goal=Goal(row.goal),
        stage=row.stage,
        attempts=row.attempts,
        retry_at=row.retry_at,
        image_id=row.image_id,
        started_at=row.started_at,
        ended_at=row.ended_at,
        pid=row.pid,
        finished_at=row.finished_at,
        expires_at=row.expires_at,
        termination=_read_termination(row.termination),
        runs=_read_runs(row.runs),
        results=_read_results(row.results),
        filters=row.filters,
        verdict=None if row.verdict is None else Verdict.read(json.loads(row.verdict)),
        held=_read_results(row.held),
        operator=row.operator,
        machine=row.machine,
        gpu_devices=read_devices(row.gpu_devices),
    )


def outline_of(row: Row[Any]) -> Outline:
    return Outline(row.id, row.owner, row.created_at, row.finished_at, Phase(row.phase))


def values_of(job: Job) -> dict[str, object]:
    """The columns of a new row."""
    return {
        "id": job.id,
        "owner": job.owner,
        "owner_key": job.owner.lower(),
        "environment": job.environment,
        "phase": job.phase.value,
        "goal": job.goal.value,
        "revision": 1,
        "created_at": job.created_at,
        "namespace": job.namespace,
        "name": job.name,
        "finished_at": job.finished_at,
        "operator": job.operator,
        "machine": job.machine,
        "gpu_devices": devices_text(job.gpu_devices),
        **changed_values(
            {
                "stage": job.stage,
                "attempts": job.attempts,
                "retry_at": job.retry_at,
                "image_id": job.image_id,
                "started_at": job.started_at,
                "ended_at": job.ended_at,
                "pid": job.pid,
                "expires_at": job.expires_at,
                "termination": job.termination,
                "runs": job.runs,
                "results": job.results,
                "filters": job.filters,
                "verdict": job.verdict,
                "held": job.held,
            }
        ),
    }


def changed_values(changes: Changes) -> dict[str, object]:
    """The columns that ``changes`` sets. Raises TypeError for a field it must not."""
    unknown = changes.keys() - Changes.__annotations__.keys()
    if unknown:
        raise TypeError(f"not to be changed here: {', '.join(sorted(unknown))}")
    values: dict[str, object] = {**changes}
    if "termination" in changes:
        values["termination"] = _termination_text(changes["termination"])
    if "results" in changes:
        values["results"] = _listed_text(changes["results"])
    if "held" in changes:
        values["held"] = _listed_text(changes["held"])
    if "verdict" in changes:
        verdict = changes["verdict"]
        values["verdict"] = None if verdict is None else _text(verdict.stored())
    if "runs" in changes:
        values["runs"] = _listed_text(changes["runs"])
    return values


def spec_text(spec: JobSpec) -> str:
    return _text(spec.model_dump())


def read_spec(text: str) -> JobSpec:
    return JobSpec.model_validate(json.loads(text))


def end_of_spec(agreement_id: str) -> str:
    """How the text of a specification with this agreement ends: it is the last field, and
    no other text can end alike, since quotation marks within are escaped."""
    return f'"agreement_id":{json.dumps(agreement_id)}}}'


def devices_text(devices: Sequence[str]) -> str | None:
    return json.dumps(list(devices)) if devices else None


def read_devices(text: str | None) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text else ()


def assets_of(spec: JobSpec) -> set[str]:
    """DIDs under which a job can be found."""
    dids = {item.did for item in spec.datasets} | {spec.algorithm.did}
    return dids - {""}


def move_of(row: Row[Any], job_id: str) -> Move:
    return Move(job_id, row.at, Phase(row.phase), Goal(row.goal), row.note)


def _termination_text(termination: Termination | None) -> str | None:
    return None if termination is None else _text(asdict(termination))


def _read_termination(text: str | None) -> Termination | None:
    if text is None:
        return None
    fields: dict[str, Any] = json.loads(text)
    return Termination(**{**fields, "phase": Phase(fields["phase"])})


def _listed_text(items: Iterable[ResultFile | StageRun]) -> str | None:
    listed = [asdict(item) for item in items]
    return _text(listed) if listed else None


def _read_runs(text: str | None) -> tuple[StageRun, ...]:
    return () if text is None else tuple(StageRun(**run) for run in json.loads(text))


def _read_results(text: str | None) -> tuple[ResultFile, ...]:
    if text is None:
        return ()
    files: list[dict[str, Any]] = json.loads(text)
    return tuple(ResultFile(**file) for file in files)


def _text(value: Mapping[str, Any] | list[dict[str, Any]]) -> str:
    return json.dumps(value, separators=(",", ":"))

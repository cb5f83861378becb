"""Jobs and uploads as this API makes them, for tests of what is pure."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from compute.models import AlgorithmItem, Image, Job, JobSpec, ResultFile, Stage, Termination
from compute.status import Phase
from provider.dialects.gbuilder.settings import GBuilderSettings
from provider.dialects.shared.forms import UploadedFile

FILE = UploadedFile("task_file", Path("/uploads/upload-1"), "../../rows.jsonl", 3, "0" * 64)


def settings(**changes: Any) -> GBuilderSettings:
    values = {"environment": "small", "image": "example/ner:1"}
    return GBuilderSettings.model_validate(values | changes)


def job(phase: Phase, reason: str = "", exit_code: int | None = None, *outputs: str) -> Job:
    stage = Stage(
        algorithm=AlgorithmItem(image=Image(image="example/ner", tag="1"), entrypoint=""),
        max_duration_s=60,
    )
    end = Termination(phase, reason, f"detail of {reason}", exit_code) if reason else None
    files = [ResultFile(n, name, 1, "0" * 64, "output") for n, name in enumerate(outputs)]
    log = ResultFile(len(files), "algorithm.log", 1, "0" * 64, "algorithmLog")
    return Job(
        id="0" * 32,
        owner="gbuilder",
        environment="small",
        spec=JobSpec(stages=(stage,)),
        created_at=1616126469.5,
        namespace="gbuilder/-",
        name="mine",
        phase=phase,
        termination=end,
        results=(*files, log) if phase.terminal else (),
    )


def jsonl(*lines: Any) -> io.BytesIO:
    """A file of these objects; texts and bytes are lines as they stand."""
    raw = [
        line
        if isinstance(line, bytes)
        else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    return io.BytesIO(b"".join(line + b"\n" for line in raw))

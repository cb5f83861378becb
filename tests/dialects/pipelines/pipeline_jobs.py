"""Jobs of three stages, as a task has them."""

from __future__ import annotations

from typing import Any

from compute.models import AlgorithmItem, Image, Job, JobSpec, ResultFile, Stage
from provider.dialects.pipelines.model import SEQUENCES, About, TaskKind

JOB_ID = "169920c204414f4782b141b9c859bf06"
TASK_UID = "169920c2-0441-4f47-82b1-41b9c859bf06"
OUTPUT_UID = "4eda5599-5324-6174-8f9e-61e155207a6e"
PIPELINE_UID = "37e952be-7cd8-463e-b3da-d28c47ed860c"
IMAGES = {
    "download": "b956f74f-30ab-4b3a-9619-6af34afcf4da",
    "running": "ec8cb77d-a794-45f4-81fb-0c662f27a53c",
    "upload": "476a2f5c-3b03-45b5-b8b1-51bb9891fd9f",
}


def about(kind: TaskKind = TaskKind.PREPROCESSING) -> About:
    return About(kind, "test_task", "test task", PIPELINE_UID, OUTPUT_UID, IMAGES)


def a_job(**changes: Any) -> Job:
    stages = tuple(
        Stage(
            name=name,
            algorithm=AlgorithmItem(image=Image(image="x"), entrypoint=""),
            max_duration_s=60,
        )
        for name in SEQUENCES
    )
    base: dict[str, Any] = {
        "id": JOB_ID,
        "owner": "pipelines:user1",
        "environment": "test",
        "spec": JobSpec(stages=stages, about=about().kept()),
        "created_at": 1726654402.552851,
        "namespace": "pipelines/-",
        "name": TASK_UID,
    }
    return Job(**(base | changes))


def result(index: int, name: str, kind: Any = "output") -> ResultFile:
    return ResultFile(index, name, 1, "00" * 32, kind)

"""What a task asks for, as the specification of a job. Pure.

A task comes from a caller without a wallet and names only what the operator's configuration
lets it name; what is left to judge is the environment's own: images, network, time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from compute.environments import Environment
from compute.models import AlgorithmItem, Image, JobSpec, Stage
from provider.errors import KeyedRefusal

Seal = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class TaskStage:
    """One container of a task. An empty ``entrypoint`` runs the image's own.

    ``files`` names what it sees of the task's files, below ``/data/inputs``. ``parameters``
    become ``algoCustomData.json``. ``secrets`` are clear texts by name, shown as files in
    ``/run/secrets`` that lie in memory alone; they are sealed before anything is stored.
    ``network`` asks for what the environment grants. No ``max_duration_s`` is the
    environment's.
    """

    name: str
    image: Image
    entrypoint: str = ""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: tuple[str, ...] = ()
    parameters: Any = field(default=None, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    network: bool = False
    max_duration_s: int | None = None


@dataclass(frozen=True, slots=True)
class TaskCall:
    """A job of a caller without a wallet: what the operator's configuration lets it run.

    ``name`` is one of a kind in its ``namespace``, ``owner`` is whose share of the queue it
    takes. ``files`` are copied (linked, where they lie in the data folder) before a start
    returns and belong to the job from then on. ``about`` is kept with the job and handed
    back, never looked at. ``delay_s`` is how long it waits in the queue at least.
    """

    owner: str
    environment: str
    namespace: str
    name: str
    stages: tuple[TaskStage, ...]
    files: Mapping[str, Path] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)
    delay_s: float = 0.0


class Readiness(StrEnum):
    """Whether a task would be taken: at once or in turn, not now, or nobody knows."""

    AVAILABLE = "available"
    FULL = "full"
    DOWN = "down"


def task_spec(call: TaskCall, environment: Environment, seal: Seal) -> JobSpec:
    """The job's specification. Raises KeyedRefusal for an image that the environment does
    not allow."""
    return JobSpec(
        stages=tuple(_stage(each, environment, seal) for each in call.stages),
        about=dict(call.about),
    )


def _stage(stage: TaskStage, environment: Environment, seal: Seal) -> Stage:
    if not environment.images.allows(stage.image):
        raise KeyedRefusal(f"stage {stage.name}", "image_not_allowed")
    most = environment.maxJobDuration
    return Stage(
        name=stage.name,
        algorithm=AlgorithmItem(
            image=stage.image, entrypoint=stage.entrypoint, custom_data=stage.parameters
        ),
        files=stage.files,
        variables=dict(stage.variables),
        secrets={name: seal(text) for name, text in stage.secrets.items()},
        network=stage.network and environment.gives_network(stage.name),
        max_duration_s=min(stage.max_duration_s or most, most),
    )

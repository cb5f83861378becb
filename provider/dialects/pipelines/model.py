"""What a task of a pipeline is: its kind, its steps, what it is asked for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

from provider.registry.models import Kind

DOWNLOAD: Final = "download"
RUNNING: Final = "running"
UPLOAD: Final = "upload"
SEQUENCES: Final = (DOWNLOAD, RUNNING, UPLOAD)
"""A build file's place in a task, and the name of the stage that it becomes."""

PROJECT: Final = "project"
APPLICATION: Final = "application"
"""What an original dataset is for: training, optimisation."""

PREPARED: Final = ("training", "optimization")
"""What a prepared dataset is for."""


class TaskKind(StrEnum):
    """Its value is the ``type`` by which its log is asked for."""

    PREPROCESSING = "preprocessing"
    TRAINING = "training"
    RETRAIN = "retrain"


class Manner(NamedTuple):
    """How a kind of task is: the log names of its three stages, what it makes and what that is
    called in answers, and by the request's ``type`` the kinds of dataset that it takes."""

    steps: tuple[str, str, str]
    makes: Kind
    output_field: str
    takes: Mapping[str, tuple[str, ...]]


MANNERS: Mapping[TaskKind, Manner] = MappingProxyType(
    {
        TaskKind.PREPROCESSING: Manner(
            ("download_original_dataset", "preprocessing", "upload_training_dataset"),
            Kind.DATASET,
            "training_dataset_uid",
            {PROJECT: (PROJECT,), APPLICATION: (APPLICATION,)},
        ),
        TaskKind.TRAINING: Manner(
            ("download_training_dataset", "training", "upload_model"),
            Kind.MODEL,
            "model_uid",
            {PROJECT: ("training", PROJECT)},
        ),
        TaskKind.RETRAIN: Manner(
            ("download_optimization_dataset", "retrain", "upload_model"),
            Kind.MODEL,
            "model_uid",
            {APPLICATION: ("optimization", "training", APPLICATION)},
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Wish:
    """The output that a task is to make."""

    name: str
    description: str
    extension: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunCall:
    """A request to run a task. ``images`` are the UIDs of build files by sequence, ``model_uid``
    is empty but for an optimisation."""

    kind: TaskKind
    name: str
    description: str
    pipeline_uid: str
    type: str
    dataset_uid: str
    config_uid: str
    images: Mapping[str, str]
    wish: Wish
    model_uid: str = ""

    def named(self) -> Mapping[str, tuple[Kind, str]]:
        """Each item that the request names, by its field."""
        found = {
            "pipeline_uid": (Kind.PIPELINE, self.pipeline_uid),
            "dataset_uid": (Kind.DATASET, self.dataset_uid),
            "config_uid": (Kind.CONFIG, self.config_uid),
        }
        if self.model_uid:
            found["model_uid"] = (Kind.MODEL, self.model_uid)
        for sequence in SEQUENCES:
            found[image_field(sequence)] = (Kind.BUILD_FILE, self.images[sequence])
        return found


@dataclass(frozen=True, slots=True)
class About:
    """What is kept with a task's job: all that answers about it need."""

    kind: TaskKind
    name: str
    description: str
    pipeline_uid: str
    output_uid: str
    images: Mapping[str, str] = field(default_factory=dict)

    def kept(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "name": self.name,
            "description": self.description,
            "pipeline_uid": self.pipeline_uid,
            "output_uid": self.output_uid,
            "images": dict(self.images),
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> About:
        return cls(**{**kept, "kind": TaskKind(kept["kind"])})


def image_field(sequence: str) -> str:
    """Where a run request names the build file."""
    return f"image_uid.{sequence}_uid"


def task_uid(job_id: str) -> str:
    """A task is known by its job's id, written as a UID."""
    return str(UUID(hex=job_id))


def namespace(space: str) -> str:
    """Where the tasks of a space are; the space is the name of the door's key."""
    return f"{NAMESPACES}{space or '-'}"


NAMESPACES: Final = "pipelines/"

"""From what a request names to the job that is run: whether it fits together, and how the three
build files become three stages. Pure.

The first stage sees the dataset, and the model of an optimisation; all stages see the
configuration, and what earlier ones have written. No container is given the keys of a user or of
anything else: what a container of the API's own would fetch with them lies in its folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from compute.layout import INPUTS
from compute.models import Image
from provider.dialects.pipelines.fields import FieldInvalid
from provider.dialects.pipelines.model import (
    DOWNLOAD,
    MANNERS,
    RUNNING,
    SEQUENCES,
    About,
    RunCall,
    image_field,
    namespace,
)
from provider.registry.models import Item, ItemState
from provider.task_specs import TaskCall, TaskStage

OWNERS: Final = "pipelines:"

_FOLDERS: Mapping[str, str] = {
    "dataset_uid": "dataset",
    "config_uid": "config",
    "model_uid": "model",
}
"""Where a stage finds the content of an item, below ``/data/inputs``."""

Items = Mapping[str, Item]
"""What a request names, by its fields."""


def require_fitting(call: RunCall, items: Items) -> None:
    """Raise FieldInvalid for an item that cannot be used so."""
    dataset = items["dataset_uid"]
    taken = MANNERS[call.kind].takes[call.type]
    if dataset.details["type"] not in taken:
        raise FieldInvalid(
            "dataset_uid",
            f"the dataset is of type {dataset.details['type']}, and {call.kind.value} with the"
            f" type {call.type} takes {' or '.join(taken)}",
        )
    for sequence in SEQUENCES:
        found = items[image_field(sequence)].details["sequence"]
        if found != sequence:
            raise FieldInvalid(
                image_field(sequence),
                f"the build file is for {found}; name one whose sequence is {sequence}",
            )
    for field in ("config_uid", *map(image_field, SEQUENCES)):
        if items[field].pipeline_uid != call.pipeline_uid:
            raise FieldInvalid(
                field,
                f"belongs to pipeline {items[field].pipeline_uid}; name one of pipeline_uid",
            )


def output(call: RunCall, *, uid: str, task_uid: str, space: str, owner: str, now: float) -> Item:
    """What the task is to make, before it has."""
    return Item(
        uid=uid,
        kind=MANNERS[call.kind].makes,
        space=space,
        owner=owner,
        name=call.wish.name,
        description=call.wish.description,
        created_at=now,
        pipeline_uid=call.pipeline_uid,
        extension=call.wish.extension,
        details=call.wish.details,
        state=ItemState.PENDING,
        task_uid=task_uid,
    )


@dataclass(frozen=True, slots=True)
class Handed:
    """The contents that a task is given: by field, the name below ``/data/inputs``."""

    names: Mapping[str, str]

    @classmethod
    def of(cls, items: Items) -> Handed:
        return cls(
            {
                field: f"{folder}/{items[field].file_name}"
                for field, folder in _FOLDERS.items()
                if field in items
            }
        )

    def seen_by(self, sequence: str) -> tuple[str, ...]:
        if sequence == DOWNLOAD:
            return tuple(self.names.values())
        return (self.names["config_uid"],)

    def variables(self, sequence: str) -> dict[str, str]:
        """Where the files are that the stage sees."""
        seen = self.seen_by(sequence)
        return {
            f"{_FOLDERS[field].upper()}_FILE": f"{INPUTS}/{name}"
            for field, name in self.names.items()
            if name in seen
        }


def task_call(
    call: RunCall,
    items: Items,
    made: Item,
    *,
    environment: str,
    path_of: Callable[[Item], Path],
) -> TaskCall:
    """The job of a request whose items fit, which is to make ``made``."""
    handed = Handed.of(items)
    about = About(
        call.kind, call.name, call.description, call.pipeline_uid, made.uid, dict(call.images)
    )
    return TaskCall(
        owner=OWNERS + made.owner,
        environment=environment,
        namespace=namespace(made.space),
        name=made.task_uid,
        stages=tuple(_stage(each, call, items, made, handed) for each in SEQUENCES),
        files={name: path_of(items[field]) for field, name in handed.names.items()},
        about=about.kept(),
    )


def _stage(sequence: str, call: RunCall, items: Items, made: Item, handed: Handed) -> TaskStage:
    details = items[image_field(sequence)].details
    return TaskStage(
        name=sequence,
        image=Image(image=details["image"], tag=details["tag"], checksum=details["checksum"]),
        files=handed.seen_by(sequence),
        variables={
            "TASK_UID": made.task_uid,
            "TASK_TYPE": call.kind.value,
            "PIPELINE_UID": call.pipeline_uid,
            "OUTPUT_UID": made.uid,
            "OUTPUT_EXTENSION": made.extension,
            **handed.variables(sequence),
        },
        network=sequence != RUNNING,
    )

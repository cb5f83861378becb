"""What comes in: the form of a new task and the ids in paths. Names of fields live here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from compute.models import SINGLE_STAGE
from provider.dialects.gbuilder.errors import UploadIncomplete
from provider.dialects.gbuilder.settings import GBuilderSettings
from provider.dialects.shared.forms import UploadedFile
from provider.task_specs import TaskCall, TaskStage

FILE_FIELDS: Final = ("task_file", "file")
"""As documented, and as the source's own code reads it."""

MOST_ID_LENGTH: Final = 128

_TASK_ID: Final = "task_id"
_IMMEDIATE: Final = "immediate"
_DIALECT: Final = "gbuilder"


@dataclass(frozen=True, slots=True)
class Upload:
    """A task to come. ``immediate`` is true when the field is there, whatever it says."""

    task_id: str
    file: UploadedFile
    immediate: bool


def upload(fields: Mapping[str, str], file: UploadedFile | None) -> Upload:
    """Raises UploadIncomplete."""
    if _TASK_ID not in fields:
        raise UploadIncomplete("task_id is missing; send it as a field of the form", field=_TASK_ID)
    task_id = fields[_TASK_ID]
    if not is_task_id(task_id):
        raise UploadIncomplete(
            f"task_id is not usable; write from 1 to {MOST_ID_LENGTH} printable characters without"
            " / and \\, not only dots",
            field=_TASK_ID,
        )
    if file is None:
        raise UploadIncomplete(
            "task_file is missing; send the data file in this field of the form",
            field=FILE_FIELDS[0],
        )
    return Upload(task_id, file, _IMMEDIATE in fields)


def is_task_id(text: str) -> bool:
    """Whether a task may be called so. It never becomes a path here, but it is a part of one
    in URLs, where clients resolve dots, and of other people's file names."""
    return (
        0 < len(text) <= MOST_ID_LENGTH
        and text.isprintable()
        and not any(separator in text for separator in "/\\")
        and text.strip(". ") != ""
    )


def namespace(key: str) -> str:
    """Where the ids of one caller are: those of others mean nothing there."""
    return f"{_DIALECT}/{key or '-'}"


def task_call(settings: GBuilderSettings, key: str, given: Upload) -> TaskCall:
    """What the operator has run for an upload."""
    stage = TaskStage(
        name=SINGLE_STAGE,
        image=settings.image,
        entrypoint=settings.entrypoint,
        files=(settings.inputName,),
        parameters=settings.parameters,
    )
    return TaskCall(
        owner=f"{_DIALECT}:{key}" if key else _DIALECT,
        environment=settings.environment,
        namespace=namespace(key),
        name=given.task_id,
        stages=(stage,),
        files={settings.inputName: given.file.path},
    )

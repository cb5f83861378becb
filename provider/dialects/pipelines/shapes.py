"""What the calls of the pipelines API take and give, as types: read for its description alone.

The rules themselves are in ``requests`` and ``registry_requests``.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from provider.dialects.pipelines.fields import MOST_NAME, MOST_TEXT
from provider.openapi import files
from provider.openapi.operations import shape
from provider.registry.models import ItemState

Uid = Annotated[
    str,
    Field(
        pattern="^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
        examples=["7c9e6679-7425-40de-944b-e07fc1f90ae7"],
    ),
]
Line = Annotated[str, Field(min_length=1, max_length=MOST_NAME)]
"""One line of printable letters."""
Text = Annotated[str, Field(max_length=MOST_TEXT)]
Extension = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]{1,16}(\.[A-Za-z0-9]{1,16}){0,2}$", examples=["zip"])
]


@shape
class PipelinesError(TypedDict):
    """What is wrong, and how to mend it."""

    detail: str
    data: None


@shape
class VersionPath(TypedDict):
    version: Annotated[str, Field(pattern=r"^v[0-9]{1,6}(\.[0-9]{1,6}){0,3}$", examples=["v1.0.0"])]
    """Of the client; any will do."""


@shape
class ItemPath(VersionPath):
    uid: Uid
    """The item's."""


class _User(TypedDict):
    access_key: str
    """The user's name."""
    secret_key: str
    """The user's secret."""


@shape
class Images(TypedDict):
    """The build files of the three stages."""

    download_uid: Uid
    running_uid: Uid
    upload_uid: Uid


class _Run(_User):
    task_name: Line
    task_description: NotRequired[Text | None]
    pipeline_uid: Uid
    dataset_uid: Uid
    config_uid: Uid
    image_uid: Images


@shape
class PreprocessBody(_Run):
    """A task that prepares a dataset."""

    type: Literal["project", "application"]
    """What kind of dataset is prepared."""
    dataset_name: Line
    dataset_description: NotRequired[Text | None]
    dataset_file_extension: Extension
    dataset_type: Literal["training", "optimization"]
    """What the new one is for."""


class _Model(_Run):
    model_name: Line
    model_description: NotRequired[Text | None]
    model_file_extension: Extension
    model_type: Literal["default"]
    model_input_format: Line
    model_output_format: Line


@shape
class TrainBody(_Model):
    """A task that trains a model."""

    type: Literal["project"]


@shape
class OptimiseBody(_Model):
    """A task that optimises a model."""

    type: Literal["application"]
    model_uid: Uid
    """The model to begin with."""


@shape
class DeleteBody(_User):
    """A task to delete."""

    task_uid: Uid


@shape
class TaskBody(TypedDict):
    uid: Uid
    """The task's."""


@shape
class LogBody(TypedDict):
    task_uid: Uid
    type: Literal["preprocessing", "training", "retrain"]
    """The kind of the task."""


@shape
class OfPipelineBody(TypedDict):
    pipeline_uid: Uid
    """May be called `f_pipeline_uid` as well."""


@shape
class PipelineQuery(TypedDict):
    pipeline_uid: Uid
    """May be called `f_pipeline_uid` as well."""


@shape
class PipelineTask(TypedDict):
    """A task, and the UID of what it makes."""

    training_dataset_uid: NotRequired[Uid]
    model_uid: NotRequired[Uid]
    uid: Uid
    created_time: str
    """ISO 8601, in UTC+8."""
    name: str
    description: str
    execute_step: Literal["prepare_file", "run_task", "upload"]
    status: Literal["init", "running", "finished", "failed", "deleted"]
    f_download_image_uid: Uid
    f_running_image_uid: Uid
    f_upload_image_uid: Uid
    f_pipeline_uid: Uid
    reason: NotRequired[str]
    """Why it failed."""


@shape
class RegistryItem(TypedDict):
    """An item of the registry; a pipeline has the first five fields alone."""

    uid: Uid
    created_time: str
    """ISO 8601, in UTC+8."""
    name: str
    description: str
    owner: str
    f_pipeline_uid: NotRequired[str]
    extension: NotRequired[str]
    type: NotRequired[str]
    """Of a dataset or a model."""
    sequence: NotRequired[str]
    """Of a build file."""
    input_format: NotRequired[str]
    output_format: NotRequired[str]
    status: NotRequired[ItemState]
    reason: NotRequired[str]
    """Why it never got its content."""
    f_task_uid: NotRequired[str]
    """The task that makes it; empty for one that was handed in."""
    size: NotRequired[int | None]
    """Bytes."""
    sha256: NotRequired[str]


@shape
class RunAnswer(TypedDict):
    detail: Literal["Excute task successfully"]
    data: PipelineTask


@shape
class TaskAnswer(TypedDict):
    detail: str
    data: PipelineTask


@shape
class TasksAnswer(TypedDict):
    detail: str
    data: list[PipelineTask]


@shape
class LogAnswer(TypedDict):
    detail: str
    data: dict[str, str]
    """By stage."""


@shape
class Choices(TypedDict):
    datasets: list[RegistryItem]
    configs: list[RegistryItem]
    models: list[RegistryItem]
    images: dict[str, list[RegistryItem]]
    """By stage."""


@shape
class ChoicesAnswer(TypedDict):
    detail: str
    data: Choices


@shape
class ItemAnswer(TypedDict):
    detail: str
    data: RegistryItem


@shape
class ItemsAnswer(TypedDict):
    detail: str
    data: list[RegistryItem]


@shape
class PipelineForm(TypedDict):
    """A pipeline. Its user may be told by headers instead of the last two fields."""

    uid: NotRequired[Uid]
    """Left out, one is made up."""
    name: Line
    description: NotRequired[Text]
    access_key: NotRequired[str]
    secret_key: NotRequired[str]


class _WithContent(PipelineForm):
    pipeline_uid: Uid
    """Where it belongs."""
    file: files.AnyBytes
    """The content."""


@shape
class ConfigForm(_WithContent):
    """A config."""

    extension: Extension


@shape
class DatasetForm(_WithContent):
    """A dataset."""

    extension: Extension
    type: Literal["project", "application", "training", "optimization"]


@shape
class BuildFileForm(_WithContent):
    """A Dockerfile, or a zip with one."""

    extension: NotRequired[Literal["dockerfile", "txt", "zip"]]
    sequence: Literal["download", "running", "upload"]
    """Its place in a task."""


@shape
class ModelForm(_WithContent):
    """A model."""

    extension: Extension
    type: NotRequired[Literal["default"]]
    input_format: Line
    output_format: Line
